"""PolyLoss: cross entropy and focal loss with the first coefficient of their expansion in 1 - p changed."""

from __future__ import annotations

from symloss.language import (
    REALS,
    UNIT,
    Axis,
    Convention,
    Expr,
    Interval,
    Reference,
    Tensor,
    above,
    at_least,
    can_be_negative,
    convex,
    data,
    equals,
    equals_formula,
    expansion,
    falls_in_odds,
    given,
    gradient_sums_to_zero,
    labels,
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
    softmax,
    throughout,
)  # fmt: skip

LENG_2022 = Reference(
    r"""@inproceedings{leng2022polyloss,
  author = {Leng, Zhaoqi and Tan, Mingxing and Liu, Chenxi and Cubuk, Ekin Dogus and Shi, Xiaojie and Cheng, Shuyang
            and Anguelov, Dragomir},
  title = {PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions},
  booktitle = {International Conference on Learning Representations},
  year = {2022},
}""",
    url="https://arxiv.org/abs/2204.12511",
)

n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")


@loss(
    title="Poly-1 cross entropy",
    family="classification",
    per=i,
    references=(LENG_2022,),
    claims=(
        equals("softmax_cross_entropy", {"epsilon": 0}),
        gradient_sums_to_zero("logits"),
        nonnegative(epsilon=-1),
        can_be_negative(epsilon=-2),
        convex("logits", epsilon=1),
        convex("logits", epsilon=0.5),
        convex("logits", epsilon=-0.5),
        convex("logits", epsilon=-1),
        not_convex("logits", epsilon=-1.5),
        nonnegative(epsilon=1),
        nonnegative(epsilon=2),
        not_convex("logits", epsilon=2),
        equals_formula("softmax_cross_entropy + epsilon * (1 - p_y)"),
        expansion("p_y", first="epsilon"),
        throughout(nonnegative(), "epsilon", at_least(-1)),
        throughout(can_be_negative(), "epsilon", Interval(float("-inf"), -1, high_open=True)),
        throughout(convex("logits"), "epsilon", Interval(-1, 1)),
        throughout(not_convex("logits"), "epsilon", above(1)),
        throughout(not_convex("logits"), "epsilon", Interval(float("-inf"), -1, high_open=True)),
        throughout(falls_in_odds("logits"), "epsilon", at_least(-1)),
    ),
    conventions=(
        Convention("epsilon", "1 here, 2 in optax; the paper's code asks for at least -1, here any number will do."),
    ),
    aliases=("PolyLoss", "Poly-1"),
)
def poly_cross_entropy(
    logits: Tensor = prediction(n, c, symbol="z", about="One score per class."),
    label: Tensor = labels(n, into=c, symbol="y", about="The class of each row."),
    *,
    epsilon: Expr = parameter(1, REALS, symbol=r"\epsilon", about="What is added to the first coefficient."),
) -> Expr:
    """Cross entropy with the coefficient of 1 - p in its expansion raised by epsilon.

    It is never negative for epsilon of at least -1, and convex in the logits for epsilon from -1 to 1.
    """
    p_y = let("p_y", softmax(k, logits[i, k], at=label[i]))
    return -log(p_y) + epsilon * (1 - p_y)


@loss(
    title="Poly-1 focal loss",
    family="classification",
    references=(LENG_2022,),
    claims=(
        equals("focal", {"epsilon": 0}),
        nonnegative(epsilon=1),
        not_convex("logit", gamma=2, epsilon=1),
        never_convex("logit", "gamma", alpha=None, epsilon=1),
        monotone("logit", rising=False, target=1, epsilon=1),
        monotone("logit", rising=True, target=0, epsilon=1),
        least_lipschitz("logit", 1.322253029, gamma=2, alpha=None, epsilon=1),
        limit("logit", 1, 0, gamma=2, alpha=None, epsilon=1, target=1),
        limit("logit", -1, -1, slope=True, gamma=2, alpha=None, epsilon=1, target=1),
        equals_formula("focal + epsilon * (1 - p_t)**(gamma + 1)"),
        expansion("p_t", shift="gamma", first="epsilon", alpha=None),
        throughout(nonnegative(alpha=None), "epsilon", at_least(-1)),
        throughout(can_be_negative(gamma=2, alpha=None), "epsilon", Interval(float("-inf"), -1, high_open=True)),
        positive_side("logit", -1, target=1, gamma=2, alpha=0.25, epsilon=1),
        positive_side("logit", 1, target=0, gamma=2, alpha=0.25, epsilon=1),
    ),
    conventions=(
        Convention(
            "balancing",
            "alpha weighs the focal term, not the polynomial one; None gives the formula without alpha.",
        ),
        Convention("epsilon", "1 here; with alpha None, -1 takes the first term of the expansion away."),
    ),
)
def poly_focal(
    logit: Expr = prediction(symbol="z", about="Raw score; its sigmoid is the probability of class 1."),
    target: Expr = data(symbol="y", domain=one_of(0, 1), about="The class, 0 or 1."),
    *,
    gamma: Expr = parameter(2, at_least(0), symbol=r"\gamma", about="How strongly easy examples are turned down."),
    alpha: Expr = parameter(0.25, UNIT, symbol=r"\alpha", optional=True, about="Weight of class 1, or None."),
    epsilon: Expr = parameter(1, REALS, symbol=r"\epsilon", about="What is added to the first coefficient."),
) -> Expr:
    """Focal loss with the first coefficient of its expansion in 1 - p raised by epsilon.

    The first power of that expansion is gamma + 1, where that of cross entropy is 1.
    """
    p = let("p", sigmoid(logit))
    p_t = let("p_t", target * p + (1 - target) * (1 - p))
    alpha_t = let("alpha_t", given(alpha, target * alpha + (1 - target) * (1 - alpha), 1))
    return -alpha_t * (1 - p_t) ** gamma * log(p_t) + epsilon * (1 - p_t) ** (gamma + 1)
