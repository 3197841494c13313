"""Values and derivatives of hand-written modules against plain NumPy: reductions, weights, dtypes, wrt, products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss

FIXTURES = Path(__file__).parent / "fixtures"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
ROWS = symloss.load("toy_rowwise", package=FIXTURES)
CELLS = symloss.load("toy_cells", package=FIXTURES)

RNG = np.random.default_rng(7)
X = RNG.normal(size=9)
Y = (RNG.random(9) > 0.5).astype(np.float64)
W = RNG.random(9)
Z = RNG.normal(size=(6, 4))
LABEL = np.array([0, 3, 1, 2, 2, 0])


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def logistic(x: Any, y: Any, pos_weight: float = 1.0, alpha: float = 0.0) -> Any:
    return pos_weight * y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x) + alpha * x**2 / 2


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [None, W])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(reduction: str, weight: Any) -> None:
    each = logistic(X, Y, 2.0) * (1 if weight is None else weight)
    slope = ((1 - Y) * sigmoid(X) - 2.0 * Y * (1 - sigmoid(X))) * (1 if weight is None else weight)
    count = {"none": 1, "sum": 1, "mean": len(X) if weight is None else weight.sum()}[reduction]
    options: dict[str, Any] = {"reduction": reduction, "sample_weight": weight, "pos_weight": 2.0}
    value, gradient = TOY.value_and_gradient(X, Y, **options)
    np.testing.assert_allclose(value, each if reduction == "none" else each.sum() / count, rtol=1e-14)
    np.testing.assert_allclose(gradient, slope / count, rtol=1e-13)
    np.testing.assert_array_equal(TOY.value(X, Y, **options), value)
    np.testing.assert_array_equal(TOY.gradient(X, Y, **options), gradient)


def test_default_reduction_is_mean() -> None:
    assert TOY.value(X, Y) == TOY.value(X, Y, reduction="mean") == pytest.approx(logistic(X, Y).mean(), rel=1e-14)


def test_hessian_and_both() -> None:
    p = sigmoid(X)
    both = TOY.gradient_and_hessian(X, Y, reduction="sum", alpha=0.5)
    np.testing.assert_allclose(both[1], p * (1 - p) + 0.5, rtol=1e-13)
    np.testing.assert_array_equal(both[0], TOY.gradient(X, Y, reduction="sum", alpha=0.5))
    np.testing.assert_array_equal(both[1], TOY.hessian_diagonal(X, Y, reduction="sum", alpha=0.5))


def test_flag_and_optional_parameter() -> None:
    assert TOY.value(X, Y, flipped=True) == pytest.approx(logistic(X, 1 - Y).mean(), rel=1e-14)
    assert TOY.value(X, Y, alpha=None) == TOY.value(X, Y)
    assert TOY.value(X, Y, alpha=0) == TOY.value(X, Y)


def test_sample_weight_joins_the_broadcast() -> None:
    weight = np.array([[1.0], [2.0]])
    value = TOY.value(X, Y, sample_weight=weight, reduction="none")
    np.testing.assert_allclose(value, weight * logistic(X, Y), rtol=1e-14)
    np.testing.assert_allclose(
        TOY.gradient(X, Y, sample_weight=weight, reduction="sum"), 3 * TOY.gradient(X, Y, reduction="sum"), rtol=1e-14
    )


F32 = np.float32


@pytest.mark.parametrize(
    "x, y, expected",
    [
        (X.astype(F32), Y.astype(F32), F32),
        (X, Y, np.float64),
        (X.astype(F32), Y, np.float64),
        (X.astype(F32), Y.astype(np.int64), F32),
        (X.astype(F32), Y.astype(bool), F32),
        (X.astype(F32), 1.0, F32),
        (X.astype(F32), np.float64(1.0), np.float64),
        (X.astype(F32), True, F32),
        (X.astype(F32), [1.0] * 9, np.float64),
        (X.astype(">f4"), Y.astype(">f4"), F32),
        (np.arange(9), Y.astype(bool), np.float64),
        (list(X), list(Y), np.float64),
        (0.5, 1, np.float64),
    ],
)
def test_dtypes(x: Any, y: Any, expected: Any) -> None:
    value, gradient = TOY.value_and_gradient(x, y)
    assert type(value) is np.dtype(expected).type
    assert gradient.dtype == expected
    assert gradient.shape == np.shape(x)
    wide = np.asarray(x, np.float64)
    tolerance = 1e-6 if expected is F32 else 1e-14
    assert value == pytest.approx(logistic(wide, np.asarray(y, np.float64)).mean(), rel=tolerance)
    assert TOY.hessian_product(x, y, direction=np.ones(np.shape(x))).dtype == expected


def test_weights_and_parameters_do_not_raise_float32() -> None:
    x, y = X.astype(F32), Y.astype(F32)
    assert TOY.value(x, y, sample_weight=W, pos_weight=np.float64(2)).dtype == F32
    assert TOY.gradient(x, y, wrt="pos_weight").dtype == F32


def test_overflow_to_float32_is_infinite_and_silent() -> None:
    big = np.array([3e38], F32)
    assert PAIR.value(big, big) == np.inf
    assert np.isinf(PAIR.gradient(big, big, wrt="shift"))
    assert TOY.value(np.ones(1, F32), 1, sample_weight=1.0) > 0
    assert np.isposinf(PAIR.value(np.ones(1, F32), 1e300))


def test_empty_and_zero_weights() -> None:
    empty = np.empty((0, 3))
    assert np.isnan(TOY.value(empty, empty))
    assert TOY.value(empty, empty, reduction="sum") == 0
    assert TOY.value(empty, empty, reduction="none").shape == (0, 3)
    assert TOY.gradient(empty, empty).shape == (0, 3)
    assert np.isnan(TOY.value(X, Y, sample_weight=np.zeros(9)))
    assert np.isnan(TOY.gradient(X, Y, sample_weight=np.zeros(9))).all()
    assert np.isnan(ROWS.value(np.empty((0, 4)), []))
    assert ROWS.value(np.empty((0, 4)), [], reduction="sum") == 0


def test_nan_comes_out_where_it_went_in() -> None:
    x, y = X.copy(), Y.copy()
    x[2], y[5] = np.nan, np.nan
    gradient = TOY.gradient(x, y)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(gradient)), [2, 5])
    assert np.isnan(TOY.value(X, Y, sample_weight=np.where(Y > 0, np.nan, 1.0)))


def test_one_input_of_several() -> None:
    a, b = RNG.normal(size=5), RNG.normal(size=5)
    full = PAIR.gradient(a, b, reduction="sum", shift=0.3)
    assert full._fields == PAIR.differentiable == ("first", "second")
    np.testing.assert_allclose(full.first, (a * b - 0.3) * b, rtol=1e-13)
    np.testing.assert_array_equal(PAIR.gradient(a, b, wrt="second", reduction="sum", shift=0.3), full.second)
    named = PAIR.gradient(a, b, wrt=("shift", "second"), reduction="sum", shift=0.3)
    assert named._fields == ("shift", "second")
    assert named.shift == pytest.approx(-(a * b - 0.3).sum(), rel=1e-13)
    np.testing.assert_array_equal(named.second, full.second)
    assert PAIR.gradient(a, b, wrt=("first",))._fields == ("first",)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_derivatives_in_parameters(reduction: str) -> None:
    count = 1 if reduction == "sum" else len(X)
    value, gradient = TOY.value_and_gradient(X, Y, wrt="pos_weight", reduction=reduction, pos_weight=2.0)
    assert gradient.shape == ()
    assert value == TOY.value(X, Y, reduction=reduction, pos_weight=2.0)
    assert gradient == pytest.approx((Y * np.logaddexp(0, -X)).sum() / count, rel=1e-13)
    both = PAIR.gradient_and_hessian(X, Y, wrt=("first", "shift"), reduction=reduction)
    assert both[1].shift == pytest.approx(len(X) / count)
    np.testing.assert_allclose(both[1].first, Y**2 / count, rtol=1e-13)
    assert PAIR.hessian_diagonal(X, Y, wrt="shift", reduction=reduction) == pytest.approx(len(X) / count)


def pair_hessian(a: Any, b: Any, shift: float) -> Any:
    """Return the whole Hessian in (first, second, shift), elementwise terms summed."""
    n = len(a)
    h = np.zeros((2 * n + 1, 2 * n + 1))
    i = np.arange(n)
    h[i, i], h[n + i, n + i], h[-1, -1] = b**2, a**2, n
    h[i, n + i] = h[n + i, i] = 2 * a * b - shift
    h[i, -1] = h[-1, i] = -b
    h[n + i, -1] = h[-1, n + i] = -a
    return h


def test_hessian_product_blocks_and_cross_terms() -> None:
    a, b, u, v, s = RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=4), 0.7
    h = pair_hessian(a, b, 0.3)
    options: dict[str, Any] = {"reduction": "sum", "shift": 0.3}
    full = PAIR.hessian_product(a, b, direction=(u, v), **options)
    np.testing.assert_allclose(np.concatenate(full), h[:8, :8] @ np.concatenate([u, v]), rtol=1e-12)
    np.testing.assert_allclose(
        PAIR.hessian_product(a, b, wrt="first", direction=u, **options), h[:4, :4] @ u, rtol=1e-12
    )
    assert PAIR.hessian_product(a, b, wrt="shift", direction=s, **options) == pytest.approx(4 * s)
    mixed = PAIR.hessian_product(a, b, wrt=("shift", "second"), direction=(s, v), **options)
    expected = h @ np.concatenate([np.zeros(4), v, [s]])
    assert mixed._fields == ("shift", "second")
    assert mixed.shift == pytest.approx(expected[-1], rel=1e-12)
    np.testing.assert_allclose(mixed.second, expected[4:8], rtol=1e-12)
    single = PAIR.hessian_product(a, b, wrt=("first",), direction=(u,), **options)
    np.testing.assert_allclose(single.first, h[:4, :4] @ u, rtol=1e-12)


def test_hessian_product_of_a_broadcast_input() -> None:
    a, b = np.array([0.5]), RNG.normal(size=6)
    product = PAIR.hessian_product(a, b, direction=(np.array([2.0]), np.ones(6)), reduction="sum")
    assert product.first.shape == (1,)
    assert product.first[0] == pytest.approx((2 * b**2 + 2 * 0.5 * b).sum(), rel=1e-12)
    np.testing.assert_allclose(product.second, 2 * 2 * 0.5 * b + 0.25, rtol=1e-12)


@pytest.mark.parametrize("weight", [None, np.arange(1.0, 7.0)])
@pytest.mark.parametrize("ignored", [None, 2, -100])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_rows(reduction: str, ignored: int | None, weight: Any) -> None:
    label = np.where(LABEL == 2, ignored, LABEL) if ignored == -100 else LABEL
    counted = np.ones(6, bool) if ignored is None else label != ignored
    safe = np.where(counted, label, 0)
    class_weight = np.array([1.0, 2.0, 0.5, 3.0])
    seed = counted * class_weight[safe] * (1 if weight is None else weight)
    p = softmax(Z)
    each = -seed * np.log(p[np.arange(6), safe])
    count = (counted * (1 if weight is None else weight)).sum() if reduction == "mean" else 1
    options: dict[str, Any] = {
        "reduction": reduction, "sample_weight": weight, "ignore_index": ignored, "class_weight": class_weight,
    }  # fmt: skip
    value, gradient = ROWS.value_and_gradient(Z, label, **options)
    np.testing.assert_allclose(value, each if reduction == "none" else each.sum() / count, rtol=1e-13)
    np.testing.assert_allclose(gradient, seed[:, None] * (p - np.eye(4)[safe]) / count, rtol=1e-12, atol=1e-16)
    hessian = ROWS.hessian_diagonal(Z, label, **options)
    np.testing.assert_allclose(hessian, seed[:, None] * p * (1 - p) / count, rtol=1e-12)
    v = RNG.normal(size=(6, 4))
    expected = seed[:, None] * (p * v - p * (p * v).sum(axis=1, keepdims=True)) / count
    np.testing.assert_allclose(ROWS.hessian_product(Z, label, direction=v, **options), expected, rtol=1e-11, atol=1e-16)


def test_all_ignored() -> None:
    assert np.isnan(ROWS.value(Z, np.full(6, 9), ignore_index=9))
    assert ROWS.value(Z, np.full(6, 9), ignore_index=9, reduction="sum") == 0


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64])
def test_label_dtypes(kind: Any) -> None:
    assert ROWS.value(Z, LABEL.astype(kind), ignore_index=-100) == ROWS.value(Z, LABEL)


@pytest.mark.parametrize("rows", [3, 4000])
def test_samples_with_two_axes(rows: int) -> None:
    x, weight = RNG.random((rows, 5, 2)) + 0.1, RNG.random((rows, 5))
    each = weight * (x**2).sum(axis=2) / 2
    np.testing.assert_allclose(CELLS.value(x, sample_weight=weight, reduction="none"), each, rtol=1e-13)
    assert CELLS.value(x, sample_weight=weight) == pytest.approx(each.sum() / weight.sum(), rel=1e-12)
    assert CELLS.value(x) == pytest.approx((x**2).sum(axis=2).mean() / 2, rel=1e-12)
    np.testing.assert_allclose(
        CELLS.gradient(x, sample_weight=weight, reduction="sum"), x * weight[:, :, None], rtol=1e-13
    )
