"""Huber and smooth L1: quadratic near the target, linear away from it."""

from __future__ import annotations

from symloss.language import (
    Abs,
    Convention,
    Expr,
    Reference,
    above,
    approaches,
    choose,
    convex,
    data,
    equals,
    equals_formula,
    least_at,
    let,
    lipschitz,
    loss,
    moved_together,
    multiple_of,
    nonnegative,
    parameter,
    smooth,
    steepest,
    symmetric,
)  # fmt: skip
from symloss.language import prediction as predicted

HUBER_1964 = Reference(
    r"""@article{huber1964robust,
  author = {Huber, Peter J.},
  title = {Robust Estimation of a Location Parameter},
  journal = {The Annals of Mathematical Statistics},
  volume = {35},
  number = {1},
  pages = {73--101},
  year = {1964},
  doi = {10.1214/aoms/1177703732},
}""",
    url="https://doi.org/10.1214/aoms/1177703732",
)
GIRSHICK_2015 = Reference(
    r"""@inproceedings{girshick2015fast,
  author = {Girshick, Ross},
  title = {Fast {R-CNN}},
  booktitle = {Proceedings of the IEEE International Conference on Computer Vision},
  pages = {1440--1448},
  year = {2015},
  doi = {10.1109/ICCV.2015.169},
}""",
    url="https://arxiv.org/abs/1504.08083",
)


@loss(
    title="Huber loss",
    family="regression",
    references=(HUBER_1964,),
    claims=(
        nonnegative(),
        convex("prediction"),
        lipschitz("prediction", 1, delta=1),
        symmetric("prediction", "target"),
        least_at("prediction", "target"),
        moved_together("prediction", "target"),
        multiple_of("smooth_l1", "delta", beta="delta"),
        smooth("prediction", 1),
        steepest("prediction", "delta"),
        equals_formula("squared_error / 2", "abs(prediction - target) <= delta"),
        equals_formula("delta * (absolute_error - delta / 2)", "abs(prediction - target) >= delta"),
        approaches("absolute_error", "delta", 0, over="delta"),
        approaches("squared_error / 2", "delta", float("inf")),
    ),
    conventions=(
        Convention("boundary", "a residual of exactly delta counts as inside: the Hessian there is 1; torch's is 0."),
        Convention("name", "Paddle's smooth_l1_loss is this loss unless told otherwise."),
    ),
)
def huber(
    prediction: Expr = predicted(symbol="x", about="What the model says."),
    target: Expr = data(symbol="y", about="What was observed."),
    *,
    delta: Expr = parameter(1, above(0), symbol=r"\delta", about="Where the square turns into a line."),
) -> Expr:
    """Half the squared residual within delta, a line of slope delta beyond.

    The two meet with the same slope. One outlier pulls with a force of at most delta.
    """
    r = let("r", prediction - target)
    return choose(Abs(r) <= delta, r**2 / 2, delta * (Abs(r) - delta / 2))


@loss(
    title="Smooth L1 loss",
    family="regression",
    references=(GIRSHICK_2015, HUBER_1964),
    claims=(
        nonnegative(),
        convex("prediction"),
        lipschitz("prediction", 1),
        symmetric("prediction", "target"),
        equals("huber", {"beta": 1}, {"delta": 1}),
        multiple_of("huber", "1/beta", delta="beta"),
        least_at("prediction", "target"),
        moved_together("prediction", "target"),
        smooth("prediction", 1),
        steepest("prediction", "1"),
        approaches("absolute_error", "beta", 0),
    ),
    conventions=(Convention("beta", "above 0; torch accepts 0 and returns the absolute error."),),
)
def smooth_l1(
    prediction: Expr = predicted(symbol="x", about="What the model says."),
    target: Expr = data(symbol="y", about="What was observed."),
    *,
    beta: Expr = parameter(1, above(0), symbol=r"\beta", about="Where the parabola turns into a line of slope 1."),
) -> Expr:
    """The absolute error with its corner rounded within beta.

    It is the Huber loss divided by its delta, so the slope far out is 1 whatever beta is.
    """
    r = let("r", prediction - target)
    return choose(Abs(r) <= beta, r**2 / (2 * beta), Abs(r) - beta / 2)
