"""Preallocated results: they are filled and handed back, whatever their layout, also where they overlap inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import symloss

FIXTURES = Path(__file__).parent / "fixtures"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
ROWS = symloss.load("toy_rowwise", package=FIXTURES)

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(3, 4)), (RNG.random((3, 4)) > 0.5).astype(np.float64)


@pytest.mark.parametrize("make", [np.empty_like, lambda a: np.empty((4, 3)).T, lambda a: np.empty((6, 4))[::2]])
def test_one_array(make: Any) -> None:
    out = make(X)
    assert TOY.gradient(X, Y, out=out) is out
    np.testing.assert_array_equal(out, TOY.gradient(X, Y))
    value, same = TOY.value_and_gradient(X, Y, out=out)
    assert same is out
    assert value == TOY.value(X, Y)
    assert TOY.value(X, Y, reduction="none", out=out) is out
    np.testing.assert_array_equal(out, TOY.value(X, Y, reduction="none"))
    assert TOY.hessian_product(X, Y, direction=X, out=out) is out
    np.testing.assert_array_equal(out, TOY.hessian_product(X, Y, direction=X))


def test_value_and_gradient_of_each() -> None:
    each, g = np.empty_like(X), np.empty_like(X)
    value, gradient = TOY.value_and_gradient(X, Y, reduction="none", out=(each, g))
    assert value is each
    assert gradient is g
    np.testing.assert_array_equal(each, TOY.value(X, Y, reduction="none"))


@pytest.mark.parametrize("nested", [False, True])
def test_several(nested: bool) -> None:
    arrays = [np.empty_like(X) for _ in range(4)]
    out = ((arrays[0], arrays[1]), (arrays[2], arrays[3])) if nested else tuple(arrays)
    gradient, hessian = PAIR.gradient_and_hessian(X, Y, out=out)
    assert [id(a) for a in (*gradient, *hessian)] == [id(a) for a in arrays]
    expected = PAIR.gradient_and_hessian(X, Y)
    np.testing.assert_array_equal((*gradient, *hessian), (*expected[0], *expected[1]))
    value, gradient = PAIR.value_and_gradient(X, Y, reduction="none", out=tuple(arrays[:3]))
    assert value is arrays[0]
    assert gradient.second is arrays[2]
    assert gradient._fields == ("first", "second")


def test_part_of_several_and_parameters() -> None:
    shift, second = np.empty(()), np.empty_like(Y)
    found = PAIR.gradient(X, Y, wrt=("shift", "second"), out=(shift, second))
    assert found.shift is shift
    assert found.second is second
    expected = PAIR.gradient(X, Y, wrt=("shift", "second"))
    np.testing.assert_array_equal(second, expected.second)
    assert shift == expected.shift


def test_broadcast_input() -> None:
    row = RNG.normal(size=(1, 4))
    out = np.empty((1, 4))
    assert TOY.gradient(row, Y, out=out) is out
    np.testing.assert_array_equal(out, TOY.gradient(row, Y))


@pytest.mark.parametrize("order", ["C", "F"])
def test_overlapping_an_input(order: Any) -> None:
    for which in range(2):
        pair = [np.array(X, order=order), np.array(Y, order=order)]
        expected = PAIR.gradient(X, Y)
        other = np.empty_like(X)
        PAIR.gradient(*pair, out=(other, pair[which]))
        np.testing.assert_array_equal(other, expected.first)
        np.testing.assert_array_equal(pair[which], expected.second)
    line = RNG.normal(size=13)
    expected = PAIR.gradient(line[:-1].copy(), line[:-1].copy(), wrt="first")
    PAIR.gradient(line[:-1], line[:-1], wrt="first", out=line[1:])
    np.testing.assert_array_equal(line[1:], expected)
    direction, weight = X.copy(), np.abs(X)
    expected = TOY.hessian_product(X, Y, direction=X)
    np.testing.assert_array_equal(TOY.hessian_product(X, Y, direction=direction, out=direction), expected)
    expected = TOY.value(X, Y, reduction="none", sample_weight=np.abs(X))
    np.testing.assert_array_equal(TOY.value(X, Y, reduction="none", sample_weight=weight, out=weight), expected)
    z = RNG.normal(size=(5, 3))
    expected = ROWS.gradient(z, [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(ROWS.gradient(z, [0, 1, 2, 0, 1], out=z), expected)


@pytest.mark.parametrize(
    "out, kind, message",
    [
        (np.empty((4, 3)), ValueError, r"out must have shape \(3, 4\) and dtype float64, got \(4, 3\) and float64"),
        (np.empty((3, 4), np.float32), ValueError, "got .* and float32"),
        (np.broadcast_to(0.0, (3, 4)), ValueError, "writeable, got a read-only array"),
        ([[0.0]], TypeError, "out must be a NumPy array, got float"),
        ((np.empty((3, 4)), np.empty((3, 4))), ValueError, "out must hold 1 arrays, got 2"),
    ],
)
def test_wrong_out(out: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="toy_elementwise: .*" + message):
        TOY.gradient(X, Y, out=out)


def test_no_array_to_take_and_shared_arrays() -> None:
    with pytest.raises(ValueError, match="out must hold 0 arrays, got 1"):
        TOY.value(X, Y, out=np.empty(()))
    both = np.empty_like(X)
    with pytest.raises(ValueError, match="share memory"):
        TOY.gradient_and_hessian(X, Y, out=(both, both))
    lanes = np.empty((3, 4, 2))
    gradient, _ = TOY.gradient_and_hessian(X, Y, out=(lanes[..., 0], lanes[..., 1]))
    np.testing.assert_array_equal(gradient, TOY.gradient(X, Y))


@pytest.mark.parametrize(
    "out",
    [
        as_strided(np.empty(1), (3, 4), (0, 0)),
        as_strided(np.empty(4), (3, 4), (0, 8)),
        as_strided(np.empty(3), (3, 4), (8, 0)),
        sliding_window_view(np.empty(6), 4, writeable=True),
        as_strided(np.empty(6)[2:], (3, 4), (-8, 8)),
        as_strided(np.empty(40), (3, 4), (24, 16)),  # 2 and 3: 6 is reached in two ways
        as_strided(np.empty(40), (3, 4), (4, 64)),  # halves of entries
    ],
    ids=["one", "rows", "columns", "windows", "backwards", "woven", "halves"],
)
def test_entries_that_share_memory_are_refused(out: Any) -> None:
    before = out.copy()
    message = r"toy_elementwise: out must have memory of its own for each entry, got .* \(3, 4\) and strides \("
    for call in (TOY.gradient, TOY.hessian_diagonal, TOY.value_and_gradient):
        with pytest.raises(ValueError, match=message):
            call(X, Y, out=out)
    with pytest.raises(ValueError, match=message):
        TOY.value(X, Y, reduction="none", out=out)
    with pytest.raises(ValueError, match=message):
        TOY.hessian_product(X, Y, direction=X, out=out)
    np.testing.assert_array_equal(out, before)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((6, 8))[::-2, ::2],
        as_strided(np.empty(40), (3, 4), (16, 40)),
        as_strided(np.empty(40), (3, 4), (32, 24)),  # 4 and 3: woven, each entry apart
        np.empty((4, 6)).T[::2],
    ],
)
def test_strides_that_keep_entries_apart_are_taken(out: Any) -> None:
    assert TOY.gradient(X, Y, out=out) is out
    np.testing.assert_array_equal(out, TOY.gradient(X, Y))


def test_entries_that_share_memory_are_refused_by_quick_calls() -> None:
    """Also once machine code takes the calls."""
    loss, line = symloss.load("squared_error"), RNG.normal(size=3)
    for _ in range(20):
        loss.gradient(line, -line, out=np.empty(3))
        with pytest.raises(ValueError, match=r"squared_error: .* shape \(3,\) and strides \(0,\), whose entries share"):
            loss.gradient(line, -line, out=as_strided(np.empty(1), (3,), (0,)))
    one = as_strided(np.empty(1), (1, 1), (0, 0))
    assert loss.gradient([[3.0]], [[1.0]], out=one) == 4.0


def test_large_out_is_written_in_chunks() -> None:
    x = RNG.normal(size=100_003)
    y = (x > 0) * 1.0
    out = np.full_like(x, np.nan)
    TOY.gradient(x, y, out=out)
    np.testing.assert_array_equal(out, TOY.gradient(x, y))
