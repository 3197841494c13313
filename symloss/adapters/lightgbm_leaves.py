"""LightGBM: leaves refitted to the best constants of their samples, as it does for its own absolute error only.

No callback reaches the scores that LightGBM keeps while it trains, so scores are kept here, and the objective derives
from them: what LightGBM hands over is read once, for the starting scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.constants import optimal_constant
from symloss.adapters.curvature import FLOOR, check_rule, derivatives, trainable
from symloss.adapters.scores import Array, residual_shape, scored

CENTRES = ("best", "lightgbm")


class RefitLeaves:
    """A callback that sets the leaves of each new tree to the best constants, and the objective that goes with it.

    ``lightgbm.train({"objective": refit.objective, ...}, data, callbacks=[refit])`` trains once. Newton's steps say
    nothing where a Hessian is 0, so losses such as ``absolute_error`` need it. All rows count, those that bagging left
    out too.

    Parameters
    ----------
    loss : str or Loss
        A loss of prediction minus target.
    features : array
        What is trained on, as the dataset was made of it.
    hessian, floor
        As in `symloss.adapters.lightgbm.objective`.
    centre : str
        ``"best"``: the certified constant; ``"lightgbm"``, for ``absolute_error``: the median as LightGBM's own
        objective takes it, which with weights interpolates between samples.
    **parameters
        Those of the loss.

    Raises
    ------
    ValueError
        For an unknown loss, rule or centre, or a loss of another form; in training, for sets to evaluate on, whose
        scores could not be kept right.
    TypeError
        For an unknown parameter.
    """

    order = 30
    before_iteration = False

    def __init__(
        self, loss: str | Loss, features: Any, *, hessian: str = "exact", floor: float = FLOOR, centre: str = "best",
        **parameters: Any,
    ) -> None:  # fmt: skip
        self.scored, self.features = scored(loss, parameters), features
        self.rule, self.floor, self.centre = hessian, floor, centre
        check_rule(self.scored, hessian, floor)
        name = self.scored.name
        if centre not in CENTRES or (centre == "lightgbm" and name != "absolute_error"):
            message = f"{name}: centre must be 'best', or 'lightgbm' for absolute_error, got {centre!r}"
            raise ValueError(message)
        if not residual_shape(self.scored)[0]:
            message = f"{name}: leaves are refitted for losses of prediction minus target only"
            raise ValueError(message)
        self.scores: Array | None = None
        self.target: Array = np.empty(0)
        self.weight: Array | None = None

    def __deepcopy__(self, _memo: Any) -> RefitLeaves:
        """Return the same: LightGBM copies its settings, and objective and callback must stay one."""
        return self

    def objective(self, preds: Any, train_data: Any) -> tuple[Array, Array]:
        """Return gradient and Hessian at the scores of the refitted trees."""
        if self.scores is None:
            self.scores = np.array(preds, dtype=np.float64)
            scores, target, weight = self.scored.arrange(self.scores, train_data.get_label(), train_data.get_weight())
            self.target, self.weight = target.astype(np.float64), weight
        scores = self.scores
        found = derivatives(self.scored, self.rule, self.floor, scores, self.target, self.weight)
        return trainable(self.scored, self.rule, scores, *found)

    def __call__(self, env: Any) -> None:
        """Refit the newest tree."""
        if env.evaluation_result_list:
            message = f"{self.scored.name}: sets to evaluate on would keep the scores of leaves that are not refitted"
            raise ValueError(message)
        booster, newest = env.model, env.model.num_trees() - 1
        if self.scores is None or newest < env.iteration - env.begin_iteration:  # no tree was grown
            return
        (tree,) = booster.dump_model(start_iteration=newest, num_iteration=1)["tree_info"]
        leaves = booster.predict(self.features, start_iteration=newest, num_iteration=1, pred_leaf=True)
        leaves = np.asarray(leaves).reshape(len(self.target)).astype(np.int64)
        residual = self.target - self.scores
        for leaf in np.unique(leaves):
            inside = leaves == leaf
            some = None if self.weight is None else self.weight[inside]
            value = tree["shrinkage"] * self._constant(residual[inside], some)
            booster.set_leaf_output(newest, int(leaf), value)
            self.scores[inside] += value

    def _constant(self, residual: Array, weight: Array | None) -> float:
        if self.centre == "lightgbm":
            return _median(residual, weight)
        return float(optimal_constant(self.scored, residual, weight).score)


def _median(residual: Array, weight: Array | None) -> float:
    """Return a median as LightGBM takes it: with weights, the sample below half of them, or a point above that sample.

    Where the next sample weighs 1 or more it lies on the line between the two, as far along as half of them does.
    """
    if weight is None:
        return float(np.median(residual))
    order = np.argsort(residual, kind="stable")
    below = np.cumsum(weight[order], dtype=np.float64)
    half = 0.5 * below[-1]
    place = int(np.searchsorted(below, half, side="right"))
    if place in (0, len(order) - 1):
        return float(residual[order[place]])
    before, here = residual[order[place - 1]], residual[order[place]]
    step = below[place] - below[place - 1]
    return float(before + (half - below[place - 1]) / step * (here - before)) if step >= 1.0 else float(before)
