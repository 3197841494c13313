"""Constants: the one score that is best for all samples, where boosting starts.

A target comes in, a certified score goes out.

An elementwise loss gives one equation, solved by Newton steps inside a bracket; where the loss has kinks or is flat,
the ends of the set of minimisers are found to the last bit and its middle is returned, as a median is. No score outside
the domain of the prediction is tried: beyond a closed end the loss counts as infinite, so that its least may lie there.
A loss with labels gives one equation for each class, solved by damped Newton steps with the exact Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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

_SCAN, _SCANS = 65, 10
"""Scores of a scan, and how often a part of it may be scanned again."""

_STEPS = 200


@dataclass(frozen=True)
class _Ends:
    """Where scores may lie.

    Parameters
    ----------
    low, high : float
        The ends of the prediction's domain.
    low_open, high_open : bool
        Whether an end itself lies outside.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = True
    high_open: bool = True

    def beyond(self, c: float) -> float:
        """Return -1 for a score below the domain, 1 for one above it and 0 for one inside."""
        if c < self.low or (c == self.low and self.low_open):
            return -1.0
        return 1.0 if c > self.high or (c == self.high and self.high_open) else 0.0

    def inside(self, c: float) -> float:
        """Return the score of a domain that is nearest to one beside it."""
        side = self.beyond(c)
        if side < 0:
            return math.nextafter(self.low, math.inf) if self.low_open else self.low
        if side > 0:
            return math.nextafter(self.high, -math.inf) if self.high_open else self.high
        return c

    def begin(self, centre: float, step: float) -> float:
        """Return a centre, or where that is beside the domain, a score well inside."""
        if not self.beyond(centre):
            return centre
        if math.isfinite(self.low) and math.isfinite(self.high):
            return self.inside(0.5 * self.low + 0.5 * self.high)
        return self.inside(self.low + step if math.isfinite(self.low) else self.high - step)

    def outward(self, centre: float, step: float, side: float) -> Iterator[float]:
        """Yield scores ever farther to one side of a centre, and ever nearer to the end of the domain if it has one.

        The last is the last score inside an open end, or the first beyond a closed one.
        """
        end, is_open = (self.low, self.low_open) if side < 0 else (self.high, self.high_open)
        endless = math.isinf(end)
        last, reach = centre, 0.0
        while side * (end - (centre + side * reach)) > 0 and math.isfinite(centre + side * reach):
            last = centre + side * reach
            yield last
            if endless and reach > step * _REACH:
                return
            reach = max(step, 2 * reach)
        if endless:
            return
        gap, share = abs(end - last), 0.5
        while share * gap > 0 and not self.beyond(end - side * share * gap):
            yield end - side * share * gap
            share *= share
        if not is_open:
            yield end
        yield math.nextafter(end, -side * math.inf if is_open else side * math.inf)


def _ends(scored: Scored) -> _Ends:
    """Return where scores may lie."""
    match scored.loss.spec.inputs[0].domain:
        case {"kind": "interval", "low": low, "high": high, "low_open": low_open, "high_open": high_open}:
            return _Ends(float(low), float(high), bool(low_open), bool(high_open))
    return _Ends()


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
        slope alone certifies. At a closed end of the prediction's domain, that of the last step out of it.
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
        It lies in the domain of the prediction; at a closed end the loss may still fall toward it. Where the loss is
        not convex, the best of the valleys that a scan of 65 scores sees.

    Raises
    ------
    ValueError
        Where there are no samples, no finite score of the prediction's domain is best, 1e-12 was not reached, or
        scores for classes have a domain with an end.
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
        One score, in the domain of the prediction; one for each class, summing to 0, for a loss with labels. Certified
        as `optimal_constant` says.

    Raises
    ------
    ValueError
        Where no finite score is best, as when all labels are the same, or none inside an open end of the domain.
    """
    return optimal_constant(scored(loss, parameters), target, sample_weight).score


_INFINITE = {-1.0: "minus infinity", 1.0: "infinity"}


def _unbounded(scored: Scored, side: str) -> ValueError:
    return ValueError(f"{scored.name}: no finite constant is best for this target: the loss falls toward {side}")


def _scalar(scored: Scored, target: Array, weight: Array) -> Optimum:
    loss, parameters, total, ends = scored.loss, scored.parameters, float(weight.sum()), _ends(scored)

    def mean(c: float) -> float:
        if ends.beyond(c):
            return math.inf
        found = float(loss.value(np.float64(c), target, sample_weight=weight, **parameters))
        return math.inf if math.isnan(found) else found

    def terms(c: float) -> tuple[float, float]:
        """Return the mean gradient and the mean of its terms' absolute values."""
        each = loss.gradient(np.full(target.shape, c), target, reduction="sum", sample_weight=weight, **parameters)
        with np.errstate(over="ignore", invalid="ignore"):  # it may be infinite next to an open end
            return float(each.sum() / total), float(np.abs(each).sum() / total)

    def slope(c: float) -> float:
        """Return the mean gradient, 0 where it is no more than the rounding of its sum."""
        if side := ends.beyond(c):
            return side * math.inf
        mean_gradient, spread = terms(c)
        return 0.0 if abs(mean_gradient) <= _ROUNDING * spread < math.inf else mean_gradient

    def left(c: float) -> float:
        mean_gradient, spread = terms(c)
        return abs(mean_gradient) / max(1.0, spread)

    def bend(c: float) -> float:
        return float(loss.hessian_diagonal(np.float64(c), target, sample_weight=weight, **parameters))

    step = max(1.0, float(np.ptp(target)))
    centre = ends.begin(float(np.average(target, weights=weight)), step)
    low, high = _bracket(scored, slope, ends, centre, step)
    low, high = _valley(mean, slope, ends, low, high)
    c = ends.inside(0.5 * (low + high))
    for _ in range(_STEPS):
        first, second = slope(c), bend(c)
        near = abs(first) <= TOLERANCE * max(1.0, abs(c)) * second  # slopes are small where scores are large
        if second > 0 and near and left(c) <= 0.01 * TOLERANCE:
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
    c = ends.inside(c)
    width = max(start[1] - start[0], end[1] - end[0]) / max(1.0, abs(c))
    return Optimum(c, left(c), width)


def _bracket(
    scored: Scored, slope: Callable[[float], float], ends: _Ends, centre: float, step: float
) -> tuple[float, float]:
    """Return scores below and above which the loss falls away: slope < 0 at the first, > 0 at the second.

    Where the loss is flat to one side for ever, that side is as far as the search went, with a slope of 0.
    """
    found = []
    for side in (-1.0, 1.0):
        flat = None
        for c in ends.outward(centre, step, side):
            s = side * slope(c)
            if s > 0:
                break
            flat = c if s == 0 and flat is None else flat
            if flat is not None and abs(c - centre) > 64 * (1 + abs(flat)) * step:
                break
        else:
            if flat is None:
                end = ends.low if side < 0 else ends.high
                toward = f"{end!r}, which its domain leaves out" if math.isfinite(end) else _INFINITE[side]
                raise _unbounded(scored, toward)
        found.append(c)
    return found[0], found[1]


def _valley(
    mean: Callable[[float], float], slope: Callable[[float], float], ends: _Ends, low: float, high: float
) -> tuple[float, float]:
    """Return the part of a bracket around the lowest of evenly spread scores, where the slopes at its ends allow.

    Where they do not, but the loss is higher there, as on a level stretch above the valley, that part is scanned again.
    """
    first, last = low, high
    for _ in range(_SCANS):
        grid = np.linspace(ends.inside(first), ends.inside(last), _SCAN)
        means = [mean(float(c)) for c in grid]
        best = int(np.argmin(means))
        before, after = max(best - 1, 0), min(best + 1, _SCAN - 1)
        left, right = float(grid[before]), float(grid[after])
        falls, rises = slope(left) < 0, slope(right) > 0
        low, high = left if falls else low, right if rises else high
        higher = means[best] + _ROUNDING * abs(means[best])
        kept = first, last
        first = left if falls or means[before] > higher else first
        last = right if rises or means[after] > higher else last
        if (falls and rises) or (first, last) == kept:
            break
    return low, high


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
    loss, parameters, ends = scored.loss, scored.parameters, _ends(scored)
    if math.isfinite(ends.low) or math.isfinite(ends.high):
        message = f"{scored.name}: the best constants for classes need scores of any size, got a domain with an end"
        raise ValueError(message)
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
