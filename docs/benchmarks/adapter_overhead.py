"""What each adapter adds to a call: its time beside that of the loss itself, on the same arrays, best of several."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import catboost
import dask.array as da
import lightgbm
import numpy as np
import xgboost

import symloss
from symloss.adapters import catboost as sc
from symloss.adapters import dask as sd
from symloss.adapters import lightgbm as sl
from symloss.adapters import scipy as sp
from symloss.adapters import sklearn as sk
from symloss.adapters import xgboost as sx

RNG = np.random.default_rng(0)
Call = Callable[[], Any]


def best(call: Call, seconds: float = 0.5) -> float:
    """Return the shortest time of a call, in microseconds."""
    call()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - start)
    return 1e6 * shortest


def calls(n: int) -> dict[str, tuple[Call, Call]]:
    """Return, by adapter, its call and that of the loss."""
    wide, target = RNG.normal(0, 2, n), RNG.integers(0, 2, n).astype(float)
    narrow, small = wide.astype(np.float32), target.astype(np.float32)
    design = np.zeros((n, 1))
    bce = symloss.binary_cross_entropy
    matrix = xgboost.DMatrix(design, target)
    dataset = lightgbm.Dataset(design, target).construct()
    rows, hist = sp.LinearModel(design, target), sk.loss("binary_cross_entropy")
    problem = sp.fun_jac_hessp("binary_cross_entropy", rows)
    w, step = np.zeros(2), iter(range(10**9))

    def moved() -> Any:
        w[0] = next(step)
        return problem.jac(w)

    chunks = (n + 9) // 10
    lazy = [da.from_array(a, chunks=chunks) for a in (wide, target)]

    def chunked() -> Any:
        return sd.value("binary_cross_entropy", *lazy).compute(scheduler="synchronous")

    def scipy_alone() -> Any:
        return design.T @ bce.value_and_gradient(design @ w[:1] + w[1], target)[1]

    float32: Call = lambda: bce.gradient_and_hessian(narrow, small, reduction="sum")  # noqa: E731
    float64: Call = lambda: bce.gradient_and_hessian(wide, target, reduction="sum")  # noqa: E731
    mixed: Call = lambda: bce.gradient_and_hessian(wide, small, reduction="sum")  # noqa: E731
    xgb, lgb, cat = (m("binary_cross_entropy") for m in (sx.objective, sl.objective, sc.Objective))
    return {
        "xgboost": (lambda: xgb(narrow, matrix), float32),
        "lightgbm": (lambda: lgb(wide, dataset), mixed),
        "catboost": (lambda: cat.calc_ders_range(wide, target, None), float64),
        "sklearn": (lambda: hist.gradient_hessian(target, wide), float64),
        "scipy": (moved, scipy_alone),
        "dask (10 chunks)": (chunked, lambda: bce.value(wide, target)),
    }


def main() -> None:
    """Print a table."""
    print(f"xgboost {xgboost.__version__}, lightgbm {lightgbm.__version__}, catboost {catboost.__version__}")
    for n in (1_000, 1_000_000):
        for name, (adapter, alone) in calls(n).items():
            with_adapter, without = best(adapter), best(alone)
            print(f"n = {n:9,}  {name:18}  {with_adapter:10.1f} µs  loss alone {without:10.1f} µs")


if __name__ == "__main__":
    main()
