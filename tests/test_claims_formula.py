"""Claims that compare formulas: what is true of an author's own loss is proved, what is false never is."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from symloss import catalogue, load
from symloss.language import (
    UNIT,
    Abs,
    Axis,
    Claim,
    Expr,
    Interval,
    Max,
    Reference,
    Tensor,
    above,
    approaches,
    at_least,
    can_be_negative,
    choose,
    cited,
    convex,
    data,
    define,
    equals_formula,
    exp,
    expansion,
    falls_in_odds,
    labels,
    least_at_frequencies,
    least_at_mean,
    least_at_quantile,
    let,
    log,
    logsumexp_over,
    loss,
    nonnegative,
    not_convex,
    of_counts,
    parameter,
    piecewise,
    positive_side,
    prediction,
    ratio,
    saturates,
    sigmoid,
    smooth,
    softmax,
    softmax_gradient,
    steepest,
    sum_over,
    throughout,
    value_where,
)
from symloss.language.definition import Definition
from symloss.verification.claims import check_claims
from symloss.verification.claims_rules import prove
from symloss.verification.evidence import verify_loss

FOUND = catalogue.find()
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")
n, c, m = Axis("n", "samples"), Axis("c", "classes"), Axis("m", "pixels")
i, k, q = n.index("i"), c.index("k"), m.index("q")
BELOW_MINUS_1 = Interval(float("-inf"), -1, high_open=True)


@loss(title="Growth", family="test", references=(SOURCE,))
def growth(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A Bregman divergence: its slope is exp(x) (x - y)."""
    return exp(x) * (x - 1 - y)


@loss(title="Fourth", family="test", references=(SOURCE,))
def fourth(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """Symmetric and convex, and least at the mean of few data only."""
    return (x - y) ** 4


@loss(title="Weighted", family="test", references=(SOURCE,))
def weighted(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A squared error that counts more where the target is large."""
    return exp(y) * (x - y) ** 2


@loss(title="Pinball", family="test", references=(SOURCE,))
def pinball(
    x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y"), *,
    level: Expr = parameter(0.75, Interval(0, 1, low_open=True, high_open=True), symbol="t"),
) -> Expr:  # fmt: skip
    """What is too low costs in proportion to the level, what is too high to the rest."""
    return choose(x < y, level * (y - x), (1 - level) * (x - y))


@loss(title="Leap", family="test", references=(SOURCE,))
def leap(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A distance that leaps by 1 at the target: continuous on neither side of it."""
    return choose(x < y, y - x, x - y + 1)


@loss(title="Point", family="test", references=(SOURCE,))
def point(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A distance, but 1 at the target alone: both conditions hold there."""
    return choose(x <= y, choose(x >= y, 1, y - x), x - y)


@loss(title="Bent", family="test", references=(SOURCE,))
def bent(
    x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y"), *,
    d: Expr = parameter(1, above(0), symbol="d"), e: Expr = parameter(1, above(0), symbol="e"),
) -> Expr:  # fmt: skip
    """Half a square up to d, a line of slope e beyond: with a corner where e is not d."""
    r = let("r", x - y)
    return choose(Abs(r) <= d, r**2 / 2, d**2 / 2 + e * (Abs(r) - d))


@loss(title="Cubic hinge", family="test", references=(SOURCE,))
def cubic(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """Twice differentiable."""
    return Max(0, y - x) ** 3


@loss(title="Reversed", family="test", references=(SOURCE,))
def reversed_focal(
    z: Expr = prediction(symbol="z"), *, gamma: Expr = parameter(2, at_least(0), symbol="g")
) -> Expr:  # fmt: skip
    """Cross entropy of class 1 times the power of the wrong probability."""
    p = let("p", sigmoid(z))
    return -(p**gamma) * log(p)


@loss(title="Tempered", family="test", per=i, references=(SOURCE,))
def tempered(
    z: Tensor = prediction(n, c, symbol="z", about="Scores."),
    y: Tensor = labels(n, into=c, symbol="y", about="Class."),
    *,
    w: Expr = parameter(2, above(0), symbol="w"),
) -> Expr:
    """Softmax cross entropy of scores times a number."""
    s = define("s", i, k)(w * z[i, k])
    return logsumexp_over(k, s[i, k]) - s[i, y[i]]


@loss(title="Skewed", family="test", per=i, references=(SOURCE,))
def skewed(
    z: Tensor = prediction(n, c, symbol="z", about="Scores."),
    y: Tensor = labels(n, into=c, symbol="y", about="Class."),
) -> Expr:
    """What is taken off counts twice."""
    return logsumexp_over(k, z[i, k]) - 2 * z[i, y[i]]


@loss(title="Poly-2", family="test", per=i, references=(SOURCE,))
def poly_two(
    z: Tensor = prediction(n, c, symbol="z", about="Scores."),
    y: Tensor = labels(n, into=c, symbol="y", about="Class."),
    *,
    e: Expr = parameter(1, symbol="e"),
) -> Expr:
    """Poly-1 whose coefficient is 0 at -1 and 1 and 3 between them."""
    p = let("p", softmax(k, z[i, k], at=y[i]))
    return -log(p) + 3 * (1 - e**2) * (1 - p)


@loss(title="Overlap", family="test", per=i, references=(SOURCE,))
def jaccard(
    p: Tensor = prediction(n, m, symbol="p", domain=UNIT, about="Mask."),
    t: Tensor = data(n, m, symbol="t", domain=UNIT, about="True mask."),
    *,
    s: Expr = parameter(1, at_least(0), symbol="s"),
) -> Expr:
    """One less the intersection over the union."""
    both = sum_over(q, p[i, q] * t[i, q])
    return 1 - ratio(both + s, sum_over(q, p[i, q] ** 2) + sum_over(q, t[i, q]) - both + s)


@loss(title="Plain overlap", family="test", per=i, references=(SOURCE,))
def unscaled(
    p: Tensor = prediction(n, m, symbol="p", domain=UNIT, about="Mask."),
    t: Tensor = data(n, m, symbol="t", domain=UNIT, about="True mask."),
) -> Expr:
    """An overlap over nothing: its derivatives do not vanish in large masks."""
    return 1 - sum_over(q, p[i, q] * t[i, q])


HUBER, POLY, DICE = FOUND["huber"], FOUND["poly_cross_entropy"], FOUND["dice"]
POLY_FOCAL = FOUND["poly_focal"]
FAR = float("inf")
TRUE = [
    (POLY_FOCAL, throughout(nonnegative(alpha=None), "epsilon", at_least(-1))),
    (growth, least_at_mean("x", "y")), (FOUND["squared_error"], least_at_mean("prediction", "target")),
    (FOUND["binary_cross_entropy"], least_at_mean("logit", "target", sigmoid=True, pos_weight=1, label_smoothing=0)),
    (pinball, least_at_quantile("x", "y", "level")), (pinball, least_at_quantile("x", "y", level=0.5)),
    (FOUND["absolute_error"], least_at_quantile("prediction", "target")), (tempered, softmax_gradient("s")),
    (FOUND["softmax_cross_entropy"], least_at_frequencies("logits", class_weight=None, label_smoothing=0)),
    (tempered, falls_in_odds("z", w=1)), (pinball, smooth("x", 0)), (bent, smooth("x", 1, d=2, e=2)),
    (bent, smooth("x", 0, d=2, e=1)), (pinball, piecewise("x", 1)), (bent, piecewise("x", 2)),
    (cubic, piecewise("x", 3)), (bent, steepest("x", "d", e=1, d=1)), (HUBER, steepest("prediction", "delta")),
    (reversed_focal, equals_formula("-p**gamma * log(p)")),
    (bent, equals_formula("squared_error / 2", "abs(x - y) <= d")),
    (bent, equals_formula("d**2 / 2 + e * (absolute_error - d)", "abs(x - y) >= d")),
    (bent, approaches("squared_error / 2", "d", FAR)), (bent, approaches("e * absolute_error", "d", 0)),
    (FOUND["focal"], expansion("p_t", shift="gamma", alpha=None)), (POLY, expansion("p_y", first="epsilon")),
    (jaccard, of_counts("p", "t", "1 - (TP + s) / (TP + FP + FN + s)")),
    (jaccard, of_counts("p", "t", "1 - TP / (TP + FP + FN)", "1 - IoU", s=0)),
    (jaccard, throughout(value_where(0, {"p": 0, "t": 0}), "s", above(0))),
    (jaccard, value_where(1, {"p": 0, "t": 0}, s=0)), (DICE, saturates("probability", "target", 2, squared=False)),
    (POLY, throughout(convex("logits"), "epsilon", Interval(-1, 1))),
    (POLY, throughout(nonnegative(), "epsilon", at_least(-1))),
    (POLY, throughout(not_convex("logits"), "epsilon", above(1))),
    (POLY, throughout(can_be_negative(), "epsilon", BELOW_MINUS_1)),
    (POLY, throughout(falls_in_odds("logits"), "epsilon", at_least(-1))),
    (FOUND["hinge"], throughout(positive_side("score", -1, target=1), "margin", above(0))),
]  # fmt: skip
FALSE = [
    (POLY_FOCAL, throughout(nonnegative(alpha=None), "epsilon", at_least(-1.125))),
    (fourth, least_at_mean("x", "y")), (weighted, least_at_mean("x", "y")),
    (FOUND["absolute_error"], least_at_mean("prediction", "target")),
    (HUBER, least_at_mean("prediction", "target")), (leap, least_at_quantile("x", "y")),
    (FOUND["binary_cross_entropy"], least_at_mean("logit", "target", sigmoid=True, pos_weight=2, label_smoothing=0)),
    (FOUND["squared_error"], least_at_quantile("prediction", "target")), (pinball, least_at_quantile("x", "y")),
    (pinball, least_at_quantile("x", "y", "1 - level")), (HUBER, least_at_quantile("prediction", "target")),
    (skewed, softmax_gradient("z")), (tempered, softmax_gradient("z")), (tempered, least_at_frequencies("z")),
    (skewed, least_at_frequencies("z")),
    (FOUND["softmax_cross_entropy"], softmax_gradient("logits", label_smoothing=0.5)),
    (POLY, falls_in_odds("logits", epsilon=-2)), (skewed, falls_in_odds("z")), (leap, smooth("x", 0)),
    (point, smooth("x", 0)), (bent, smooth("x", 1)), (cubic, smooth("x", 1)), (HUBER, smooth("prediction", 0)),
    (FOUND["hinge"], smooth("score", 1)), (FOUND["squared_error"], smooth("prediction", 1)),
    (pinball, smooth("x", 1)), (leap, piecewise("x", 1)), (HUBER, piecewise("prediction", 1)),
    (FOUND["binary_cross_entropy"], piecewise("logit", 1)), (bent, steepest("x", "d")),
    (HUBER, steepest("prediction", "delta / 2")), (HUBER, steepest("prediction", "2 * delta")),
    (FOUND["squared_error"], steepest("prediction", "1000")),
    (reversed_focal, equals_formula("-(1 - p)**gamma * log(p)")), (point, equals_formula("absolute_error")),
    (HUBER, equals_formula("squared_error / 2", "abs(prediction - target) <= 2 * delta")),
    (HUBER, equals_formula("squared_error")), (POLY, equals_formula("softmax_cross_entropy")),
    (HUBER, approaches("absolute_error", "delta", 0)), (HUBER, approaches("squared_error", "delta", FAR)),
    (HUBER, approaches("absolute_error", "delta", FAR, over="delta")), (bent, approaches("absolute_error", "d", 0)),
    (reversed_focal, expansion("p", shift="gamma")), (FOUND["focal"], expansion("p_t", alpha=None)),
    (POLY, expansion("p_y")), (POLY, expansion("p_y", first="epsilon / 2")),
    (jaccard, of_counts("p", "t", "1 - 2*TP / (2*TP + FP + FN)", "1 - F1", s=0)),
    (DICE, of_counts("probability", "target", "FP")), (jaccard, value_where(0, {"p": 0, "t": 0}, s=0)),
    (jaccard, throughout(value_where(0, {"p": 0, "t": 0}), "s", at_least(0))),
    (DICE, saturates("probability", "target", 1.5, squared=False)), (unscaled, saturates("p", "t", 100)),
    (POLY, throughout(convex("logits"), "epsilon", Interval(-1, 1.125))),
    (POLY, throughout(convex("logits"), "epsilon", at_least(-1))),
    (POLY, throughout(nonnegative(), "epsilon", at_least(-1.125))),
    (POLY, throughout(not_convex("logits"), "epsilon", above(0.875))),
    (POLY, throughout(not_convex("logits"), "epsilon", at_least(1))),
    (POLY, throughout(can_be_negative(), "epsilon", above(-2))),
    (poly_two, throughout(convex("z"), "e", Interval(-1, 1))),
    (poly_two, throughout(nonnegative(), "e", at_least(-FAR))),
    (FOUND["hinge"], throughout(positive_side("score", -1, target=1), "margin", at_least(0))),
]  # fmt: skip


def row(definition: Definition, claim: Claim) -> dict[str, str]:
    (found,) = check_claims(replace(definition, claims=(claim,)), FOUND.__getitem__, 3, 60)
    return found


@pytest.mark.parametrize(("definition", "claim"), TRUE, ids=[f"{d.name}: {c.text}" for d, c in TRUE])
def test_what_is_true_is_proved(definition: Definition, claim: Claim) -> None:
    assert row(definition, claim)["status"] == "proved"


@pytest.mark.parametrize(("definition", "claim"), FALSE, ids=[f"{d.name}: {c.text}" for d, c in FALSE])
def test_what_is_false_is_not_proved(definition: Definition, claim: Claim) -> None:
    assert not prove(definition, claim, FOUND.__getitem__)
    assert row(definition, claim)["status"] not in ("proved", "certified")


@pytest.mark.parametrize(
    ("definition", "claim"),
    [
        (fourth, least_at_mean("x", "y")), (pinball, least_at_quantile("x", "y", "1 - level")),
        (HUBER, steepest("prediction", "delta / 2")), (POLY, equals_formula("softmax_cross_entropy")),
        (HUBER, approaches("squared_error", "delta", FAR)), (POLY, expansion("p_y")),
        (DICE, of_counts("probability", "target", "FP")), (jaccard, value_where(0, {"p": 0, "t": 0}, s=0)),
        (unscaled, saturates("p", "t", 1.5)), (POLY, falls_in_odds("logits", epsilon=-2)),
        (POLY, throughout(convex("logits"), "epsilon", at_least(-1))),
    ],
    ids=lambda x: x.kind if isinstance(x, Claim) else x.name,
)  # fmt: skip
def test_a_point_refutes_what_is_false(definition: Definition, claim: Claim) -> None:
    assert row(definition, claim)["status"] == "refuted"


def test_the_sum_over_an_expansion_is_the_textbook_loss() -> None:
    """The series that is claimed, added up by mpmath, against the focal loss written by hand."""
    with mpmath.workdps(30):
        for p, gamma in ((0.3, 2), (0.8, 0.5), (0.95, 5)):
            u = mpmath.mpf(1) - p
            added = mpmath.nsum(lambda j, u=u, gamma=gamma: u ** (j + gamma) / j, [1, mpmath.inf])
            assert abs(added + u**gamma * mpmath.log(p)) < 1e-20


def test_epsilon_of_poly_is_where_convexity_ends_by_numbers() -> None:
    """Second derivatives in the log odds, from the textbook formula by mpmath alone."""

    def bend(z: float, epsilon: float) -> float:
        def poly(z: mpmath.mpf) -> mpmath.mpf:
            p = 1 / (1 + mpmath.exp(-z))
            return -mpmath.log(p) + epsilon * (1 - p)

        return float(mpmath.diff(poly, z, 2))

    places = np.linspace(-12, 12, 97)
    assert all(bend(z, e) >= 0 for z in places for e in (-1, 1))
    assert any(bend(z, 1.01) < 0 for z in places)
    assert any(bend(z, -1.01) < 0 for z in places)


def test_a_citation_is_shown_as_claimed_and_fails_nothing() -> None:
    found = row(FOUND["squared_error"], cited("holds", SOURCE))
    assert (found["status"], found["method"]) == ("claimed", "citation")
    assert found["evidence"] == SOURCE.citation


def test_verification_counts_a_citation_as_evidence_but_not_an_unproved_claim() -> None:
    absolute = FOUND["absolute_error"]
    for claim, status in ((cited("holds", SOURCE), "passed"), (smooth("prediction", 1), "short")):
        own = replace(absolute, claims=(claim,))
        found = verify_loss(own, load("absolute_error"), FOUND.__getitem__, {}, count=60)
        assert found["status"] == status
