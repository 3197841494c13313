"""CatBoost: objectives, metrics and starting scores for ``CatBoost(loss_function=..., eval_metric=...)``.

CatBoost wants derivatives of minus the loss, and for several classes one call for each row with the whole Hessian.
Say ``leaf_estimation_method``: ``"Newton"`` uses our Hessian, ``"Gradient"`` does without. It starts from 0: give the
starting score as ``Pool(baseline=...)``. Tested with CatBoost 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.constants import base_score
from symloss.adapters.curvature import FLOOR, check_rule, derivatives, trainable
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array, as_labels, scored

catboost = require("catboost", "catboost")

__all__ = ["Metric", "Objective", "base_score", "baseline"]

_NEGATIVE = -1e-9
"""An eigenvalue of the Hessian of one row above this counts as 0, relative to the largest."""


class Objective:
    """A loss as CatBoost's ``loss_function``.

    Parameters
    ----------
    loss : str or Loss
        An elementwise loss of a score and a target, or one of a score for each class and a label.
    hessian : str
        ``"exact"``, ``"clipped"`` or ``"gauss_newton"``; `symloss.adapters.curvature` has the formulas. For classes the
        Hessian of a row is a matrix: ``"clipped"`` lifts its eigenvalues to the floor, ``"gauss_newton"`` is
        w g gᵀ / (2 ℓ).
    floor : float
        The lowest Hessian of ``"clipped"``, for a weight of 1.
    **parameters
        Those of the loss.

    Raises
    ------
    ValueError
        For an unknown loss or rule, or a loss of another form; in training, for a NaN or a negative Hessian.
    TypeError
        For an unknown parameter.
    """

    no_jit = True  # CatBoost would try to compile the methods, and warn that it cannot

    def __init__(self, loss: str | Loss, *, hessian: str = "exact", floor: float = FLOOR, **parameters: Any) -> None:
        self._scored, self._rule, self._floor = scored(loss, parameters), hessian, floor
        check_rule(self._scored, hessian, floor)
        if hessian not in ("exact", "clipped", "gauss_newton"):
            message = (
                f"{self._scored.name}: hessian={hessian!r} is not for CatBoost; its own Hessians are the exact ones"
            )
            raise ValueError(message)

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Array:
        """Return, for each sample, first and second derivative of minus the loss: ``(n, 2)``."""
        if self._scored.rowwise:
            message = f"{self._scored.name}: CatBoost took it for a loss of one score; set classes_count"
            raise ValueError(message)
        scores, target, weight = self._scored.arrange(approxes, targets, weights)
        found = derivatives(self._scored, self._rule, self._floor, scores, target, weight)
        gradient, hessian = trainable(self._scored, self._rule, scores, *found, flat=True)
        both = np.empty((len(gradient), 2))
        np.negative(gradient, out=both[:, 0])
        np.negative(hessian, out=both[:, 1])
        return both

    def calc_ders_multi(self, approxes: Any, target: Any, weight: Any) -> tuple[Array, Array]:
        """Return, for one sample, gradient ``(c,)`` and Hessian ``(c, c)`` of minus the loss."""
        if not self._scored.rowwise:
            message = f"{self._scored.name}: CatBoost took it for a loss of several scores; it is one of a single score"
            raise ValueError(message)
        scores = np.atleast_2d(np.asarray(approxes, dtype=np.float64))
        label = as_labels(self._scored.name, np.atleast_1d(target))
        loss, parameters = self._scored.loss, self._scored.parameters
        value, gradient = loss.value_and_gradient(scores, label, reduction="sum", **parameters)
        if self._rule == "gauss_newton" and value > 0:
            hessian = gradient.T @ gradient / (2 * value)
        else:
            classes = scores.shape[1]
            hessian = loss.hessian_product(
                np.tile(scores, (classes, 1)), np.tile(label, classes), direction=np.eye(classes), reduction="sum",
                **parameters,
            )  # fmt: skip
            hessian = self._semidefinite(0.5 * (hessian + hessian.T), scores)
        trainable(self._scored, self._rule, scores, gradient, np.abs(hessian), flat=True)
        scale = 1.0 if weight is None else float(weight)
        return -scale * gradient[0], -scale * hessian

    def _semidefinite(self, hessian: Array, scores: Array) -> Array:
        """Return a row's Hessian, or fail where it has a negative eigenvalue that no rule lifts."""
        if not np.isfinite(hessian).all():
            return hessian  # refused with the rest
        if self._rule == "exact":
            bends = np.linalg.eigvalsh(hessian)
            if bends[0] < _NEGATIVE * max(1.0, float(bends[-1])):
                message = (
                    f"{self._scored.name}: the Hessian has the eigenvalue {bends[0].item()!r} where the scores are "
                    f"{scores[0].tolist()}; training with hessian='exact' needs none below 0; use hessian='clipped' or "
                    "'gauss_newton'"
                )
                raise ValueError(message)
            return hessian
        bends, basis = np.linalg.eigh(hessian)
        return np.asarray((basis * np.maximum(bends, self._floor if self._rule == "clipped" else 0.0)) @ basis.T)


class Metric:
    """The mean loss as CatBoost's ``eval_metric``.

    Parameters
    ----------
    loss, **parameters
        As in `Objective`.
    """

    no_jit = True

    def __init__(self, loss: str | Loss, **parameters: Any) -> None:
        self._scored = scored(loss, parameters)

    def is_max_optimal(self) -> bool:
        """Less is better."""
        return False

    def evaluate(self, approxes: Sequence[Any], target: Any, weight: Any) -> tuple[float, float]:
        """Return the weighted sum of the loss and that of the weights."""
        scores = np.stack([np.asarray(a, dtype=np.float64) for a in approxes], axis=1)
        scores, target, weight = self._scored.arrange(scores if self._scored.rowwise else scores[:, 0], target, weight)
        total = self._scored.value(scores, target, weight, reduction="sum")
        return float(total), float(len(target) if weight is None else weight.sum())

    def get_final_error(self, error: float, weight: float) -> float:
        """Return the mean."""
        return error / weight if weight else float("nan")


def baseline(score: Any, samples: int) -> Array:
    """Return a starting score in the layout of ``Pool(baseline=...)``; predictions leave it out.

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
