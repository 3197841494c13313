"""Constants: the one score that is best for all samples, where boosting starts.

A target comes in, a certified score goes out.

An elementwise loss gives one equation, solved by Newton steps inside a bracket; where the loss has kinks or is flat,
the ends of the set of minimisers are found to the last bit and its middle is returned, as a median is. A loss with
labels gives one equation for each class, solved by damped Newton steps with the exact Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.scores import Array, Scored, as_labels, scored

TOLERANCE = 1e-12

_REACH = 2.0**60
"""How far from the targets a bracket may reach, in units of their spread, before there is no minimum."""

_SATURATED = 1e-100
"""A slope below this beside a slope of 0 is one that underflowed, not one that ended at a kink."""

_ROUNDING = 8 * np.finfo(np.float64).eps

_SCAN = 65

_STEPS = 200


@dataclass(frozen=True)
class Optimum:
    """A constant score and why it is the best.

    Parameters
    ----------
    score : float or array
        The score; one for each class for a loss with labels, summing to 0.
    slope : float
        What is left of the mean gradient there (the largest entry), relative to the mean absolute gradient or 1.
    width : float
        The width of the bracket within which the slope changes its sign, relative to the score or 1; 0 where the
        slope alone certifies.
    """

    score: Any
    slope: float
    width: float

    @property
    def certified(self) -> bool:
        """Whether slope or bracket is within `TOLERANCE`."""
        return self.slope <= TOLERANCE or 0 < self.width <= TOLERANCE


def optimal_constant(scored: Scored, target: Any, weight: Any = None, classes: int | None = None) -> Optimum:
    """Return the constant raw score with the least (weighted) mean loss.

    Parameters
    ----------
    scored : Scored
        The loss.
    target : array_like
        ``(n,)``; labels may be whole floats.
    weight : array_like, optional
        ``(n,)``, not negative.
    classes : int, optional
        How many there are, for a loss with labels; else one more than the largest label.

    Returns
    -------
    Optimum
        Certified: the mean gradient is 0 to 1e-12, or changes its sign within 1e-12 of the score (both relative).
        Where the loss is not convex, the best of the valleys that a scan of 65 scores sees.

    Raises
    ------
    ValueError
        Where there are no samples, no finite score is best, or 1e-12 was not reached.
    """
    target = np.ravel(target)
    target = as_labels(scored.name, target) if scored.rowwise else target.astype(np.float64)
    ignored = scored.parameters.get(scored.loss.spec.inputs[1].ignored_by or "")
    given = weight is not None and np.size(weight) > 0
    weight = np.ravel(weight).astype(np.float64) if given else np.ones(target.shape)
    if weight.shape != target.shape or (given and not weight.min(initial=0.0) >= 0):
        message = f"{scored.name}: sample_weight must be {target.size} numbers that are not negative"
        raise ValueError(message)
    if ignored is not None:
        target, weight = target[target != ignored], weight[target != ignored]
    if not target.size or not weight.sum() > 0:
        message = f"{scored.name}: the best constant needs samples with a positive weight, got {target.size} samples"
        raise ValueError(message)
    if not np.isfinite(target).all():
        message = (
            f"{scored.name}: the best constant needs finite targets, got {target[~np.isfinite(target)][0].item()!r}"
        )
        raise ValueError(message)
    distinct, place = np.unique(target, return_inverse=True)
    weight = np.bincount(place.reshape(-1), weights=weight, minlength=len(distinct))
    distinct, weight = distinct[weight > 0], weight[weight > 0]
    found = _vector(scored, distinct, weight, classes) if scored.rowwise else _scalar(scored, distinct, weight)
    if not found.certified:
        message = (
            f"{scored.name}: the best constant was found to {found.slope:.1e} (slope) and {found.width:.1e} (bracket) "
            f"only, expected {TOLERANCE:.0e}"
        )
        raise ValueError(message)
    return found


def base_score(loss: str | Loss, target: Any, sample_weight: Any = None, **parameters: Any) -> Any:
    """Return the constant raw score with the least mean loss: where boosting starts.

    Parameters
    ----------
    loss : str or Loss
        An elementwise loss of a score and a target, or one of a score for each class and a label.
    target : array_like
        ``(n,)``.
    sample_weight : array_like, optional
        ``(n,)``.
    **parameters
        Those of the loss.

    Returns
    -------
    float or array
        One score; one for each class, summing to 0, for a loss with labels. Certified as `optimal_constant` says.

    Raises
    ------
    ValueError
        Where no finite score is best, as when all labels are the same.
    """
    return optimal_constant(scored(loss, parameters), target, sample_weight).score


def _unbounded(scored: Scored, side: str) -> ValueError:
    return ValueError(f"{scored.name}: no finite constant is best for this target: the loss falls toward {side}")


def _scalar(scored: Scored, target: Array, weight: Array) -> Optimum:
    loss, parameters, total = scored.loss, scored.parameters, float(weight.sum())

    def mean(c: float) -> float:
        return float(loss.value(np.float64(c), target, sample_weight=weight, **parameters))

    def terms(c: float) -> tuple[float, float]:
        """Return the mean gradient and the mean of its terms' absolute values."""
        each = loss.gradient(np.full(target.shape, c), target, reduction="sum", sample_weight=weight, **parameters)
        return float(each.sum() / total), float(np.abs(each).sum() / total)

    def slope(c: float) -> float:
        """Return the mean gradient, 0 where it is no more than the rounding of its sum."""
        mean_gradient, spread = terms(c)
        return 0.0 if abs(mean_gradient) <= _ROUNDING * spread else mean_gradient

    def left(c: float) -> float:
        mean_gradient, spread = terms(c)
        return abs(mean_gradient) / max(1.0, spread)

    def bend(c: float) -> float:
        return float(loss.hessian_diagonal(np.float64(c), target, sample_weight=weight, **parameters))

    centre = float(np.average(target, weights=weight))
    low, high = _bracket(scored, slope, centre, max(1.0, float(np.ptp(target))))
    low, high = _valley(mean, slope, low, high)
    c = 0.5 * (low + high)
    for _ in range(_STEPS):
        first, second = slope(c), bend(c)
        if second > 0 and left(c) <= 0.01 * TOLERANCE:
            return Optimum(c, left(c), 0.0)
        if first == 0:
            break  # flat: the set of minimisers has ends
        low, high = (c, high) if first < 0 else (low, c)
        step = c - first / second if second > 0 else np.nan
        nearer = step if low < step < high else 0.5 * (low + high)
        if nearer in (low, high, c):
            break
        c = nearer
    if bend(c) > 0 and left(c) <= TOLERANCE:
        return Optimum(c, left(c), 0.0)
    start, end = _edge(slope, low, high, -1.0), _edge(slope, low, high, 1.0)
    _saturation(scored, slope, start, end)
    if slope(high) <= 0:
        c = start[1]  # flat for ever above: the finite end
    elif slope(low) >= 0:
        c = end[0]
    else:
        c = 0.5 * start[1] + 0.5 * end[0]
    width = max(start[1] - start[0], end[1] - end[0]) / max(1.0, abs(c))
    return Optimum(c, left(c), width)


def _bracket(scored: Scored, slope: Callable[[float], float], centre: float, step: float) -> tuple[float, float]:
    """Return scores below and above which the loss falls away: slope < 0 at the first, > 0 at the second.

    Where the loss is flat to one side for ever, that side is as far as the search went, with a slope of 0.
    """
    ends = []
    for sign in (-1.0, 1.0):
        reach, flat = 0.0, None
        while True:
            c = centre + sign * reach
            s = sign * slope(c)
            if s > 0:
                ends.append(c)
                break
            flat = c if s == 0 and flat is None else flat
            if (
                reach > step * _REACH
                or not np.isfinite(c)
                or (flat is not None and reach > 64 * (1 + abs(flat)) * step)
            ):
                if flat is None:
                    raise _unbounded(scored, "minus infinity" if sign < 0 else "infinity")
                ends.append(c)
                break
            reach = max(step, 2 * reach)
    return ends[0], ends[1]


def _valley(
    mean: Callable[[float], float], slope: Callable[[float], float], low: float, high: float
) -> tuple[float, float]:
    """Return the part of a bracket around the lowest of evenly spread scores, where the slopes at its ends allow."""
    grid = np.linspace(low, high, _SCAN)
    best = int(np.argmin([mean(float(c)) for c in grid]))
    left, right = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _SCAN - 1)])
    return (left if slope(left) < 0 else low), (right if slope(right) > 0 else high)


def _edge(slope: Callable[[float], float], low: float, high: float, side: float) -> tuple[float, float]:
    """Return neighbouring floats between which the slope stops being negative, or (side 1) starts being positive."""
    for _ in range(20 * _STEPS):
        middle = 0.5 * low + 0.5 * high
        if not low < middle < high:
            break
        s = slope(middle)
        before = s < 0 if side < 0 else s <= 0
        low, high = (middle, high) if before else (low, middle)
    return low, high


def _saturation(
    scored: Scored, slope: Callable[[float], float], start: tuple[float, float], end: tuple[float, float]
) -> None:
    """Fail where the loss is flat only because its slope underflowed, or flat everywhere."""
    before, after = -slope(start[0]), slope(end[1])
    if 0 < before < _SATURATED:
        raise _unbounded(scored, "infinity")
    if 0 < after < _SATURATED:
        raise _unbounded(scored, "minus infinity")
    if before <= 0 and after <= 0:
        raise _unbounded(scored, "no side: it is flat")


def _vector(scored: Scored, labels: Array, weight: Array, classes: int | None) -> Optimum:
    loss, parameters = scored.loss, scored.parameters
    count = int(labels.max()) + 1 if classes is None else classes
    rows = (len(labels), count)

    def tiled(z: Array) -> Array:
        return np.ascontiguousarray(np.broadcast_to(z, rows))

    def mean(z: Array) -> float:
        return float(loss.value(tiled(z), labels, sample_weight=weight, **parameters))

    def slope(z: Array) -> Array:
        found: Array = loss.gradient(tiled(z), labels, sample_weight=weight, **parameters).sum(axis=0)
        return found

    def hessian(z: Array) -> Array:
        columns = [
            loss.hessian_product(tiled(z), labels, direction=tiled(e), sample_weight=weight, **parameters).sum(axis=0)
            for e in np.eye(count)
        ]
        found = np.array(columns)
        return np.asarray(0.5 * (found + found.T))

    share = np.zeros(count)
    share[labels[(labels >= 0) & (labels < count)]] = weight[(labels >= 0) & (labels < count)]
    z = np.log(np.maximum(share / weight.sum(), 1e-3 / count))
    z, best = z - z.mean(), np.inf
    for _ in range(_STEPS):
        g, h = slope(z), hessian(z)
        best = float(np.abs(g).max())
        if best <= 0.01 * TOLERANCE:
            break
        bends, basis = np.linalg.eigh(h)
        # A direction that changes nothing, such as the same for every class, is not taken.
        live = np.abs(bends) > 1e-13 * max(1.0, float(np.abs(bends).max()))
        step = -(basis[:, live] / np.abs(bends[live])) @ (basis[:, live].T @ g)
        step *= min(1.0, 8.0 / max(float(np.abs(step).max()), 1e-300))
        here, fraction = mean(z), 1.0
        while fraction > 1e-6 and mean(z + fraction * step) > here and best > 1e-7:
            fraction *= 0.5
        if best <= TOLERANCE and float(np.abs(slope(z + step)).max()) >= best:
            break
        z = z + fraction * step
    z = z - z.mean()
    bends, basis = np.linalg.eigh(hessian(z))
    gauge = np.abs(basis.sum(axis=0)) > 0.99 * np.sqrt(count)
    if bends[~gauge].size and bends[~gauge].min() < 1e-10:
        absent = ", ".join(str(k) for k in np.flatnonzero(share == 0)) or "none"
        message = f"{scored.name}: no finite constant is best for this target; classes without samples: {absent}"
        raise ValueError(message)
    return Optimum(z, float(np.abs(slope(z)).max()), 0.0)
