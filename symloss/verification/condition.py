"""Condition numbers: by how much a result magnifies relative errors of the inputs, by the oracle.

The componentwise condition number is the sum of ``abs(x df/dx / f)`` over all entries x (Higham 2002, Accuracy and
stability of numerical algorithms, section 1.6). A few moves of all entries by a relative `STEP` up or down, at random,
give a lower bound, which often suffices; else every entry is moved on its own. Moves of the result are read off in
balls. What can be seen ends at about 1 / `STEP`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from symloss.verification.quantities import Request
from symloss.verification.series import Undecided, working

STEP = 2.0**-26
"""Long beside the rounding of moved inputs, short beside what bends."""
TRIALS = 4
ENTRIES = 1500
"""How many entries are moved one by one; of more, the lower bound has to do."""


def condition_number(
    request: Request, names: Iterable[str], exact: Any, compute: Callable[[Request], Any], enough: float = np.inf,
    seed: int = 0,
) -> float:  # fmt: skip
    """Return by how much one result magnifies relative errors of the inputs, or a lower bound that is `enough`.

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
    enough : float
        A lower bound of this size need not be made sharper.
    seed : int
        Of the directions.

    Returns
    -------
    float
        Infinite where the result is 0 and does not stay so; where the oracle is undecided beside the point, that
        move counts for nothing.
    """
    moved = tuple(names)
    largest = 0.0
    for factors in _together(request, moved, np.random.default_rng(seed)):
        largest = max(largest, _gap(request, factors, exact, compute))
        if largest >= enough:
            return largest
    size = sum(1 if n in request.scalars else np.size(request.tensors[n]) for n in moved)
    if size > ENTRIES:
        return largest
    total = 0.0
    for factors in _one_by_one(request, moved):
        total += _gap(request, factors, exact, compute)
        if total >= enough:
            break
    return max(largest, total)


def _together(request: Request, names: tuple[str, ...], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield factors for all entries at once."""
    for _ in range(TRIALS):
        shapes = ((n, () if n in request.scalars else np.shape(request.tensors[n])) for n in names)
        yield {n: 1 + STEP * rng.choice([-1.0, 1.0], shape) for n, shape in shapes}


def _one_by_one(request: Request, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a factor for one entry after another."""
    for name in names:
        if name in request.scalars:
            yield {name: 1 + STEP}
            continue
        array = np.asarray(request.tensors[name], np.float64)
        for at in zip(*np.nonzero(array), strict=True):
            factors = np.ones(array.shape)
            factors[at] += STEP
            yield {name: factors}


def _gap(request: Request, factors: dict[str, Any], exact: Any, compute: Callable[[Request], Any]) -> float:
    """Return by how much a result moves, relatively and in units of the step."""
    tensors, scalars = dict(request.tensors), dict(request.scalars)
    for name, factor in factors.items():
        if name in scalars:
            scalars[name] = scalars[name] * float(factor)
        else:
            tensors[name] = np.asarray(tensors[name], np.float64) * factor
    try:
        moved = compute(replace(request, tensors=tensors, scalars=scalars))
    except Undecided:
        return 0.0
    with working(256, 0):
        gap = abs(moved.mid() - exact.mid())
        if exact.is_zero():
            return 0.0 if gap.is_zero() else np.inf
        return float((gap / abs(exact.mid())).mid()) / STEP
