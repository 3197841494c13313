"""Bounds of inputs: one look at bit patterns tells what lies between 0 and a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from symloss.runtime.bounds import all_between

INTERVAL = {"low": 0.0, "high": 1.0, "low_open": False, "high_open": False}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("entry, inside", [
    (0.0, True), (-0.0, True), (1.0, True), (1.0000002, False), (-1e-30, False), (math.nan, False), (-math.nan, False),
    (math.inf, False), (-math.inf, False),
])  # fmt: skip
def test_one_look_at_bit_patterns_tells_what_lies_between(dtype: type, entry: float, inside: bool) -> None:
    values: NDArray[np.floating] = np.linspace(0, 1, 1000, dtype=dtype)
    values[777] = entry
    assert all_between(values, INTERVAL) is inside
    assert all_between(values[:0], INTERVAL)
