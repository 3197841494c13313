"""Kinks without choices: numbers between two bounds, and steps that a positive part says already."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss.language.atoms import magnitude, positive_part, signum, step
from symloss.language.nodes import Access
from symloss.lowering.kinks import clipped, with_clipping, without_steps
from symloss.rendering.primitives import _clipped

I = sympy.Symbol("i", integer=True)  # noqa: E741 - an index
X, Y, D = Access("x", I), Access("y", I), sympy.Symbol("delta", real=True)
R = X - Y
WITHIN = sympy.Ge(D, magnitude(R))


def _cases(inside: sympy.Expr, beyond: sympy.Expr, where: Any = WITHIN) -> sympy.Expr:
    return sympy.Piecewise((inside, where), (beyond, True))


def _value(expression: sympy.Basic, r: float) -> float:
    """Return an expression's number where x - y is r and delta is 2."""
    plain = {
        magnitude: abs, signum: lambda v: math.copysign(1, v) if v else 0.0, clipped: _clipped,
        positive_part: lambda v: max(v, 0.0), step: lambda v: float(v > 0),
    }  # fmt: skip
    names = {"difference": lambda a, b: a - b} | {k.__name__: f for k, f in plain.items()}
    x, y, d = sympy.symbols("x_ y_ d_")
    function = sympy.lambdify((x, y, d), expression.xreplace({X: x, Y: y, D: d}), [names, "math"])
    return float(function(r + 0.5, 0.5, 2.0))


@pytest.mark.parametrize(
    "node",
    [
        _cases(R, D * signum(R)),
        _cases(3 * R, 3 * D * signum(R), sympy.Le(magnitude(R), D)),
        _cases(R**2 / 2, D * (magnitude(R) - D / 2)),
        _cases(5 * R**2, 10 * D * magnitude(R) - 5 * D**2),
        _cases((2 * X - 2 * Y) / 2, D * signum(R)),
    ],
)
def test_a_choice_that_holds_or_goes_on_straight_is_a_number_between_bounds(node: sympy.Expr) -> None:
    found = with_clipping(7 * node + 1, frozenset({"delta"}))
    assert found.has(clipped)
    assert not found.has(sympy.Piecewise)
    for r in (-1e300, -5.0, -2.0, -1.25, -0.0, 0.75, 2.0, 2.0000001, 100.0):
        assert _value(found, r) == pytest.approx(_value(7 * node + 1, r), rel=1e-15), r


@pytest.mark.parametrize(
    "node",
    [
        _cases(R, D * signum(R), sympy.Gt(D, magnitude(R))),
        _cases(R, 2 * D * signum(R)),
        _cases(R**2 / 2, D * magnitude(R)),
        _cases(R**3, D**3 * signum(R)),
        _cases(R / D, signum(R)),
        _cases(R, D),
        _cases(sympy.S.One, sympy.S.Zero),
    ],
)
def test_other_choices_stay(node: sympy.Expr) -> None:
    """A strict bound, another slope, a jump, another power, a quotient that would be rounded twice, one side only."""
    assert with_clipping(node, frozenset({"delta"})) == node


def test_a_bound_that_may_be_negative_is_none() -> None:
    node = _cases(R, D * signum(R))
    assert with_clipping(node, frozenset()) == node


def test_numbers_between_bounds() -> None:
    for x, expected in ((-3.0, -2.0), (-2.0, -2.0), (-1.5, -1.5), (2.5, 2.0), (math.inf, 2.0), (-math.inf, -2.0)):
        assert _clipped(x, 2.0) == expected
    assert math.copysign(1, _clipped(-0.0, 2.0)) == -1
    assert math.isnan(_clipped(math.nan, 2.0))


def test_a_step_beside_its_positive_part_goes() -> None:
    assert without_steps(3 * positive_part(R) * step(R)) == 3 * positive_part(R)
    assert without_steps(1 + positive_part(R) ** 2 * step(R) * X) == 1 + positive_part(R) ** 2 * X
    for kept in (step(R) * X, positive_part(R) * step(-R), step(R) / positive_part(R), positive_part(R) + step(R)):
        assert without_steps(kept) == kept


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_kernels_of_losses_with_kinks_choose_less(accuracy: str) -> None:
    """And give the numbers of the textbook, beyond all squares too."""
    huber, hinge = (symloss.load(name, accuracy=accuracy) for name in ("huber", "squared_hinge"))
    kernels: Any = huber.plan.narrow["value_and_gradient"], hinge.plan.narrow["value_and_gradient"]
    texts = [inspect.getsource(kernel.py_func) for kernel in kernels]
    assert not any(word in text for text in texts for word in ("_choose(delta", "_signum(", "_step("))
    r = np.array([0.0, -0.0, 1e-30, 0.5, 1.0, -1.0, 1.5, -1e30, 1e38, math.inf, -math.inf, math.nan], np.float32)
    for delta in (1.0, 1e-3, 1e20):
        value, gradient = huber.value_and_gradient(r, np.zeros_like(r), reduction="none", delta=delta)
        wide = r.astype(np.longdouble)
        near, far = wide * wide / 2, delta * (abs(wide) - delta / 2)
        with np.errstate(over="ignore", invalid="ignore"):
            truth = np.where(abs(wide) <= delta, near, far).astype(np.float32)
            slope = np.clip(wide, -delta, delta).astype(np.float32)
        np.testing.assert_allclose(value, truth, rtol=3e-7)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7)
