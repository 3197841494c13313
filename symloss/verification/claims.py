"""Claims tried on points: tested, certified by the sign of a ball at a witness, or refuted with one.

A claim that holds at every point and that `claims_rules` proves is proved. Unknown never counts as holding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import flint
import numpy as np

from symloss.language.claims import Claim
from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.verification.accuracy import full_settings
from symloss.verification.claims_places import Place, direction_of, places
from symloss.verification.claims_points import COMPARED, SLACK, calculated, differences_tried, holds, members
from symloss.verification.claims_rules import CERTIFIED, options_of, prove
from symloss.verification.oracle import Oracle, Undecided, oracle_of
from symloss.verification.point import Point
from symloss.verification.proof_falling import as_function
from symloss.verification.proof_interval import restricted
from symloss.verification.series import working
from symloss.verification.tree import compile_formula

Lookup = Callable[[str], Definition]

WITNESSED = ("not_convex", "can_be_negative", "not_least_at", "has_effect")
UNTRIED = {
    "unbounded_slope": "no number of points shows it",
    "never_convex": "for every value of the parameter at once",
    "cosine_softmax": "the two formulas, compared as such",
    "sum_of": "the two formulas, compared as such",
    "smooth": "the formulas of both sides, compared as such",
    "piecewise": "the formula of each piece",
    "softmax_gradient": "the formula as such",
    "least_at_frequencies": "the formula as such",
}
"""Kinds that points cannot speak of: a proof alone counts."""
FAR, NEAR_LIMIT = 80.0, 1e-20
"""Where a limit is tried, and how near it must be there."""
ROUNDED = 1e-9
"""How near a multiple must be whose parameters were computed in floats."""


def check_claims(definition: Definition, lookup: Lookup, seed: int, count: int) -> list[dict[str, str]]:
    """Return each claim of a definition with its status, method and evidence."""
    return [_one(definition, claim, lookup, seed, count) for claim in definition.claims]


def _one(definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int) -> dict[str, str]:
    if claim.kind == "cited":
        return _result(claim, "claimed", "citation", " ".join(text for _, text in claim.expressions))
    if why := _untried(claim):
        method = prove(definition, claim, lookup)
        return _result(claim, "proved" if method else "claimed", method or "no proof found", why)
    tried = 0
    trials = TRIALS.get(claim.kind, _samples_tried)
    for held, shown in trials(definition, claim, lookup, seed, count):
        tried += 1
        if claim.kind in WITNESSED and held:
            return _result(claim, "certified", "sign of a ball at a witness", shown)
        if claim.kind not in WITNESSED and not held:
            return _result(claim, "refuted", "a point where it fails", shown)
    if claim.kind in WITNESSED or not tried:
        return _result(claim, "claimed", "no witness found", f"{tried} points, seed {seed}")
    if method := prove(definition, claim, lookup):
        status = "certified" if method in CERTIFIED else "proved"
        return _result(claim, status, method, f"holds at {tried} points too, seed {seed}")
    return _result(claim, "tested", "oracle on sampled points", f"{tried} points, seed {seed}")


def _untried(claim: Claim) -> str:
    """Return why points cannot speak of a claim, or an empty string."""
    if claim.inner is not None and claim.inner.kind in WITNESSED:
        return UNTRIED["never_convex"]
    return UNTRIED.get(claim.kind if claim.inner is None else claim.inner.kind, "")


def _interval_tried(
    definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int
) -> Iterator[tuple[bool, str]]:
    """Yield whether a statement holds where a parameter has one value of an interval after another."""
    inner, domain = claim.inner, claim.domain
    if inner is None or domain is None:
        return
    values = members(domain)
    for number, value in enumerate(values):
        there = replace(inner, settings=(*inner.settings, (claim.other, value)))
        own = restricted(definition, claim.other, domain, values[0])
        yield from TRIALS.get(inner.kind, _samples_tried)(
            own, there, lookup, seed + number, max(12, count // len(values))
        )


def _samples_tried(
    definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int
) -> Iterator[tuple[bool, str]]:
    """Yield whether a claim holds at each sample that says something, and its inputs."""
    for oracle, place in places(definition, dict(claim.settings), seed, count):
        with working(256, 2):
            try:
                held = _holds(definition, oracle, claim, lookup, place)
            except Undecided:
                continue
        if held is not None:
            yield held, place.show()


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


def _holds(definition: Definition, oracle: Oracle, claim: Claim, lookup: Lookup, place: Place) -> bool | None:
    """Tell whether a claim holds at a point; None where the point says nothing."""
    tensors, scalars, sample = place.tensors, place.scalars, place.sample

    def along(order: int, *, single: bool = False) -> Any:
        direction = {claim.wrt: direction_of(oracle, place, claim.wrt, single=single)}
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
        case "equals" | "multiple" | "below":
            return _beside(oracle, claim, lookup, place)
    return _more(oracle, claim, place, along)


def _more(oracle: Oracle, claim: Claim, place: Place, along: Callable[..., Any]) -> bool | None:
    """Tell the same of bounds, limits, minima and what moves nothing."""
    tensors, scalars, sample = place.tensors, place.scalars, place.sample

    whole = np.ones(np.shape(tensors.get(claim.wrt, 0.0)))

    def value(tensors: dict[str, Any]) -> Any:
        return oracle.along(tensors, scalars, {}, 0, sample)[0]

    match claim.kind:
        case "least_lipschitz" | "largest_curvature":
            order = 1 if claim.kind == "least_lipschitz" else 2
            if any(v != scalars[n] for n, v in full_settings(oracle.definition, dict(claim.settings)).items()):
                return None  # the constant is that of the defaults
            return not bool(abs(along(order)) > claim.constant * SLACK)
        case "gradient_norm":
            direction = direction_of(oracle, place, claim.wrt, single=False)
            length = sum(v * v for v in direction.values()) ** 0.5
            moved = oracle.along(tensors, scalars, {claim.wrt: direction}, 1, sample)[1]
            return not bool(abs(moved) > claim.constant * length * SLACK)
        case "rising" | "falling":
            return not bool(along(1) * (1 if claim.kind == "rising" else -1) < 0)
        case "value_limit_above" | "value_limit_below" | "slope_limit_above" | "slope_limit_below":
            far = FAR if claim.kind.endswith("above") else -FAR
            there = tensors | {claim.wrt: np.full_like(tensors[claim.wrt], far)}
            order = 1 if claim.kind.startswith("slope") else 0
            at = {claim.wrt: {sample: 1.0}}
            return not bool(abs(oracle.along(there, scalars, at, order, sample)[order] - claim.constant) > NEAR_LIMIT)
        case "least_at" | "calibrated":
            x, y = (flint.arb(float(tensors[n][sample])) for n in (claim.wrt, claim.other))
            gap = (1 / (1 + (-x).exp()) if claim.kind == "calibrated" else x) - y
            return not bool(along(1) * gap < 0)
        case "not_least_at":
            inside = 0.25 + 0.5 * tensors[claim.other]
            there = tensors | {claim.wrt: inside, claim.other: inside}
            slopes = oracle.along(
                there, scalars, {claim.wrt: direction_of(oracle, place, claim.wrt, single=True)}, 1, sample
            )
            return bool(slopes[1] > 0) or bool(slopes[1] < 0)
        case "no_effect":
            return bool(oracle.along(tensors, scalars, {claim.wrt: whole}, 1, sample)[1].contains(0))
        case "has_effect":
            return not bool(oracle.along(tensors, scalars, {claim.wrt: whole}, 1, sample)[1].contains(0))
        case "moved_together":
            names = (claim.wrt, *claim.other.split(","))
            shift = np.random.default_rng(place.number).normal(0, 1, tensors[claim.wrt].shape)
            return bool(oracle.along(tensors, scalars, dict.fromkeys(names, shift), 1, sample)[1].contains(0))
        case "flat_at_zero":
            return along(1).is_zero() if value(tensors).is_zero() else None
        case "positive_below" | "positive_above":
            side = float(tensors[claim.wrt][sample]) * (-1 if claim.kind == "positive_below" else 1)
            return not bool(value(tensors) <= 0) if side >= 0 else None
        case "cosine_bound":
            extent = oracle.extents(tensors)[claim.other]
            return not bool(value(tensors) > (flint.arb(extent).log() + 2 * calculated(claim.wrt, scalars)) * SLACK)
        case "cosine_gradient":
            direction = direction_of(oracle, place, claim.wrt, single=False)
            moved, size = (np.linalg.norm(v) for v in (list(direction.values()), tensors[claim.wrt][sample]))
            slope = oracle.along(tensors, scalars, {claim.wrt: direction}, 1, sample)[1]
            most = 2 * calculated(dict(claim.expressions)["scale"], scalars) * moved
            return not bool(abs(slope) * float(size) > float(most) * SLACK) if size > 0 else None
        case "at_most":
            return not bool(value(tensors) > claim.constant)
    return holds(oracle, claim, place)


def _beside(oracle: Oracle, claim: Claim, lookup: Lookup, place: Place) -> bool | None:
    """Compare two losses; parameters of the same name are shared, unless the claim says otherwise."""
    other = lookup(claim.other)
    theirs = full_settings(other, {})
    theirs |= {n: v for n, v in place.scalars.items() if n in theirs} | dict(claim.other_settings)
    theirs |= {n: calculated(text, place.scalars) for n, text in claim.expressions}
    names = {a.name for a in other.arguments}
    tensors = {n: x for n, x in place.tensors.items() if n in names}
    if not tensors and len(oracle.definition.inputs) == len(other.inputs):  # other names for the same roles
        own = (place.tensors[a.name] for a in oracle.definition.inputs)
        tensors = dict(zip((a.name for a in other.inputs), own, strict=True))
    if not {a.name for a in other.inputs} <= set(tensors):
        return None
    mine = oracle.along(place.tensors, place.scalars, {}, 0, place.sample)[0]
    found = oracle_of(other).along(tensors, theirs, {}, 0, place.sample)[0]
    if claim.kind == "below":
        return not bool(mine > found)
    if claim.kind == "equals":
        return _equal(mine, found)
    # parameters that are expressions are rounded once
    return bool(abs(mine - found * calculated(claim.wrt, place.scalars)) <= ROUNDED * (1 + abs(mine)))


def _equal(left: Any, right: Any) -> bool:
    return bool(left.overlaps(right))


TRIALS = {
    "falling_part": _parts_tried, "throughout": _interval_tried, **dict.fromkeys(COMPARED, differences_tried),
}  # fmt: skip
