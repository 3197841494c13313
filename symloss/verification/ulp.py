"""Errors in units of the last place, against balls, and the errors that no unit can excuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flint
import numpy as np


@dataclass(frozen=True)
class Error:
    """How far one computed number is from the truth.

    Parameters
    ----------
    ulp : float
        In units of the last place of the correctly rounded result; infinite where there is none.
    kind : str
        ``""``, ``"false zero"``, ``"nan"``, ``"inf"`` or ``"sign"``.
    """

    ulp: float
    kind: str = ""


def ulp_error(computed: Any, exact: Any, dtype: np.dtype[Any]) -> Error:
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
    truth = float(exact.mid())
    largest = float(info.max)
    value = float(computed)
    if abs(truth) > largest * (1 + 2.0 ** -(info.nmant + 2)):
        right = np.isinf(value) and (value > 0) == (truth > 0)
        return Error(0.0) if right else Error(np.inf, "inf")
    if np.isnan(value):
        return Error(np.inf, "nan")
    if np.isinf(value):
        near = abs(truth) >= largest * (1 - 2.0**-info.nmant)
        return Error(1.0) if near else Error(np.inf, "inf")
    if value == 0.0 and abs(truth) >= float(info.tiny):
        return Error(np.inf, "false zero")
    if value * truth < 0 and abs(truth) >= float(info.tiny):
        return Error(np.inf, "sign")
    before, flint.ctx.prec = flint.ctx.prec, 128
    try:
        rounded = min(max(truth, -largest), largest)
        spacing = float(np.spacing(dtype.type(abs(rounded))))
        ulp = float(abs(flint.arb(value) - exact).mid() / flint.arb(spacing))
    finally:
        flint.ctx.prec = before
    return Error(ulp)
