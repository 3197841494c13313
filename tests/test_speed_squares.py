"""Squares of sigmoids, common factors, comparisons: each form is taken where it may be, and gives the number meant."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import symloss
from symloss.language.axes import Axis, Index
from symloss.language.domains import Domain, Interval, OneOf
from symloss.lowering.bounds import as_large_as, from_zero_to, inside, is_float32
from symloss.lowering.cost import cost
from symloss.lowering.nodes import Assign, Kernel, Loop, Store, When
from symloss.lowering.scalars import _common_factor
from symloss.lowering.squares import squares
from symloss.lowering.unordered import either
from symloss.stability.expansion import log1p_unit, sigmoid_power

X, Y, LOST, GAMMA, DECAY = sympy.symbols("x y lost gamma decay", real=True)
BODY = (Assign("lost", log1p_unit(DECAY)),)


def test_a_square_is_that_of_the_sigmoid() -> None:
    found = squares(sigmoid_power(X, LOST, GAMMA), BODY, frozenset({"gamma"}), {"x", "lost"})
    assert found is not None
    named, square = found
    assert named.expression == DECAY
    for x in (-30.0, -1.5, 0.0, 0.5, 20.0):
        decay = math.exp(-abs(x))
        cases = {case: case.args[1] if case.args[0].subs(X, x) else case.args[2] for case in square.atoms(either)}
        value = float(square.xreplace(cases).subs({sympy.Symbol(named.name, real=True): decay}))
        with mpmath.workdps(40):
            assert value == pytest.approx(float((1 + mpmath.exp(-mpmath.mpf(x))) ** -2), rel=1e-14)


@pytest.mark.parametrize(
    ("expression", "usual"),
    [
        (sigmoid_power(X, LOST, GAMMA), frozenset()),
        (sigmoid_power(X, LOST, GAMMA), frozenset({"delta"})),
        (sigmoid_power(X, LOST, GAMMA - 1), frozenset({"gamma"})),
        (sigmoid_power(X, Y, GAMMA), frozenset({"gamma"})),
        (log1p_unit(DECAY), frozenset({"gamma"})),
    ],
)
def test_other_powers_stay_exponentials(expression: Any, usual: frozenset[str]) -> None:
    assert squares(expression, BODY, usual, set()) is None


def _focal(z: Any, y: Any, gamma: float) -> Any:
    """Return focal loss and its gradient in long double, worked out by hand for alpha = 1/4."""
    s = (2 * y - 1) * z.astype(np.longdouble)
    plus, minus = np.log1p(np.exp(-s)), 1 / (1 + np.exp(s))
    alpha = np.where(y == 1, 0.25, 0.75).astype(np.longdouble)
    slope = -alpha * (2 * y - 1) * minus**gamma * (minus + gamma * plus * (1 - minus))
    return alpha * minus**gamma * plus, slope


def test_of_two_ways_the_first_is_counted() -> None:
    """A second look, which few elements have, is not."""
    i = Index("i", Axis("n", "samples"))
    first, second = (Loop(i, (Store("out", (i,), e),)) for e in (sympy.exp(X) + 1, X * Y * LOST * GAMMA))
    for nodes, count in (((When("a", (first,), (second,)),), 2), ((When("a", (first,)),), 0), ((first,), 2)):
        assert cost(Kernel("value", (), nodes, "", "")) == count * i.axis.size


@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float32, "exact"), (np.float32, "fast"), (np.float64, "exact")])
def test_the_exponent_decides_which_loop_runs(dtype: Any, accuracy: str) -> None:
    """Beside 2, and between calls with other exponents, each gets its own numbers."""
    rng = np.random.default_rng(4)
    z, y = rng.normal(0, 6, 3000).astype(dtype), rng.integers(0, 2, 3000).astype(dtype)
    loss = symloss.load("focal", accuracy=accuracy)
    limit = (16 if accuracy == "fast" else 2 if dtype is np.float32 else 8) * np.finfo(dtype).eps
    for gamma in (2.0, 3.0, 2.0 + 1e-6, 1.0, 2.0):
        value, gradient = _focal(z, y, gamma)
        np.testing.assert_allclose(loss.value(z, y, gamma=gamma, reduction="none"), value, rtol=limit)
        np.testing.assert_allclose(loss.gradient(z, y, gamma=gamma, reduction="sum"), gradient, rtol=limit)


def test_a_factor_of_all_terms_comes_out() -> None:
    assert _common_factor(2 * X - 2 * Y) == (2, X - Y)
    assert _common_factor(-3 * X * Y - 3) == (3, -X * Y - 1)
    assert _common_factor(X / 2 + Y / 2) == (sympy.Rational(1, 2), X + Y)
    for kept in (X - Y, 2 * X - 3 * Y, 2 * X + Y, 2 * X * Y, X, sympy.Float(0.5) * X - sympy.Float(0.5) * Y):
        assert _common_factor(kept) == (1, kept)


def test_a_difference_of_neighbours_is_doubled_exactly() -> None:
    """Twice each number would be infinite; twice the difference is not."""
    x = np.array([np.finfo(np.float64).max, 1.0])
    y = np.array([np.nextafter(x[0], 0), np.nextafter(1.0, 0)])
    np.testing.assert_array_equal(symloss.squared_error.gradient(x, y, reduction="sum"), 2 * (x - y))


def test_numbers_of_float32_are_told_from_others() -> None:
    for held in (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 2.0**-126, float(np.finfo(np.float32).max), math.inf):
        assert is_float32(held)
    for other in (0.1, 1 + 2.0**-30, 2.0**-127 * (1 + 2.0**-23), 1e300, 2.0**128, 5e-324):
        assert not is_float32(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_domains_are_sharp_in_either_format(dtype: Any) -> None:
    one, two = dtype(1), dtype(2)
    z = np.zeros(3, dtype)
    for name, good, wrong in (
        ("binary_cross_entropy", (0, 1, 0.5), (np.nextafter(one, two), np.nextafter(dtype(0), -one), -one)),
        ("hinge", (1, -1, 1), (np.nextafter(one, two), np.nextafter(one, dtype(0)), dtype(0), -two)),
    ):
        loss = symloss.load(name)
        for _ in range(2):
            assert np.isfinite(loss.value(z, np.array(good, dtype)))
        for bad in wrong:
            with pytest.raises(ValueError, match="target must be"):
                loss.value(z, np.array([good[0], good[1], bad], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_minus_zero_is_in_a_domain_from_zero(dtype: Any) -> None:
    """One comparison of bits does not let it pass; what looks again does, in every call."""
    z, target = np.array([0.5, -2.0, 3.0], dtype), np.array([-0.0, 1.0, 0.0], dtype)
    loss = symloss.load("binary_cross_entropy")
    plain = loss.value(z, np.abs(target))
    assert all(loss.value(z, target) == plain for _ in range(12))
    assert plain > 0


@pytest.mark.parametrize(
    "domain, count",
    [(OneOf((-1.0, 1.0)), 0), (OneOf((0.0, 1.0)), 2), (Interval(0, 1), 0), (Interval(-1, 1), 2)],
)
def test_domains_are_compared_with_few_numbers(domain: Domain, count: int) -> None:
    """A set that is symmetric is one of magnitudes, and what begins with 0 a range of bits."""
    found = inside(sympy.Symbol("x", real=True), domain)
    assert len(found.atoms(sympy.core.relational.Relational)) == count
    assert found.has(from_zero_to, as_large_as) == (count == 0)
