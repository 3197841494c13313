"""Where a formula is evaluated: values, the direction along which they move, and what was met on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import flint
import numpy as np

from symloss.verification.series import Value


@dataclass
class Point:
    """Where a formula is evaluated, and what is known there so far.

    Parameters
    ----------
    tensors : mapping of str to array
        Inputs and tensor parameters.
    scalars : mapping of str to float, int, bool or None
        Scalar parameters.
    directions : mapping of str to array, number, or mapping of index tuples to numbers
        What moves; a mapping names the few entries that do.
    sizes : mapping of str to int
        The extents of the axes.
    indices : dict of str to int
        The indices in scope.
    known : dict
        Named values and reductions by their indices.
    gap : float
        How near the closest comparison came to a tie, relative to what was compared; 0 at a tie.
    sides : dict
        How near each comparison came, and the sign of the difference: on which side of the tie the point lies.
    tied : bool
        Whether a comparison was tied, or a kink was hit.
    """

    tensors: Mapping[str, Any]
    scalars: Mapping[str, Any]
    directions: Mapping[str, Any]
    sizes: Mapping[str, int]
    indices: dict[str, int] = field(default_factory=dict)
    known: dict[tuple[Any, ...], Value] = field(default_factory=dict)
    gap: float = 1.0
    sides: dict[object, tuple[float, int]] = field(default_factory=dict)
    tied: bool = False


@dataclass(frozen=True)
class Shifted:
    """A direction with one entry moved by one more; the sum is a ball, for it may not be a float.

    Parameters
    ----------
    direction : array, number or None
        The direction before.
    at : tuple of int
        The entry.
    step : int
        1 or -1.
    """

    direction: Any
    at: tuple[int, ...]
    step: int

    def get(self, at: tuple[int, ...]) -> Any:
        """Return the slope of one entry, as a ball."""
        slope = 0.0 if self.direction is None else float(np.asarray(self.direction)[at])
        return flint.arb(slope) + (self.step if at == self.at else 0)


def moving(ball: Value, direction: Any, at: tuple[int, ...]) -> Value:
    """Return an entry as a series where the direction moves it."""
    match direction:
        case None:
            return ball
        case Mapping() | Shifted():
            slope = direction.get(at)
        case _:
            slope = np.asarray(direction)[at]
    if slope is None:
        return ball
    rate = slope if isinstance(slope, flint.arb) else flint.arb(float(slope))
    return ball if rate.is_zero() else flint.arb_series([ball, rate])


def note_gap(point: Point, difference: Value, size: Value, comparison: object) -> None:
    """Remember the smallest difference met, of all and of one comparison, relative to the size of what was compared."""
    if size > 0:
        gap = float((abs(difference) / size).mid())
        if gap == 0.0 and difference != 0:
            gap = math.ulp(0.0)  # a difference, if one that no float64 can hold
        point.gap = min(point.gap, gap)
        if comparison not in point.sides or gap < point.sides[comparison][0]:
            point.sides[comparison] = gap, 1 if difference > 0 else -1
