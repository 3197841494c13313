"""A sigmoid and its mirror image, put together: one choice and one division for both, and the same numbers."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss.language.atoms import magnitude, sigmoid, softplus
from symloss.language.nodes import Access
from symloss.lowering.mirrors import are_mirrors, with_mirrors
from symloss.lowering.unordered import either
from symloss.stability.expansion import log1p_unit, raised_decay, shrunk

I = sympy.Symbol("i", integer=True)  # noqa: E741 - an index
X, Y, W = Access("x", I), Access("y", I), sympy.Symbol("w", real=True)
P, Q, S, T = sigmoid(X), sigmoid(-X), softplus(X), softplus(-X)
AT = (-700.0, -30.0, -1.5, -1e-9, 0.0, 0.25, 3.0, 40.0, 710.0)


def _value(expression: sympy.Basic, x: float) -> float:
    """Return an expression's number at x, where y is 0.3 and w is 2."""
    plain: dict[Any, Any] = {
        sigmoid: lambda v: 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v)),
        softplus: lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v))), magnitude: abs, log1p_unit: math.log1p,
        raised_decay: lambda v: 2.0**64 * math.exp(-abs(v)), shrunk: lambda v: v / 2.0**64,
        either: lambda where, a, b: a if where else b,
    }  # fmt: skip
    names = {k.__name__: f for k, f in plain.items()}
    symbols = sympy.symbols("x_ y_ w_")
    function = sympy.lambdify(symbols, expression.xreplace({X: symbols[0], Y: symbols[1], W: symbols[2]}), [names])
    return float(function(x, 0.3, 2.0))


@pytest.mark.parametrize("node", [
    (1 - Y) * P - W * Y * Q,
    W * ((1 - Y) * S + W * Y * T),
    3 + P * Y + Q * W + 2 * Q,
    S - T,
    5 * P * Q * (1 + W),
    P * Q + Y * P + W * Q,
    W * P * T + Q,
    sympy.exp(P - Q) * Y,
])  # fmt: skip
def test_both_are_put_together(node: sympy.Expr) -> None:
    found = with_mirrors(node)
    assert found != node
    assert not any(found.has(a) for a in (P, Q, S))
    for x in AT:
        assert _value(found, x) == pytest.approx(_value(node, x), rel=4e-16), x


@pytest.mark.parametrize("node", [P, W * P + Y, P + sigmoid(-Y), S * Q, P**2 + Y, sympy.Max(P, Q), S + P])
def test_one_by_itself_stays(node: sympy.Expr) -> None:
    assert with_mirrors(node) == node
    assert not are_mirrors([node])


def test_they_are_put_together_where_none_is_left() -> None:
    assert are_mirrors([S, Y * P - W * Q, P * Q])
    assert not are_mirrors([S, Y * P - W * Q, P**2])  # computed anyway
    assert not are_mirrors([S, X])


def test_binary_cross_entropy_has_no_sigmoid_of_its_own() -> None:
    """In float32 arithmetic; with more digits carried, the second look is at the terms of a sum."""
    for accuracy, own in (("fast", False), ("exact", True)):
        kernel: Any = symloss.load("binary_cross_entropy", accuracy=accuracy).plan.narrow["value_and_gradient"]
        assert ("sigmoid_minus" in inspect.getsource(kernel.py_func)) == own


def test_far_out_and_beside_numbers_that_are_none() -> None:
    loss = symloss.load("binary_cross_entropy", accuracy="fast")
    z = np.array([-3e38, -110, -95, -0.0, 95, 110, 3e38, math.nan], np.float32)
    for y in (0.0, 1.0):
        away = np.where((z > 0) != bool(y), np.abs(z), 0)
        value = loss.value(z, np.full_like(z, y), reduction="none")
        gradient, hessian = loss.gradient_and_hessian(z, np.full_like(z, y), reduction="sum")
        tail = np.exp(-np.abs(z.astype(np.float64)))
        wrong = np.where((z > 0) != bool(y), 1, tail) / (1 + tail)
        np.testing.assert_allclose(value[:-1], (away + np.log1p(tail))[:-1], rtol=3e-7, atol=2e-45)
        np.testing.assert_allclose(gradient[:-1], ((1 - 2 * y) * wrong)[:-1], rtol=3e-7, atol=2e-45)
        np.testing.assert_allclose(hessian[:-1], (tail / (1 + tail) ** 2)[:-1], rtol=3e-7, atol=2e-45)
        assert all(math.isnan(a[-1]) for a in (value, gradient, hessian))
