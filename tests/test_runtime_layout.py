"""Shapes, strides and flags: the same numbers for any layout, and inputs stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import symloss

FIXTURES = Path(__file__).parent / "fixtures"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
ROWS = symloss.load("toy_rowwise", package=FIXTURES)


def strided(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def unaligned(array: Any) -> Any:
    buffer = bytearray(1) + array.tobytes()
    return np.frombuffer(buffer, array.dtype, offset=1).reshape(array.shape)


def locked(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = [
    strided, unaligned, locked, np.asfortranarray, lambda a: a[::-1][::-1], lambda a: a.astype(a.dtype.newbyteorder()),
    lambda a: a.tolist(), lambda a: memoryview(a),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: Any) -> None:
    rng = np.random.default_rng(3)
    a, b, w = rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), rng.random((4, 6))
    expected = PAIR.value_and_gradient(a, b, sample_weight=w)
    came = PAIR.value_and_gradient(layout(a), layout(b), sample_weight=layout(w))
    assert came[0] == expected[0]
    np.testing.assert_array_equal(came[1], expected[1])
    y = np.array([0, 5, 2, 3])
    np.testing.assert_array_equal(ROWS.gradient(layout(a), layout(y)), ROWS.gradient(a, y))


def test_read_only_inputs_compile_nothing_new() -> None:
    x = np.linspace(-1, 1, 5)
    TOY.gradient(x, (x > 0) * 1.0, sample_weight=np.ones(5))
    kernel = TOY.module.gradient
    before = len(kernel.signatures)
    TOY.gradient(locked(x), locked((x > 0) * 1.0), sample_weight=locked(np.ones(5)))
    assert len(kernel.signatures) == before


def test_read_only_broadcast_view() -> None:
    x = np.broadcast_to(np.array([0.5]), (3, 4))
    assert TOY.gradient(x, np.ones((3, 4))).shape == (3, 4)


def test_zero_dimensional() -> None:
    value, gradient = TOY.value_and_gradient(np.array(0.5), np.array(1.0))
    assert isinstance(value, np.float64)
    assert isinstance(gradient, np.ndarray)
    assert gradient.shape == ()
    assert TOY.value(0.5, 1, reduction="none").shape == ()
    assert value == pytest.approx(np.log1p(np.exp(-0.5)))


SHAPES = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=4)


@settings(max_examples=150, deadline=None)
@given(shapes=SHAPES, seed=st.integers(0, 2**32 - 1), reduction=st.sampled_from(["none", "sum", "mean"]))
def test_broadcasting(shapes: Any, seed: int, reduction: str) -> None:
    rng = np.random.default_rng(seed)
    a, b, w = (rng.normal(size=shape) for shape in shapes.input_shapes)
    w = np.abs(w) + 0.1
    full = shapes.result_shape
    each = w * (a * b - 0.5) ** 2 / 2
    total = np.broadcast_to(w, full).sum() if reduction == "mean" else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = each if reduction == "none" else each.sum() / total
        dense = [np.broadcast_to(w * (a * b - 0.5) * other / total, full) for other in (b, a)]
    value, gradient = PAIR.value_and_gradient(a, b, sample_weight=w, reduction=reduction, shift=0.5)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-300)
    assert np.shape(value) == (full if reduction == "none" else ())
    for found, source, terms in zip(gradient, (a, b), dense, strict=True):
        assert found.shape == source.shape
        np.testing.assert_allclose(found, summed_to(terms, source.shape), rtol=1e-10, atol=1e-12)
    direction = (rng.normal(size=a.shape), rng.normal(size=b.shape))
    product = PAIR.hessian_product(a, b, direction=direction, sample_weight=w, reduction=reduction, shift=0.5)
    assert [p.shape for p in product] == [a.shape, b.shape]
    hessian = PAIR.hessian_diagonal(a, b, sample_weight=w, reduction=reduction, shift=0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(
            hessian.first, summed_to(np.broadcast_to(w * b**2 / total, full), a.shape), rtol=1e-10, atol=1e-300
        )


def summed_to(terms: Any, shape: tuple[int, ...]) -> Any:
    """Sum by index, one term after the other: slow, and nothing like the code under test."""
    found = np.zeros(shape)
    lead = terms.ndim - len(shape)
    for index in np.ndindex(terms.shape):
        found[tuple(0 if size == 1 else k for k, size in zip(index[lead:], shape, strict=True))] += terms[index]
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), axes=st.permutations([0, 1, 2]), steps=st.tuples(*[st.sampled_from([1, -1, 2])] * 3)
)
def test_any_strides(seed: int, axes: Any, steps: Any) -> None:
    rng = np.random.default_rng(seed)
    view = rng.normal(size=(4, 3, 5)).astype(np.float32).transpose(axes)[tuple(slice(None, None, s) for s in steps)]
    target = (rng.random(view.shape) > 0.5).astype(np.float32)
    before = view.copy()
    value, gradient = TOY.value_and_gradient(view, target)
    expected = TOY.value_and_gradient(np.ascontiguousarray(view), target)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])
    np.testing.assert_array_equal(view, before)
