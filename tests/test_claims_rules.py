"""Proofs by rules: true claims of an author's own definition are proved, false ones never are."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

import pytest
from symloss.definitions.focal import focal

from symloss.language import (
    Claim,
    Expr,
    Reference,
    convex,
    data,
    exp,
    lipschitz,
    log,
    loss,
    nonnegative,
    one_of,
    prediction,
    symmetric,
)
from symloss.language.definition import Definition
from symloss.verification.claims_rules import prove

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


@pytest.mark.parametrize(
    ("definition", "claim"),
    [
        (gap, nonnegative()), (gap, convex("x")), (gap, lipschitz("x", 3)), (gap, symmetric("x", "y")),
        (square, nonnegative()), (square, convex("x")), (square, symmetric("x", "y")), (bump, convex("x")),
    ],
)  # fmt: skip
def test_true_claims_are_proved(definition: Definition, claim: Claim) -> None:
    assert prove(definition, claim)


@pytest.mark.parametrize(
    ("definition", "claim"),
    [
        (gap, lipschitz("x", 3 - 1e-9)), (square, lipschitz("x", 1e300)), (bump, nonnegative()),
        (lean, symmetric("x", "y")), (lean, nonnegative()), (saddle, convex("x")), (saddle, nonnegative()),
    ],
)  # fmt: skip
def test_false_claims_are_not_proved(definition: Definition, claim: Claim) -> None:
    assert not prove(definition, claim)


def test_a_shipped_loss_is_not_proved_convex_where_it_is_not() -> None:
    assert not prove(focal, convex("logit", gamma=2))
