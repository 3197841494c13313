"""Dice losses: one minus the overlap of a predicted and a true mask."""

from __future__ import annotations

from symloss.language import (
    UNIT,
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    above,
    at_least,
    at_most,
    data,
    equal,
    gradient_sums_to_zero,
    labels,
    let,
    loss,
    nonnegative,
    not_least_at,
    of_counts,
    parameter,
    prediction,
    ratio,
    saturates,
    softmax,
    sum_over,
    switch,
    symmetric,
    throughout,
    value_where,
)  # fmt: skip

MILLETARI_2016 = Reference(
    r"""@inproceedings{milletari2016vnet,
  author = {Milletari, Fausto and Navab, Nassir and Ahmadi, Seyed-Ahmad},
  title = {{V-Net}: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation},
  booktitle = {International Conference on 3D Vision},
  pages = {565--571},
  year = {2016},
  doi = {10.1109/3DV.2016.79},
}""",
    url="https://arxiv.org/abs/1606.04797",
)
SUDRE_2017 = Reference(
    r"""@inproceedings{sudre2017generalised,
  author = {Sudre, Carole H. and Li, Wenqi and Vercauteren, Tom and Ourselin, Sebastien and Cardoso, M. Jorge},
  title = {Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations},
  booktitle = {Deep Learning in Medical Image Analysis},
  year = {2017},
  doi = {10.1007/978-3-319-67558-9_28},
}""",
    url="https://arxiv.org/abs/1707.03237",
)
SMOOTH = Convention(
    "smooth",
    "added to numerator and denominator; segmentation-models and optax count it twice as much (smooth = s is 2 s).",
)
EMPTY = Convention("empty mask and prediction", "0 where smooth > 0, 1 where smooth = 0; Keras gives 1, MONAI 0.")

n, c, m = Axis("n", "samples"), Axis("c", "classes"), Axis("m", "pixels")
i, k, q = n.index("i"), c.index("k"), m.index("q")


@loss(
    title="Dice loss",
    family="segmentation",
    per=i,
    references=(MILLETARI_2016, SUDRE_2017),
    claims=(
        nonnegative(),
        at_most(1),
        not_least_at("probability", "target", squared=False),
        symmetric("probability", "target"),
        of_counts("probability", "target", "1 - 2*TP / (2*TP + FP + FN)", "1 - F1", smooth=0),
        throughout(value_where(0, {"probability": 0, "target": 0}), "smooth", above(0)),
        value_where(1, {"probability": 0, "target": 0}, smooth=0),
        saturates("probability", "target", 2, squared=False),
    ),
    conventions=(
        SMOOTH, EMPTY,
        Convention("denominator", "sums, as in Sudre and MONAI; squared=True has squares, as in V-Net and Flux."),
    ),
    aliases=("soft Dice", "F1 loss", "Sorensen-Dice"),
)  # fmt: skip
def dice(
    probability: Tensor = prediction(n, m, symbol="p", domain=UNIT, about="The probability of each pixel."),
    target: Tensor = data(n, m, symbol="t", domain=UNIT, about="The mask."),
    *,
    smooth: Expr = parameter(1, at_least(0), symbol="s", about="What keeps empty masks from dividing 0 by 0."),
    squared: bool = switch(False, True, symbol="S", about="Sums of squares in the denominator."),
) -> Expr:
    """One minus twice the overlap of prediction and mask over the sum of their sizes.

    For hard masks it is one minus the F1 score.
    """
    p, t = probability, target
    overlap = let("I", sum_over(q, p[i, q] * t[i, q]))
    sizes = sum_over(q, p[i, q] ** 2) + sum_over(q, t[i, q] ** 2) if squared else sum_over(q, p[i, q] + t[i, q])
    return 1 - ratio(2 * overlap + smooth, sizes + smooth)


@loss(
    title="Softmax Dice loss",
    family="segmentation",
    per=(i, k),
    references=(MILLETARI_2016, SUDRE_2017),
    claims=(nonnegative(), at_most(1), gradient_sums_to_zero("logits")),
    conventions=(
        SMOOTH, EMPTY,
        Convention("classes", "every class counts, the background too; the mean is over samples and classes."),
    ),
    aliases=("multiclass Dice",),
)  # fmt: skip
def softmax_dice(
    logits: Tensor = prediction(n, c, m, symbol="z", about="One score per class and pixel."),
    label: Tensor = labels(n, m, into=c, symbol="y", about="The class of each pixel."),
    *,
    smooth: Expr = parameter(1, at_least(0), symbol="s", about="What keeps absent classes from dividing 0 by 0."),
) -> Expr:
    """The Dice loss of each class's softmax probability against the pixels of that class."""
    a = c.index("a")
    p = softmax(a, logits[i, a, q], at=k)
    overlap = let("I", sum_over(q, p, where=equal(label[i, q], k)))
    sizes = sum_over(q, p) + sum_over(q, 1, where=equal(label[i, q], k))
    return 1 - ratio(2 * overlap + smooth, sizes + smooth)
