"""Products in the place of quotients and the place of the largest, as plain Python; cases that NaN needs or not."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from symloss.language.atoms import magnitude, signum
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.lowering.invariants import quotient, with_inverses
from symloss.lowering.nodes import Assign, Inverse, Loop, Store
from symloss.lowering.unordered import either, without_nan_cases
from symloss.rendering.primitives import (
    _divisor,
    _exp_difference,
    _inverse,
    _place_of,
    _plain_exp_difference,
    _quotient,
)

SIZES = st.floats(1e-300, 1e300)


@given(x=SIZES, b=SIZES, signs=st.tuples(st.sampled_from([-1, 1]), st.sampled_from([-1, 1])))
def test_a_product_is_a_quotient_but_for_its_last_place(x: float, b: float, signs: tuple[int, int]) -> None:
    x, b = signs[0] * x, signs[1] * b
    truth = Fraction(x) / Fraction(b)
    assume(Fraction(1, 10**290) < abs(truth) < Fraction(10**290))
    unit = Fraction(math.ulp(float(truth)))
    for prepared in (_inverse, _divisor):
        assert abs(Fraction(_quotient(x, *prepared(b))) - truth) <= Fraction(3, 2) * unit


@pytest.mark.parametrize("b", [5e-324, 1e-310, 1.0, 1e308, -1e-310, -1e308])
def test_equal_numbers_have_a_quotient_near_1_at_the_ends_of_the_format(b: float) -> None:
    assert abs(_quotient(b, *_divisor(b)) - 1.0) <= 2.0**-52


@np.errstate(divide="ignore", invalid="ignore")
def test_quotients_at_infinity_zero_and_nan() -> None:
    inf, nan = math.inf, math.nan
    numbers = [0.0, 1.0, -2.0, inf, -inf, nan]
    for x in map(np.float64, numbers):
        for b in map(np.float64, [1.0, -3.0, inf, -inf, nan]):
            assert np.array_equal(_quotient(x, *_divisor(b)), x / b, equal_nan=True), (x, b)
        if x == x and abs(x) < inf:
            assert _quotient(x, *_divisor(np.float64(0.0))) == 0.0
            assert np.array_equal(_quotient(x, *_inverse(np.float64(0.0))), x / np.float64(0.0), equal_nan=True)


@pytest.mark.parametrize("count", [1, 7, 255, 256, 257, 512, 700])
def test_the_place_of_the_largest_is_its_first(count: int) -> None:
    rng = np.random.default_rng(count)
    row = rng.integers(0, max(2, count // 3), count).astype(np.float32)
    for wanted in {0, count // 2, count - 1}:
        again = row.copy()
        again[wanted] = count
        assert _place_of(float(count), again, count) == wanted
        again[wanted:] = count  # the first of several
        assert _place_of(float(count), again, count) == wanted
    assert _place_of(math.nan, row, count) == 0


def test_a_difference_without_what_rounding_takes_is_off_by_no_more_than_that() -> None:
    rng = np.random.default_rng(5)
    for a, b in rng.normal(0, 30, (200, 2)):
        low, high = min(a, b), max(a, b)
        truth = sympy.exp(sympy.Rational(low) - sympy.Rational(high))
        unit = math.ulp(float(truth))
        assert abs(sympy.Rational(_exp_difference(low, high, 0)) - truth) <= 2 * unit
        size = abs(low) + abs(high)
        assert abs(sympy.Rational(_plain_exp_difference(low, high, 0)) - truth) <= (1 + size) * unit


N, K = Axis("n", "sample"), Axis("k", "class")
I, J = Index("i", N), Index("j", K)  # noqa: E741 - as in the kernels
X = Access("x", I, J)


def _symbols(names: str) -> Any:
    return sympy.symbols(names, real=True)


def test_only_divisors_that_stay_the_same_are_prepared() -> None:
    size, now = _symbols("size now")
    body = (
        Assign("now", X / size),
        Store("out", (I, J), sympy.Mul(X, 1 / now, evaluate=False)),
        Store("same", (I, J), sympy.Mul(2, 1 / size, evaluate=False)),
    )
    outer = with_inverses((Loop(I, (Assign("size", Access("s", I)), Loop(J, body))),))
    assert isinstance(outer[0], Loop)
    assign, inverse, loop = outer[0].body
    assert isinstance(assign, Assign)
    assert inverse == Inverse(("per_size_unit", "per_size"), size, zero=False)
    assert isinstance(loop, Loop)
    first, by_another, constant = (n.expression for n in loop.body)  # type: ignore[union-attr]
    assert first == quotient(X, *_symbols("per_size_unit per_size"))
    assert not by_another.has(quotient)
    assert not constant.has(quotient)  # what does not change is computed once anyway


def test_nan_needs_no_case_only_where_the_last_is_nan_with_it() -> None:
    x, size, decay, other, delta = _symbols("x size decay other delta")
    known = (
        Assign("x", Access("logit", I)), Assign("size", magnitude(x)), Assign("decay", sympy.exp(x)),
        Assign("other", sympy.Piecewise((x, x > 1), (0, True))),
    )  # fmt: skip

    def simplified(last: Any, condition: Any = x >= 0) -> Any:
        pieces = sympy.Piecewise((1, condition), (last, True), evaluate=False)
        return without_nan_cases((*known, Store("out", (I,), pieces)))[-1].expression  # type: ignore[union-attr]

    assert isinstance(simplified(decay / (1 + decay)), either)
    assert isinstance(simplified(x**2), either)
    assert isinstance(simplified(other + 1), sympy.Piecewise)  # 0 where x is NaN
    assert isinstance(simplified(sympy.Symbol("gamma")), sympy.Piecewise)
    assert isinstance(simplified(decay ** sympy.Symbol("gamma")), sympy.Piecewise)  # NaN to the power of 0 is 1
    assert isinstance(simplified(decay, sympy.Eq(x, 0)), sympy.Piecewise)
    assert isinstance(simplified(signum(x), size <= delta), either)  # a parameter is no NaN
    assert isinstance(simplified(decay, size <= x), either)
    assert isinstance(simplified(signum(x), size <= other), sympy.Piecewise)
