"""PolyLoss: cross entropy and focal loss with the first coefficient of their expansion in 1 - p changed."""

from __future__ import annotations

from symloss.language import (
    REALS,
    UNIT,
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    at_least,
    data,
    equals,
    given,
    gradient_sums_to_zero,
    labels,
    let,
    log,
    loss,
    one_of,
    parameter,
    prediction,
    sigmoid,
    softmax,
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
    claims=(equals("softmax_cross_entropy", {"epsilon": 0}), gradient_sums_to_zero("logits")),
    conventions=(Convention("epsilon", "1 here; optax takes 2, the paper's choice for image classification."),),
    aliases=("PolyLoss", "Poly-1"),
)
def poly_cross_entropy(
    logits: Tensor = prediction(n, c, symbol="z", about="One score per class."),
    label: Tensor = labels(n, into=c, symbol="y", about="The class of each row."),
    *,
    epsilon: Expr = parameter(1, REALS, symbol=r"\epsilon", about="What is added to the first coefficient."),
) -> Expr:
    """Cross entropy with the coefficient of 1 - p in its expansion raised by epsilon."""
    p_y = let("p_y", softmax(k, logits[i, k], at=label[i]))
    return -log(p_y) + epsilon * (1 - p_y)


@loss(
    title="Poly-1 focal loss",
    family="classification",
    references=(LENG_2022,),
    claims=(equals("focal", {"epsilon": 0}),),
    conventions=(
        Convention("balancing", "alpha weighs the focal term and not the polynomial one; None weighs neither."),
        Convention("epsilon", "1 here; the paper uses -1 for detection."),
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
    """Focal loss with the first coefficient of its expansion in 1 - p raised by epsilon."""
    p = let("p", sigmoid(logit))
    p_t = let("p_t", target * p + (1 - target) * (1 - p))
    alpha_t = let("alpha_t", given(alpha, target * alpha + (1 - target) * (1 - alpha), 1))
    return -alpha_t * (1 - p_t) ** gamma * log(p_t) + epsilon * (1 - p_t) ** (gamma + 1)
