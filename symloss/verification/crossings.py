"""Where derivatives change sign: the inputs next to zeros of the gradient and Hessian, found by bisecting balls.

A definition of one number per sample and a batch of points come in; out comes a batch in which one input has been moved
to the floats on either side of a zero. There the terms of a formula cancel, and all of its digits are at stake.
"""

from __future__ import annotations

from collections.abc import Iterator

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


def crossings(
    definition: Definition, batch: Batch, count: int, orders: tuple[int, ...] = ORDERS,
    further: tuple[float, ...] = (FURTHER,),
) -> Batch | None:  # fmt: skip
    """Return a batch of points next to zeros of derivatives, or None where there are none.

    Parameters
    ----------
    definition : Definition
        Of one number per sample.
    batch : Batch
        Labels, other inputs and parameters at which zeros are looked for.
    count : int
        How many samples of the batch are tried.
    orders : tuple of int
        Of which derivatives; 0 is the loss itself, also where it becomes 0 and stays so.
    further : tuple of float
        How far from a zero further points lie, relatively.
    """
    written = definition.chosen(batch.settings, batch.inputs)
    if not written.elementwise:
        return None
    target = written.differentiable[0].name
    rows: list[tuple[int, float]] = []
    for k in range(min(count, len(batch.inputs[target]))):
        for order in orders:
            for low, high in _zeros(written, batch, k, target, order):
                rows += [(k, low), (k, high), *((k, low - part * abs(low)) for part in further)]
    domain = written.differentiable[0].domain
    rows = [(k, x) for k, x in rows if domain.contains(float(x))]
    if not rows:
        return None
    places = [k for k, _ in rows]
    moved = {name: x[places].copy() for name, x in batch.inputs.items()}
    moved[target] = np.array([x for _, x in rows], moved[target].dtype)
    return Batch(moved, batch.settings)


def _zeros(definition: Definition, batch: Batch, k: int, target: str, order: int) -> Iterator[tuple[float, float]]:
    """Yield adjacent floats between which a derivative changes sign and is not zero."""
    one = {name: x[k : k + 1].astype(np.float64) for name, x in batch.inputs.items()}

    def sign(x: float) -> int:
        inputs = one | {target: np.array([x])}
        request = Request(oracle_of(definition), *split(definition, inputs, batch.settings))
        try:
            ball = request.entry(target, (0,), order)[order]
        except Undecided:
            return 0
        return 1 if ball > 0 else -1 if ball < 0 else 0

    domain = definition.differentiable[0].domain
    grid = [x for x in GRID if domain.contains(x)]
    signs = [sign(x) for x in grid]
    for n in range(len(grid) - 1):
        opposite = signs[n] * signs[n + 1] == -1
        if opposite or (order == 0 and signs[n] != signs[n + 1]):
            low, high = grid[n], grid[n + 1]
            while (middle := low + (high - low) / 2) not in (low, high):
                found = sign(middle)
                if found == 0 and opposite:  # a kink or an exact zero: next to 0 most of all is lost
                    yield (-TINY, TINY) if middle == 0 else (np.nextafter(middle, low), np.nextafter(middle, high))
                    break
                low, high = (middle, high) if found == signs[n] else (low, middle)
            else:
                yield low, high
