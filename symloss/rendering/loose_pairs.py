"""Loose pairs: unevaluated sums of two floats, of which the second only has to be small; some 90 bits.

A second look at a sum that cancels is taken in these first, many elements side by side: no step branches or calls, so
that a loop over elements becomes vector instructions, and nothing brings the two floats in order after each step, which
is most of what double-double costs. The second float holds what rounding took, to its own rounding. The functions run
as plain Python too, which is how they are tested.
"""

from __future__ import annotations

import math

import numpy as np

from symloss.rendering.double_double import Pair, _exact_fma


def _choose(condition: bool, a: float, b: float) -> float:
    """Return a where the condition holds, else b."""
    return a if condition else b


def _log(x: float) -> float:
    return math.log(x)


def _log1p_unit(x: float, _wide: int) -> float:
    return math.log1p(x)


def _loose_add(x: Pair, y: Pair) -> Pair:
    """Return the sum of two pairs."""
    s = x[0] + y[0]
    back = s - x[0]
    return s, (x[0] - (s - back)) + (y[0] - back) + (x[1] + y[1])


def _loose_multiply(x: Pair, y: Pair) -> Pair:
    """Return the product of two pairs."""
    p = x[0] * y[0]
    return p, _exact_fma(x[0], y[0], -p) + _exact_fma(x[0], y[1], x[1] * y[0])


def _loose_scaled(c: float, x: Pair) -> Pair:
    """Return c x, where c is a power of 2 or its negative."""
    return c * x[0], c * x[1]


def _loose_step(c: Pair, x: Pair, y: Pair) -> Pair:
    """Return c + x y, where c is the larger: a step of a polynomial."""
    p = x[0] * y[0]
    s = c[0] + p
    return s, (p - (s - c[0])) + (_exact_fma(x[0], y[0], -p) + _exact_fma(x[0], y[1], _exact_fma(x[1], y[0], c[1])))


def _loose_divide(x: Pair, y: Pair) -> Pair:
    """Return the quotient of two pairs."""
    q = x[0] / y[0]
    return q, (_exact_fma(-q, y[0], x[0]) + _exact_fma(-q, y[1], x[1])) / y[0]


def _loose_where(condition: bool, x: Pair, y: Pair) -> Pair:
    """Return the first pair where the condition holds, else the second."""
    return _choose(condition, x[0], y[0]), _choose(condition, x[1], y[1])


def _loose_expm1(x: Pair) -> Pair:
    """Return exp(x) - 1 for abs(x) up to log 2, with as many bits where x is small."""
    h = x[0]
    p = 6.446950284384474e-26  # 1 / 25!, ..., 1 / 13!: beyond what needs pairs
    p = _exact_fma(p, h, 1.6117375710961184e-24)
    p = _exact_fma(p, h, 3.868170170630684e-23)
    p = _exact_fma(p, h, 8.896791392450574e-22)
    p = _exact_fma(p, h, 1.9572941063391263e-20)
    p = _exact_fma(p, h, 4.110317623312165e-19)
    p = _exact_fma(p, h, 8.22063524662433e-18)
    p = _exact_fma(p, h, 1.5619206968586225e-16)
    p = _exact_fma(p, h, 2.8114572543455206e-15)
    p = _exact_fma(p, h, 4.779477332387385e-14)
    p = _exact_fma(p, h, 7.647163731819816e-13)
    p = _exact_fma(p, h, 1.1470745597729725e-11)
    p = _exact_fma(p, h, 1.6059043836821613e-10)
    found = (p, 0.0)
    found = _loose_step((2.08767569878681e-09, -1.20734505911326e-25), x, found)  # 1 / 12!, ..., 1 / 1!
    found = _loose_step((2.505210838544172e-08, -1.448814070935912e-24), x, found)
    found = _loose_step((2.755731922398589e-07, 2.3767714622250297e-23), x, found)
    found = _loose_step((2.7557319223985893e-06, -1.858393274046472e-22), x, found)
    found = _loose_step((2.48015873015873e-05, 2.1511947866775882e-23), x, found)
    found = _loose_step((0.0001984126984126984, 1.7209558293420705e-22), x, found)
    found = _loose_step((0.001388888888888889, -5.300543954373577e-20), x, found)
    found = _loose_step((0.008333333333333333, 1.1564823173178714e-19), x, found)
    found = _loose_step((0.041666666666666664, 2.3129646346357427e-18), x, found)
    found = _loose_step((0.16666666666666666, 9.25185853854297e-18), x, found)
    found = _loose_step((0.5, 0.0), x, found)
    found = _loose_step((1.0, 0.0), x, found)
    return _loose_multiply(x, found)


def _loose_exp(x: Pair) -> Pair:
    """Return exp(x); 0 where it underflows."""
    h = _choose(x[0] < -746.0, -746.0, _choose(x[0] > 710.0, 710.0, x[0]))
    shifted = h * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    far = h - k * 0.6931471803691238  # 32 bits, so that the product is exact; then the rest of log 2
    rest = _loose_multiply((-k, 0.0), (1.9082149292705877e-10, 1.1612227229362532e-26))
    y = _loose_add((1.0, 0.0), _loose_expm1(_loose_add((far, x[1]), rest)))
    bits = np.float64(shifted).view(np.int64) - 4843621399236968448
    half = bits >> 1  # in two steps: 2**k may be subnormal, or too large
    up, last = np.int64((half + 1023) << 52).view(np.float64), np.int64((bits - half + 1023) << 52).view(np.float64)
    return y[0] * up * last, y[1] * up * last


def _loose_log(x: Pair) -> Pair:
    """Return the logarithm of a positive number: what the float lacks is small, its exponential tells."""
    y = _log(x[0])
    off = _loose_add(_loose_multiply(x, _loose_exp((-y, 0.0))), (-1.0, 0.0))
    return y, off[0] + off[1]


def _loose_log1p(x: Pair) -> Pair:
    """Return log(1 + x) for x in [0, 1], with as many bits where x is small."""
    y = _log1p_unit(x[0], 0)
    m = _loose_expm1((y, 0.0))
    return y, ((x[0] - m[0]) + (x[1] - m[1])) / (1.0 + x[0])


def _loose_decay(x: Pair) -> Pair:
    """Return exp(-|x|)."""
    return _loose_exp(_loose_where(x[0] < 0.0, x, _loose_scaled(-1.0, x)))


def _loose_sigmoid(x: Pair, e: Pair) -> Pair:
    """Return 1 / (1 + exp(-x)), from e = exp(-|x|)."""
    return _loose_divide(_loose_where(x[0] < 0.0, e, (1.0, 0.0)), _loose_add((1.0, 0.0), e))


def _loose_half_tanh(x: Pair) -> Pair:
    """Return tanh(x / 2) / 2, which is sigmoid(x) - 1/2, for abs(x) up to 1/2."""
    m = _loose_expm1(x)
    return _loose_divide(m, _loose_add((4.0, 0.0), _loose_scaled(2.0, m)))


def _loose_softplus(x: Pair, e: Pair) -> Pair:
    """Return log(1 + exp(x)), from e = exp(-|x|)."""
    return _loose_add(_loose_positive_part(x), _loose_log1p(e))


def _loose_positive_part(x: Pair) -> Pair:
    """Return max(0, x)."""
    return _loose_where(x[0] > 0.0, x, (0.0, 0.0))


def _loose_magnitude(x: Pair) -> Pair:
    """Return abs(x)."""
    return _loose_where(x[0] < 0.0, _loose_scaled(-1.0, x), x)


LOOSE = (
    _loose_add, _loose_multiply, _loose_scaled, _loose_step, _loose_divide, _loose_where, _loose_expm1, _loose_exp,
    _loose_log, _loose_log1p, _loose_decay, _loose_sigmoid, _loose_half_tanh, _loose_softplus, _loose_positive_part,
    _loose_magnitude,
)  # fmt: skip
