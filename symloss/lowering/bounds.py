"""Bounds: the condition that a number lies in a domain, with few comparisons, all of them exact in either format."""

from __future__ import annotations

import math

import sympy
from sympy.logic.boolalg import BooleanFunction

from symloss.language.domains import Domain, Interval, OneOf


class from_zero_to(BooleanFunction):  # noqa: N801 - a function, written as in a formula
    """Whether the first number is between 0 and the second by its bits, one comparison: -0 is not, nor is NaN."""

    nargs = 2


class as_input(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """A number in the format of the inputs, whatever the arithmetic is."""

    nargs = 1


class as_large_as(BooleanFunction):  # noqa: N801 - a function, written as in a formula
    """Whether the first number is the second, which is not negative, or its opposite; NaN is neither."""

    nargs = 2


def is_float32(x: float) -> bool:
    """Tell whether a number is one of float32's."""
    part, exponent = math.frexp(x)
    return x == 0 or math.isinf(x) or ((part * 2.0**24).is_integer() and -125 <= exponent <= 128)


def inside(x: sympy.Expr, domain: Domain) -> sympy.Basic:
    """Return the condition that a number lies in a domain."""
    match domain:
        case OneOf() if {-v for v in domain.values} == set(domain.values):
            return sympy.Or(*(as_large_as(x, sympy.Float(v)) for v in domain.values if v >= 0))
        case OneOf():
            return sympy.Or(*(sympy.Eq(x, sympy.Float(v)) for v in domain.values))
        case Interval(low=0, low_open=False, high_open=False) if 0 < domain.high < math.inf:
            return from_zero_to(x, sympy.Float(domain.high))
        case Interval():
            low = x > domain.low if domain.low_open else x >= domain.low
            high = x < domain.high if domain.high_open else x <= domain.high
            bounds = ((low, domain.low), (high, domain.high))
            return sympy.And(*(c for c, end in bounds if not math.isinf(end)))
