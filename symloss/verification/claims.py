"""Claims tried on points: tested, certified by the sign of a ball at a witness, or refuted with one.

Nothing here is proved; proofs come with their own rung. Unknown never counts as holding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flint
import numpy as np

from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.verification.ladder import full_settings
from symloss.verification.oracle import Oracle, Undecided, oracle_of
from symloss.verification.sampling import batches

Lookup = Callable[[str], Definition]

WITNESSED = ("not_convex", "can_be_negative")


def check_claims(definition: Definition, lookup: Lookup, seed: int, count: int) -> list[dict[str, str]]:
    """Return each claim of a definition with its status, method and evidence."""
    oracle = oracle_of(definition)
    return [_one(definition, oracle, claim, lookup, seed, count) for claim in definition.claims]


def _one(definition: Definition, oracle: Oracle, claim: Claim, lookup: Lookup, seed: int, count: int) -> dict[str, str]:
    tried = 0
    for tensors, scalars in _points(definition, dict(claim.settings), seed, count):
        before, flint.ctx.prec = flint.ctx.prec, 256
        try:
            holds = _holds(definition, oracle, claim, lookup, tensors, scalars)
        except Undecided:
            continue
        finally:
            flint.ctx.prec = before
        if holds is None:
            continue
        tried += 1
        if claim.kind in WITNESSED and holds:
            return _result(claim, "certified", "sign of a ball at a witness", _show(tensors, scalars))
        if claim.kind not in WITNESSED and not holds:
            return _result(claim, "refuted", "a point where it fails", _show(tensors, scalars))
    if claim.kind in WITNESSED or not tried:
        return _result(claim, "claimed", "no witness found", f"{tried} points, seed {seed}")
    return _result(claim, "tested", "oracle on sampled points", f"{tried} points, seed {seed}")


def _result(claim: Claim, status: str, method: str, evidence: str) -> dict[str, str]:
    return {"claim": claim.text, "kind": claim.kind, "status": status, "method": method, "evidence": evidence}


def _show(tensors: dict[str, Any], scalars: dict[str, Any]) -> str:
    parts = [f"{n} = {np.array2string(np.asarray(v)[0], threshold=6)}" for n, v in tensors.items() if v is not None]
    return ", ".join(parts + [f"{n} = {v}" for n, v in scalars.items()])


def _points(
    definition: Definition, settings: dict[str, Any], seed: int, count: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for batch in batches(definition, seed + 11, count, np.dtype(np.float64)):
        merged = {**batch.settings, **settings}
        scalars = full_settings(definition, merged)
        tensors = {a.name: merged.get(a.name) for a in definition.parameters if a.axes}
        for sample in range(len(next(iter(batch.inputs.values())))):
            yield {n: x[sample : sample + 1] for n, x in batch.inputs.items()} | tensors, scalars


def _holds(
    definition: Definition, oracle: Oracle, claim: Claim, lookup: Lookup, tensors: dict[str, Any],
    scalars: dict[str, Any],
) -> bool | None:  # fmt: skip
    """Tell whether a claim holds at a point; None where the point says nothing."""

    def along(target: str, order: int) -> Any:
        rng = np.random.default_rng(3)
        shape = tensors[target].shape
        direction = rng.normal(0, 1, shape) if tensors[target].size > 1 else np.ones(shape)
        return oracle.along(tensors, scalars, {target: direction}, order)

    match claim.kind:
        case "nonnegative":
            return not bool(oracle.along(tensors, scalars, {}, 0)[0] < 0)
        case "can_be_negative":
            return bool(oracle.along(tensors, scalars, {}, 0)[0] < 0)
        case "convex":
            return not bool(along(claim.wrt, 2)[2] < 0)
        case "not_convex":
            return bool(along(claim.wrt, 2)[2] < 0)
        case "lipschitz":
            if claim.settings == () and scalars != full_settings(definition, {}):
                return None
            return not bool(abs(along(claim.wrt, 1)[1]) > claim.constant)
        case "gradient_sums_to_zero":
            shift = np.ones(tensors[claim.wrt].shape)
            return bool(oracle.along(tensors, scalars, {claim.wrt: shift}, 1)[1].contains(0))
        case "symmetric":
            swapped = tensors | {claim.wrt: tensors[claim.other], claim.other: tensors[claim.wrt]}
            return _equal(oracle.along(tensors, scalars, {}, 0)[0], oracle.along(swapped, scalars, {}, 0)[0])
        case "equals":
            return _identity(oracle, claim, lookup, tensors, scalars)
    return None


def _identity(
    oracle: Oracle, claim: Claim, lookup: Lookup, tensors: dict[str, Any], scalars: dict[str, Any]
) -> bool | None:
    other = lookup(claim.other)
    theirs = full_settings(other, {})
    shared = {n: v for n, v in scalars.items() if n in theirs}
    theirs |= shared | dict(claim.other_settings)
    filled = {a.name: np.ones(np.shape(tensors[other.inputs[0].name])[-1]) for a in other.parameters if a.axes}
    mine = oracle.along(tensors, scalars, {}, 0)[0]
    return _equal(mine, oracle_of(other).along(filled | tensors, theirs, {}, 0)[0])


def _equal(left: Any, right: Any) -> bool:
    return bool(left.overlaps(right))
