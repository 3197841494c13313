"""Claims tried on points: tested, certified by the sign of a ball at a witness, or refuted with one.

A claim that holds at every point and that `claims_rules` proves is proved. Unknown never counts as holding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from symloss.language.claims import Claim
from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.verification.accuracy import full_settings
from symloss.verification.claims_rules import options_of, prove
from symloss.verification.oracle import Oracle, Undecided, oracle_of
from symloss.verification.point import Point
from symloss.verification.proof_falling import as_function
from symloss.verification.quantities import split
from symloss.verification.sampling import batches
from symloss.verification.series import working
from symloss.verification.tree import compile_formula

Lookup = Callable[[str], Definition]

WITNESSED = ("not_convex", "can_be_negative")


def check_claims(definition: Definition, lookup: Lookup, seed: int, count: int) -> list[dict[str, str]]:
    """Return each claim of a definition with its status, method and evidence."""
    return [_one(definition, claim, lookup, seed, count) for claim in definition.claims]


def _one(definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int) -> dict[str, str]:
    tried = 0
    trials = _parts_tried if claim.kind == "falling_part" else _samples_tried
    for holds, shown in trials(definition, claim, lookup, seed, count):
        tried += 1
        if claim.kind in WITNESSED and holds:
            return _result(claim, "certified", "sign of a ball at a witness", shown)
        if claim.kind not in WITNESSED and not holds:
            return _result(claim, "refuted", "a point where it fails", shown)
    if claim.kind in WITNESSED or not tried:
        return _result(claim, "claimed", "no witness found", f"{tried} points, seed {seed}")
    if method := prove(definition, claim, lookup):
        return _result(claim, "proved", method, f"holds at {tried} points too, seed {seed}")
    return _result(claim, "tested", "oracle on sampled points", f"{tried} points, seed {seed}")


def _samples_tried(
    definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int
) -> Iterator[tuple[bool, str]]:
    """Yield whether a claim holds at each sample that says something, and its inputs."""
    for oracle, place in _places(definition, dict(claim.settings), seed, count):
        with working(256, 2):
            try:
                holds = _holds(definition, oracle, claim, lookup, place)
            except Undecided:
                continue
        if holds is not None:
            yield holds, place.show()


def _parts_tried(
    definition: Definition, claim: Claim, _lookup: Lookup, seed: int, count: int
) -> Iterator[tuple[bool, str]]:
    """Yield whether a part of the formula is no larger at the larger of two angles."""
    formula = as_function(definition, claim.other, claim.wrt, options_of(claim))
    if formula is None:
        return
    run, rng = compile_formula(formula), np.random.default_rng(seed)
    for _ in range(count):
        scalars = {a.name: _drawn(a, rng) for a in definition.parameters}
        near, far = sorted(rng.uniform(0, np.pi, 2).tolist())
        with working(256, 2):
            low, high = (run(Point({}, scalars | {"angle": angle}, {}, {})) for angle in (far, near))
        yield not bool(low > high), ", ".join(f"{n} = {v}" for n, v in {"angle": (near, far), **scalars}.items())


def _drawn(argument: Argument, rng: np.random.Generator) -> float | bool:
    if argument.kind == "flag":
        return bool(rng.integers(2))
    match argument.domain:
        case Interval(low=low, high=high) if np.isfinite((low, high)).all():
            return float(rng.uniform(low, high))
    return float(argument.default)


def _result(claim: Claim, status: str, method: str, evidence: str) -> dict[str, str]:
    return {"claim": claim.text, "kind": claim.kind, "status": status, "method": method, "evidence": evidence}


@dataclass(frozen=True)
class _Place:
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


def _places(definition: Definition, settings: dict[str, Any], seed: int, count: int) -> Iterator[tuple[Oracle, _Place]]:
    number = 0
    for batch in batches(definition, seed + 11, count, np.dtype(np.float64)):
        written = definition.chosen({**batch.settings, **settings}, batch.inputs)
        oracle = oracle_of(written)
        tensors, scalars = split(written, batch.inputs, {**batch.settings, **settings})
        for sample in np.ndindex(*oracle.shape(tensors)):
            if oracle.counts(tensors, scalars, sample):
                yield oracle, _Place(tensors, scalars, sample, number)
                number += 1


def _direction(oracle: Oracle, place: _Place, target: str, *, single: bool) -> Any:
    """Return a direction over what one sample may depend on: one entry, or a random vector."""
    rng = np.random.default_rng(place.number)
    shape = np.shape(place.tensors.get(target, 0.0))
    near = [at for at in np.ndindex(*shape) if place.sample in oracle.concerned(target, at, place.tensors)]
    if single or len(near) == 1:
        return {near[rng.integers(len(near))]: 1.0}
    return dict(zip(near, rng.normal(0, 1, len(near)), strict=True))


def _holds(definition: Definition, oracle: Oracle, claim: Claim, lookup: Lookup, place: _Place) -> bool | None:
    """Tell whether a claim holds at a point; None where the point says nothing."""
    tensors, scalars, sample = place.tensors, place.scalars, place.sample

    def along(order: int, *, single: bool = False) -> Any:
        direction = {claim.wrt: _direction(oracle, place, claim.wrt, single=single)}
        return oracle.along(tensors, scalars, direction, order, sample)[order]

    match claim.kind:
        case "nonnegative":
            return not bool(oracle.along(tensors, scalars, {}, 0, sample)[0] < 0)
        case "can_be_negative":
            return bool(oracle.along(tensors, scalars, {}, 0, sample)[0] < 0)
        case "convex":
            return not bool(along(2) < 0)
        case "not_convex":
            return bool(along(2) < 0)
        case "lipschitz":
            if claim.settings == () and scalars != full_settings(definition, {}):
                return None  # the constant is that of the defaults
            return not bool(abs(along(1, single=True)) > claim.constant)
        case "gradient_sums_to_zero":
            shift = np.ones(tensors[claim.wrt].shape)
            return bool(oracle.along(tensors, scalars, {claim.wrt: shift}, 1, sample)[1].contains(0))
        case "symmetric":
            swapped = tensors | {claim.wrt: tensors[claim.other], claim.other: tensors[claim.wrt]}
            return _equal(*(oracle.along(t, scalars, {}, 0, sample)[0] for t in (tensors, swapped)))
        case "equals":
            return _identity(oracle, claim, lookup, place)
    return None


def _identity(oracle: Oracle, claim: Claim, lookup: Lookup, place: _Place) -> bool | None:
    """Tell whether two losses agree; parameters of the same name are shared, unless the claim says otherwise."""
    other = lookup(claim.other)
    theirs = full_settings(other, {})
    theirs |= {n: v for n, v in place.scalars.items() if n in theirs} | dict(claim.other_settings)
    names = {a.name for a in other.arguments}
    tensors = {n: x for n, x in place.tensors.items() if n in names}
    if not tensors and len(oracle.definition.inputs) == len(other.inputs):  # other names for the same roles
        own = (place.tensors[a.name] for a in oracle.definition.inputs)
        tensors = dict(zip((a.name for a in other.inputs), own, strict=True))
    if not {a.name for a in other.inputs} <= set(tensors):
        return None
    mine = oracle.along(place.tensors, place.scalars, {}, 0, place.sample)[0]
    return _equal(mine, oracle_of(other).along(tensors, theirs, {}, 0, place.sample)[0])


def _equal(left: Any, right: Any) -> bool:
    return bool(left.overlaps(right))
