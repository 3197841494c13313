"""Short rows side by side: a block of them is turned into columns and back, 4 x 4 numbers at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

import symloss
from symloss.rendering.primitives import _turn
from symloss.runtime.loader import load_module
from symloss.runtime.plan import FEW

KINDS = {
    ("fast", np.float32, np.float32), ("exact", np.float32, np.float64), ("exact", np.float64, np.float32),
    ("exact", np.float64, np.float64), ("pairs", np.float64, np.float64),
}  # fmt: skip
"""Where a function is from, what it reads and what it writes."""


def _shapes() -> list[tuple[int, int]]:
    small = [(rows, columns) for rows in range(10) for columns in range(10)]
    return [*small, (64, 3), (3, 64), (64, 10), (10, 64), (63, 48), (48, 63)]


@pytest.mark.parametrize("accuracy, kind, into", sorted(KINDS, key=str))
def test_rows_are_turned(accuracy: str, kind: Any, into: Any) -> None:
    """And nothing else is written, before them, after them or beside them."""
    function = load_module("softmax_cross_entropy", None, accuracy)._turn
    compiled = njit(error_model="numpy")(function.py_func)  # as it is, only kernels can call it
    rng = np.random.default_rng(0)
    for rows, columns in _shapes():
        for first, begin in ((0, 0), (3, 2)):
            source = rng.normal(size=(first + rows + 1, columns + (first > 0))).astype(kind)
            expected = np.full((begin + columns + 1, rows + (begin > 0)), np.nan, into)
            found, plain = expected.copy(), expected.copy()
            expected[begin : begin + columns, :rows] = source[first : first + rows, :columns].T
            compiled(source, np.uint64(first), np.uint64(rows), columns, found, np.uint64(begin))
            np.testing.assert_array_equal(found, expected, err_msg=f"{rows} x {columns}")
            _turn(source, np.uint64(first), rows, columns, plain, np.uint64(begin))
            np.testing.assert_array_equal(plain, expected)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 7, 8, 10, FEW, FEW + 1])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_any_length_have_their_own_results(dtype: Any, accuracy: str, classes: int) -> None:
    """Alone or among others, beside rows that do not count, in the last block and before it."""
    rng = np.random.default_rng(classes)
    loss = symloss.load("softmax_cross_entropy", accuracy=accuracy)
    n = 64 + 64 + 5
    logits, label = rng.normal(0, 3, (n, classes)).astype(dtype), rng.integers(0, classes, n)
    ignored = np.isin(np.arange(n), (0, 63, 70, n - 1))
    label[ignored] = -100
    options: Any = {"reduction": "sum", "ignore_index": -100}
    gradient, hessian = loss.gradient_and_hessian(logits, label, **options)
    value, again = loss.value_and_gradient(logits, label, reduction="none", ignore_index=-100)
    np.testing.assert_array_equal(again, gradient)
    for found in (gradient, hessian, value):
        assert not found[ignored].any()
    assert loss.value(logits, label, **options) == pytest.approx(value.sum(dtype=np.float64), rel=1e-6)
    for k in (1, 62, 64, 69, 127, 128, n - 2):
        alone = loss.gradient_and_hessian(logits[k : k + 1], label[k : k + 1], **options)
        np.testing.assert_array_equal(alone[0][0], gradient[k], err_msg=f"gradient of row {k}")
        np.testing.assert_array_equal(alone[1][0], hessian[k], err_msg=f"Hessian of row {k}")
    weights = np.exp(logits.astype(np.longdouble) - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.arange(n), np.maximum(label, 0)] -= 1
    weights[ignored] = 0
    np.testing.assert_allclose(gradient, weights, rtol=0, atol=8 * np.finfo(dtype).eps)
