"""Tapes on which the function that runs them is checked on its own, against 80 digits.

A tape is a table; what each of its rows means is stated here once more, in other arithmetic. Most tapes end by taking
away the leading digits of their result, so that the last ones are looked at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

SERIES = 37
FIRST = SERIES + 7
"""The place of the first leaf: after 1 / 37!, ..., 1 / 1! and seven numbers."""
ZERO, ONE, MINUS, TWO, HALF, PART, LEAST = range(SERIES, FIRST)
NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5, 2.0**-11, -800.0)
STARTS: dict[int, Callable[[float], float]] = {2: lambda x: 1.0 / x, 3: math.log, 4: math.log1p}
DIGITS = 80

Row = tuple[int, ...]


def run(tape: NDArray[np.int64], leaves: NDArray[np.float64]) -> Any:
    """Return what a tape gives."""
    with mpmath.workdps(DIGITS):
        places = [1 / mpmath.factorial(n) for n in range(SERIES, 0, -1)]
        places += [mpmath.mpf(x) for x in (*NUMBERS, *leaves.tolist(), *[0.0] * len(tape))]
        result = 0
        for what, to, a, b, c, step, times in tape.tolist():
            result = to
            if what == 0:
                for k in range(times):
                    places[to] = places[a] * places[b] + places[c + k * step]
            elif what == 1:
                places[to] = places[a if places[b] < 0 else c]
            else:
                places[to] = mpmath.mpf(STARTS[what](float(places[a])))
        return places[result]


def _tape(
    numbers: tuple[float, ...], row: Callable[..., Row], *, onto: bool = False, times: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a tape and its leaves: numbers of three floats are put together, a row follows, leading digits go.

    `row` takes the places of the numbers and gives all but the first two columns after what is done; its result is
    new, or written `onto` the first number; with `times` it is multiplied by that.
    """
    leaves = [word for x in numbers for word in (x, x * 3.1e-17, -x * 2.3e-33)]
    rest, start = FIRST + len(leaves), FIRST + len(leaves) + 2
    rows: list[Row] = []
    for k in range(len(numbers)):
        x, to = FIRST + 3 * k, start + 2 * k
        rows += [(0, to + 1, x, ONE, x + 1, 0, 1), (0, to, to + 1, ONE, x + 2, 0, 1)]
    places = [start + 2 * k for k in range(len(numbers))]
    end = start + len(rows)
    what, *columns = row(*places)
    result = places[0] if onto else end
    rows.append((what, result, *(result if c < 0 else c for c in columns)))
    if times:  # the words that a number is made of matter
        end += 1
        rows.append((0, end, result, places[0], ZERO, 0, 1))
        result = end
    with mpmath.workdps(DIGITS):
        whole = run(np.array(rows), np.array([*leaves, 0.0, 0.0]))
        first = float(whole)
        leaves += [-first, -float(np.float32(float(whole - first)))]
    rows += [(0, end + 1, result, ONE, rest, 0, 1), (0, end + 2, end + 1, ONE, rest + 1, 0, 1)]
    return np.array(rows), np.array(leaves)


def points() -> list[tuple[Any, ...]]:
    """Return tapes with their leaves: each thing a row can do, at numbers of all sizes and signs."""
    found = []
    for numbers in itertools.product((1.3, -0.7, 1.0 / 3.0, -17.1, 3e-9), (0.9, -2.7), (0.3, -1.2, 5e4, 1e-17)):
        found.append(_tape(numbers, lambda x, y, z: (0, x, y, z, 0, 1)))
    for x in (0.3, -0.3, 0.69, 1e-5):
        found.append(_tape((x,), lambda x: (0, -1, x, 0, 1, SERIES)))
        found.append(_tape((x,), lambda x: (0, x, x, PART, 0, 5), onto=True))
    for x in (-1.0, 0.0, 1e-300):
        found.append(_tape((x, 3.0, -5.0), lambda x, y, z: (1, y, x, z, 0, 1)))
    for x in (-1.0, 1.0):  # of more rows than a row has columns
        found.append(_tape((0.5, 0.25, x, 3.0, -5.0), lambda _a, _b, x, y, z: (1, y, x, z, 0, 1)))
    for what, x in itertools.product(STARTS, (0.3, 1.7, 1e-5)):
        found.append(_tape((x,), lambda x, what=what: (what, x, 0, 0, 0, 1)))
        found.append(_tape((x,), lambda x, what=what: (what, x, 0, 0, 0, 1), times=True))
    return found
