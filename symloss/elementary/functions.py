"""The functions as text: argument reduction, polynomial, reconstruction, in the arithmetic of one format.

No step branches, so that a loop over them becomes vector instructions. NaN comes through every one of them; infinities,
zeros and subnormal numbers give what the functions' limits are. In float64 the functions of `SHORTER` take `wide`,
which is None where results are rounded to float32: what they compute then takes less, and is off by 2**-46 of it at
most where float32 has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import mpmath

from symloss.elementary.formats import FLOAT64, Format
from symloss.elementary.minimax import BITS, Function, minimax

Lines = list[str]


class Text:
    """How numbers of a format are written: in float32 every one says so, since a bare one would be float64."""

    def __init__(self, real: Format) -> None:
        self.real = real

    def number(self, x: float) -> str:
        """Return a number of the format as source."""
        if not math.isfinite(x):
            return f"np.{self.real.name}({'math.nan' if math.isnan(x) else 'math.inf' if x > 0 else '-math.inf'})"
        return repr(x) if self.real is FLOAT64 else f"f32({x!r})"

    def rounded(self, x: mpmath.mpf) -> str:
        """Return the nearest number of the format as source."""
        return self.number(self.real.rounded(x))

    def integer(self, x: str) -> str:
        """Return an expression of integers kept to the width of the format."""
        return x if self.real is FLOAT64 else f"np.int32({x})"

    def bits(self, x: str) -> str:
        """Return the bits of a local as an integer."""
        return f"_bits_of({x})"

    def value(self, bits: str) -> str:
        """Return the number that has these bits."""
        return f"_of_bits({self.integer(bits)})"

    def horner(self, coefficients: tuple[mpmath.mpf, ...], x: str) -> Lines:
        """Return the lines that set `p` to a polynomial in `x`."""
        first, *rest = reversed(coefficients)
        return [f"p = {self.rounded(first)}", *(f"p = _fma(p, {x}, {self.rounded(c)})" for c in rest)]


def fitted(function: Function, weight: Function, low: float, high: float, degree: int) -> tuple[mpmath.mpf, ...]:
    """Return the coefficients of the best polynomial in an interval, in more digits than any format has."""
    with mpmath.workprec(BITS):
        return minimax(function, weight, mpmath.mpf(low), mpmath.mpf(high), degree)


@cache
def exp_text(real: Format) -> str:
    """Return the source of ``_exp``."""
    t = Text(real)
    top, zero = t.number(710.0 if real is FLOAT64 else 89.0), t.number(0.0)
    up, down = (real.shift + real.bias + sign * spare(real) for sign in (1, -1))
    grown = [t.number(2.0 ** (-sign * spare(real))) for sign in (1, -1)]
    return _function(
        real, "_exp", "exp(x)",
        f"x = {top} if x > {top} else x",
        *exp_lines(real, 0, f"{t.number(up)} if x < {zero} else {t.number(down)}"),
        f"return p * power * ({grown[0]} if x < {zero} else {grown[1]})",
    )  # fmt: skip


@cache
def exp_down_text(real: Format) -> str:
    """Return the source of ``_exp_down``: nothing grows, so that there is nothing to choose."""
    t = Text(real)
    return _function(
        real, "_exp_down", "exp(x) for x up to 0",
        *exp_lines(real, 0, t.number(real.shift + real.bias + spare(real))),
        f"return p * power * {t.number(2.0 ** -spare(real))}",
    )  # fmt: skip


@cache
def raised_decay_text(real: Format) -> str:
    """Return the source of ``_raised_decay``: an exponential that is multiplied before it could be subnormal."""
    t = Text(real)
    kept = spare(real) if real is FLOAT64 else 0  # in float32 no raised exponential is subnormal
    shrunk = f" * {t.number(2.0**-kept)}" if kept else ""
    return _function(
        real, "_raised_decay", "2**64 exp(-abs(x))",
        "x = -abs(x)",
        *exp_lines(real, RAISED, t.number(real.shift + real.bias + RAISED + kept)),
        f"return p * power{shrunk}",
    )  # fmt: skip


RAISED = 64
"""The power of 2 by which small exponentials are multiplied."""


def spare(real: Format) -> int:
    """Return by which power of 2 exponentials are kept away from the ends of the format until they are complete."""
    return 128 if real is FLOAT64 else 64


def exp_lines(real: Format, raised: int, start: str, *, narrow: bool = False, rest: str = "") -> Lines:
    """Return the lines that compute exp(x) as 2**k p, with p = exp(r) and abs(r) up to log(2) / 2, and `power`.

    What is added to x / log(2) to round it to k, `start`, has in its last bits the exponent's bias and by what 2**k is
    multiplied: a shift of the bits of the sum makes a power of 2 of it. `narrow` leaves only what float32 results need
    of float64; `rest` is what is to be added to x, little as it is.
    """
    t = Text(real)
    wide = real is FLOAT64
    with mpmath.workprec(BITS):
        half = mpmath.log(2) / 2
        high, low = real.split(mpmath.log(2), 11 if wide else 8)
        inverse = t.rounded(1 / mpmath.log(2))
    bottom = t.number((-746.0 - math.ceil(raised * math.log(2))) if wide else -104.0)
    power = t.value(f"{t.bits('shifted')} << {real.digits}")

    def polynomial(degree: int) -> Lines:
        return t.horner(fitted(_exp_rest, _exp_weight, -half, half, degree), "r")

    close = [f"far = _fma(k, {t.number(-high)}, x)", f"r = _fma(k, {t.number(-low)}, far)"]
    last = f"p = _fma(p * r, r, r) + {t.number(1.0)}"
    shorter = [f"r = _fma(k, {t.rounded(-mpmath.log(2))}, x)", *polynomial(8), last] if wide else []
    longer = [
        *close,
        f"lost = _fma(k, {t.number(-low)}, far - r)",
        *([f"near = r + {rest}", f"lost += {rest} - (near - r)", "r = near"] if rest else []),
        *polynomial(9 if wide else 4),
        f"p = _fma(p * r, r, lost) + r + {t.number(1.0)}",
    ]
    return [
        f"x = {bottom} if x < {bottom} else x",
        f"start = {start}",
        f"shifted = _fma(x, {inverse}, start)",
        "k = shifted - start",
        *(shorter if narrow else either(shorter, longer) if wide else [*close, *polynomial(4), last]),
        f"power = {power}",
    ]  # fmt: skip


def either(narrow: Lines, wide: Lines) -> Lines:
    """Return the lines for results in float32, and for those in float64, of which only one are compiled."""
    return ["if wide is None:", *(f"    {line}" for line in narrow), "else:", *(f"    {line}" for line in wide)]


def _exp_rest(r: mpmath.mpf) -> mpmath.mpf:
    return (mpmath.expm1(r) - r) / r**2


def _exp_weight(r: mpmath.mpf) -> mpmath.mpf:
    return r**2 / mpmath.exp(r)


@cache
def log1p_unit_text(real: Format) -> str:
    """Return the source of ``_log1p_unit``: in float32 a polynomial, which is soon done; in float64 as a logarithm."""
    t = Text(real)
    if real is not FLOAT64:
        coefficients = fitted(_log1p_rest, _log1p_weight, 0.0, 1.0, 8)
        return _function(
            real, "_log1p_unit", "log(1 + x) for x between 0 and 1",
            *t.horner(coefficients, "x"),
            "return _fma(x * x, p, x)",
        )  # fmt: skip
    with mpmath.workprec(BITS):
        bound = mpmath.mpf(9) / 16  # from here up, 2 (1 + f) loses less
        high, low = real.split(mpmath.log(2), 11)
        whole = t.rounded(mpmath.log(2))
        top = (bound / (2 + bound)) ** 2
    narrow = [*t.horner(fitted(atanh_rest, atanh_weight, 0.0, top, 6), "z"), "y = _fma(p * z, s, s + s)"]
    wide = [*_near_one(real, top, 7, f"({t.number(low)} if upper else 0.0)", ""), "y = f - near"]
    return _function(
        real, "_log1p_unit", "log(1 + x) for x between 0 and 1: 1 + x is 1 + f, or 2 (1 + f)",
        f"upper = x > {t.rounded(bound)}",
        "f = 0.5 * x - 0.5 if upper else x",
        *_atanh(real),
        *either([*narrow, f"y += {whole} if upper else 0.0"], [*wide, f"y += {t.number(high)} if upper else 0.0"]),
        "return y",
    )  # fmt: skip


def _log1p_rest(x: mpmath.mpf) -> mpmath.mpf:
    return (mpmath.log1p(x) - x) / x**2


def _log1p_weight(x: mpmath.mpf) -> mpmath.mpf:
    return x**2 / mpmath.log1p(x)


@cache
def log_text(real: Format) -> str:
    """Return the source of ``_log``."""
    return _function(real, "_log", "log(x)", *_log_lines(real, "x", ""))


@cache
def log1p_text(real: Format) -> str:
    """Return the source of ``_log1p``: the logarithm of the rounded sum, and what rounding took."""
    t = Text(real)
    one = t.number(1.0)
    return _function(
        real, "_log1p", "log(1 + x) for x from -1 up",
        f"u = x + {one}",
        f"lost = x - (u - {one}) if x < {t.number(2.0**real.digits)} else {t.number(0.0)}",
        *_log_lines(real, "u", " - lost / u"),
    )  # fmt: skip


def _log_lines(real: Format, x: str, lost: str) -> Lines:
    """Return the lines that compute a logarithm: x is 2**k (1 + f)."""
    t = Text(real)
    wide = real is FLOAT64
    with mpmath.workprec(BITS):
        high, low = real.split(mpmath.log(2), 11 if wide else 8)
    return [
        *scaled_lines(real, x),
        *_atanh(real),
        *_near_one(real, largest_square(), 6 if wide else 3, f"k * {t.number(low)}", lost),
        f"y = _fma(k, {t.number(high)}, f - near)",
        f"y = {x} if {x} > {t.number(real.largest)} else y",
        f"y = y if {x} > {t.number(0.0)} else {t.number(math.nan)}",
        f"return {t.number(-math.inf)} if {x} == {t.number(0.0)} else y",
    ]


def scaled_lines(real: Format, x: str, *, normal: bool = False) -> Lines:
    """Return the lines that set `k` and `f`, where a positive x is 2**k (1 + f) and 1 + f is about 1.

    `normal` says that x is never subnormal.
    """
    t = Text(real)
    wide = real is FLOAT64
    with mpmath.workprec(BITS):
        middle = real.bits(real.rounded(1 / mpmath.sqrt(2)))
    least, factor = (2.0**-1022, 54) if wide else (2.0**-126, 25)
    lift, whole = (real.bias << real.digits) - middle, 2.0**real.digits
    start = t.number(whole + real.bias)
    raised = [
        f"small = {x} < {t.number(least)}",
        f"scaled = {x} * {t.number(2.0**factor)} if small else {x}",
    ]
    start = start if normal else f"({t.number(whole + real.bias + factor)} if small else {start})"
    exponent = f"exponent + {real.bits(whole)}"
    return [
        *([] if normal else raised),
        f"bits = {t.bits(x if normal else 'scaled')}",
        f"exponent = {t.integer(f'(bits + {lift}) >> {real.digits}')}",
        f"k = {t.value(exponent)} - {start}",
        f"f = {t.value(f'bits - ((exponent - {real.bias}) << {real.digits})')} - {t.number(1.0)}",
    ]


def largest_square() -> mpmath.mpf:
    """Return the largest square of what log(1 + f) is twice the inverse hyperbolic tangent of."""
    with mpmath.workprec(BITS):
        root = mpmath.sqrt(2)
        return ((root - 1) / (root + 1)) ** 2


def _atanh(real: Format) -> Lines:
    """Return the lines that set `s` to what log(1 + f) is twice the inverse hyperbolic tangent of, and its square."""
    return [f"s = f / (f + {Text(real).number(2.0)})  # log(1 + f) is 2 atanh(s)", "z = s * s"]


def _near_one(real: Format, top: mpmath.mpf, degree: int, low: str, lost: str) -> Lines:
    """Return the lines that set `near` to f - log(1 + f) - low - lost, where f / (2 + f) squared is up to `top`."""
    t = Text(real)
    return [
        *t.horner(fitted(atanh_rest, atanh_weight, 0.0, top, degree), "z"),
        f"half = {t.number(0.5)} * f",
        f"near = _fma(half, f, -_fma(s, _fma(p, z, half * f), {low})){lost}",
    ]


def atanh_rest(z: mpmath.mpf) -> mpmath.mpf:
    """Return what log(1 + f) has from its second term on, over the third power of s, whose square is z."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) - 2 * s) / (s * z)


def atanh_weight(z: mpmath.mpf) -> mpmath.mpf:
    """Return what an error in it is to be multiplied by, relative to the logarithm."""
    s = mpmath.sqrt(z)
    return s * z / (2 * mpmath.atanh(s))


def _function(real: Format, name: str, summary: str, *lines: str) -> str:
    """Return the text of a function, which in float32 takes nothing else: its shifts depend on the format."""
    first = () if real is FLOAT64 else ("x = f32(x)",)
    taken = "x, wide" if real is FLOAT64 and name in SHORTER else "x"
    body = "\n".join(f"    {line}" for line in (*first, *lines))
    return f'def {name}({taken}):\n    """Return {summary}."""\n{body}'


SHORTER = ("_exp", "_exp_down", "_raised_decay", "_log1p_unit")
"""Those that loops over elements and rows are made of."""


TEXTS: dict[str, Callable[[Format], str]] = {
    "_exp": exp_text, "_exp_down": exp_down_text, "_raised_decay": raised_decay_text, "_log1p_unit": log1p_unit_text,
    "_log": log_text, "_log1p": log1p_text,
}  # fmt: skip
"""The functions by name, those that others call first."""
