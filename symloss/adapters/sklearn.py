"""scikit-learn: losses for HistGradientBoostingRegressor and HistGradientBoostingClassifier.

These take a ``loss=`` that is an instance of ``sklearn._loss.loss.BaseLoss``. That class is private: it may change with
any release. Tested with scikit-learn 1.9; its own tests of loss instances pass on ours (see ``docs/adapters.md``).
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.constants import optimal_constant
from symloss.adapters.curvature import FLOOR, check_rule, derivatives, trainable
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array, Scored, residual_shape, scored

_BaseLoss: Any = require("sklearn._loss.loss", "sklearn").BaseLoss
_link = require("sklearn._loss.link", "sklearn")
_is_classifier: Any = require("sklearn.base", "sklearn").is_classifier

__all__ = ["HistLoss", "HistProbabilities", "loss"]

_FAR = 750.0
"""A logit beyond which a probability is 0 or 1 in float64."""


class HistLoss(_BaseLoss):
    """A loss as HistGradientBoosting wants it; made by `loss`.

    Arrays may be float32 or float64, read-only, in any order; outputs may have another dtype than inputs. Weights
    multiply what is computed without them, so that negative ones are allowed, as in scikit-learn.

    Parameters
    ----------
    scored : Scored
        The loss and its parameters.
    rule : str
        Which Hessian; see `symloss.adapters.curvature`.
    floor : float
        The lowest Hessian of ``"clipped"``.
    n_classes : int, optional
        For a loss with labels.
    refit : bool
        Set leaves to the best constant for their samples, once a tree is grown.
    """

    def __init__(self, scored: Scored, rule: str, floor: float, n_classes: int | None, refit: bool) -> None:
        probability = _takes_probabilities(scored)
        link = (
            _link.MultinomialLogit() if scored.rowwise else _link.LogitLink() if probability else _link.IdentityLink()
        )
        super().__init__(closs=None, link=link, n_classes=2 if probability else n_classes)
        self.scored, self.rule, self.floor = scored, rule, floor
        self.is_multiclass = scored.rowwise
        self.approx_hessian = rule != "exact"
        self.differentiable = not refit  # to scikit-learn this says whether leaves are final
        self.interval_y_true = _interval(scored, n_classes)

    def in_y_true_range(self, y: Any) -> bool:
        """Tell whether targets lie in the domain; labels must be whole too."""
        inside = bool(self.interval_y_true.includes(y))
        return inside and (not self.is_multiclass or bool(np.all(np.asarray(y).astype(int) == y)))

    def _arranged(self, y_true: Any, raw: Any) -> tuple[Array, Array]:
        scores, target, _ = self.scored.arrange(_squeezed(raw), y_true)
        return scores, target

    def loss(self, y_true: Any, raw_prediction: Any, sample_weight: Any = None, loss_out: Any = None,
             n_threads: int = 1) -> Array:  # fmt: skip
        """Return the weighted loss of each sample, as scikit-learn's own losses do."""
        value = self.scored.value(*self._arranged(y_true, raw_prediction), reduction="none")
        return _deliver(value, sample_weight, loss_out)

    def loss_gradient(self, y_true: Any, raw_prediction: Any, sample_weight: Any = None, loss_out: Any = None,
                      gradient_out: Any = None, n_threads: int = 1) -> tuple[Array, Array]:  # fmt: skip
        """Return loss and gradient of each sample."""
        scores, target = self._arranged(y_true, raw_prediction)
        found, parameters = self.scored.loss, self.scored.parameters
        value, gradient = found.value_and_gradient(scores, target, reduction="none", **parameters)
        return _deliver(value, sample_weight, loss_out), _deliver(gradient, sample_weight, gradient_out)

    def gradient(self, y_true: Any, raw_prediction: Any, sample_weight: Any = None, gradient_out: Any = None,
                 n_threads: int = 1) -> Array:  # fmt: skip
        """Return the gradient of each sample."""
        scores, target = self._arranged(y_true, raw_prediction)
        gradient = self.scored.loss.gradient(scores, target, reduction="sum", **self.scored.parameters)
        return _deliver(gradient, sample_weight, gradient_out)

    def gradient_hessian(self, y_true: Any, raw_prediction: Any, sample_weight: Any = None, gradient_out: Any = None,
                         hessian_out: Any = None, n_threads: int = 1) -> tuple[Array, Array]:  # fmt: skip
        """Return gradient and Hessian of each sample.

        Raises
        ------
        ValueError
            For a result that is not finite, or a Hessian below 0: HistGradientBoosting would go on in silence.
        """
        scores, target = self._arranged(y_true, raw_prediction)
        found = derivatives(self.scored, self.rule, self.floor, scores, target, None)
        gradient, hessian = trainable(self.scored, self.rule, scores, *found, flat=True)
        return _deliver(gradient, sample_weight, gradient_out), _deliver(hessian, sample_weight, hessian_out)

    def fit_intercept_only(self, y_true: Any, sample_weight: Any = None) -> Any:
        """Return the best constant raw score, certified; where none is finite, scikit-learn's clipped one.

        Raises
        ------
        ValueError
            Where no finite score is best and scores are no logits; in the ``fit`` of an estimator that this loss is not
            for, or with another number of classes.
        """
        y_true = np.asarray(y_true)
        estimator = _asking()
        if estimator is not None and (wrong := _misfit(self, estimator)) is not None:
            message = f"{self.scored.name}: {type(estimator).__name__} {wrong}"
            raise ValueError(message)
        dtype = y_true.dtype if y_true.dtype.kind == "f" else np.dtype(np.float64)
        try:
            score = optimal_constant(self.scored, y_true, sample_weight, self.n_classes).score
        except ValueError:
            if not isinstance(self.link, _link.LogitLink | _link.MultinomialLogit):
                raise
            score = self._clipped_intercept(y_true.astype(np.float64), sample_weight)
        return np.asarray(score, dtype)[()]

    def _clipped_intercept(self, y_true: Array, sample_weight: Any) -> Any:
        if not self.is_multiclass:
            return super().fit_intercept_only(y_true, sample_weight)
        classes = np.arange(self.n_classes)
        share = np.array([np.average(y_true == k, weights=sample_weight) for k in classes])
        tiny = np.finfo(np.float64).eps
        return self.link.link(np.clip(share, tiny, 1 - tiny)[None, :]).reshape(-1)

    def constant_to_optimal_zero(self, y_true: Any, sample_weight: Any = None) -> Array:
        """Return minus the least loss that each target allows: what makes a perfect prediction cost 0."""
        y_true = np.asarray(y_true)
        least = np.zeros_like(y_true, dtype=y_true.dtype if y_true.dtype.kind == "f" else np.float64)
        if isinstance(self.link, _link.LogitLink):
            with np.errstate(divide="ignore"):
                best = np.clip(self.link.link(y_true), -_FAR, _FAR)
            least = -self.loss(y_true, best)
        return least if sample_weight is None else least * sample_weight


class HistProbabilities(HistLoss):
    """A loss of logits, which are probabilities on another scale; made by `loss`."""

    def predict_proba(self, raw_prediction: Any) -> Array:
        """Return the probability of each class."""
        raw = _squeezed(raw_prediction)
        if self.is_multiclass:
            return np.asarray(self.link.inverse(raw))
        right = self.link.inverse(raw)
        return np.column_stack([1 - right, right])


def loss(
    name: str | Loss,
    *,
    hessian: str = "exact",
    floor: float = FLOOR,
    n_classes: int | None = None,
    refit: bool | None = None,
    **parameters: Any,
) -> HistLoss:
    """Return a loss for ``HistGradientBoostingRegressor(loss=...)`` or ``HistGradientBoostingClassifier(loss=...)``.

    Parameters
    ----------
    name : str or Loss
        An elementwise loss of a prediction and a target, or one of a score for each class and a label.
    hessian : str
        ``"exact"``, ``"clipped"``, ``"gauss_newton"`` or ``"sklearn"``; `symloss.adapters.curvature` has the formulas.
    floor : float
        The lowest Hessian of ``"clipped"``.
    n_classes : int, optional
        Needed for a loss with labels.
    refit : bool, optional
        Set leaves to the best constant for the residuals of their samples. It needs a loss of prediction minus
        target; there it is the default unless the Hessian is positive everywhere.
    **parameters
        Those of the loss.

    Returns
    -------
    HistLoss
        It can be pickled and cloned; for logits one with ``predict_proba``, which a classifier needs.

    Raises
    ------
    ValueError
        For an unknown loss or rule, a loss of another form, or `n_classes` out of place.
    TypeError
        For an unknown parameter.
    """
    bound = scored(name, parameters)
    check_rule(bound, hessian, floor)
    if bound.rowwise != (n_classes is not None):
        expected = "n_classes must be given, since it has labels" if bound.rowwise else "n_classes must be left out"
        message = f"{bound.name}: {expected}, got {n_classes!r}"
        raise ValueError(message)
    of_residuals, curved = residual_shape(bound)
    if refit and not of_residuals:
        message = f"{bound.name}: refit=True needs a loss of prediction minus target"
        raise ValueError(message)
    kind = HistProbabilities if bound.rowwise or _takes_probabilities(bound) else HistLoss
    return kind(bound, hessian, floor, n_classes, of_residuals and not curved if refit is None else refit)


def _takes_probabilities(scored: Scored) -> bool:
    """Tell whether targets are probabilities or 0 and 1, so that scores are logits."""
    domain = scored.loss.spec.inputs[1].domain
    match domain:
        case {"kind": "interval", "low": low, "high": high}:
            return (low, high) == (0.0, 1.0)
        case {"kind": "set", "values": values}:
            return set(values) == {0, 1}
    return False


def _asking() -> Any:
    """Return the estimator that is being fitted and called the method that calls this, or None.

    Estimators do not tell a loss who asks. The best constant is the first that they ask for; what comes after it, where
    the loss is of another kind, are NumPy's complaints about shapes.
    """
    frame = inspect.currentframe()
    for _ in range(2):
        frame = None if frame is None else frame.f_back
    found = None if frame is None else frame.f_locals.get("self")
    return found if hasattr(found, "n_trees_per_iteration_") else None


def _misfit(loss: HistLoss, estimator: Any) -> str | None:
    """Return what an estimator needs and a loss is not, or None where they go together."""
    scores = loss.n_classes
    if not _is_classifier(estimator):
        one = f"needs a loss of one score a sample, got one of {scores} scores, for HistGradientBoostingClassifier"
        return one if loss.is_multiclass else None
    if not isinstance(loss, HistProbabilities):
        logits = "needs a loss of logits, such as binary_cross_entropy, got one without predict_proba"
        return f"{logits}, for HistGradientBoostingRegressor"
    classes = len(estimator.classes_)
    if not loss.is_multiclass:
        several = f"needs a loss of {classes} scores for {classes} classes, such as softmax_cross_entropy"
        return f"{several}, got one of a single logit" if classes > 2 else None
    if classes <= 2:
        single = "needs a loss of a single logit for two classes, such as binary_cross_entropy"
        return f"{single}, got one of {scores} scores"
    return None if classes == scores else f"needs n_classes={classes} for {classes} classes, got n_classes={scores}"


def _interval(scored: Scored, n_classes: int | None) -> Any:
    """Return where targets may lie."""
    match scored.loss.spec.inputs[1].domain:
        case _ if n_classes is not None:
            return _link.Interval(0, n_classes - 1, True, True)
        case {"kind": "set", "values": values}:
            return _link.Interval(min(values), max(values), True, True)
        case {"kind": "interval", "low": low, "high": high, "low_open": left, "high_open": right}:
            return _link.Interval(low, high, not left, not right)
    return _link.Interval(-np.inf, np.inf, False, False)


def _squeezed(raw: Any) -> Array:
    raw = np.asarray(raw)
    return np.asarray(raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw)


def _deliver(found: Array, weight: Any, out: Any) -> Array:
    """Return a result times the weights, in the caller's array if there is one."""
    if weight is not None:
        weight = np.asarray(weight)
        found = found * (weight if found.ndim == 1 else weight[:, None])
    if out is None:
        return found
    out[...] = found if out.ndim == found.ndim else found[:, None]
    result: Array = out
    return result
