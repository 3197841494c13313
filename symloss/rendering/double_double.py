"""Sums and products of two floats without an error: what rounding takes comes as a second float.

A product's comes from a fused multiply and add, which processors have. The functions run as plain Python too, which is
how they are tested. Source: Dekker (1971), A floating-point technique for extending the available precision.
"""

from __future__ import annotations

import math
from fractions import Fraction

Pair = tuple[float, float]


def _exact_fma(a: float, b: float, c: float) -> float:
    """Return a b + c, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return float(exact) if abs(exact) < 2**1024 - 2**970 else math.copysign(math.inf, exact)


def _dd_sum(a: float, b: float) -> Pair:
    """Return a + b and what rounding took from it."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _dd_product(a: float, b: float) -> Pair:
    """Return a b and what rounding took from it."""
    p = a * b
    return p, _exact_fma(a, b, -p)


OPERATIONS = (_dd_sum, _dd_product)
