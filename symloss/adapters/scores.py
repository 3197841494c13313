"""Scores: a loss with its parameters, as boosting sees it. One raw score (or one for each class) meets one target.

The layouts and label types of the libraries come in; arrays that the loss takes go out. Everything the adapters of
XGBoost, LightGBM, CatBoost and scikit-learn share about a loss is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss import Loss, load
from symloss.runtime.spec import Spec

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Scored:
    """A loss of one prediction and one target, its parameters fixed.

    Parameters
    ----------
    loss : Loss
        The loss.
    parameters : mapping
        Its parameters, by name.
    """

    loss: Loss
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the loss."""
        return self.loss.name

    @property
    def rowwise(self) -> bool:
        """Whether a sample has a score for each class, and a label."""
        return not self.loss.spec.elementwise

    def arrange(self, scores: Any, target: Any, weight: Any = None) -> tuple[Array, Array, Array | None]:
        """Return scores, target and weights as the loss takes them.

        Parameters
        ----------
        scores : array_like
            ``(n,)`` or ``(n, 1)`` for an elementwise loss (``(n, k)`` with a target of as many entries is k targets
            a row); ``(n, c)`` for one with labels.
        target : array_like
            ``(n,)``; labels may come as whole floats, as the libraries store them.
        weight : array_like, optional
            ``(n,)``; an empty array counts as none.

        Raises
        ------
        ValueError
            For shapes that do not belong together, or labels that are not whole.
        """
        scores, target = np.asarray(scores), np.asarray(target)
        weight = None if weight is None or np.size(weight) == 0 else np.asarray(weight)
        if self.rowwise:
            if scores.ndim != 2:
                message = f"{self.name}: scores must have shape (n, c), got {scores.shape}; is num_class set?"
                raise ValueError(message)
            target = as_labels(self.name, target)
        elif scores.ndim < 2:
            if target.shape != scores.shape:
                message = f"{self.name}: {scores.size} scores need as many targets, got {target.shape}"
                raise ValueError(message)
        else:
            if target.size != scores.size:
                message = (
                    f"{self.name}: scores of shape {scores.shape} need as many targets, got {target.shape}; "
                    "this loss takes one score a sample"
                )
                raise ValueError(message)
            target = target.reshape(scores.shape)
            weight = None if weight is None else weight.reshape(-1, 1)
        return scores, target, weight

    def value(self, scores: Array, target: Array, weight: Array | None = None, reduction: str = "mean") -> Any:
        """Return the loss of arranged arrays."""
        return self.loss.value(scores, target, reduction=reduction, sample_weight=weight, **self.parameters)

    def derivatives(self, scores: Array, target: Array, weight: Array | None = None) -> tuple[Array, Array]:
        """Return gradient and exact Hessian diagonal of the sum."""
        return self.loss.gradient_and_hessian(  # type: ignore[no-any-return] # one input, so two arrays
            scores, target, reduction="sum", sample_weight=weight, **self.parameters
        )


def scored(loss: str | Loss, parameters: Mapping[str, Any]) -> Scored:
    """Return a loss with its parameters, checked to be one of a prediction and a target.

    Parameters
    ----------
    loss : str or Loss
        A name, or a loss loaded from one's own definitions.
    parameters : mapping
        Its parameters.

    Raises
    ------
    ValueError
        Where the loss has another form, or its name or a parameter is not known.
    TypeError
        Where a parameter is of a wrong kind.
    """
    found = loss if isinstance(loss, Loss) else load(loss)
    check_form(found.spec)
    known = {argument.name for argument in found.spec.parameters}
    for name in parameters:
        if name not in known:
            message = (
                f"{found.name}: unknown parameter {name!r}; the parameters are {', '.join(sorted(known)) or 'none'}"
            )
            raise TypeError(message)
    return Scored(found, dict(parameters))


def check_form(spec: Spec) -> None:
    """Fail where a loss is not one of a prediction and a target."""
    kinds = [argument.kind for argument in spec.inputs]
    scalar = spec.elementwise and kinds == ["real", "real"] and spec.differentiable == (spec.inputs[0].name,)
    labelled = len(kinds) == 2 and kinds[1] == "label" and len(spec.inputs[0].axes) == 2
    labelled = labelled and spec.separable and spec.inputs[0].axes[1] == spec.inputs[1].into
    labelled = labelled and spec.inputs[1].axes == spec.sample_axes
    if not scalar and not labelled:
        message = (
            f"{spec.name}: this adapter needs a loss of one prediction and one target, elementwise or with a score for "
            f"each class; this one has the inputs {', '.join(a.name for a in spec.inputs)}"
        )
        raise ValueError(message)


def check_native(name: str, data: Any, expected: str) -> None:
    """Fail where what the native interface of a library takes was given to one of its estimators.

    Parameters
    ----------
    name : str
        Of the loss.
    data : Dataset or DMatrix
        What the native interface hands over.
    expected : str
        What that should be, and from where.

    Raises
    ------
    TypeError
        For anything without labels.
    """
    if not hasattr(data, "get_label"):
        message = (
            f"{name}: expected {expected}, got {type(data).__name__}; estimators take what is made with "
            "sklearn_api=True"
        )
        raise TypeError(message)


def check_estimator(name: str, predictions: Any, native: str) -> None:
    """Fail where what estimators take was given to the native interface of a library.

    Parameters
    ----------
    name : str
        Of the loss.
    predictions : array_like
        What an estimator hands over.
    native : str
        What takes it without ``sklearn_api=True``.

    Raises
    ------
    TypeError
        For predictions that are a set of data.
    """
    if hasattr(predictions, "get_label"):
        message = (
            f"{name}: expected predictions from an estimator, got {type(predictions).__name__}; {native} takes what is "
            "made without sklearn_api=True"
        )
        raise TypeError(message)


def as_labels(name: str, target: Array) -> Array:
    """Return labels as integers.

    Raises
    ------
    ValueError
        For a label that is not whole, naming the first.
    """
    if target.dtype.kind in "iu":
        return target
    labels = np.asarray(target, dtype=np.float64)
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not whole.all():
        where = int(np.argmin(whole))
        message = f"{name}: the target must hold whole labels, got {labels[where].item()!r} at index {where}"
        raise ValueError(message)
    return labels.astype(np.int64)


_LOOK = ((-1024.0, 1088.0), (0.0, 64.0))
"""The least and largest prediction and target that `residual_shape` looks at."""


def _reaches(domain: Mapping[str, Any] | None, least: float, most: float) -> bool:
    """Tell whether a domain has no end above, and holds what lies between two numbers."""
    match domain:
        case {"kind": "interval", "low": low, "high": high, "low_open": is_open}:
            return bool(high == np.inf and (low < least or (low == least and not is_open)))
    return domain is None


def residual_shape(scored: Scored) -> tuple[bool, bool]:
    """Tell whether a loss is one of prediction minus target, and whether its Hessian is positive wherever we look.

    The best constant for residuals is then the best step for the samples of a leaf.
    """
    if scored.rowwise or not all(
        _reaches(a.domain, *far) for a, far in zip(scored.loss.spec.inputs, _LOOK, strict=True)
    ):
        return False, True
    residual = np.ldexp(np.linspace(-1.0, 1.0, 41), 10)
    here, curvature = scored.derivatives(residual, np.zeros_like(residual))
    moved, _ = scored.derivatives(residual + 64.0, np.full_like(residual, 64.0))
    return bool(np.array_equal(here, moved)), bool((curvature > 0).all())
