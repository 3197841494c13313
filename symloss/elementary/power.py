"""Powers as text: the exponential of an exponent times a logarithm, which float64 results need to more digits.

A power is off by as much as the exponent, which may be large, times what its logarithm is off by: for float64 results
the logarithm and the product are sums of two numbers each. float32 is computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from functools import cache

import mpmath

from symloss.elementary.formats import FLOAT64, Format
from symloss.elementary.functions import (
    TEXTS,
    Lines,
    Text,
    atanh_rest,
    atanh_weight,
    either,
    exp_lines,
    fitted,
    largest_square,
    scaled_lines,
    spare,
)
from symloss.elementary.minimax import BITS

FAR = 1e4
"""What is beyond has an exponential that is 0 or infinite, whatever rounding took."""


@cache
def power_text(real: Format) -> str:
    """Return the source of ``_power``.

    0 to a negative power is 0, and no negative power is infinite. Else it is what IEEE 754 calls pow, but that NaN and
    infinity to the power of 0 are NaN.
    """
    t = Text(FLOAT64)
    within = real is not FLOAT64
    largest = t.number(real.largest)
    up, down = (FLOAT64.shift + FLOAT64.bias + sign * spare(FLOAT64) for sign in (1, -1))
    grown = [t.number(2.0 ** (-sign * spare(FLOAT64))) for sign in (1, -1)]
    lines = [
        *(["base, by = np.float64(base), np.float64(by)"] if within else []),
        "size = abs(base)",
        *scaled_lines(FLOAT64, "size", normal=within),
        *(_short_product() if within else either(_short_product(), _long_product())),
        "x = 710.0 if x > 710.0 else x",
        *exp_lines(FLOAT64, 0, f"{up} if x < 0.0 else {down}", narrow=within, rest="rest"),
        f"e = p * power * ({grown[0]} if x < 0.0 else {grown[1]})",
        f"most = {largest} if by < 0.0 else {t.number(math.inf)}",
        "e = most if e > most else e",
        f"whole = {t.number(FLOAT64.shift)}  # what is added to it is rounded to a whole number",
        "turned = 1.0 if (0.5 * by + whole) - whole == 0.5 * by else -1.0",
        f"turned = turned if (by + whole) - whole == by else {t.number(math.nan)}",
        "e = e * turned if base < 0.0 else e",
        "at_zero = 1.0 if by == 0.0 else abs(by) * 0.0",
        "e = at_zero if base == 0.0 else e",
        f"return {'f32(e)' if within else 'e'}",
    ]
    taken = "base, by" if within else "base, by, wide"
    summary = "Return base to a power; 0 to a negative one is 0, the convention for derivatives, and none is infinite."
    return f'def _power({taken}):\n    """{summary}"""\n' + "\n".join(f"    {line}" for line in lines)


def _short_product() -> Lines:
    """Return the lines that set `x` to the exponent times a logarithm, for results in float32."""
    t = Text(FLOAT64)
    with mpmath.workprec(BITS):
        log2 = t.rounded(mpmath.log(2))
    return [
        "s = f / (f + 2.0)  # log(1 + f) is 2 atanh(s)",
        "z = s * s",
        *t.horner(fitted(atanh_rest, atanh_weight, 0.0, largest_square(), 5), "z"),
        f"y = _fma(k, {log2}, _fma(p * z, s, s + s))",
        f"x = by * (y if size <= {t.number(FLOAT64.largest)} else size)",
    ]


def _long_product() -> Lines:
    """Return the lines that set `x` and `rest` to such a product in two parts.

    Of log(1 + f) = 2 s + 2/3 s**3 + 2/5 s**5 + ... these terms are known to twice the digits, and f / (2 + f) = s too.
    """
    t = Text(FLOAT64)
    with mpmath.workprec(BITS):
        high, low = map(t.number, FLOAT64.split(mpmath.log(2), 11))
    return [
        "u = f + 2.0",
        "over = 1.0 / u",
        "s = f * over",
        "back, lost = _dd_product(s, u)",
        "s_2 = ((f - back) - lost - s * (f - (u - 2.0))) * over",
        "z, z_2 = _dd_product(s, s)",
        "z_2 += 2.0 * s * s_2",
        "cube, cube_2 = _dd_product(z, s)",
        "cube_2 += z * s_2 + z_2 * s",
        "fifth, fifth_2 = _dd_product(cube, z)",
        "fifth_2 += cube * z_2 + cube_2 * z",
        *t.horner(fitted(_seventh, _seventh_weight, 0.0, largest_square(), 5), "z"),
        "y_2 = _fma(p * z, fifth, 2.0 * s_2)",
        *_multiplied("fifth", 5),
        *_multiplied("cube", 3),
        f"y, lost = _dd_sum(k * {high}, s + s)",
        "y, lost_2 = _dd_sum(y, cube)",
        "y, lost_3 = _dd_sum(y, fifth)",
        f"y_2 = (lost + lost_2 + lost_3) + (_fma(k, {low}, y_2) + cube_2 + fifth_2)",
        "x, rest = _dd_product(y, by)",
        "x, rest = _dd_sum(x, rest + y_2 * by)",
        f"x = x if size <= {t.number(FLOAT64.largest)} else by * size",
        f"rest = rest if abs(x) < {FAR} else 0.0",
    ]


def _multiplied(name: str, over: int) -> Lines:
    """Return the lines that multiply a number in two parts by 2 over a whole number."""
    with mpmath.workprec(BITS):
        factor = mpmath.mpf(2) / over
        near = FLOAT64.rounded(factor)
        off = FLOAT64.rounded(factor - mpmath.mpf(near))
    return [
        f"rest = {name} * {off!r} + {name}_2 * {near!r}",
        f"{name}, {name}_2 = _dd_product({name}, {near!r})",
        f"{name}_2 += rest",
    ]


def _seventh(z: mpmath.mpf) -> mpmath.mpf:
    """Return what log(1 + f) has from its fourth term on, over the seventh power of s."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) - 2 * s - 2 * s**3 / 3 - 2 * s**5 / 5) / s**7


def _seventh_weight(z: mpmath.mpf) -> mpmath.mpf:
    s = mpmath.sqrt(z)
    return s**7 / (2 * mpmath.atanh(s))


FUNCTIONS = TEXTS | {"_power": power_text}
"""All of the functions by name."""
