"""Stability rules: both sides agree on their domain, the trace names them, and each does what it is for."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy

from symloss.language.atoms import Atom, complement, magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Access
from symloss.program.interpreter import evaluate
from symloss.rendering.primitives import _exp_difference
from symloss.stability.expansion import expand_atoms, log1p_unit, raised_decay, shrunk
from symloss.stability.rules import RULES, Context, Step, rewrite

X, Y, S = (Access(name, sympy.Symbol("i", integer=True)) for name in ("x", "y", "s"))
P = Access("p", sympy.Symbol("i", integer=True))
CONTEXT = Context(
    binary=frozenset({"y"}), signs=frozenset({"s"}), predictions=frozenset({"x"}), probabilities=frozenset({"p"}),
    positive=frozenset({"b"}),
)  # fmt: skip
A, B = sympy.symbols("a b", real=True)

CASES = {
    "kink_atoms": sympy.Max(0, X) + sympy.Abs(X),
    "logistic": 1 / (1 + sympy.exp(-X)),
    "softplus": sympy.log(1 + sympy.exp(X)),
    "log_of_exponentials": sympy.log(3 + B * sympy.exp(X - 1)) * sympy.log(sympy.exp(-X) / B + 2 * sympy.exp(X)),
    "log_sigmoid": sympy.log(sigmoid(X)),
    "complement": 3 - 3 * P,
    "other_side": X - X * complement(P) + A,
    "mean_of_complements": P / 4 + 3 * sigmoid(X) / 4 - 1,
    "root_at_one": P - 3 * P**2 + 2 * P**3,
    "mirror": Y * sigmoid(X) + (1 - Y) * sigmoid(-X),
    "square_of_sign": S**2 * X,
    "gather_signs": (1 - 2 * Y) * (2 * Y - 1) * X,
    "common_factor": X * P + X * sigmoid(X),
    "whole_power": sigmoid(X) ** (A + 1),
    "divided_power": sigmoid(X) ** A / sigmoid(X),
}


def _value(expression: sympy.Expr, point: dict[str, float]) -> mpmath.mpf:
    index = sympy.Symbol("i", integer=True)
    arrays = {name: np.array([number]) for name, number in point.items()}

    def plain(node: sympy.Basic) -> sympy.Basic:
        return node.replace(lambda n: isinstance(n, Access), lambda n: sympy.Rational(float(arrays[n.name][0])))

    with mpmath.workdps(60):
        return mpmath.mpf(evaluate(plain(expression), {index: 0}, {}, {"a": 1.5, "b": 0.75}, {}))


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_both_sides_agree_and_the_trace_names_the_rule(name: str) -> None:
    trace: list[Step] = []
    before = CASES[name]
    after = rewrite(before, CONTEXT, trace)
    assert name in {step.rule for step in trace}
    rng = np.random.default_rng(1)
    for _ in range(50):
        point = {"x": rng.normal(0, 20), "y": float(rng.integers(2)), "s": rng.choice([-1.0, 1.0]), "p": rng.uniform()}
        left, right = _value(before, point), _value(after, point)
        assert abs(left - right) <= mpmath.mpf(10) ** -30 * max(1, abs(left)), (name, point)


def test_a_rule_that_changes_the_value_would_be_seen() -> None:
    point = {"x": 0.3, "y": 1.0, "s": 1.0, "p": 0.4}
    assert abs(_value(softplus(X), point) - _value(softplus(-X), point)) > 0.1


@pytest.mark.parametrize(
    "inside",
    [
        1 + A * sympy.exp(X),
        2 - sympy.exp(X),
        X + sympy.exp(X),
        1 + sympy.exp(X) * Y,
        2 + B,
        B**X + sympy.exp(X),
        sympy.exp(X) + sympy.exp(Y),
        2 + sympy.exp(X) + sympy.exp(-X),
    ],
)
def test_sums_that_may_not_be_positive_stay(inside: sympy.Expr) -> None:
    assert rewrite(sympy.log(inside), CONTEXT) == sympy.log(inside)


def test_sigmoid_and_softplus_of_both_signs_share_one_exponential() -> None:
    total = sum(map(expand_atoms, (sigmoid(X), sigmoid(-X), softplus(X), softplus(-X))), sympy.S.Zero)
    assert total.atoms(raised_decay) == {raised_decay(X)}
    assert total.atoms(log1p_unit) == {log1p_unit(shrunk(raised_decay(X)))}


@pytest.mark.parametrize("atom", [sigmoid, softplus, positive_part, magnitude])
def test_atoms_know_their_derivative(atom: type[Atom]) -> None:
    """Against a difference quotient of the textbook form in 60 digits."""
    for at in (-3.5, -0.2, 0.7, 12.0):
        x = sympy.Rational(at)
        step = mpmath.mpf(10) ** -20
        with mpmath.workdps(60):
            ahead, behind = (evaluate(atom(x + sign * sympy.Rational(1, 10**20)), {}, {}, {}, {}) for sign in (1, -1))
            slope = evaluate(atom(x).fdiff(), {}, {}, {}, {})
            assert abs((ahead - behind) / (2 * step) - slope) < mpmath.mpf(10) ** -15


def test_exponential_of_a_difference_keeps_what_rounding_took() -> None:
    rng = np.random.default_rng(2)
    for a, b in rng.uniform(0, 700, (200, 2)):
        with mpmath.workdps(60):
            truth = mpmath.exp(mpmath.mpf(a) - mpmath.mpf(b))
            assert abs(_exp_difference(a, b, 0) / truth - 1) < 4e-16
    assert _exp_difference(-np.inf, 3.0, 0) == 0.0
    assert np.isnan(_exp_difference(np.nan, 3.0, 0))
