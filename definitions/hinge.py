"""Hinge losses: nothing beyond the margin, linear or quadratic below it."""

from __future__ import annotations

from symloss.language import (
    REALS,
    Convention,
    Expr,
    Max,
    Reference,
    above,
    convex,
    data,
    equals_formula,
    flat_at_zero,
    lipschitz,
    loss,
    monotone,
    nonnegative,
    one_of,
    parameter,
    piecewise,
    positive_side,
    prediction,
    smooth,
    throughout,
)  # fmt: skip

CORTES_1995 = Reference(
    r"""@article{cortes1995support,
  author = {Cortes, Corinna and Vapnik, Vladimir},
  title = {Support-Vector Networks},
  journal = {Machine Learning},
  volume = {20},
  number = {3},
  pages = {273--297},
  year = {1995},
  doi = {10.1007/BF00994018},
}""",
    url="https://doi.org/10.1007/BF00994018",
)
CHANG_2008 = Reference(
    r"""@article{chang2008coordinate,
  author = {Chang, Kai-Wei and Hsieh, Cho-Jui and Lin, Chih-Jen},
  title = {Coordinate Descent Method for Large-scale {L2}-loss Linear Support Vector Machines},
  journal = {Journal of Machine Learning Research},
  volume = {9},
  pages = {1369--1398},
  year = {2008},
}""",
    url="https://jmlr.org/papers/v9/chang08a.html",
)
LABELS = Convention("labels", "-1 and 1; Keras turns 0 and 1 into these by itself.")
MARGIN = Convention("margin", "any real number: the loss is convex whatever it is; 0 gives the perceptron's criterion.")


@loss(
    title="Hinge loss",
    family="classification",
    references=(CORTES_1995,),
    claims=(
        nonnegative(),
        convex("score"),
        lipschitz("score", 1),
        monotone("score", rising=False, target=1),
        monotone("score", rising=True, target=-1),
        positive_side("score", -1, target=1, margin=1),
        positive_side("score", 1, target=-1, margin=1),
        flat_at_zero("score", "zero from the margin on, with gradient exactly 0"),
        smooth("score", 0),
        piecewise("score", 1),
        throughout(positive_side("score", -1, target=1), "margin", above(0)),
        throughout(positive_side("score", 1, target=-1), "margin", above(0)),
        equals_formula("margin - target * score", "target * score <= margin"),
    ),
    conventions=(LABELS, MARGIN),
    aliases=("SVM loss", "max-margin loss"),
)
def hinge(
    score: Expr = prediction(symbol="s", about="Signed score: its sign is the predicted class."),
    target: Expr = data(symbol="y", domain=one_of(-1, 1), about="The class, -1 or 1."),
    *,
    margin: Expr = parameter(1, REALS, symbol="m", about="The margin below which a score costs."),
) -> Expr:
    """How far the score falls short of the margin on its own side.

    A score beyond the margin costs nothing and has no gradient; below it the slope is 1, however far off.
    """
    return Max(0, margin - target * score)


@loss(
    title="Squared hinge loss",
    family="classification",
    references=(CHANG_2008,),
    claims=(
        nonnegative(),
        convex("score"),
        monotone("score", rising=False, target=1),
        monotone("score", rising=True, target=-1),
        positive_side("score", -1, target=1, margin=1),
        positive_side("score", 1, target=-1, margin=1),
        flat_at_zero("score", "zero from the margin on, with gradient exactly 0"),
        smooth("score", 1),
        piecewise("score", 2),
        throughout(positive_side("score", -1, target=1), "margin", above(0)),
        throughout(positive_side("score", 1, target=-1), "margin", above(0)),
        equals_formula("hinge**2"),
    ),
    conventions=(LABELS, MARGIN),
    aliases=("L2-SVM loss",),
)
def squared_hinge(
    score: Expr = prediction(symbol="s", about="Signed score: its sign is the predicted class."),
    target: Expr = data(symbol="y", domain=one_of(-1, 1), about="The class, -1 or 1."),
    *,
    margin: Expr = parameter(1, REALS, symbol="m", about="The margin below which a score costs."),
) -> Expr:
    """The square of how far the score falls short of the margin.

    It is once differentiable at the margin, where the hinge has a corner, and punishes outliers more.
    """
    return Max(0, margin - target * score) ** 2
