"""Proofs by rules: true claims of an author's own definition are proved, false ones never are."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

import pytest
from symloss.definitions.focal import focal

from symloss import catalogue
from symloss.language import (
    Axis,
    Claim,
    Expr,
    Interval,
    Reference,
    Tensor,
    above,
    angle_over,
    choose,
    convex,
    cos,
    data,
    equals,
    exp,
    falling_part,
    gradient_sums_to_zero,
    labels,
    let,
    lipschitz,
    log,
    logsumexp_over,
    loss,
    nonnegative,
    one_of,
    parameter,
    prediction,
    sum_over,
    symmetric,
)
from symloss.language.atoms import ratio
from symloss.language.definition import Definition
from symloss.verification.claims_rules import prove

FOUND = catalogue.find()
n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")


@loss(title="Gap", family="test", references=(SOURCE,))
def gap(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """Three times the distance."""
    return 3 * abs(x - y)


@loss(title="Square", family="test", references=(SOURCE,))
def square(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """The squared distance, whose slope has no bound."""
    return (x - y) ** 2


@loss(title="Bump", family="test", references=(SOURCE,))
def bump(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y", domain=one_of(-1, 1))) -> Expr:
    """A logarithm that falls below zero."""
    return log(1 + exp(y * x)) - 1


@loss(title="Lean", family="test", references=(SOURCE,))
def lean(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A signed difference."""
    return x - y


@loss(title="Saddle", family="test", references=(SOURCE,))
def saddle(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A square whose sign the data choose."""
    return y * x**2


@loss(title="Kink", family="test", references=(SOURCE,))
def kink(
    x: Expr = prediction(symbol="x"), *, delta: Expr = parameter(1, above(0), symbol="d", about="Where it turns.")
) -> Expr:
    """A square that goes on less steeply beyond delta than at it, and higher."""
    return choose(abs(x) <= delta, x**2, delta * abs(x) / 2 + delta**2 / 2)


@loss(title="Margins", family="test", per=i, references=(SOURCE,))
def margins(
    z: Tensor = prediction(n, c, symbol="z", about="Scores."),
    y: Tensor = labels(n, into=c, symbol="y", about="Class."),
) -> Expr:
    """Twice the score of the class taken from the logsumexp: below zero where that is large."""
    return logsumexp_over(k, z[i, k]) - 2 * z[i, y[i]]


@loss(title="Overlap", family="test", per=i, references=(SOURCE,))
def overlap(
    p: Tensor = prediction(n, c, symbol="p", domain=Interval(0, 1), about="Probabilities."),
    t: Tensor = data(n, c, symbol="t", domain=Interval(0, 1), about="Targets."),
) -> Expr:
    """One less three times the overlap over the sizes: below zero where masks agree."""
    return 1 - ratio(3 * sum_over(k, p[i, k] * t[i, k]), sum_over(k, p[i, k] + t[i, k]))


@loss(title="Turn", family="test", per=i, references=(SOURCE,))
def turn(
    x: Tensor = prediction(n, c, symbol="x", about="One vector."),
    w: Tensor = prediction(n, c, symbol="w", about="Other."),
    *,
    margin: Expr = parameter(0.5, Interval(0, 3), symbol="m", about="A turn that may go past half a circle."),
) -> Expr:
    """The cosine of an angle made larger, which rises again past half a circle, and twice that of the angle itself."""
    theta = let("theta", angle_over(k, x[i, k], w[i, k]))
    return let("turned", cos(theta + margin)) + let("double", cos(2 * theta)) + let("plain", cos(theta))


@pytest.mark.parametrize(
    ("definition", "claim"),
    [
        (gap, nonnegative()), (gap, convex("x")), (gap, lipschitz("x", 3)), (gap, symmetric("x", "y")),
        (square, nonnegative()), (square, convex("x")), (square, symmetric("x", "y")), (bump, convex("x")),
        (turn, falling_part("plain", "theta", "")), (margins, convex("z")),
    ],
)  # fmt: skip
def test_true_claims_are_proved(definition: Definition, claim: Claim) -> None:
    assert prove(definition, claim, FOUND.__getitem__)


@pytest.mark.parametrize(
    ("definition", "claim"),
    [
        (gap, lipschitz("x", 3 - 1e-9)), (square, lipschitz("x", 1e300)), (bump, nonnegative()),
        (lean, symmetric("x", "y")), (lean, nonnegative()), (saddle, convex("x")), (saddle, nonnegative()),
        (kink, convex("x")), (kink, lipschitz("x", 1, delta=1)), (margins, nonnegative()),
        (margins, gradient_sums_to_zero("z")), (overlap, nonnegative()), (overlap, symmetric("p", "z")),
        (turn, falling_part("turned", "theta", "")), (turn, falling_part("double", "theta", "")),
        (turn, falling_part("absent", "theta", "")),
        (FOUND["arcface"], falling_part("target", "theta", "", easy_margin=True)),
        (FOUND["poly_cross_entropy"], nonnegative(epsilon=-1.25)), (FOUND["focal"], nonnegative(alpha=1.5)),
        (FOUND["focal"], equals("binary_cross_entropy", {"gamma": 0, "alpha": 0.25})),
        (FOUND["focal"], equals("binary_cross_entropy", {"gamma": 1, "alpha": None})),
        (FOUND["smooth_l1"], equals("huber", {"beta": 2}, {"delta": 1})),
        (FOUND["binary_cross_entropy"], lipschitz("logit", 0.99, pos_weight=1)),
    ],
)  # fmt: skip
def test_false_claims_are_not_proved(definition: Definition, claim: Claim) -> None:
    assert not prove(definition, claim, FOUND.__getitem__)


def test_a_shipped_loss_is_not_proved_convex_where_it_is_not() -> None:
    assert not prove(focal, convex("logit", gamma=2), FOUND.__getitem__)
