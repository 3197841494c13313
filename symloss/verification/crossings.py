"""Where derivatives change sign: the inputs next to zeros of the gradient and Hessian, found by bisecting balls.

A definition of one number per sample and a batch of points come in; out comes a batch in which one input has been moved
to the floats on either side of a zero. There the terms of a formula cancel, and all of its digits are at stake.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symloss.language.definition import Definition
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch

GRID = (-30.0, -7.0, -3.0, -1.5, -0.7, -0.3, -0.1, -0.01, 0.013, 0.11, 0.33, 0.73, 1.57, 3.1, 7.3, 31.0)
ORDERS = (1, 2)
TINY = 2.0**-90
FURTHER = 2.0**-20
"""How far from a zero a further point lies, relatively."""


def crossings(definition: Definition, batch: Batch, count: int) -> Batch | None:
    """Return a batch of points next to zeros of derivatives, or None where there are none.

    Parameters
    ----------
    definition : Definition
        Of one number per sample.
    batch : Batch
        Labels, other inputs and parameters at which zeros are looked for.
    count : int
        How many samples of the batch are tried.
    """
    written = definition.chosen(batch.settings, batch.inputs)
    if not written.elementwise:
        return None
    target = written.differentiable[0].name
    rows: list[tuple[int, float]] = []
    for k in range(min(count, len(batch.inputs[target]))):
        for order in ORDERS:
            for low, high in _zeros(written, batch, k, target, order):
                rows += [(k, low), (k, high), (k, low - FURTHER * abs(low))]
    if not rows:
        return None
    places = [k for k, _ in rows]
    moved = {name: x[places].copy() for name, x in batch.inputs.items()}
    moved[target] = np.array([x for _, x in rows], moved[target].dtype)
    return Batch(moved, batch.settings)


def _zeros(definition: Definition, batch: Batch, k: int, target: str, order: int) -> Iterator[tuple[float, float]]:
    """Yield adjacent floats between which a derivative changes sign and is not zero."""
    one = {name: x[k : k + 1].astype(np.float64) for name, x in batch.inputs.items()}

    def slope(x: float) -> Any:
        inputs = one | {target: np.array([x])}
        request = Request(oracle_of(definition), *split(definition, inputs, batch.settings))
        try:
            return request.entry(target, (0,), order)[order]
        except Undecided:
            return None

    balls = [slope(x) for x in GRID]
    for n in range(len(GRID) - 1):
        if _sign(balls[n]) * _sign(balls[n + 1]) == -1:
            yield _bracketed(slope, GRID[n], GRID[n + 1], balls[n], balls[n + 1])


def _sign(ball: Any) -> int:
    return 0 if ball is None else 1 if ball > 0 else -1 if ball < 0 else 0


def _bracketed(slope: Callable[[float], Any], low: float, high: float, below: Any, above: Any) -> tuple[float, float]:
    """Return adjacent floats on either side of a zero, by secants that are tried a little to either side in turn."""
    side = _sign(below)
    for turn in itertools.count():
        middle = low + (high - low) / 2
        if middle in (low, high):
            return low, high
        if turn % 3 < 2:  # each third step halves, so that no slope can make it slow
            guess = low + (high - low) * float(abs(below) / (abs(below) + abs(above)))
            guess += (1 - 2 * (turn % 3)) * max((high - low) / 64, 2 * float(np.spacing(abs(guess))))
            middle = guess if low < guess < high else middle
        found = slope(middle)
        if _sign(found) == 0:  # a kink or an exact zero: next to 0 most of all is lost
            if middle == 0:
                return -TINY, TINY
            return float(np.nextafter(middle, low)), float(np.nextafter(middle, high))
        if _sign(found) == side:
            low, below = middle, found
        else:
            high, above = middle, found
    raise AssertionError  # the count has no end
