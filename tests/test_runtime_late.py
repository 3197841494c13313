"""A second look is compiled when it is needed, and changes no bit by coming late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symloss
from symloss.runtime.late import Late, put_off
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.runtime.threads import GRAIN

NAMES = ("binary_cross_entropy", "focal")


def _fresh(name: str) -> Loss:
    """Return a loss whose kernels have not run."""
    return Loss(make_plan(symloss.load(name).module), None, "exact")


def _data(name: str, n: int, dtype: Any, *, crossing: bool) -> tuple[Any, Any]:
    """Return logits and labels; with `crossing`, among the last elements are some whose derivatives cancel."""
    rng = np.random.default_rng(8)
    logit, target = 9 + rng.random(n), np.ones(n)
    if crossing:
        logit[-25:], target[-25:] = np.linspace(-3, 3, 25), 0.5 if name == NAMES[0] else 1.0
    return logit.astype(dtype), target.astype(dtype)


def _late(loss: Loss, dtype: Any, kernel: str) -> Late:
    kernels = loss.plan.narrow if dtype is np.float32 else loss.plan.kernels
    found = kernels[kernel]
    assert isinstance(found, Late)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [50, 3 * GRAIN + 5])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_before_and_after(name: str, n: int, weighted: bool) -> None:
    loss, kernel = _fresh(name), "gradient_and_hessian"
    weight = np.ones(n) if weighted else None
    late = _late(loss, np.float64, kernel)
    plain, crossing = (_data(name, n, np.float64, crossing=c) for c in (False, True))
    for _ in range(2):  # from the second call on, compiled code is called as it is
        before = loss.gradient_and_hessian(*plain, sample_weight=weight)
        assert late.serving[0] is not late.whole
    late.serving[0] = late.whole
    whole = Loss(make_plan(loss.module), None, "exact")
    _late(whole, np.float64, kernel).serving[0] = late.whole
    np.testing.assert_array_equal(before, whole.gradient_and_hessian(*plain, sample_weight=weight))
    again = _fresh(name)
    for _ in range(2):
        again.gradient_and_hessian(*plain, sample_weight=weight)
    expected = whole.gradient_and_hessian(*crossing, sample_weight=weight)
    out = tuple(np.full(n, np.nan) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(again.gradient_and_hessian(*crossing, out=out, sample_weight=weight), expected)
        assert _late(again, np.float64, kernel).serving[0] is late.whole


def test_sums_are_not_added_twice() -> None:
    n = 2 * GRAIN + 7
    logit, target = _data("binary_cross_entropy", n, np.float64, crossing=True)
    direction = (np.ones(n), 0.5, 0.25)
    loss = _fresh("binary_cross_entropy")
    found = [
        loss.hessian_product(logit, target, direction=direction, wrt=("logit", "pos_weight", "label_smoothing"))
        for _ in range(2)  # first without, then with the second look
    ]
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


def test_kernels_without_a_second_look_stay_as_they_are() -> None:
    kernels = {"outside": symloss.load("binary_cross_entropy").module.outside, "plain": len}
    assert put_off(kernels) == kernels
