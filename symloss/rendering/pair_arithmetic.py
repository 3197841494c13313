"""Pair arithmetic that generated modules carry along: about 100 bits in two floats, in loops that stay vectors.

A pair is a number and the rest that rounding left of it. Products take what they round away from a fused multiply and
add, nothing branches, and a pair that is infinite or NaN is so in its first part, whatever its second part is. The
functions run as plain Python too, which is how they are tested. Sources: Dekker (1971); Knuth (1998), section 4.2.2;
Joldes, Muller and Popescu (2017), Tight and rigorous error bounds for basic building blocks of double-word arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

from symloss.rendering.tracing import _equal, _fused, _powers, _root, _select

Number = Any
"""A float, or what stands for one while a kernel is compiled."""
Pair = tuple[Number, Number]


def _log(x: float) -> float:
    """Return log(x), where kernels have their own."""
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


def _log1p(x: float) -> float:
    """Return log(1 + x), where kernels have their own."""
    return math.log1p(x) if x > -1.0 else -math.inf if x == -1.0 else math.nan


def _finite(x: Any) -> Any:
    """Return a rest, and none where it is infinite or NaN: of infinity nothing is left."""
    return _select(_equal(x - x, 0.0), x, 0.0)


def _pair_of_sum(a: Any, b: Any) -> Pair:
    """Return a + b and what rounding took from it."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _pair_of_product(a: Any, b: Any) -> Pair:
    """Return a b and what rounding took from it."""
    p = a * b
    return p, _fused(a, b, -p)


def _pair_rounded(x: Pair) -> Any:
    """Return a pair as one number."""
    return x[0] + _finite(x[1])


def _pair_close(s: Any, rest: Any) -> Pair:
    """Return a sum and a rest that is small beside it as a pair."""
    rest = _finite(rest)
    h = s + rest
    return h, rest - (h - s)


def _pair_add(x: Pair, y: Pair) -> Pair:
    """Return x + y; what is left where they cancel is right too."""
    s, e = _pair_of_sum(x[0], y[0])
    t, f = _pair_of_sum(x[1], y[1])
    s, e = _pair_close(s, e + t)
    return _pair_close(s, e + f)


def _pair_add_number(x: Pair, b: Any) -> Pair:
    """Return x + b."""
    s, e = _pair_of_sum(x[0], b)
    return _pair_close(s, e + x[1])


def _pair_negative(x: Pair) -> Pair:
    """Return -x."""
    return -x[0], -x[1]


def _pair_scaled(x: Pair, power: float) -> Pair:
    """Return x times a power of 2."""
    return x[0] * power, x[1] * power


def _pair_multiply(x: Pair, y: Pair) -> Pair:
    """Return x y."""
    p = x[0] * y[0]
    return _pair_close(p, _fused(x[0], y[0], -p) + (_fused(x[0], y[1], x[1] * y[0])))


def _pair_multiply_number(x: Pair, b: Any) -> Pair:
    """Return x b."""
    p = x[0] * b
    return _pair_close(p, _fused(x[0], b, -p) + x[1] * b)


def _pair_divide(x: Pair, y: Pair) -> Pair:
    """Return x / y."""
    q = x[0] / y[0]
    p = q * y[0]
    rest = (x[0] - p) - _fused(q, y[0], -p) + (x[1] - q * y[1])
    return _pair_close(q, rest / y[0])


def _pair_root(x: Pair) -> Pair:
    """Return the square root."""
    r = _root(x[0])
    return _pair_close(r, (_fused(-r, r, x[0]) + x[1]) / (r + r))


def _pair_step_of_series(t: Pair, found: Pair, c: float, low: float) -> Pair:
    """Return c + t found for a small t: one step of Horner's."""
    p = t[0] * found[0]
    e = _fused(t[1], found[0], _fused(t[0], found[1], _fused(t[0], found[0], -p)))
    s = c + p
    return s, (p - (s - c)) + (e + low)


def _pair_expm1(x: Pair) -> Pair:
    """Return exp(x) - 1 for abs(x) up to 0.5, to some 95 bits even where x is small."""
    t = x[0] * 0.125, x[1] * 0.125
    p = 1.6059043836821613e-10  # 1 / 13!, ..., 1 / 7!: beyond what needs pairs
    p = _fused(p, t[0], 2.08767569878681e-09)
    p = _fused(p, t[0], 2.505210838544172e-08)
    p = _fused(p, t[0], 2.755731922398589e-07)
    p = _fused(p, t[0], 2.7557319223985893e-06)
    p = _fused(p, t[0], 2.48015873015873e-05)
    p = _fused(p, t[0], 0.0001984126984126984)
    f = _pair_step_of_series(t, (p, 0.0), 0.001388888888888889, -5.300543954373577e-20)
    f = _pair_step_of_series(t, f, 0.008333333333333333, 1.1564823173178714e-19)
    f = _pair_step_of_series(t, f, 0.041666666666666664, 2.3129646346357427e-18)
    f = _pair_step_of_series(t, f, 0.16666666666666666, 9.25185853854297e-18)
    f = _pair_step_of_series(t, f, 0.5, 0.0)
    f = _pair_step_of_series(t, f, 1.0, 0.0)
    f = _pair_of_small(t, f)
    f = _pair_doubled(f)
    f = _pair_doubled(f)
    return _pair_doubled(f)


def _pair_of_small(x: Pair, y: Pair) -> Pair:
    """Return x y for finite numbers; its rest may be more than half a unit of its last place."""
    p = x[0] * y[0]
    return p, _fused(x[1], y[0], _fused(x[0], y[1], _fused(x[0], y[0], -p)))


def _pair_doubled(m: Pair) -> Pair:
    """Return exp(2 x) - 1 from m = exp(x) - 1: m (2 + m)."""
    s = m[0] + 2.0
    return _pair_of_small(m, (s, (m[0] - (s - 2.0)) + m[1]))


def _pair_of_rest(h: Any, k: Any) -> Pair:
    """Return h - k log 2, for a whole number k."""
    far = h - k * 0.6931471805598903  # 42 bits of log 2, so that the product is exact; then the rest
    part = k * 5.497923018708371e-14
    lost = _fused(k, 5.497923018708371e-14, -part)
    r, e = _pair_of_sum(far, -part)
    return r, e - (lost + k * 1.94704509238075e-31)


def _pair_exp(x: Pair) -> Pair:
    """Return exp(x)."""
    h, low = x[0], _finite(x[1])
    h = _select(h > 710.0, 710.0, h)
    h = _select(h < -746.0, -746.0, h)
    shifted = h * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r, e = _pair_of_rest(h, k)
    m = _pair_expm1((r, e + low))
    s = 1.0 + m[0]
    rest = (m[0] - (s - 1.0)) + m[1]
    up, on = _powers(shifted)
    return s * up * on, rest * up * on


def _pair_exp_difference(x: Pair, y: Pair) -> Pair:
    """Return exp(x - y)."""
    return _pair_exp(_pair_add(x, _pair_negative(y)))


def _pair_log(x: Pair) -> Pair:
    """Return log(x), by one step of Newton's from a float."""
    y = _log(x[0])
    m = _pair_add_number(_pair_multiply(x, _pair_exp((-y, 0.0))), -1.0)
    return _pair_close(y, m[0] + (m[1] - 0.5 * m[0] * m[0]))


def _pair_log1p(x: Pair) -> Any:
    """Return log(1 + x), to the last bits of a pair even where x is small."""
    return _pair_log1p_from(x, _log1p(x[0]))


def _pair_log1p_from(x: Pair, y: Any) -> Any:
    """Return log(1 + x) by one step of Newton's from a float, with 1 + x and exp(y) over the same power of 2.

    Where the power is 1, both less 1 are compared: of a small x nothing is lost. Nothing branches.
    """
    h = _select((y > 710.0) | (y < -40.0), 0.0, y)  # infinite, and its own logarithm
    shifted = h * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    near = _equal(k, 0.0)
    m = _pair_expm1(_pair_of_rest(h, k))
    whole = _pair_add_number(m, 1.0)
    up, on = _powers(13510798882111488.0 - shifted)  # of -k
    scaled = _pair_scaled(_pair_scaled(_pair_add_number(x, 1.0), up), on)
    off = _pair_add(_select(near, x, scaled), _pair_negative(_select(near, m, whole)))
    r = _pair_divide(off, whole)
    found = _select((y > -1e-40) & (y < 1e-40), x, _pair_close(y, r[0] + (r[1] - 0.5 * r[0] * r[0])))
    return _select(_equal(y - y, 0.0), found, (y, 0.0))


def _pair_raised_decay(x: Pair) -> Any:
    """Return 2**64 exp(-|x|): never subnormal, whatever x is."""
    e = _pair_exp(_pair_add((44.3614195558365, 1.4841899608616317e-15), _pair_negative(_pair_magnitude(x))))
    return _select(_equal(e[0], 0.0), (5e-324, 0.0), e)


def _pair_magnitude(x: Pair) -> Any:
    """Return |x|."""
    return _select(x[0] < 0.0, (-x[0], -x[1]), x)


def _pair_positive_part(x: Pair) -> Any:
    """Return max(0, x); NaN stays NaN."""
    return _select((x[0] < 0.0) | _equal(x[0], 0.0), (0.0, 0.0), x)


def _pair_unless_zero(x: Pair) -> Any:
    """Return x, and the smallest normal number of float32 where that is 0."""
    return _select(_equal(x[0], 0.0), (1.1754943508222875e-38, 0.0), x)


def _pair_larger(x: Pair, y: Pair) -> Any:
    """Return the larger of two pairs, NaN where either is."""
    above = (y[0] > x[0]) | (_equal(y[0], x[0]) & (y[1] > x[1]))
    return _select(_equal(y[0], y[0]), _select(above, y, x), y)


def _pair_ratio(x: Pair, y: Pair) -> Any:
    """Return x / y, and 0 where y is 0."""
    q = _pair_divide(x, y)
    return _select(_equal(y[0], 0.0), (0.0, 0.0), q)


def _pair_power(x: Pair, exponent: Pair) -> Any:
    """Return x to a power; 0 to a negative power is 0, the convention for derivatives at 0, and none is infinite."""
    return _pair_power_from(x, exponent, _pair_exp(_pair_multiply(exponent, _pair_log(x))))


def _pair_power_from(x: Pair, exponent: Pair, power: Pair) -> Any:
    """Return what a power is found to be, but where x or the exponent is 0, and below what is infinite."""
    power = _select(power[0] > 1.7976931348623157e308, (1.7976931348623157e308, 0.0), power)
    power = _select(_equal(x[0], 0.0), (0.0, 0.0), power)
    return _select(_equal(exponent[0], 0.0), (1.0, 0.0), power)


def _pair_circle(x: Pair) -> tuple[Pair, Pair]:
    """Return the cosine and the sine of an angle of a few turns."""
    k = (x[0] * 0.6366197723675814 + 6755399441055744.0) - 6755399441055744.0
    r = _pair_add(x, _pair_multiply_number((1.5707963267948966, 6.123233995736766e-17), -k))
    r = _pair_add_number(r, k * 1.4973849048591698e-33)
    square = _pair_multiply(r, r)
    cosine, sine = (1.0, 0.0), (1.0, 0.0)
    for n in range(14, 0, -1):
        cosine = _pair_divide(_pair_multiply(square, cosine), (-2.0 * n * (2.0 * n - 1.0), 0.0))
        cosine = _pair_add_number(cosine, 1.0)
        sine = _pair_divide(_pair_multiply(square, sine), (-2.0 * n * (2.0 * n + 1.0), 0.0))
        sine = _pair_add_number(sine, 1.0)
    sine = _pair_multiply(r, sine)
    turn = k - 4.0 * ((k * 0.25 + 6755399441055744.0) - 6755399441055744.0)  # quarters of a turn, from -2 to 2
    if abs(turn) == 1.0:
        cosine, sine = _pair_scaled(sine, -turn), _pair_scaled(cosine, turn)
    return (_pair_negative(cosine), _pair_negative(sine)) if abs(turn) == 2.0 else (cosine, sine)


def _pair_cos(x: Pair) -> Pair:
    """Return the cosine of an angle of a few turns."""
    return _pair_circle(x)[0]


def _pair_sin(x: Pair) -> Pair:
    """Return the sine of an angle of a few turns."""
    return _pair_circle(x)[1]


def _pair_atan2(y: Pair, x: Pair) -> Pair:
    """Return the angle of a point, by one step of Newton's from a float."""
    angle = math.atan2(y[0], x[0])
    cosine, sine = _pair_circle((angle, 0.0))
    across = _pair_add(_pair_multiply(y, cosine), _pair_negative(_pair_multiply(x, sine)))
    along = _pair_add(_pair_multiply(x, cosine), _pair_multiply(y, sine))
    return (angle, 0.0) if along[0] == 0.0 else _pair_add_number(_pair_divide(across, along), angle)


TRACED = (
    _finite, _pair_of_sum, _pair_of_product, _pair_close, _pair_rounded, _pair_add, _pair_add_number, _pair_negative,
    _pair_scaled, _pair_multiply, _pair_multiply_number, _pair_divide, _pair_root, _pair_step_of_series,
    _pair_of_small, _pair_doubled, _pair_expm1, _pair_of_rest, _pair_exp, _pair_exp_difference, _pair_log1p_from,
    _pair_magnitude, _pair_raised_decay, _pair_positive_part, _pair_unless_zero, _pair_larger, _pair_ratio,
    _pair_power_from,
)  # fmt: skip
"""Functions of straight arithmetic, whose instructions are noted."""
CALLED = (_pair_log, _pair_log1p, _pair_power, _pair_circle, _pair_cos, _pair_sin, _pair_atan2)
"""Functions that are called."""
