"""Claims about softmax over cosines, sums of binary losses, one side of 0, and parameters above 0."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

from dataclasses import replace

import pytest

from symloss import catalogue
from symloss.language import (
    Axis,
    Claim,
    Expr,
    Reference,
    Tensor,
    above,
    cosine_bound,
    cosine_gradient,
    cosine_softmax,
    data,
    log,
    logsumexp_over,
    loss,
    never_convex,
    one_of,
    parameter,
    positive_part,
    positive_side,
    prediction,
    sigmoid,
    sum_of,
    sum_over,
    unit_over,
)
from symloss.language.definition import Definition
from symloss.verification.claims import check_claims

FOUND = catalogue.find()
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")
n, m, d = Axis("n", "samples"), Axis("m", "candidates"), Axis("d", "features")
i, k, f = n.index("i"), m.index("k"), d.index("f")


def status(definition: Definition, claim: Claim) -> str:
    (row,) = check_claims(replace(definition, claims=(claim,)), FOUND.__getitem__, 5, 60)
    return row["status"]


def _loss(x: Tensor, keys: Tensor, s: Expr, own: Expr) -> Expr:
    x_unit, key_unit = unit_over(f, x[i, f]), unit_over(f, keys[k, f])
    return logsumexp_over(k, s * sum_over(f, x_unit * key_unit)) - own


@loss(title="Uneven", family="test", per=i, references=(SOURCE,))
def uneven(
    x: Tensor = prediction(n, d, symbol="x"),
    keys: Tensor = prediction(m, d, symbol="k"),
    *,
    s: Expr = parameter(2, above(0), symbol="s"),
) -> Expr:
    """No cross entropy: nothing is taken off but half of a number."""
    return _loss(x, keys, s, s / 2)


@loss(title="Weighed", family="test", references=(SOURCE,))
def weighed(
    z: Expr = prediction(symbol="z"),
    t: Expr = data(symbol="t", domain=one_of(0, 1)),
    *,
    g: Expr = parameter(1, above(0), symbol="g"),
) -> Expr:
    """Cross entropy times a number: convex whatever it is."""
    return -g * (t * log(sigmoid(z)) + (1 - t) * log(1 - sigmoid(z)))


@loss(title="Late", family="test", references=(SOURCE,))
def late(z: Expr = prediction(symbol="z"), t: Expr = data(symbol="t", domain=one_of(-1, 1))) -> Expr:
    """Zero already at a score of 0."""
    return positive_part(-z * t)


@loss(title="Twice", family="test", per=i, references=(SOURCE,))
def twice(u: Tensor = prediction(n, symbol="u"), v: Tensor = prediction(n, m, symbol="v")) -> Expr:
    """A sum of cross entropies, of which one counts twice."""
    return -2 * log(sigmoid(u[i])) - sum_over(k, log(1 - sigmoid(v[i, k])))


TRUE = [
    ("info_nce", cosine_softmax("query and key", "1/temperature", symmetric=False)),
    ("info_nce", cosine_bound("n", "1/temperature", symmetric=False)),
    ("info_nce", cosine_gradient("query", "1/temperature", symmetric=False)),
    ("arcface", cosine_softmax("embedding and weight", "scale", margin=0)),
    ("arcface", cosine_gradient("embedding", "scale", margin=0)),
    ("focal", never_convex("logit", "gamma", alpha=None)),
    ("softmax_focal", never_convex("logits", "gamma", alpha=1)),
    ("nce", sum_of("binary_cross_entropy", "target")),
    ("hinge", positive_side("score", -1, target=1, margin=1)),
    ("hinge", positive_side("score", 1, target=-1, margin=1)),
    ("focal", positive_side("logit", -1, target=1, gamma=2, alpha=0.25)),
]
FALSE = [
    (FOUND["info_nce"], cosine_softmax("query and key", "2/temperature", symmetric=False)),
    (FOUND["info_nce"], cosine_gradient("query", "1/(2*temperature)", symmetric=False)),
    (FOUND["arcface"], cosine_softmax("embedding and weight", "scale", margin=0.5)),
    (uneven, cosine_softmax("x and keys", "s")),
    (uneven, cosine_bound("m", "s/8")),
    (weighed, never_convex("z", "g")),
    (late, positive_side("z", -1, t=1)),
    (twice, sum_of("binary_cross_entropy", "target")),
]


@pytest.mark.parametrize(("name", "claim"), TRUE, ids=[f"{n}: {c.text}" for n, c in TRUE])
def test_what_is_true_is_proved(name: str, claim: Claim) -> None:
    assert status(FOUND[name], claim) == "proved"


@pytest.mark.parametrize(("definition", "claim"), FALSE, ids=[f"{d.name}: {c.text}" for d, c in FALSE])
def test_what_is_false_is_not_proved(definition: Definition, claim: Claim) -> None:
    assert status(definition, claim) not in ("proved", "certified")
