"""Regression errors: absolute, signed and squared."""

from __future__ import annotations

from symloss.language import (
    Abs,
    Convention,
    Expr,
    Reference,
    can_be_negative,
    convex,
    data,
    least_at,
    least_at_mean,
    least_at_quantile,
    let,
    lipschitz,
    loss,
    monotone,
    moved_together,
    nonnegative,
    piecewise,
    smooth,
    symmetric,
    unbounded_slope,
)  # fmt: skip
from symloss.language import prediction as predicted

WILLMOTT_2005 = Reference(
    r"""@article{willmott2005advantages,
  author = {Willmott, Cort J. and Matsuura, Kenji},
  title = {Advantages of the Mean Absolute Error ({MAE}) over the Root Mean Square Error ({RMSE}) in Assessing Average
           Model Performance},
  journal = {Climate Research},
  volume = {30},
  number = {1},
  pages = {79--82},
  year = {2005},
  doi = {10.3354/cr030079},
}""",
    url="https://doi.org/10.3354/cr030079",
)
WILLMOTT_1982 = Reference(
    r"""@article{willmott1982comments,
  author = {Willmott, Cort J.},
  title = {Some Comments on the Evaluation of Model Performance},
  journal = {Bulletin of the American Meteorological Society},
  volume = {63},
  number = {11},
  pages = {1309--1313},
  year = {1982},
  doi = {10.1175/1520-0477(1982)063<1309:SCOTEO>2.0.CO;2},
}""",
    url="https://doi.org/10.1175/1520-0477(1982)063%3C1309:SCOTEO%3E2.0.CO;2",
)
HASTIE_2009 = Reference(
    r"""@book{hastie2009elements,
  author = {Hastie, Trevor and Tibshirani, Robert and Friedman, Jerome},
  title = {The Elements of Statistical Learning: Data Mining, Inference, and Prediction},
  edition = {2},
  publisher = {Springer},
  year = {2009},
  doi = {10.1007/978-0-387-84858-7},
}""",
    url="https://doi.org/10.1007/978-0-387-84858-7",
)


@loss(
    title="Absolute error",
    family="regression",
    references=(WILLMOTT_2005,),
    claims=(
        nonnegative(),
        convex("prediction"),
        lipschitz("prediction", 1),
        symmetric("prediction", "target"),
        least_at("prediction", "target"),
        moved_together("prediction", "target"),
        least_at_quantile("prediction", "target"),
        smooth("prediction", 0),
        piecewise("prediction", 1),
    ),
    aliases=("MAE", "L1 loss", "mean absolute error"),
)
def absolute_error(
    prediction: Expr = predicted(symbol="x", about="What the model says."),
    target: Expr = data(symbol="y", about="What was observed."),
) -> Expr:
    """The distance of prediction and target.

    Its mean is least at the median, and every residual pulls with the same force.
    """
    r = let("r", prediction - target)
    return Abs(r)


@loss(
    title="Bias error",
    family="regression",
    references=(WILLMOTT_1982,),
    claims=(
        can_be_negative(),
        convex("prediction"),
        lipschitz("prediction", 1),
        monotone("prediction", rising=True),
        moved_together("prediction", "target"),
    ),
    conventions=(Convention("sign", "prediction minus target: positive means too high; some packages swap them."),),
    aliases=("MBE", "mean bias error"),
)
def bias_error(
    prediction: Expr = predicted(symbol="x", about="What the model says."),
    target: Expr = data(symbol="y", about="What was observed."),
) -> Expr:
    """Prediction minus target: a signed diagnostic.

    It is unbounded below, so it is reported and not minimised; errors of opposite sign cancel in its mean.
    """
    return prediction - target


@loss(
    title="Squared error",
    family="regression",
    references=(HASTIE_2009,),
    claims=(
        nonnegative(),
        convex("prediction"),
        symmetric("prediction", "target"),
        least_at("prediction", "target"),
        moved_together("prediction", "target"),
        unbounded_slope("prediction"),
        least_at_mean("prediction", "target"),
    ),
    conventions=(Convention("factor", "no factor 1/2; optax.l2_loss and the boosting libraries have one."),),
    aliases=("MSE", "L2 loss", "mean squared error"),
)
def squared_error(
    prediction: Expr = predicted(symbol="x", about="What the model says."),
    target: Expr = data(symbol="y", about="What was observed."),
) -> Expr:
    """The squared distance of prediction and target.

    Its mean is least at the mean; its gradient grows with the residual, so outliers pull hardest.
    """
    r = let("r", prediction - target)
    return r**2
