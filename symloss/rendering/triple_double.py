"""Triple-double arithmetic that generated modules carry along: some 150 bits, as an unevaluated sum of three floats.

Right beside a zero crossing a sum is 2**-53 of its terms and less, where pairs of floats leave half of their digits.
One small function, so that it costs little to compile, runs a tape: a table whose rows each say what to do with which
numbers. `symloss.rendering.tape` writes tapes. The function runs as plain Python too, which is how it is tested.
Source: Lauter (2005), Basic building blocks for a triple-double intermediate format.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from symloss.rendering.double_double import _dd_product, _dd_sum

TERMS = 37
"""Of the exponential series, enough for arguments up to 0.7."""
COMBINE, CHOOSE, INVERT, LOG, LOG1P = range(5)
"""What a row of a tape does."""


def three(number: Fraction) -> tuple[float, float, float]:
    """Return three floats that add up to a number, each the rest that those before it leave, rounded."""
    first = float(number)
    second = float(number - Fraction(first))
    return first, second, float(number - Fraction(first) - Fraction(second))


SCALE = 11
"""An exponential is that of a 2**-11th, squared so many times; of anything below `LEAST` it is 0."""
LEAST = -800
USUAL = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(1, 2), Fraction(1, 2**SCALE), Fraction(LEAST))
"""Numbers that operations need."""
_CONSTANTS = np.array([*(three(Fraction(1, math.factorial(n))) for n in range(TERMS, 0, -1)), *map(three, USUAL)])


def _closely(tape: Any, leaves: Any) -> float:
    """Return what the last row of a tape computes from its leaves, in triple-double.

    Numbers are rows of a table: constants, the leaves, and what the tape adds. A row of the tape is what to do, where
    the result goes, up to three numbers a, b and c, by how much c moves on, and how many times.
    """
    first, own = len(_CONSTANTS), len(leaves)
    t = np.empty((first + own + len(tape), 3))
    for row in range(len(t)):
        for word in range(3):
            t[row, word] = _CONSTANTS[row, word] if row < first else 0.0
    for row in range(own):
        t[first + row, 0] = leaves[row]
    result = 0
    for row in range(len(tape)):
        result, a, b, c = tape[row, 1], tape[row, 2], tape[row, 3], tape[row, 4]
        if tape[row, 0] == 0:  # a b + c
            for _ in range(tape[row, 6]):
                p, e = _dd_product(t[a, 0], t[b, 0])
                q, f = _dd_product(t[a, 0], t[b, 1])
                r, g = _dd_product(t[a, 1], t[b, 0])
                low = t[a, 0] * t[b, 2] + t[a, 2] * t[b, 0] + t[a, 1] * t[b, 1] + f + g + t[c, 2]
                q, f = _dd_sum(q, r)
                e, g = _dd_sum(e, t[c, 1])
                q, r = _dd_sum(q, e)
                p, e = _dd_sum(p, t[c, 0])
                q, h = _dd_sum(q, e)
                q, low = _dd_sum(q, low + (f + g + r + h))
                p, q = _dd_sum(p, q)
                q, low = _dd_sum(q, low)
                t[result, 0], t[result, 1], t[result, 2] = p, q, low
                c += tape[row, 5]
        elif tape[row, 0] == 1:  # a where b is negative, else c
            chosen = a if t[b, 0] < 0.0 else c
            t[result, 0], t[result, 1], t[result, 2] = t[chosen, 0], t[chosen, 1], t[chosen, 2]
        elif tape[row, 0] == 2:  # the rest start from a float, which further rows make exact
            t[result, 0] = 1.0 / t[a, 0]
        elif tape[row, 0] == 3:
            t[result, 0] = math.log(t[a, 0])
        else:
            t[result, 0] = math.log1p(t[a, 0])
    return float(t[result, 0])
