"""Minimax fits: the polynomial whose largest weighted error on an interval is least, by Remez's exchange.

Arithmetic is mpmath's at a fixed precision, so that the same coefficients come out on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import mpmath

Number: TypeAlias = mpmath.mpf
Function: TypeAlias = Callable[[Number], Number]

BITS = 200
ROUNDS = 12
DENSITY = 20
"""Points between two extrema at which the error is looked at."""
LEVEL = mpmath.mpf("1.001")
"""How far the largest error may be above the smallest of the extrema's."""


@lru_cache(maxsize=64)
def minimax(function: Function, weight: Function, low: Number, high: Number, degree: int) -> tuple[Number, ...]:
    """Return the coefficients of the best polynomial, the constant first.

    Parameters
    ----------
    function, weight : callable
        What is approximated, and what its error is multiplied by; neither is asked at 0.
    low, high : mpf
        The interval.
    degree : int
        Of the polynomial.

    Raises
    ------
    ArithmeticError
        Where the error does not have one extremum more than there are unknowns.
    """
    with mpmath.workprec(BITS):
        count = degree + 2
        points = _nodes(low, high, count)
        for _ in range(ROUNDS):
            coefficients, level = _levelled(function, weight, points, degree)
            found = _extrema(function, weight, coefficients, _nodes(low, high, DENSITY * count))
            if len(found) < count:
                message = f"a polynomial of degree {degree} leaves {len(found)} extrema, {count} are needed"
                raise ArithmeticError(message)
            while len(found) > count:  # drop the smaller end: what is left still alternates
                found.pop(0 if abs(found[0][1]) < abs(found[-1][1]) else -1)
            points = [x for x, _ in found]
            if max(abs(error) for _, error in found) <= LEVEL * abs(level):
                break
        return tuple(coefficients)


def _nodes(low: Number, high: Number, count: int) -> list[Number]:
    """Return Chebyshev's points of an interval, moved off 0."""
    middle, half = (low + high) / 2, (high - low) / 2
    found = [middle - half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    return [x or half * mpmath.mpf(10) ** -20 for x in found]


def _levelled(function: Function, weight: Function, points: list[Number], degree: int) -> tuple[list[Number], Number]:
    """Return the coefficients whose error is of one size at all points, its sign alternating, and that size."""
    rows = []
    for k, x in enumerate(points):
        w = weight(x)
        rows.append([w * x**power for power in range(degree + 1)] + [(-1) ** k])
    solved = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([weight(x) * function(x) for x in points]))
    return [solved[k] for k in range(degree + 1)], solved[degree + 1]


def _extrema(
    function: Function, weight: Function, coefficients: list[Number], grid: list[Number]
) -> list[tuple[Number, Number]]:
    """Return the largest error of each run of one sign, with its place."""
    found: list[tuple[Number, Number]] = []
    for x in grid:
        error = weight(x) * (mpmath.polyval(coefficients[::-1], x) - function(x))
        if found and mpmath.sign(error) == mpmath.sign(found[-1][1]):
            if abs(error) > abs(found[-1][1]):
                found[-1] = (x, error)
        else:
            found.append((x, error))
    return found
