"""XGBoost: objectives, metrics and starting scores, for its native, scikit-learn and Dask interfaces.

XGBoost keeps ``base_score`` at 0.5 with an objective of one's own, so set it: ``{"base_score": base_score(...)}``.
It hands over raw scores and float32 labels, and accepts NaN and negative Hessians in silence; we do not.
Tested with XGBoost 3.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.constants import base_score, optimal_constant
from symloss.adapters.curvature import FLOOR, check_rule, derivatives, trainable
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array, Scored, check_estimator, check_native, residual_shape, scored

xgboost = require("xgboost", "xgboost")
_Callback: Any = xgboost.callback.TrainingCallback

__all__ = [
    "EstimatorMetric",
    "EstimatorObjective",
    "Metric",
    "Objective",
    "RefitLeaves",
    "base_score",
    "metric",
    "objective",
]

_NATIVE = "the DMatrix that xgboost.train hands over"


@dataclass(frozen=True, eq=False)
class EstimatorObjective:
    """``(y_true, y_pred, sample_weight)`` to gradient and Hessian: what ``XGBRegressor(objective=...)`` takes."""

    scored: Scored
    rule: str
    floor: float

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Return gradient and Hessian, or fail where they could not be trained on, or were asked for elsewhere."""
        check_estimator(self.scored.name, y_pred, "xgboost.train")
        scores, target, weight = self.scored.arrange(y_pred, y_true, sample_weight)
        found = derivatives(self.scored, self.rule, self.floor, scores, target, weight)
        return trainable(self.scored, self.rule, scores, *found)


@dataclass(frozen=True, eq=False)
class Objective:
    """``(preds, dtrain)`` to gradient and Hessian: what ``xgboost.train(obj=...)`` takes."""

    estimator: EstimatorObjective

    def __call__(self, preds: Any, dtrain: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Return gradient and Hessian, or fail where they could not be trained on, or were asked for elsewhere.

        Weights are for estimators, which pass them by name, to come as far as our message.
        """
        check_native(self.estimator.scored.name, dtrain, _NATIVE)
        return self.estimator(dtrain.get_label(), preds, dtrain.get_weight())


@dataclass(frozen=True, eq=False)
class EstimatorMetric:
    """``(y_true, y_pred, sample_weight)`` to the mean loss: what ``XGBRegressor(eval_metric=...)`` takes."""

    scored: Scored

    @property
    def __name__(self) -> str:  # XGBoost prints it
        return self.scored.name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return what the class says."""
        check_estimator(self.scored.name, y_pred, "xgboost.train")
        return float(self.scored.value(*self.scored.arrange(y_pred, y_true, sample_weight)))


@dataclass(frozen=True, eq=False)
class Metric:
    """``(preds, dmatrix)`` to name and mean loss: what ``xgboost.train(custom_metric=...)`` takes."""

    estimator: EstimatorMetric

    @property
    def __name__(self) -> str:  # an estimator asks for it before it calls, and then gets our message
        return self.estimator.scored.name

    def __call__(self, preds: Any, dmatrix: Any, sample_weight: Any = None) -> tuple[str, float]:
        """Return what the class says; weights are for estimators, as in `Objective`."""
        check_native(self.estimator.scored.name, dmatrix, _NATIVE)
        found = self.estimator(dmatrix.get_label(), preds, dmatrix.get_weight())
        return self.estimator.scored.name, found


def objective(
    loss: str | Loss, *, hessian: str = "exact", floor: float = FLOOR, sklearn_api: bool = False, **parameters: Any
) -> Objective | EstimatorObjective:
    """Return an objective.

    Parameters
    ----------
    loss : str or Loss
        An elementwise loss of a score and a target, or one of a score for each class and a label.
    hessian : str
        ``"exact"``, ``"clipped"``, ``"gauss_newton"`` or ``"xgboost"``; `symloss.adapters.curvature` has the formulas.
    floor : float
        The lowest Hessian of ``"clipped"``, for a weight of 1.
    sklearn_api : bool
        Return what estimators take, not what ``xgboost.train`` takes.
    **parameters
        Those of the loss.

    Returns
    -------
    callable
        It can be pickled. Called, it raises a ValueError where XGBoost would train on a NaN or a negative Hessian.

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


class RefitLeaves(_Callback):
    """A callback that sets the leaves of each new tree to the best constants for the residuals of their samples.

    XGBoost does so for its own ``reg:absoluteerror`` only. Newton's steps say nothing where a Hessian is 0, so losses
    such as ``absolute_error`` need it. The model is written and read again each round: for small and middling data.

    Parameters
    ----------
    loss : str or Loss
        A loss of prediction minus target.
    data : DMatrix
        What is trained on.
    **parameters
        Those of the loss.

    Raises
    ------
    ValueError
        For an unknown loss, or one of another form; in training, for more than one tree a round.
    TypeError
        For an unknown parameter.
    """

    def __init__(self, loss: str | Loss, data: Any, **parameters: Any) -> None:
        super().__init__()
        self.scored, self.data = scored(loss, parameters), data
        if not residual_shape(self.scored)[0]:
            message = f"{self.scored.name}: leaves are refitted for losses of prediction minus target only"
            raise ValueError(message)
        self.before: Array = np.empty(0)

    def before_training(self, model: Any) -> Any:
        """Keep the scores that the first tree starts from."""
        self.before = model.predict(self.data, output_margin=True)
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Refit the newest tree; return False, so that training goes on."""
        target, weight = self.data.get_label().astype(np.float64), self.data.get_weight()
        settings, content = model.save_config(), json.loads(model.save_raw("json"))
        booster = json.loads(settings)["learner"]["gradient_booster"]
        trees = content["learner"]["gradient_booster"]["model"]["trees"]
        if len(trees) != model.num_boosted_rounds():
            message = f"{self.scored.name}: leaves are refitted for one tree a round, got {len(trees)} trees"
            raise ValueError(message)
        rate = float(booster["tree_train_param"]["learning_rate"])
        leaves = model.predict(self.data, pred_leaf=True).reshape(len(target), -1)[:, -1].astype(np.int64)
        for leaf in np.unique(leaves):
            inside = leaves == leaf
            some = weight[inside] if weight.size else None
            found = optimal_constant(self.scored, target[inside] - self.before[inside], some)
            trees[-1]["split_conditions"][leaf] = trees[-1]["base_weights"][leaf] = rate * found.score
        model.load_model(bytearray(json.dumps(content).encode()))
        model.load_config(settings)  # reading a model forgets how it was trained
        self.before = model.predict(self.data, output_margin=True)
        return False
