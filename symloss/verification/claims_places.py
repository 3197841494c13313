"""Places: the samples at which a claim is tried, and directions to move in there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from symloss.language.definition import Definition
from symloss.verification.oracle import Oracle, oracle_of
from symloss.verification.quantities import split
from symloss.verification.sampling import batches


@dataclass(frozen=True)
class Place:
    """One sample of a batch at which a claim is tried."""

    tensors: dict[str, Any]
    scalars: dict[str, Any]
    sample: tuple[int, ...]
    number: int

    def show(self) -> str:
        """Return the sample's inputs in digits that give back the same floats."""
        lead, size = self.sample[0], len(next(iter(self.tensors.values())))
        with np.printoptions(floatmode="unique", threshold=6, precision=17):
            shown = [
                f"{n} = {x[lead]}" for n, x in self.tensors.items() if x is not None and np.shape(x)[:1] == (size,)
            ]
        return ", ".join(shown + [f"{n} = {v}" for n, v in self.scalars.items()])


def places(definition: Definition, settings: dict[str, Any], seed: int, count: int) -> Iterator[tuple[Oracle, Place]]:
    """Yield samples with parameters and inputs at given values, and the oracle of the variant that they are for."""
    number = 0
    names = {a.name for a in definition.inputs}
    fixed = {n: v for n, v in settings.items() if n not in names}
    for batch in batches(definition, seed + 11, count, np.dtype(np.float64)):
        inputs = {n: x for n, x in batch.inputs.items() if settings.get(n, 0) is not None}
        inputs |= {n: np.full_like(inputs[n], v) for n, v in settings.items() if n in inputs}
        written = definition.chosen({**batch.settings, **fixed}, inputs)
        oracle = oracle_of(written)
        tensors, scalars = split(written, inputs, {**batch.settings, **fixed})
        for sample in np.ndindex(*oracle.shape(tensors)):
            if oracle.counts(tensors, scalars, sample):
                yield oracle, Place(tensors, scalars, sample, number)
                number += 1


def direction_of(oracle: Oracle, place: Place, target: str, *, single: bool) -> Any:
    """Return a direction over what one sample may depend on: one entry, or a random vector."""
    rng = np.random.default_rng(place.number)
    shape = np.shape(place.tensors.get(target, 0.0))
    near = [at for at in np.ndindex(*shape) if place.sample in oracle.concerned(target, at, place.tensors)]
    if single or len(near) == 1:
        return {near[rng.integers(len(near))]: 1.0}
    return dict(zip(near, rng.normal(0, 1, len(near)), strict=True))
