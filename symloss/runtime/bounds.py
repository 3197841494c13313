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
    for start in range(0, values.size, BLOCK):
        part = values[start : start + BLOCK]
        if not (np.minimum.reduce(part) >= low and np.maximum.reduce(part) <= high):  # NaN is neither
            return False
    return True
