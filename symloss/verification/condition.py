"""Condition numbers: by how much a result magnifies relative errors of the inputs, by the oracle.

Every entry is moved by a relative `STEP` up or down, at random, and the move of the result is read off in balls. The
largest of a few such moves is a lower bound of the sum of ``abs(x df/dx / f)``: the bars it is used in are stricter for
it, the more entries there are. What it can see ends at about 1 / `STEP`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from symloss.verification.quantities import Request
from symloss.verification.series import Undecided, working

STEP = 2.0**-26
"""Long beside the rounding of moved inputs, short beside what bends."""
TRIALS = 4


def condition_number(
    request: Request, names: Iterable[str], exact: Any, compute: Callable[[Request], Any], seed: int = 0
) -> float:
    """Return by how much one result magnifies relative errors of the inputs.

    Parameters
    ----------
    request : Request
        Where the result is taken.
    names : iterable of str
        The inputs and scalar parameters that are moved.
    exact : flint.arb
        The result there.
    compute : callable
        From a request to the result.
    seed : int
        Of the directions.

    Returns
    -------
    float
        Infinite where the result is 0 and does not stay so; where the oracle is undecided beside the point, that
        move counts for nothing.
    """
    rng, largest = np.random.default_rng(seed), 0.0
    moved_names = tuple(names)
    for _ in range(TRIALS):
        tensors, scalars = dict(request.tensors), dict(request.scalars)
        for name in moved_names:
            if name in scalars:
                scalars[name] = scalars[name] * (1 + STEP * rng.choice([-1.0, 1.0]))
                continue
            array = np.asarray(tensors[name], np.float64)
            tensors[name] = array * (1 + STEP * rng.choice([-1.0, 1.0], array.shape))
        try:
            moved = compute(replace(request, tensors=tensors, scalars=scalars))
        except Undecided:
            continue
        with working(256, 0):
            gap = abs(moved.mid() - exact.mid())
            if exact.is_zero():
                largest = max(largest, 0.0 if gap.is_zero() else np.inf)
            else:
                largest = max(largest, float((gap / abs(exact.mid())).mid()) / STEP)
    return largest
