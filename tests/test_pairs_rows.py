"""Short rows side by side in pair arithmetic: the same numbers as a row at a time, in vector instructions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numba import njit

import symloss
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.lowering.nodes import Beside, Kernel, Lane, Lanes, Side
from symloss.rendering.pair_format import format_pairs
from symloss.runtime.plan import FEW
from symloss.runtime.preparation import prepare

SHORT = [n for n in symloss.losses() if symloss.load(n).plan.few[0]]
KINDS = ("value", "value_and_gradient", "gradient_and_hessian")


def test_some_losses_have_short_rows() -> None:
    assert {"softmax_cross_entropy", "softmax_focal", "poly_cross_entropy"} <= set(SHORT)
    for name in SHORT:
        plan: Any = symloss.load(name).plan
        assert {n for n in KINDS if plan.few[0][n] is not plan.kernels[n]} == set(KINDS)
        assert all(plan.few[0][n].py_func.__module__ == plan.kernels[n].py_func.__module__ for n in KINDS)


def _called(kernel: Any, kind: str, ready: Any, weight: Any) -> list[Any]:
    """Return all that a kernel gives: its total, the value of each sample, and its arrays."""
    made = [np.full_like(ready.inputs[0], np.nan) for _ in range({"value": 0, "value_and_gradient": 1}.get(kind, 2))]
    values = [] if kind == "gradient_and_hessian" else [np.full(len(ready.inputs[0]), np.nan)]
    scale = [] if kind == "value" else [0.3]
    total = kernel(*ready.inputs, *ready.parameters, weight, *scale, *values, *made)
    return [total or 0.0, *values, *made]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHORT)
def test_rows_side_by_side_give_the_numbers_of_a_row_at_a_time(name: str, kind: str) -> None:
    """In full blocks and one that is not, wide apart and close, with the largest at the label and elsewhere."""
    plan = symloss.load(name).plan
    rng = np.random.default_rng(3)
    for entries in (1, 2, 3, 10, FEW):
        logits = rng.normal(size=(150, entries)) * 10.0 ** rng.integers(-3, 3, (150, 1))
        logits[:20, 0] += 800.0
        logits[20] = 0.0
        label = rng.integers(0, entries, 150)
        weight = rng.uniform(0, 2, 150) if entries == 3 else np.empty(0)
        settings = {"ignore_index": int(label[0])} if entries == 10 and "ignore_index" in plan.slots else {}
        ready = prepare(plan, (logits, label), None, settings)
        usual, short = (_called(found[kind], kind, ready, weight) for found in (plan.kernels, plan.few[0]))
        for one, other in zip(usual, short, strict=True):
            np.testing.assert_allclose(other, one, rtol=3e-16, atol=0.0)
        differing = [np.count_nonzero(one != other) for one, other in zip(usual, short, strict=True)]
        assert sum(differing) <= 1, "both are rounded from some hundred bits"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_side_by_side_are_vectors(kind: str) -> None:
    """The exponentials of rows, and what a row computes once, its logarithm too."""
    plan: Any = symloss.load("softmax_cross_entropy").plan
    rng = np.random.default_rng(3)
    ready = prepare(plan, (rng.normal(size=(70, 5)), rng.integers(0, 5, 70)), None, {})
    fresh = njit(nogil=True, error_model="numpy")(plan.few[0][kind].py_func)
    _called(fresh, kind, ready, np.empty(0))
    (code,) = fresh.inspect_llvm().values()
    products = re.findall(r"@llvm\.fma\.(v\d+)?f64\(", code)
    packed = [p for p in products if p]
    assert len(packed) >= 100
    divided = re.findall(r"fdiv <\d+ x double>", code)
    assert divided


def test_the_largest_of_pairs_has_no_form() -> None:
    """Then no kernel for short rows is made."""
    i = Index("i", Axis("n", "samples"))
    k = Index("k", Axis("c", "classes"))
    largest = Lane("most_lanes", "larger", True, Access("x", i, k) + Access("z", i, k))
    nodes = (Beside("lanes", ("most_lanes",), ()), Lanes(i, (Side(i, (largest,)),)))
    with pytest.raises(ValueError, match="largest pair"):
        format_pairs(Kernel("value_few", ("x", "z"), nodes, "", ""), {"n": "x.shape[0]"}, frozenset())
