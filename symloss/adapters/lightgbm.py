"""LightGBM: objectives, metrics and starting scores, for its native and scikit-learn interfaces.

LightGBM ignores weights if an objective has two arguments, so ours for estimators have three. With an objective of
one's own it starts from 0: give the starting score as ``init_score``. Tested with LightGBM 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.constants import base_score
from symloss.adapters.curvature import FLOOR, check_rule, derivatives, trainable
from symloss.adapters.lightgbm_leaves import RefitLeaves
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array, Scored, check_estimator, check_native, scored

lightgbm = require("lightgbm", "lightgbm")

__all__ = ["EstimatorMetric", "EstimatorObjective", "Metric", "Objective", "RefitLeaves", "base_score", "init_score",
           "metric", "objective"]  # fmt: skip

_NATIVE = "the Dataset that lightgbm.train hands over"


@dataclass(frozen=True, eq=False)
class EstimatorObjective:
    """``(y_true, y_pred, weight)`` to gradient and Hessian: what ``LGBMRegressor(objective=...)`` takes."""

    scored: Scored
    rule: str
    floor: float

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[Array, Array]:
        """Return gradient and Hessian, or fail where they could not be trained on, or were asked for elsewhere."""
        check_estimator(self.scored.name, y_pred, "lightgbm.train")
        scores, target, weight = self.scored.arrange(y_pred, y_true, weight)
        found = derivatives(self.scored, self.rule, self.floor, scores, target, weight)
        return trainable(self.scored, self.rule, scores, *found)


@dataclass(frozen=True, eq=False)
class Objective:
    """``(preds, train_data)`` to gradient and Hessian: what ``params["objective"]`` takes."""

    estimator: EstimatorObjective

    def __call__(self, preds: Any, train_data: Any) -> tuple[Array, Array]:
        """Return gradient and Hessian, or fail where they could not be trained on, or were asked for elsewhere."""
        check_native(self.estimator.scored.name, train_data, _NATIVE)
        return self.estimator(train_data.get_label(), preds, train_data.get_weight())


@dataclass(frozen=True, eq=False)
class EstimatorMetric:
    """``(y_true, y_pred, weight)`` to name, mean loss and False, since less is better: an ``eval_metric``."""

    scored: Scored

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[str, float, bool]:
        """Return what the class says."""
        check_estimator(self.scored.name, y_pred, "lightgbm.train")
        return self.scored.name, float(self.scored.value(*self.scored.arrange(y_pred, y_true, weight))), False


@dataclass(frozen=True, eq=False)
class Metric:
    """``(preds, eval_data)`` to name, mean loss and False: what ``lightgbm.train(feval=...)`` takes."""

    estimator: EstimatorMetric

    def __call__(self, preds: Any, eval_data: Any) -> tuple[str, float, bool]:
        """Return what the class says."""
        check_native(self.estimator.scored.name, eval_data, _NATIVE)
        return self.estimator(eval_data.get_label(), preds, eval_data.get_weight())


def objective(
    loss: str | Loss, *, hessian: str = "exact", floor: float = FLOOR, sklearn_api: bool = False, **parameters: Any
) -> Objective | EstimatorObjective:
    """Return an objective.

    Parameters
    ----------
    loss : str or Loss
        An elementwise loss of a score and a target, or one of a score for each class and a label.
    hessian : str
        ``"exact"``, ``"clipped"``, ``"gauss_newton"`` or ``"lightgbm"``; `symloss.adapters.curvature` has the formulas.
    floor : float
        The lowest Hessian of ``"clipped"``, for a weight of 1.
    sklearn_api : bool
        Return what estimators take, not what ``lightgbm.train`` takes.
    **parameters
        Those of the loss.

    Returns
    -------
    callable
        It can be pickled. Called, it raises a ValueError where LightGBM would train on a NaN or a negative Hessian.

    Raises
    ------
    ValueError
        For an unknown loss or rule, or a loss of another form.
    TypeError
        For an unknown parameter.
    """
    bound = scored(loss, parameters)
    check_rule(bound, hessian, floor)
    estimator = EstimatorObjective(bound, hessian, floor)
    return estimator if sklearn_api else Objective(estimator)


def metric(loss: str | Loss, *, sklearn_api: bool = False, **parameters: Any) -> Metric | EstimatorMetric:
    """Return the mean loss as an evaluation metric of raw scores, which is what custom objectives come with.

    Parameters
    ----------
    loss, sklearn_api, **parameters
        As in `objective`.
    """
    estimator = EstimatorMetric(scored(loss, parameters))
    return estimator if sklearn_api else Metric(estimator)


def init_score(score: Any, samples: int) -> Array:
    """Return a starting score in the layout of ``Dataset(init_score=...)``.

    LightGBM's predictions leave it out: add it to ``predict(..., raw_score=True)``.

    Parameters
    ----------
    score : float or array
        As `base_score` returns it.
    samples : int
        The number of rows, n.

    Returns
    -------
    array
        ``(n,)`` or ``(n, c)``.
    """
    return np.broadcast_to(score, (samples, *np.shape(score))).copy()
