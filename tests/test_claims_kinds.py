"""The kinds of claims: what is true of an author's own loss is proved, what is false is refuted or stays unproved."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

from dataclasses import replace

import mpmath
import pytest

from symloss import catalogue
from symloss.language import (
    UNIT,
    Axis,
    Claim,
    Expr,
    Max,
    Reference,
    Tensor,
    at_most,
    below,
    calibrated,
    choose,
    convex,
    data,
    flat_at_zero,
    gradient_norm,
    has_effect,
    largest_curvature,
    least_at,
    least_lipschitz,
    limit,
    log,
    loss,
    monotone,
    moved_together,
    multiple_of,
    no_effect,
    norm_over,
    not_convex,
    not_least_at,
    prediction,
    sigmoid,
    unbounded_slope,
)
from symloss.language.definition import Definition
from symloss.verification.claims import check_claims
from symloss.verification.proof_odds import supremum

FOUND = catalogue.find()
SHOWN = ("proved", "certified")
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")
n, d = Axis("n", "samples"), Axis("d", "features")
i, f = n.index("i"), d.index("f")


@loss(title="Odds", family="test", references=(SOURCE,))
def odds(z: Expr = prediction(symbol="z"), t: Expr = data(symbol="t", domain=UNIT)) -> Expr:
    """Cross entropy, doubled."""
    return -2 * t * log(sigmoid(z)) - 2 * (1 - t) * log(1 - sigmoid(z))


@loss(title="Leaning odds", family="test", references=(SOURCE,))
def leaning(z: Expr = prediction(symbol="z"), t: Expr = data(symbol="t", domain=UNIT)) -> Expr:
    """Cross entropy whose least is beside the target."""
    return -t * log(sigmoid(z)) - (1 - t) * log(1 - sigmoid(z)) + sigmoid(z) / 8


@loss(title="Far", family="test", per=i, references=(SOURCE,))
def far(
    a: Tensor = prediction(n, d, symbol="a", about="One."),
    b: Tensor = prediction(n, d, symbol="b", about="Other."),
    c: Expr = prediction(symbol="c", about="Added."),
) -> Expr:
    """A distance beyond 1, three times, and what does not matter."""
    return Max(0, 3 * norm_over(f, a[i, f] - b[i, f]) - 1) + c - c


@loss(title="Drop", family="test", per=i, references=(SOURCE,))
def drop(
    a: Tensor = prediction(n, d, symbol="a", about="One."), b: Tensor = prediction(n, d, symbol="b", about="Other.")
) -> Expr:
    """A distance with a jump."""
    return choose(norm_over(f, a[i, f] - b[i, f]) < 1, norm_over(f, a[i, f] - b[i, f]), norm_over(f, b[i, f]))


def status(definition: Definition, claim: Claim) -> str:
    (found,) = check_claims(replace(definition, claims=(claim,)), FOUND.__getitem__, 3, 60)
    return found["status"]


FOCAL, SQUARED, DICE = FOUND["focal"], FOUND["squared_error"], FOUND["dice"]
TRUE = [
    (odds, least_lipschitz("z", 2)), (odds, largest_curvature("z", 0.5)), (odds, calibrated("z", "t")),
    (odds, limit("z", 1, 0, t=1)), (odds, limit("z", -1, -2, slope=True, t=1)),
    (odds, monotone("z", rising=False, t=1)),
    (far, gradient_norm("a", 3)), (far, flat_at_zero("a", "near")), (far, moved_together("a", "b")),
    (far, no_effect("c")), (SQUARED, unbounded_slope("prediction")), (SQUARED, least_at("prediction", "target")),
    (DICE, not_least_at("probability", "target")), (DICE, at_most(1)), (FOUND["ge2e_contrast"], has_effect("b")),
    (FOUND["smooth_l1"], multiple_of("huber", "1/beta", delta="beta")),
    (FOCAL, below("binary_cross_entropy", {"alpha": None})), (FOUND["poly_cross_entropy"], convex("logits", epsilon=1)),
    (FOUND["softmax_focal"], not_convex("logits", gamma=0.5)),
]  # fmt: skip
FALSE = [
    (odds, least_lipschitz("z", 2.00001)), (odds, least_lipschitz("z", 1.99999)), (odds, largest_curvature("z", 0.51)),
    (leaning, calibrated("z", "t")), (odds, limit("z", 1, 1e-6, t=1)), (odds, limit("z", -1, -1, slope=True, t=1)),
    (odds, monotone("z", rising=True, t=1)), (far, gradient_norm("a", 2.99)), (far, moved_together("a", "c")),
    (far, no_effect("a")), (drop, gradient_norm("a", 1)), (FOUND["bias_error"], unbounded_slope("prediction")),
    (FOUND["bias_error"], least_at("prediction", "target")), (DICE, at_most(0.5)), (far, has_effect("c")),
    (FOUND["smooth_l1"], multiple_of("huber", "beta", delta="beta")),
    (FOUND["bias_error"], flat_at_zero("prediction", "")),
    (FOUND["binary_cross_entropy"], below("focal", {"pos_weight": 1, "label_smoothing": 0}, {"alpha": None})),
    (FOUND["poly_cross_entropy"], convex("logits", epsilon=1.01)),
    (FOUND["absolute_error"], not_least_at("prediction", "target")),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "claim"), TRUE, ids=lambda x: x.kind if isinstance(x, Claim) else x.name)
def test_what_is_true_is_proved_or_certified(definition: Definition, claim: Claim) -> None:
    assert status(definition, claim) in SHOWN


@pytest.mark.parametrize(("definition", "claim"), FALSE, ids=lambda x: x.kind if isinstance(x, Claim) else x.name)
def test_what_is_false_is_neither(definition: Definition, claim: Claim) -> None:
    assert status(definition, claim) not in SHOWN


@pytest.mark.parametrize(("gamma", "order"), [(2, 1), (2, 2), (5, 1)])
def test_the_largest_derivative_is_what_a_search_in_40_digits_finds(gamma: int, order: int) -> None:
    """On the textbook formula, by mpmath alone."""
    with mpmath.workdps(40):

        def loss_of(z: mpmath.mpf) -> mpmath.mpf:
            p = 1 / (1 + mpmath.exp(-z))
            return -((1 - p) ** gamma) * mpmath.log(p)

        points = [mpmath.mpf(k) / 200 for k in range(-2400, 2400)]
        found = max(abs(mpmath.diff(loss_of, z, order)) for z in points)
    bounds = supremum(FOCAL, {"gamma": gamma, "alpha": None}, "logit", order)
    assert bounds is not None
    low, high = map(float, bounds)
    assert low <= high <= low * (1 + 1e-11)
    assert float(found) <= high
    assert float(found) > low * (1 - 1e-4)


def test_most_claims_of_the_shipped_losses_are_proved_or_certified() -> None:
    rows = [c for d in FOUND.values() for c in check_claims(d, FOUND.__getitem__, 5, 60)]
    found = [c["status"] for c in rows if c["kind"] != "cited"]
    assert len(found) >= 200
    assert "refuted" not in found
    assert "claimed" not in found
    assert sum(s in SHOWN for s in found) >= 0.95 * len(found)
