"""Bounds: how many entries of a large array are not between two numbers, in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from symloss.runtime.arrays import Array
from symloss.runtime.cache import healed


@njit(nogil=True, cache=True, error_model="numpy")
def _outside(values: Any, low: Any, high: Any) -> Any:
    count = 0
    for k in range(values.size):
        inside = (values[k] >= low) & (values[k] <= high)
        count += not inside
    return count


def all_between(values: Array, domain: Mapping[str, Any]) -> bool:
    """Tell whether all entries of an array of one dimension lie in an interval; none of them is NaN then.

    Parameters
    ----------
    values : array
        Contiguous, of float32 or float64.
    domain : mapping
        An interval; an infinite end lets infinities pass.
    """
    kind = values.dtype.type
    low, high = kind(domain["low"]), kind(domain["high"])
    if domain["low_open"] and not math.isinf(low):  # the least number that is inside
        low = np.nextafter(low, kind(math.inf))
    if domain["high_open"] and not math.isinf(high):
        high = np.nextafter(high, kind(-math.inf))
    return not healed(_outside, lambda: _outside(values, low, high))
