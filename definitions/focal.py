"""Focal loss: cross entropy that turns away from what is already easy."""

from __future__ import annotations

from symloss.language import (
    UNIT,
    Convention,
    Expr,
    Reference,
    at_least,
    below,
    convex,
    data,
    equals,
    equals_formula,
    expansion,
    given,
    largest_curvature,
    least_lipschitz,
    let,
    limit,
    log,
    loss,
    monotone,
    never_convex,
    nonnegative,
    not_convex,
    one_of,
    parameter,
    positive_side,
    prediction,
    sigmoid,
)

LIN_2017 = Reference(
    r"""@inproceedings{lin2017focal,
  author = {Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\'a}r, Piotr},
  title = {Focal Loss for Dense Object Detection},
  booktitle = {Proceedings of the IEEE International Conference on Computer Vision},
  year = {2017},
  doi = {10.1109/ICCV.2017.324},
}""",
    url="https://arxiv.org/abs/1708.02002",
)


@loss(
    title="Focal loss",
    family="classification",
    references=(LIN_2017,),
    claims=(
        nonnegative(),
        equals("binary_cross_entropy", {"gamma": 0, "alpha": None}),
        below("binary_cross_entropy", {"alpha": None}),
        *(not_convex("logit", gamma=gamma) for gamma in (0.5, 1, 2, 5)),
        never_convex("logit", "gamma", alpha=None),
        convex("logit", gamma=0),
        positive_side("logit", -1, gamma=2, alpha=0.25, target=1),
        positive_side("logit", 1, gamma=2, alpha=0.25, target=0),
        monotone("logit", rising=False, target=1),
        monotone("logit", rising=True, target=0),
        least_lipschitz("logit", 1.128983219, gamma=2, alpha=None),
        least_lipschitz("logit", 0.846737414, gamma=2, alpha=0.25),
        largest_curvature("logit", 0.496191346, gamma=2, alpha=None),
        limit("logit", 1, 0, gamma=2, alpha=None, target=1),
        limit("logit", -1, -1, slope=True, gamma=2, alpha=None, target=1),
        limit("logit", 1, 0, slope=True, gamma=2, alpha=None, target=1),
        equals_formula("(1 - p_t)**gamma * binary_cross_entropy", alpha=None),
        expansion("p_t", shift="gamma", alpha=None),
        positive_side("logit", -1, target=1, alpha=None),
        positive_side("logit", 1, target=0, alpha=None),
    ),
    conventions=(
        Convention(
            "balancing", "alpha weighs positives and 1 - alpha negatives, as in the paper; None weighs neither."
        ),
    ),
    aliases=("sigmoid focal loss", "binary focal loss"),
)
def focal(
    logit: Expr = prediction(symbol="z", about="Raw score; its sigmoid is the probability of class 1."),
    target: Expr = data(symbol="y", domain=one_of(0, 1), about="The class, 0 or 1."),
    *,
    gamma: Expr = parameter(2, at_least(0), symbol=r"\gamma", about="How strongly easy examples are turned down."),
    alpha: Expr = parameter(0.25, UNIT, symbol=r"\alpha", optional=True, about="Weight of class 1, or None."),
) -> Expr:
    """Cross entropy, multiplied by the probability of being wrong to the power gamma.

    Easy examples, whose true class already has a high probability, hardly count.
    """
    p = let("p", sigmoid(logit))
    p_t = let("p_t", target * p + (1 - target) * (1 - p))
    alpha_t = let("alpha_t", given(alpha, target * alpha + (1 - target) * (1 - alpha), 1))
    return -alpha_t * (1 - p_t) ** gamma * log(p_t)
