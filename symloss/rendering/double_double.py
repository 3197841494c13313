"""Sums and products of two floats without an error: what rounding takes comes as a second float.

The functions run as plain Python too, which is how they are tested. Source: Dekker (1971), A floating-point technique
for extending the available precision.
"""

from __future__ import annotations

Pair = tuple[float, float]


def _dd_sum(a: float, b: float) -> Pair:
    """Return a + b and what rounding took from it."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _dd_product(a: float, b: float) -> Pair:
    """Return a b and what rounding took from it; for factors below 1e290."""
    p = a * b
    t = 134217729.0 * a
    a1 = t - (t - a)
    a2 = a - a1
    t = 134217729.0 * b
    b1 = t - (t - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


OPERATIONS = (_dd_sum, _dd_product)
