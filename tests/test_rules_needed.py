"""Stability rules earn their place: without the rule a loss has a worse kernel, or none."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

import pytest

from symloss import catalogue
from symloss.ablation import effect
from symloss.language import Expr, Reference, data, exp, log, loss, one_of, prediction, sigmoid
from symloss.language.definition import Definition
from symloss.stability.rules import RULES

FOUND = catalogue.find()
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")


@loss(title="Plain logistic", family="test", references=(SOURCE,))
def plain_logistic(z: Expr = prediction(symbol="z"), y: Expr = data(symbol="y", domain=one_of(0, 1))) -> Expr:
    """Cross entropy of a probability that is written out."""
    p = 1 / (1 + exp(-z))
    return -y * log(p) - (1 - y) * log(1 - p)


@loss(title="Plain softplus", family="test", references=(SOURCE,))
def plain_softplus(z: Expr = prediction(symbol="z"), y: Expr = data(symbol="y", domain=one_of(-1, 1))) -> Expr:
    """The logistic loss of a margin, as in textbooks."""
    return log(1 + exp(-y * z))


@loss(title="Mean of two", family="test", references=(SOURCE,))
def mean_of_two(z: Expr = prediction(symbol="z"), x: Expr = prediction(symbol="x")) -> Expr:
    """What a weighted mean of two probabilities lacks to 1."""
    return 1 - sigmoid(z) / 4 - 3 * sigmoid(x) / 4


CASES: dict[str, Definition] = {
    "logistic": plain_logistic, "softplus": plain_softplus, "mean_of_complements": mean_of_two,
    "log_sigmoid": FOUND["nce"], "kink_atoms": FOUND["hinge"], "square_of_sign": FOUND["squared_hinge"],
    "complement": FOUND["poly_cross_entropy"], "mirror": FOUND["focal"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", CASES)
def test_something_is_worse_without_the_rule(rule: str) -> None:
    assert effect(CASES[rule], rule, 24).what


def test_every_case_is_a_rule_of_the_table() -> None:
    assert set(CASES) <= {r.name for r in RULES}
