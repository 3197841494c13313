"""The benchmark times like beside like: everyone computes the same value and derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from symloss.bench.cases import GRID, Case
from symloss.bench.contenders import contenders
from symloss.bench.report import cells, markdown, summary
from symloss.bench.timing import time_case

SMALL = {"softmax_cross_entropy": (16, 7), "ge2e_softmax": (4, 3, 8), "arcface": (8, 16)}
KINDS = list(dict.fromkeys((c.loss, c.quantity, len(c.shape)) for c in GRID))


def _numbers(found: object) -> Iterator[np.ndarray]:
    if isinstance(found, tuple | list):
        for part in found:
            yield from _numbers(part)
    else:
        yield np.ravel(np.asarray(found.numpy(force=True) if hasattr(found, "detach") else found, float))


@pytest.mark.parametrize("loss, quantity, axes", KINDS, ids=lambda v: str(v))
def test_everyone_computes_the_same(loss: str, quantity: str, axes: int) -> None:
    case = Case(loss, quantity, SMALL.get(loss, (64,) if axes == 1 else (8, 16)), "float64")
    found = {
        name: np.concatenate(list(_numbers(call())))
        for name, call in contenders(case, compiled=False)
        if name not in ("stream", "scikit-learn")  # scikit-learn's derivatives are those of the sum
    }
    assert {"exact", "torch eager", "JAX jit"} <= found.keys()
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, found["exact"], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_report_has_every_case() -> None:
    case = dataclasses.replace(GRID[0], shape=(64,))
    timing = time_case(case, compiled=False)
    assert set(timing.row()["ratios"]) == {"exact", "exact, fresh", "fast", "fast, fresh"}
    assert case.title in markdown([timing], "a machine")
    assert len(cells(timing)) == 8
    assert "over 1 cases" in summary([timing])
