"""Margin ranking: of two scores, the one that should be larger must be so by a margin."""

from __future__ import annotations

from symloss.language import (
    REALS,
    Convention,
    Expr,
    Max,
    Reference,
    convex,
    data,
    flat_at_zero,
    lipschitz,
    loss,
    monotone,
    moved_together,
    nonnegative,
    one_of,
    parameter,
    piecewise,
    prediction,
    smooth,
)  # fmt: skip

HERBRICH_2000 = Reference(
    r"""@incollection{herbrich2000large,
  author = {Herbrich, Ralf and Graepel, Thore and Obermayer, Klaus},
  editor = {Smola, Alexander J. and Bartlett, Peter L. and Sch{\"o}lkopf, Bernhard and Schuurmans, Dale},
  title = {Large Margin Rank Boundaries for Ordinal Regression},
  booktitle = {Advances in Large Margin Classifiers},
  publisher = {MIT Press},
  pages = {115--132},
  year = {2000},
}""",
)


@loss(
    title="Margin ranking loss",
    family="ranking",
    references=(HERBRICH_2000,),
    claims=(
        nonnegative(),
        convex("first"),
        convex("second"),
        lipschitz("first", 1),
        lipschitz("second", 1),
        monotone("first", rising=False, target=1),
        monotone("second", rising=True, target=1),
        moved_together("first", "second"),
        flat_at_zero("first", "zero once the order holds by the margin, with gradient exactly 0"),
        smooth("first", 0),
        piecewise("first", 1),
    ),
    conventions=(Convention("tie", "the derivative at the kink is 0; torch's is -y."),),
    aliases=("pairwise hinge",),
)
def margin_ranking(
    first: Expr = prediction(symbol="u", about="The first score."),
    second: Expr = prediction(symbol="v", about="The second score."),
    target: Expr = data(symbol="y", domain=one_of(-1, 1), about="1 where the first should rank higher, else -1."),
    *,
    margin: Expr = parameter(0, REALS, symbol="m", about="By how much the order must hold."),
) -> Expr:
    """How far two scores are from the right order with a margin.

    Only their difference counts: it is the hinge loss of the score first - second.
    """
    return Max(0, margin - target * (first - second))
