"""Points near ties: samples close to where a comparison turns, and parameters that make another one turn there too.

A definition and a batch of many samples come in; out come batches of a few. What is mistaken in one comparison may only
show where another one has not decided everything already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.verification.oracle import Sample, Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch

HALVINGS = 24
"""How often the way between two values of a parameter is halved: to some seven digits."""
FARTHEST = 64.0
"""How far a parameter is moved from the end of its domain."""


def near_ties(definition: Definition, batch: Batch, count: int) -> Batch | None:
    """Return the samples of a batch that are closest to a tie; None where nothing is compared.

    There are some on either side of each comparison, the closest of each side first, and then some that are close to
    ties of two at once: what is mistaken in one comparison may only show through the other.
    """
    request = _asked(definition, batch)
    if not request.oracle.separable:
        return None
    sides: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    for k, *rest in np.ndindex(*request.oracle.shape(request.tensors)):
        if not any(rest) and request.oracle.counts(request.tensors, request.scalars, (k, *rest)):
            met = _sides(request, (k, *rest))
            each = [((tie, sign), gap) for tie, (gap, sign) in met.items() if 0.0 < gap < 1.0]
            both = [((a, b), max(one, two)) for (a, one), (b, two) in combinations(each, 2)]
            for side, gap in (*each, *both) if all(gap > 0.0 for gap, _ in met.values()) else ():
                sides.setdefault(side, []).append((gap, k))
    ranked = sorted(
        (place, isinstance(side[1], tuple), gap, k)
        for side, met in sides.items() for place, (gap, k) in enumerate(sorted(met))
    )  # fmt: skip
    near = sorted(list(dict.fromkeys(k for *_, k in ranked))[:count])
    return Batch(chosen(definition, batch.inputs, near), batch.settings) if near else None


def at_two_ties(definition: Definition, batch: Batch, count: int) -> Iterator[Batch]:
    """Yield samples near a tie, and a parameter at which another comparison is tied for them, on either side of it.

    Only what lies between two numbers that are nearly equal shows a mistake in which of them is meant.
    """
    near = near_ties(definition, batch, count)
    for argument in definition.continuous:
        if near is None or argument.axes or argument in _fixed(definition):
            continue
        for k in range(len(next(iter(near.inputs.values())))):
            alone = Batch(chosen(definition, near.inputs, [k]), near.settings)
            for value in _turns(definition, alone, argument):
                yield Batch(alone.inputs, {**alone.settings, argument.name: value})


def _fixed(definition: Definition) -> list[Argument]:
    """Return the parameters that a variant is written for values of."""
    names = {name for name, _ in definition.choice}
    return [a for a in definition.parameters if a.name in names]


def _turns(definition: Definition, batch: Batch, argument: Argument) -> Iterator[float]:
    """Yield values of a parameter just below and above where a comparison turns."""
    domain = argument.domain
    if not isinstance(domain, Interval):
        return
    low, high = (
        end if np.isfinite(end) else start for end, start in ((domain.low, -FARTHEST), (domain.high, FARTHEST))
    )
    ends = [
        x for x in (low + 2.0**-HALVINGS * (high - low), high - 2.0**-HALVINGS * (high - low)) if domain.contains(x)
    ]
    if len(ends) < 2:
        return
    first, last = (_signs(definition, batch, argument, x) for x in ends)
    for tie, side in first.items():
        if last.get(tie, side) == side:
            continue
        below, above = ends
        for _ in range(HALVINGS):
            middle = (below + above) / 2
            if _signs(definition, batch, argument, middle).get(tie) == side:
                below = middle
            else:
                above = middle
        yield from (below, above)


def _signs(definition: Definition, batch: Batch, argument: Argument, value: float) -> dict[Any, int]:
    """Return on which side each comparison of the first sample is."""
    request = _asked(definition, Batch(batch.inputs, {**batch.settings, argument.name: value}))
    sample = (0,) * len(request.oracle.shape(request.tensors))
    return {tie: side for tie, (_, side) in _sides(request, sample).items()}


def _sides(request: Request, sample: Sample) -> Mapping[object, tuple[float, int]]:
    """Return how near each comparison is to a tie, and on which side; none where the formula has no value."""
    try:
        return request.oracle.sides(request.tensors, request.scalars, sample)
    except Undecided:
        return {}


def defined(definition: Definition, batch: Batch) -> Batch | None:
    """Return the samples of a batch at which the formula has a value, the batch itself where it has one at all.

    None where there are no such samples, or where the others cannot be left out since all samples are read by each.
    """
    request = _asked(definition, batch)
    first, *others = request.oracle.shape(request.tensors)
    kept = [k for k in range(first) if all(_is_defined(request, (k, *rest)) for rest in np.ndindex(*others))]
    if len(kept) == first:
        return batch
    if not kept or not request.oracle.separable:
        return None
    return Batch(chosen(definition, batch.inputs, kept), batch.settings)


def _is_defined(request: Request, sample: Sample) -> bool:
    """Tell whether the oracle has a value for a sample, or the sample does not count."""
    oracle, tensors, scalars = request.oracle, request.tensors, request.scalars
    try:
        return not oracle.counts(tensors, scalars, sample) or bool(oracle.along(tensors, scalars, {}, 0, sample))
    except Undecided:
        return False


def _asked(definition: Definition, batch: Batch) -> Request:
    return Request(oracle_of(definition), *split(definition, batch.inputs, batch.settings))


def owns(definition: Definition, name: str) -> bool:
    """Tell whether an input has an entry or a row for each sample."""
    argument = next(a for a in definition.inputs if a.name == name)
    return not argument.axes or argument.axes[0] == definition.per[0].axis


def chosen(definition: Definition, inputs: Mapping[str, NDArray[Any]], rows: list[int]) -> dict[str, NDArray[Any]]:
    """Return the rows of some samples; what all share as it is."""
    return {n: x[rows] if owns(definition, n) and x.ndim else x for n, x in inputs.items()}
