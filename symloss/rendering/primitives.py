"""Scalar functions that generated modules carry along: their source is copied in, only what a module uses.

They are written once, for any loss, and run as plain Python too, which is how they are tested.
"""

from __future__ import annotations

import inspect
import math


def _positive_part(x: float) -> float:
    """max(0, x); NaN stays NaN."""
    return x if not x <= 0.0 else 0.0


def _decay(x: float) -> float:
    """exp(-|x|), in (0, 1]."""
    return math.exp(-abs(x))


def _exp_difference(a: float, b: float) -> float:
    """exp(a - b), multiplied by what rounding took from the difference."""
    d = a - b
    if d < -746.0:
        return 0.0
    back = d - a
    lost = (a - (d - back)) - (b + back)
    return math.exp(d) + math.exp(d) * lost if lost != 0.0 else math.exp(d)


def _power(x: float, exponent: float) -> float:
    """X to a power; 0 to a negative power is 0, the convention for derivatives at 0, and none is infinite."""
    if exponent < 0.0:
        return 0.0 if x == 0.0 else min(math.pow(x, exponent), 1.7976931348623157e308)
    return math.pow(x, exponent)


def _ratio(a: float, b: float) -> float:
    """Return a / b, and 0 where b is 0."""
    return 0.0 if b == 0.0 else a / b


PRIMITIVES = (_positive_part, _decay, _exp_difference, _power, _ratio)


def source_of(names: set[str]) -> tuple[str, ...]:
    """Return the source of the primitives called `names`, in a fixed order."""
    return tuple(inspect.getsource(f).rstrip() for f in PRIMITIVES if f.__name__ in names)
