"""Bounds: whether all entries of a large array lie between two numbers, without an array of comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from symloss.runtime.arrays import Array

BLOCK = 1 << 17
"""Entries whose extremes are taken at a time: the second look finds them in the cache."""


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
    if low == 0.0 and high > 0.0 and _all_from_zero_to(values, high):
        return True
    for start in range(0, values.size, BLOCK):
        part = values[start : start + BLOCK]
        if not (np.minimum.reduce(part) >= low and np.maximum.reduce(part) <= high):  # NaN is neither
            return False
    return True


def _all_from_zero_to(values: Array, high: Any) -> bool:
    """Tell whether no entry has a larger bit pattern than a positive number: then all lie between 0 and that number.

    Patterns from 0 to infinity are in the order of the numbers, and those of negative numbers, -0 and NaN are larger:
    one look at an array tells what takes two at its numbers, but for -0, which it does not let pass.
    """
    integers = np.dtype(f"u{values.dtype.itemsize}")
    return bool(np.maximum.reduce(values.view(integers), initial=0) <= np.asarray(high).view(integers))
