"""Which rule proves which kind of claim.

A definition and a claim come in; the name of the rule that proves the claim goes out, or an empty string: not proved is
not refuted. The rules read the author's formula, and know functions but never a loss.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy

from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.verification.proof_even import even_of
from symloss.verification.proof_falling import falls
from symloss.verification.proof_form import exact, label_cases, written
from symloss.verification.proof_identity import exchanged, identical, shift
from symloss.verification.proof_ranges import ranges_of
from symloss.verification.proof_shape import CONVEX, curvature, slope

Lookup = Callable[[str], Definition]
Rule = Callable[[Definition, Claim, Lookup], bool]


def prove(definition: Definition, claim: Claim, lookup: Lookup) -> str:
    """Return the method that proves a claim for a definition and all its variants, or an empty string.

    Parameters
    ----------
    definition : Definition
        What is claimed; any author's.
    claim : Claim
        The claim; kinds without a rule are not proved.
    lookup : callable
        Finds another loss by name, for identities.
    """
    variants = (definition, *(v for v in definition.variants if v.choice != definition.choice))
    for method, rule in RULES.get(claim.kind, ()):
        if all(rule(d, claim, lookup) for d in variants):
            return method
    return ""


def _nonnegative(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    ranges = ranges_of(definition, dict(claim.settings))
    formula = written(definition, dict(claim.settings))
    return all(ranges.of(case)[0] >= 0 for case in label_cases(definition, formula))


def _convex(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    ranges = ranges_of(definition, dict(claim.settings))
    formula = written(definition, dict(claim.settings))
    return all(curvature(case, claim.wrt, ranges) >= CONVEX for case in label_cases(definition, formula))


def _lipschitz(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    if not definition.elementwise:
        return False  # a slope per entry is not yet summed over the places an entry is read
    ranges = ranges_of(definition, dict(claim.settings))
    for case in label_cases(definition, written(definition, dict(claim.settings))):
        low, high = slope(case, claim.wrt, ranges)
        if not sympy.Max(-low, high) <= exact(claim.constant):
            return False
    return True


def _even(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    (wrt, *_) = [claim.wrt] if claim.wrt else [a.name for a in definition.differentiable]
    found = even_of(written(definition, dict(claim.settings)), wrt, ranges_of(definition, dict(claim.settings)))
    match claim.kind:
        case "nonnegative":
            return found is not None and found.nonnegative
        case "lipschitz":
            return found is not None and not found.steeper_than(exact(claim.constant))
    return found is not None


def _shift(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return shift(written(definition, dict(claim.settings)), claim.wrt) == 0


def _symmetric(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return exchanged(written(definition, dict(claim.settings)), claim.wrt, claim.other)


def _equals(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    other = lookup(claim.other)
    chosen = next((v for v in other.variants if v.choice == definition.choice), other)
    return identical(definition, dict(claim.settings), chosen, dict(claim.other_settings))


def options_of(claim: Claim) -> dict[str, bool]:
    """Return the options under which a claim about a part of the formula is made."""
    return {name: bool(value) for name, value in claim.settings}


def _falling(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return falls(definition, claim.other, claim.wrt, options_of(claim))


EVEN = ("slopes on either side of the threshold", _even)
RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "nonnegative": (("ranges composed over the formula", _nonnegative), EVEN),
    "convex": (("composition rules of convex functions", _convex), EVEN),
    "lipschitz": (("ranges of slopes composed over the formula", _lipschitz), EVEN),
    "symmetric": (("the formula with the two inputs exchanged is the same", _symmetric),),
    "gradient_sums_to_zero": (("a common shift leaves the formula as it is", _shift),),
    "equals": (("the two formulas are the same", _equals),),
    "falling_part": (("signs of derivatives on each piece, and of the jumps between them", _falling),),
}
