"""Arithmetic of the oracle: truncated power series with ball coefficients, and what happens at breakpoints.

A value is a ball (`flint.arb`), a series of balls (`flint.arb_series`) where it moves along the direction, or an
integer. Every convention for a point without a derivative that the atoms state is applied here once more, on its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import flint

Value = Any
"""A ball, a series of balls, or a Python integer: flint has no annotations."""

LARGEST_WHOLE_POWER = 64


class Undecided(ArithmeticError):
    """A ball that straddles a breakpoint or is too wide; more precision may help."""


class Undefined(Undecided):
    """A point where the formula has no value or no derivative; no precision helps."""


@contextmanager
def working(bits: int, order: int) -> Iterator[None]:
    """Set the working precision, and how many derivatives a series carries, and restore both."""
    before = flint.ctx.prec, flint.ctx.cap
    flint.ctx.prec, flint.ctx.cap = bits, order + 1
    try:
        yield
    finally:
        flint.ctx.prec, flint.ctx.cap = before


def moves(value: Value) -> bool:
    """Tell whether a value changes along the direction."""
    return isinstance(value, flint.arb_series)


def constant(value: Value) -> Any:
    """Return the ball at the point itself."""
    if isinstance(value, flint.arb_series):
        return value[0]
    return value if isinstance(value, flint.arb) else flint.arb(value)


def series(value: Value) -> Any:
    """Return a value as a series."""
    return value if isinstance(value, flint.arb_series) else flint.arb_series([value])


def as_ball(value: Value) -> Value:
    """Return a value that has methods: an integer becomes a ball."""
    return flint.arb(value) if isinstance(value, int) else value


def sign(value: Value) -> int:
    """Return the sign at the point; a ball around 0 that is not exactly 0 is undecided."""
    ball = constant(value)
    if ball.is_zero():
        return 0
    if ball > 0:
        return 1
    if ball < 0:
        return -1
    raise Undecided


def add(values: Iterable[Value]) -> Value:
    """Return the sum; an empty one is 0."""
    return sum(values, flint.arb(0))


def multiply(parts: Sequence[Callable[[], Value]]) -> Value:
    """Return the product of values that are computed here; a factor that is exactly 0 leaves the term out.

    So 0·log(0) is 0, in whichever order SymPy keeps the factors.
    """
    values, failure = [], None
    for part in parts:
        try:
            value = part()
        except (Undecided, ZeroDivisionError) as error:
            failure = error
            continue
        if not moves(value) and constant(value).is_zero():
            return flint.arb(0)
        values.append(value)
    if failure is not None:
        raise failure
    total = values[0]
    for value in values[1:]:
        total = total * value
    return total


def divide(top: Value, bottom: Value) -> Value:
    """Return the quotient."""
    if constant(bottom).is_zero():
        raise Undefined
    return top / bottom


def ratio(top: Value, bottom: Value) -> Value:
    """Return the quotient, 0 where the denominator is exactly 0."""
    return top / bottom if sign(bottom) else flint.arb(0)


def whole_power(value: Value, exponent: int) -> Value:
    """Return an integer power; the 0th is 1 everywhere."""
    result: Value = flint.arb(1)
    for _ in range(abs(exponent)):
        result = result * value
    return result if exponent >= 0 else divide(flint.arb(1), result)


def power(base: Value, exponent: Value) -> Value:
    """Return a power whose exponent is a parameter: 0 to the 0 is 1, 0 to anything positive is 0 with derivative 0."""
    by = constant(exponent)
    if by.is_zero() and not moves(exponent):
        return flint.arb(1)
    if constant(base).is_zero():
        if sign(by) > 0:
            return flint.arb(0)
        raise Undefined
    if not moves(exponent) and by.is_integer() and abs(by) <= LARGEST_WHOLE_POWER:
        return whole_power(base, int(by.unique_fmpz()))
    if sign(base) < 0:
        raise Undefined
    return (base.log() * exponent).exp()


def square_root(value: Value) -> Value:
    """Return the square root; at 0 it has no derivative."""
    order = sign(value)
    if order < 0 or (order == 0 and moves(value)):
        raise Undefined
    return value.sqrt() if order else flint.arb(0)


def logarithm(value: Value) -> Value:
    """Return the natural logarithm."""
    if sign(value) <= 0:
        raise Undefined
    return value.log()


def hyperbolic_tangent(value: Value) -> Value:
    """Return the hyperbolic tangent from its definition."""
    doubled = (2 * value).exp()
    return (doubled - 1) / (doubled + 1)


def arctangent(top: Value, bottom: Value) -> Value:
    """Return the angle of the point (bottom, top), for top >= 0; 0 at the origin."""
    top, bottom = as_ball(top), as_ball(bottom)
    if sign(bottom) == 0 and sign(top) == 0:
        return flint.arb(0)
    if abs(constant(bottom)) > abs(constant(top)):
        return divide(top, bottom).atan() + (0 if sign(bottom) > 0 else flint.arb.pi())
    return flint.arb.pi() / 2 * sign(top) - divide(bottom, top).atan()


def positive_part(value: Value) -> Value:
    """Return the positive part; at the kink every derivative is 0."""
    return value if sign(value) > 0 else flint.arb(0)


def magnitude(value: Value) -> Value:
    """Return the absolute value; at the kink every derivative is 0."""
    order = sign(value)
    return value * order if order else flint.arb(0)


def ties(values: Sequence[Value]) -> bool:
    """Tell whether two values are exactly equal at the point."""
    return any(constant(a - b).is_zero() for a, b in itertools.combinations(values, 2))


def largest(values: Sequence[Value], direction: int) -> Value:
    """Return the largest value (`direction` 1) or the smallest (-1); of equal ones the first, with its derivatives."""
    best = values[0]
    for value in values[1:]:
        if sign(value - best) == direction:
            best = value
    return best


def norm(values: Sequence[Value]) -> Value:
    """Return the Euclidean norm; at 0 every derivative is 0."""
    squares = add(v * v for v in values)
    return flint.arb(0) if constant(squares).is_zero() else square_root(squares)


def log_sum_exp(values: Sequence[Value]) -> Value:
    """Return the logarithm of the sum of exponentials, as it is written."""
    return logarithm(add(v.exp() for v in map(as_ball, values)))
