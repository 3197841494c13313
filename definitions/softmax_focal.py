"""Softmax focal loss: the focal factor on the log-likelihood of one class among many."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    at_least,
    below,
    convex,
    equals,
    equals_formula,
    expansion,
    falls_in_odds,
    gradient_sums_to_zero,
    labels,
    let,
    log,
    loss,
    never_convex,
    nonnegative,
    not_convex,
    parameter,
    prediction,
    softmax,
)  # fmt: skip

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

n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")


@loss(
    title="Softmax focal loss",
    family="classification",
    per=i,
    references=(LIN_2017,),
    claims=(
        nonnegative(),
        equals("softmax_cross_entropy", {"gamma": 0, "alpha": 1}),
        gradient_sums_to_zero("logits"),
        below("softmax_cross_entropy", {"alpha": 1}),
        convex("logits", gamma=0),
        *(not_convex("logits", gamma=gamma) for gamma in (0.5, 1, 2, 5)),
        never_convex("logits", "gamma", alpha=1),
        equals_formula("alpha * (1 - p_y)**gamma * softmax_cross_entropy"),
        expansion("p_y", shift="gamma", alpha=1),
        falls_in_odds("logits", alpha=1),
    ),
    conventions=(
        Convention("alpha", "one factor for all classes, as in Keras; MONAI and kornia give class 0 another weight."),
    ),
    aliases=("categorical focal loss", "multiclass focal loss"),
)
def softmax_focal(
    logits: Tensor = prediction(n, c, symbol="z", about="One score per class."),
    label: Tensor = labels(n, into=c, symbol="y", about="The class of each row."),
    *,
    gamma: Expr = parameter(2, at_least(0), symbol=r"\gamma", about="How strongly easy examples are turned down."),
    alpha: Expr = parameter(1, at_least(0), symbol=r"\alpha", about="A factor on the whole loss."),
) -> Expr:
    """Softmax cross entropy, multiplied by the probability of being wrong to the power gamma.

    A row whose label already has a high probability hardly counts; alpha only rescales the whole.
    """
    p_y = let("p_y", softmax(k, logits[i, k], at=label[i]))
    return -alpha * (1 - p_y) ** gamma * log(p_y)
