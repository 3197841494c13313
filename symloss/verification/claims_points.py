"""Claims that compare formulas, tried on points: a point where two of them differ refutes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import flint
import numpy as np
import sympy

from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.language.domains import REALS, UNIT, Interval
from symloss.verification.claims_places import Place, direction_of, places
from symloss.verification.oracle import Oracle, Undecided, oracle_of
from symloss.verification.proof_formula import difference
from symloss.verification.series import working

Lookup = Callable[[str], Definition]
Trials = Iterator[tuple[bool, str]]
SLACK = 1 + 5e-10
"""Constants of nine digits are rounded."""
TINY, HUGE = 2.0**-400, 2.0**400
"""Where the limits in a parameter are tried."""
MODERATE, NEAR = 1e20, 1e-40
"""The inputs at which they are, and how near they must be there."""
COMPARED = ("equals_formula", "expansion", "approaches")
"""Kinds that are tried on the difference of two formulas."""


def differences_tried(definition: Definition, claim: Claim, lookup: Lookup, seed: int, count: int) -> Trials:
    """Yield whether a loss is what an expression says, and the inputs."""
    settings, texts = dict(claim.settings), dict(claim.expressions)
    known: dict[Any, Oracle] = {}
    for oracle, place in places(definition, settings, seed, count):
        variant = oracle.definition
        if variant.choice not in known:
            gap = _gap(variant, claim, texts, lookup)
            known[variant.choice] = oracle_of(replace(variant, formula=gap, where=sympy.true, variants=()))
        scalars, tensors = place.scalars, place.tensors
        if claim.kind == "approaches":
            if not all(np.abs(x[place.sample[0]]).max() <= MODERATE for x in tensors.values()):
                continue
            scalars = scalars | {claim.wrt: HUGE if claim.constant else TINY}
        with working(2048, 0):
            try:
                found = known[variant.choice].expand(tensors, scalars, {}, 0, ((place.sample, 1.0),))[0]
            except (Undecided, ZeroDivisionError, ValueError):
                continue
        if found.is_finite():
            yield not bool(abs(found) > (NEAR if claim.kind == "approaches" else 0)), place.show()


def _gap(variant: Definition, claim: Claim, texts: dict[str, str], lookup: Lookup) -> Any:
    """Return the loss less what is claimed that it is."""
    settings = dict(claim.settings)
    match claim.kind:
        case "equals_formula":
            return difference(variant, settings, texts["formula"], texts["where"], lookup)
        case "expansion":
            return difference(variant, settings, as_logarithm(claim), "0 < 1", lookup)
    over = difference(replace(variant, formula=sympy.S.Zero), settings, f"-({texts['over']})", "0 < 1", lookup)
    scaled = replace(variant, formula=variant.formula / over)
    return difference(scaled, settings, texts["formula"], "0 < 1", lookup)


def as_logarithm(claim: Claim) -> str:
    """Return the closed form of a claimed expansion."""
    texts, part = dict(claim.expressions), claim.wrt
    return f"-(1 - {part})**({texts['shift']})*log({part}) + ({texts['first']})*(1 - {part})**({texts['shift']} + 1)"


def holds(oracle: Oracle, claim: Claim, place: Place) -> bool | None:
    """Tell whether a claim holds at a point; None where the point says nothing."""
    tensors, scalars, sample = place.tensors, place.scalars, place.sample
    texts = dict(claim.expressions)

    def moved(direction: Any) -> Any:
        return oracle.along(tensors, scalars, {claim.wrt: direction}, 1, sample)[1]

    match claim.kind:
        case "least_at_mean" | "least_at_quantile":
            return _least(oracle, claim, place)
        case "steepest":
            slope = moved(direction_of(oracle, place, claim.wrt, single=True))
            return not bool(abs(slope) > calculated(texts["bound"], scalars) * SLACK)
        case "value_where":
            return bool((oracle.along(tensors, scalars, {}, 0, sample)[0] - claim.constant).contains(0))
        case "of_counts":
            return _counted(oracle, claim, place)
        case "saturates":
            size = float(tensors[claim.wrt][sample].sum() + tensors[claim.other][sample].sum())
            slope = moved(direction_of(oracle, place, claim.wrt, single=True))
            return not bool(abs(slope) * size > claim.constant * SLACK)
        case "falls_in_odds":
            labels = [tensors[a.name] for a in oracle.definition.inputs if a.kind == "label"]
            return not bool(moved({(*sample, int(labels[0][sample])): 1.0}) > 0) if labels else None
    return None


def _least(oracle: Oracle, claim: Claim, place: Place) -> bool | None:
    """Compare the sum over a few data at their statistic with that beside it."""
    rng = np.random.default_rng(place.number)
    domain = next(a.domain for a in oracle.definition.inputs if a.name == claim.other)
    if domain == REALS:
        data = rng.integers(-40, 40, 4) / 4
    elif domain == UNIT:
        data = np.array([0.25, 0.25, 0.5, 1.0])
    else:
        return None
    if claim.kind == "least_at_mean":
        least = float(data.mean())
    else:
        rank = calculated(dict(claim.expressions)["level"], place.scalars) * len(data)
        least = float(np.sort(data)[min(max(math.ceil(rank), 1), len(data)) - 1])
    if claim.constant:  # the sigmoid of the prediction is the mean
        if least != 0.5:
            return None
        least = 0.0
    beside = least + float(rng.choice([-1, 1]) * 2.0 ** -rng.integers(0, 6))

    def total(at: float) -> Any:
        found = flint.arb(0)
        for y in data:
            there = {claim.wrt: np.full_like(place.tensors[claim.wrt], at)}
            there[claim.other] = np.full_like(place.tensors[claim.other], y)
            found = found + oracle.along(place.tensors | there, place.scalars, {}, 0, place.sample)[0]
        return found

    return not bool(total(least) > total(beside))


def _counted(oracle: Oracle, claim: Claim, place: Place) -> bool | None:
    """Compare the loss of two random masks with an expression in their counts."""
    rng = np.random.default_rng(place.number)
    masks = {n: rng.integers(0, 2, place.tensors[n].shape).astype(float) for n in (claim.wrt, claim.other)}
    p, t = (masks[n][place.sample] for n in (claim.wrt, claim.other))
    counts = {"TP": p * t, "FP": p * (1 - t), "FN": (1 - p) * t, "TN": (1 - p) * (1 - t)}
    known = {n: sympy.Rational(v) for n, v in place.scalars.items() if isinstance(v, float | int)}
    expected = sympy.sympify(
        dict(claim.expressions)["formula"], locals=known | {n: sympy.Integer(int(c.sum())) for n, c in counts.items()}
    )
    if not expected.is_finite:
        return None
    value = oracle.along(place.tensors | masks, place.scalars, {}, 0, place.sample)[0]
    return bool(value.overlaps(flint.arb(flint.fmpq(int(expected.p), int(expected.q)))))


def calculated(text: str, scalars: dict[str, Any]) -> float:
    """Return the value of an expression in parameters."""
    known = {
        n: sympy.Float(v, 40) for n, v in scalars.items() if isinstance(v, int | float) and not isinstance(v, bool)
    }
    return float(sympy.sympify(text, locals=known))


def members(domain: Interval) -> tuple[float, ...]:
    """Return some numbers of an interval, near its ends too."""
    low, high = domain.low, domain.high
    if math.isfinite(low) and math.isfinite(high):
        found = [low + (high - low) * share for share in (0.0, 2.0**-10, 0.25, 0.5, 0.75, 1.0)]
    elif math.isfinite(low):
        found = [low + step for step in (0.0, 2.0**-10, 0.5, 1.0, 8.0)]
    else:
        found = [high - step for step in (0.0, 2.0**-10, 0.5, 1.0, 8.0)]
    return tuple(v for v in found if domain.contains(v))
