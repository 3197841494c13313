r"""Curvature: which Hessian a boosting library is given.

A rule comes in, gradient and Hessian that can be trained on go out.

With :math:`g, h, \ell` the gradient, exact second derivative and value of a sample, and w its weight:

==================  ======================================================================================
``"exact"``         w h
``"clipped"``       w max(h, floor)
``"gauss_newton"``  w g² / (2 ℓ): Gauss-Newton of ½ρ² with ρ = sqrt(2 ℓ), so that ρ'² = g²/(2 ℓ);
                    where ℓ = 0, its limit w max(h, 0)
``"xgboost"``       what XGBoost's own objective uses: ``binary_cross_entropy`` w max(h, 1e-16);
                    ``softmax_cross_entropy`` max(2 w h, 1e-16); ``absolute_error`` w; ``squared_error`` w h
``"lightgbm"``      what LightGBM's own uses: ``softmax_cross_entropy`` w h c/(c-1); ``absolute_error`` and
                    ``huber`` w; ``binary_cross_entropy`` and ``squared_error`` w h
``"sklearn"``       what scikit-learn's own uses: ``absolute_error`` w; the others w h
==================  ======================================================================================

Under ``"lightgbm"`` the gradient of ``squared_error`` is rounded as LightGBM rounds it: to float32, then times w.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symloss.adapters.scores import Array, Scored

FLOOR = 1e-6
"""What ``"clipped"`` uses unless told otherwise: small beside the Hessians of scores that matter, and positive."""

_TINY = 1e-16
"""XGBoost's own floor."""

_Own = Callable[[Array, Array | float], Any]
"""A library's own Hessian, from the exact weighted one and the weights."""


def _exact(hessian: Array, weight: Array | float) -> Array:
    return hessian


def _unit(hessian: Array, weight: Array | float) -> Array:
    found: Array = np.ones_like(hessian) * weight
    return found


def _floored(hessian: Array, weight: Array | float) -> Array:
    found: Array = np.maximum(hessian, _TINY * np.asarray(weight, dtype=hessian.dtype))
    return found


def _doubled(hessian: Array, weight: Array | float) -> Any:
    return np.maximum(2 * hessian, hessian.dtype.type(_TINY))


def _per_class(hessian: Array, weight: Array | float) -> Any:
    classes = hessian.shape[1]
    return hessian * (classes / (classes - 1))


OWN: Mapping[str, Mapping[str, _Own]] = {
    "xgboost": {"binary_cross_entropy": _floored, "softmax_cross_entropy": _doubled, "absolute_error": _unit,
                "squared_error": _exact},
    "lightgbm": {"binary_cross_entropy": _exact, "softmax_cross_entropy": _per_class, "absolute_error": _unit,
                 "huber": _unit, "squared_error": _exact},
    "sklearn": {"binary_cross_entropy": _exact, "softmax_cross_entropy": _exact, "absolute_error": _unit,
                "huber": _exact, "squared_error": _exact},
}  # fmt: skip
"""Each library's own Hessians, by the loss that its own objective is."""

ROUNDED_FIRST = {("lightgbm", "squared_error")}
"""Rules and losses whose gradient the library rounds to float32 before it multiplies by the weight."""

RULES = ("exact", "clipped", "gauss_newton", *OWN)


def check_rule(scored: Scored, rule: str, floor: float) -> None:
    """Fail on a rule that does not exist, or not for this loss.

    Raises
    ------
    ValueError
        For an unknown rule, a library's own Hessian where it has none, or a floor that is not positive.
    """
    if rule not in RULES:
        message = f"{scored.name}: hessian must be one of {', '.join(map(repr, RULES))}, got {rule!r}"
        raise ValueError(message)
    if rule in OWN and scored.name not in OWN[rule]:
        message = f"{scored.name}: hessian={rule!r} exists for {', '.join(OWN[rule])} only; use 'exact' or 'clipped'"
        raise ValueError(message)
    if not 0 < floor < np.inf:
        message = f"{scored.name}: floor must be positive and finite, got {floor!r}"
        raise ValueError(message)


def derivatives(
    scored: Scored, rule: str, floor: float, scores: Array, target: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Return gradient and Hessian under a rule, unchecked.

    Parameters
    ----------
    scored : Scored
        The loss.
    rule : str
        One of `RULES`.
    floor : float
        For ``"clipped"``.
    scores, target, weight : array
        As `Scored.arrange` returns them.

    Returns
    -------
    (gradient, hessian)
        Shaped like the scores.
    """
    gradient, hessian = scored.derivatives(scores, target, weight)
    spread: Array | float = 1.0 if weight is None else weight.astype(hessian.dtype, copy=False)
    if isinstance(spread, np.ndarray) and spread.ndim < hessian.ndim:
        spread = spread[:, None]
    match rule:
        case "exact":
            pass
        case "clipped":
            hessian = np.maximum(hessian, hessian.dtype.type(floor) * spread)
        case "gauss_newton":
            hessian = _gauss_newton(scored, scores, target, weight, gradient, hessian)
        case _:
            hessian = OWN[rule][scored.name](hessian, spread).astype(gradient.dtype, copy=False)
            if weight is not None and (rule, scored.name) in ROUNDED_FIRST:
                plain, _ = scored.derivatives(scores, target)
                gradient = (plain.astype(np.float32) * weight.astype(np.float32)).astype(gradient.dtype)
    return gradient, hessian


def _gauss_newton(
    scored: Scored, scores: Array, target: Array, weight: Array | None, gradient: Array, hessian: Array
) -> Array:
    """Return w g²/(2 ℓ): the weighted gradient's square over twice the weighted value."""
    value = scored.value(scores, target, weight, reduction="none")
    if value.size and value.min() < 0:
        message = (
            f"{scored.name}: hessian='gauss_newton' needs a loss that is never negative, got {value.min().item()!r}"
        )
        raise ValueError(message)
    value = value[:, None] if value.ndim < gradient.ndim else value
    with np.errstate(divide="ignore", invalid="ignore", under="ignore", over="ignore"):
        found = gradient * (gradient / (2 * value))
    return np.where(value > 0, found, np.maximum(hessian, 0))


def trainable(
    scored: Scored, rule: str, scores: Array, gradient: Array, hessian: Array, flat: bool = False
) -> tuple[Array, Array]:
    """Return gradient and Hessian, or fail where a library would train on them and silently learn nonsense.

    Parameters
    ----------
    scored : Scored
        The loss, for messages.
    rule : str
        Which Hessian it is, for messages.
    scores, gradient, hessian : array
        Of one shape.
    flat : bool
        Let Hessians pass that are all 0.

    Raises
    ------
    ValueError
        For a gradient or Hessian that is not finite, a negative Hessian, or Hessians that are all 0 where gradients
        are not.
    """
    if not gradient.size:
        return gradient, hessian
    if not np.isfinite(gradient).all():
        raise ValueError(_at(scored, "gradient", gradient, ~np.isfinite(gradient), scores, "it must be finite"))
    lowest, highest = hessian.min(), hessian.max()
    if not np.isfinite(lowest) or not np.isfinite(highest):
        raise ValueError(_at(scored, "Hessian", hessian, ~np.isfinite(hessian), scores, "it must be finite"))
    if lowest < 0:
        why = f"training with hessian={rule!r} needs none below 0; use hessian='clipped' or 'gauss_newton'"
        raise ValueError(_at(scored, "Hessian", hessian, hessian < 0, scores, why))
    if highest == 0 and not flat and np.any(gradient):
        message = (
            f"{scored.name}: the Hessian is 0 for all {hessian.size} scores, so that no tree could grow; use "
            "hessian='clipped', or a library's own where it has one"
        )
        raise ValueError(message)
    return gradient, hessian


def _at(scored: Scored, what: str, values: Array, bad: Any, scores: Array, why: str) -> str:
    where = tuple(int(k) for k in np.argwhere(bad)[0])
    return (
        f"{scored.name}: the {what} is {values[where].item()!r} at index {where}, where the score is "
        f"{scores[where].item()!r} ({int(np.count_nonzero(bad))} such of {values.size}); {why}"
    )
