"""Errors in units of the last place, against balls, and the errors that no unit can excuse.

All of it is integer and ball arithmetic: the truth is rounded to the format by its bits, never by way of another float.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from symloss.verification.series import working

MISSED_OVERFLOW = 16.0
"""Units of the last place up to which a result near the largest number may overflow, or fail to."""


@dataclass(frozen=True)
class Error:
    """How far one computed number is from the truth.

    Parameters
    ----------
    ulp : float
        In units of the last place of the correctly rounded result; infinite where there is none.
    kind : str
        ``""``, ``"false zero"``, ``"nan"``, ``"inf"`` or ``"sign"``.
    distance : float
        The distance to the truth in the same units, whatever the kind; infinite for NaN.
    """

    ulp: float
    kind: str = ""
    distance: float = math.inf


def round_to(ball: Any, dtype: Any = np.float64) -> tuple[float, int]:
    """Return a ball's midpoint correctly rounded to a format, and the exponent of the rounded number's last place.

    Ties go to even, subnormal numbers keep the fixed last place of the smallest one, and what is too large is infinite.
    """
    info = np.finfo(dtype)
    digits, lowest, highest = int(info.nmant) + 1, int(info.minexp) - int(info.nmant), int(info.maxexp)
    mantissa, exponent = (int(part) for part in ball.mid().man_exp())
    side, magnitude = (-1.0 if mantissa < 0 else 1.0), abs(mantissa)
    top = exponent + magnitude.bit_length()
    if magnitude == 0 or top < lowest:
        return side * 0.0, lowest
    if top > highest:
        return side * math.inf, highest - digits
    last = max(top - digits, lowest)
    shift = last - exponent
    if shift <= 0:
        units = magnitude << -shift
    else:
        units, rest, half = magnitude >> shift, magnitude & ((1 << shift) - 1), 1 << (shift - 1)
        units += rest > half or (rest == half and units % 2 == 1)
    if units.bit_length() > digits:  # rounded up into the next binade
        units, last = units >> 1, last + 1
    if units.bit_length() + last > highest:
        return side * math.inf, highest - digits
    return side * math.ldexp(units, last), last


def rounded(balls: NDArray[np.object_], dtype: Any = np.float64) -> NDArray[Any]:
    """Return an array of balls as correctly rounded floats."""
    found = np.empty(balls.shape, dtype)
    for at in np.ndindex(*balls.shape):
        found[at] = round_to(balls[at], dtype)[0]
    return found


def ulp_error(computed: Any, exact: Any, dtype: Any) -> Error:
    """Compare one computed number with a ball.

    Parameters
    ----------
    computed : float
        What a kernel returned.
    exact : flint.arb
        The truth, known to more bits than the dtype has.
    dtype : dtype
        float32 or float64.
    """
    info = np.finfo(dtype)
    value = float(computed)
    truth, last = round_to(exact, dtype)
    if math.isnan(value):
        return Error(math.inf, "nan")
    if math.isinf(truth) and value == truth:
        return Error(0.0, distance=0.0)
    overflow = math.isinf(value) or math.isinf(truth)
    with working(160, 0):
        # an infinity stands for the first number that the format no longer has
        edge = flint.arb(2) ** int(info.maxexp)
        number = math.copysign(1.0, value) * edge if math.isinf(value) else flint.arb(value)
        ulp = float((abs(number - exact.mid()) / flint.arb(2) ** last).mid())
    if overflow and not ulp <= MISSED_OVERFLOW:
        return Error(math.inf, "inf")
    if value == 0.0 and abs(truth) >= float(info.tiny):
        return Error(math.inf, "false zero", ulp)
    if value * truth < 0 and abs(truth) >= float(info.tiny):
        return Error(math.inf, "sign", ulp)
    return Error(ulp, distance=ulp)
