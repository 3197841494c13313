"""Binary cross entropy: the log-likelihood of a yes or no under the sigmoid of a logit."""

from __future__ import annotations

from symloss.language import (
    UNIT,
    Convention,
    Expr,
    Reference,
    above,
    calibrated,
    convex,
    data,
    largest_curvature,
    least_at_mean,
    least_lipschitz,
    let,
    limit,
    lipschitz,
    log,
    loss,
    monotone,
    nonnegative,
    parameter,
    positive_side,
    prediction,
    sigmoid,
)  # fmt: skip

COX_1958 = Reference(
    r"""@article{cox1958regression,
  author = {Cox, David R.},
  title = {The Regression Analysis of Binary Sequences},
  journal = {Journal of the Royal Statistical Society: Series B (Methodological)},
  volume = {20},
  number = {2},
  pages = {215--242},
  year = {1958},
  doi = {10.1111/j.2517-6161.1958.tb00292.x},
}""",
    url="https://doi.org/10.1111/j.2517-6161.1958.tb00292.x",
)


@loss(
    title="Binary cross entropy",
    family="classification",
    references=(COX_1958,),
    claims=(
        nonnegative(),
        convex("logit"),
        lipschitz("logit", 1, pos_weight=1),
        least_lipschitz("logit", 1),
        largest_curvature("logit", 0.25),
        calibrated("logit", "target", pos_weight=1, label_smoothing=0),
        monotone("logit", rising=False, target=1, label_smoothing=0),
        monotone("logit", rising=True, target=0, label_smoothing=0),
        positive_side("logit", -1, target=1, pos_weight=1, label_smoothing=0),
        positive_side("logit", 1, target=0, pos_weight=1, label_smoothing=0),
        limit("logit", 1, 0, target=1, label_smoothing=0),
        limit("logit", -1, 0, target=0, label_smoothing=0),
        limit("logit", -1, -1, slope=True, target=1, pos_weight=1, label_smoothing=0),
        limit("logit", 1, 1, slope=True, target=0, pos_weight=1, label_smoothing=0),
        least_at_mean("logit", "target", sigmoid=True, pos_weight=1, label_smoothing=0),
    ),
    conventions=(
        Convention("input", "takes the logit; losses that take a probability clip it and lose the tails."),
        Convention(
            "label smoothing",
            "y (1 - a) + a / 2, as in Keras; segmentation_models.pytorch's y (1 - a) + (1 - y) a is this at 2 a.",
        ),
        Convention("pos_weight", "multiplies the term of class 1 only, as in torch."),
    ),
    aliases=("logistic loss", "log loss", "sigmoid cross entropy", "BCEWithLogitsLoss"),
)
def binary_cross_entropy(
    logit: Expr = prediction(symbol="z", about="Raw score; its sigmoid is the probability of class 1."),
    target: Expr = data(symbol="y", domain=UNIT, about="The probability of class 1 that the data give."),
    *,
    pos_weight: Expr = parameter(1, above(0), symbol="w", about="Weight of the term of class 1."),
    label_smoothing: Expr = parameter(0, UNIT, symbol="a", about="The share of the target given to both classes."),
) -> Expr:
    """Negative log-likelihood of a binary target under the sigmoid of the logit.

    With neither weight nor smoothing it is least where the sigmoid equals the target. A logit that is far off on the
    wrong side costs in proportion to its size.
    """
    p = let("p", sigmoid(logit))
    t_1 = let("t_1", (1 - label_smoothing) * target + label_smoothing / 2)
    t_0 = let("t_0", (1 - label_smoothing) * (1 - target) + label_smoothing / 2)
    return -pos_weight * t_1 * log(p) - t_0 * log(1 - p)
