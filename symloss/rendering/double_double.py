"""Double-double arithmetic that generated modules carry along: 106 bits, as an unevaluated sum of two floats.

Each number is a pair, the second at most half a unit in the last place of the first. It is used where a sum cancels,
and so rarely. The functions run as plain Python too, which is how they are tested. Sources: Dekker (1971), A
floating-point technique for extending the available precision; Hida, Li and Bailey (2001), Algorithms for quad-double
precision floating point arithmetic.
"""

from __future__ import annotations

import math

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


def _dd_add(x: Pair, y: Pair) -> Pair:
    """Return the sum of two pairs."""
    s, e = _dd_sum(x[0], y[0])
    t, f = _dd_sum(x[1], y[1])
    s, e = _dd_sum(s, e + t)
    return _dd_sum(s, e + f)


def _dd_multiply(x: Pair, y: Pair) -> Pair:
    """Return the product of two pairs."""
    p, e = _dd_product(x[0], y[0])
    return _dd_sum(p, e + (x[0] * y[1] + x[1] * y[0]))


def _dd_divide(x: Pair, y: Pair) -> Pair:
    """Return the quotient of two pairs."""
    q = x[0] / y[0]
    rest = _dd_add(x, _dd_multiply((-q, 0.0), y))
    r = rest[0] / y[0]
    rest = _dd_add(rest, _dd_multiply((-r, 0.0), y))
    return _dd_add(_dd_sum(q, r), (rest[0] / y[0], 0.0))


def _dd_expm1(x: Pair) -> Pair:
    """Return exp(x) - 1 for abs(x) up to 1/2, to the last bits of a pair even where x is small."""
    x = (x[0] * 0.03125, x[1] * 0.03125)
    h, total = x[0], 0.0
    for c in (
        1.1470745597729725e-11,
        1.6059043836821613e-10,
        2.08767569878681e-09,
        2.505210838544172e-08,
        2.755731922398589e-07,
        2.7557319223985893e-06,
    ):  # 1 / 14!, ..., 1 / 9!: beyond what needs pairs
        total = total * h + c
    found = (total, 0.0)
    for pair in (  # 1 / 8!, ..., 1 / 1!
        (2.48015873015873e-05, 2.1511947866775882e-23),
        (0.0001984126984126984, 1.7209558293420705e-22),
        (0.001388888888888889, -5.300543954373577e-20),
        (0.008333333333333333, 1.1564823173178714e-19),
        (0.041666666666666664, 2.3129646346357427e-18),
        (0.16666666666666666, 9.25185853854297e-18),
        (0.5, 0.0),
        (1.0, 0.0),
    ):
        found = _dd_add(pair, _dd_multiply(x, found))
    found = _dd_multiply(x, found)
    for _ in range(5):  # exp(2 x) - 1 = m (2 + m)
        found = _dd_multiply(found, _dd_add((2.0, 0.0), found))
    return found


def _dd_exp(x: Pair) -> Pair:
    """Return exp(x); 0 where it underflows."""
    if x[0] < -745.2:
        return 0.0, 0.0
    k = math.floor(x[0] * 1.4426950408889634 + 0.5)
    r = _dd_add(x, (-k * 0.6931471803691238, 0.0))  # 32 bits, so that the product is exact; then the rest of log 2
    r = _dd_add(r, _dd_multiply((-k, 0.0), (1.9082149292705877e-10, 1.1612227229362532e-26)))
    y = _dd_add((1.0, 0.0), _dd_expm1(r))
    half = math.floor(0.5 * k)  # in two steps: 2**k may be subnormal
    up, rest = math.ldexp(1.0, int(half)), math.ldexp(1.0, int(k - half))
    return y[0] * up * rest, y[1] * up * rest


def _dd_log(x: Pair) -> Pair:
    """Return the logarithm of a positive number."""
    y = math.log(x[0])
    r = _dd_add(_dd_multiply(x, _dd_exp((-y, 0.0))), (-1.0, 0.0))
    return _dd_add((y, 0.0), _dd_add(r, (-0.5 * r[0] * r[0], 0.0)))


def _dd_log1p(x: Pair) -> Pair:
    """Return log(1 + x) for x in [0, 1], to the last bits of a pair even where x is small."""
    y = math.log1p(x[0])
    if y > 0.5:
        return _dd_log(_dd_add((1.0, 0.0), x))
    m = _dd_expm1((y, 0.0))
    r = _dd_divide(_dd_add(x, (-m[0], -m[1])), _dd_add((1.0, 0.0), m))
    return _dd_add((y, 0.0), _dd_add(r, (-0.5 * r[0] * r[0], 0.0)))


def _dd_decay(x: Pair) -> Pair:
    """Return exp(-|x|)."""
    return _dd_exp(x if x[0] < 0.0 else (-x[0], -x[1]))


def _dd_sigmoid(x: Pair, e: Pair) -> Pair:
    """Return 1 / (1 + exp(-x)), from e = exp(-|x|)."""
    return _dd_divide(e if x[0] < 0.0 else (1.0, 0.0), _dd_add((1.0, 0.0), e))


def _dd_half_tanh(x: Pair) -> Pair:
    """Return tanh(x / 2) / 2, which is sigmoid(x) - 1/2, for abs(x) up to 1/2."""
    m = _dd_expm1(x)
    return _dd_divide(m, _dd_add((4.0, 0.0), _dd_multiply((2.0, 0.0), m)))


def _dd_softplus(x: Pair, e: Pair) -> Pair:
    """Return log(1 + exp(x)), from e = exp(-|x|)."""
    tail = _dd_log1p(e)
    return tail if x[0] < 0.0 else _dd_add(x, tail)


def _dd_positive_part(x: Pair) -> Pair:
    """Return max(0, x)."""
    return x if x[0] > 0.0 else (0.0, 0.0)


def _dd_magnitude(x: Pair) -> Pair:
    """Return abs(x)."""
    return x if x[0] >= 0.0 else (-x[0], -x[1])


OPERATIONS = (
    _dd_sum, _dd_product, _dd_add, _dd_multiply, _dd_divide, _dd_expm1, _dd_exp, _dd_log, _dd_log1p, _dd_decay,
    _dd_sigmoid, _dd_half_tanh, _dd_softplus, _dd_positive_part, _dd_magnitude,
)  # fmt: skip
