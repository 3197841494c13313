"""What each adapter adds to a call: its time beside that of the loss itself, on the same arrays.

The median CPU time of the process with one thread, so that neighbours count little; adapter and loss take turns.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import catboost
import dask.array as da
import jax
import jax.numpy as jnp
import lightgbm
import numpy as np
import torch
import xgboost
from threadpoolctl import threadpool_limits

import symloss
from symloss.adapters import catboost as sc
from symloss.adapters import dask as sd
from symloss.adapters import jax as sj
from symloss.adapters import lightgbm as sl
from symloss.adapters import scipy as sp
from symloss.adapters import sklearn as sk
from symloss.adapters import torch as st
from symloss.adapters import xgboost as sx

RNG = np.random.default_rng(0)
Call = Callable[[], Any]


def medians(calls: tuple[Call, ...], seconds: float = 1.5) -> list[float]:
    """Return the median CPU time of each call, in microseconds; they take turns."""
    spent: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for call, times in zip(calls, spent, strict=True):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return [1e6 * statistics.median(times) for times in spent]


def of_tensors(wide: Any, target: Any) -> dict[str, Call]:
    """Return value and gradient by torch and JAX, whose arrays are made beforehand."""
    z, y = torch.tensor(wide, requires_grad=True), torch.tensor(target)
    x, label = jnp.asarray(wide), jnp.asarray(target)
    step = jax.jit(jax.value_and_grad(sj.binary_cross_entropy))
    expression = st.expression("binary_cross_entropy")
    return {
        "torch": lambda: torch.autograd.grad(st.binary_cross_entropy(z, y), z),
        "torch expression": lambda: torch.autograd.grad(expression(z, y), z),
        "jax, jit": lambda: jax.block_until_ready(step(x, label)),
    }


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
    both: Call = lambda: bce.value_and_gradient(wide, target)  # noqa: E731
    return {
        **{name: (call, both) for name, call in of_tensors(wide, target).items()},
        "xgboost": (lambda: xgb(narrow, matrix), float32),
        "lightgbm": (lambda: lgb(wide, dataset), mixed),
        "catboost": (lambda: cat.calc_ders_range(wide, target, None), float64),
        "sklearn": (lambda: hist.gradient_hessian(target, wide), float64),
        "scipy": (moved, scipy_alone),
        "dask (10 chunks)": (chunked, lambda: bce.value(wide, target)),
    }


def main() -> None:
    """Print a table."""
    libraries = (torch, jax, xgboost, lightgbm, catboost)
    print(", ".join(f"{library.__name__} {library.__version__}" for library in libraries))
    symloss.set_threads(1)
    torch.set_num_threads(1)
    with threadpool_limits(1), jax.enable_x64(True):
        report()


def report() -> None:
    """Print a line for each adapter and size."""
    for n in (1_000, 1_000_000):
        for name, (adapter, alone) in calls(n).items():
            with_adapter, without = medians((adapter, alone))
            print(f"n = {n:9,}  {name:18}  {with_adapter:10.1f} µs  loss alone {without:10.1f} µs")


if __name__ == "__main__":
    main()
