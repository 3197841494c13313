"""Which rule proves which kind of claim.

A definition and a claim come in; the name of the rule that proves the claim goes out, or an empty string: not proved is
not refuted. The rules read the author's formula, and know functions but never a loss.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.atoms import Atom
from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.language.domains import OneOf
from symloss.language.nodes import Access
from symloss.verification.claims_rules_formula import FORMULAS, Lookup, Rule
from symloss.verification.proof_even import even_of
from symloss.verification.proof_falling import falls
from symloss.verification.proof_form import exact, label_cases, written
from symloss.verification.proof_identity import exchanged, identical, moved, proportional, shift
from symloss.verification.proof_interval import multiplied, negative_near_an_end, restricted
from symloss.verification.proof_norm import flat_at_zero, grows, longest
from symloss.verification.proof_odds import (
    bends_down,
    convex_and_signed,
    flat_where_certain,
    never,
    never_negative,
    odds_forms,
    sign_of,
    supremum,
    tends,
)
from symloss.verification.proof_pieces import plain, sign
from symloss.verification.proof_ranges import ranges_of
from symloss.verification.proof_scores import Scores, is_sum_of, scores_of
from symloss.verification.proof_shape import CONVEX, curvature, slope


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
    variants = _meant(definition, claim)
    for method, rule in RULES.get(claim.kind, ()):
        if variants and all(rule(d, claim, lookup) for d in variants):
            return method
    return ""


def _meant(definition: Definition, claim: Claim) -> tuple[Definition, ...]:
    """Return the variants that a claim's settings leave: an optional input set to None is absent."""
    given: dict[str, object] = {n: False if v is None else v for n, v in claim.settings}
    everything = (definition, *(v for v in definition.variants if v.choice != definition.choice))
    return tuple(d for d in everything if all(given.get(name, value) == value for name, value in d.choice))


def _nonnegative(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    ranges = ranges_of(definition, dict(claim.settings))
    formula = written(definition, dict(claim.settings))
    return all(ranges.of(case)[0] >= 0 for case in label_cases(definition, formula))


def _never_negative(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return never_negative(definition, dict(claim.settings))


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


def _of_odds(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return convex_and_signed(definition, dict(claim.settings), claim.wrt)


def _supremum(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    order = 2 if claim.kind == "largest_curvature" else 1
    found = supremum(definition, dict(claim.settings), claim.wrt, order)
    return found is not None and all(abs(b / claim.constant - 1) < NINE_DIGITS for b in found)


def _monotone(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return never(definition, dict(claim.settings), claim.wrt, rises=claim.kind == "falling")


def _slopes_signed(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    settings = dict(claim.settings)
    labels = {a.name: exact(float(settings[a.name] or 0)) for a in definition.inputs if a.name in settings}
    formula = written(definition, settings)
    formula = formula.xreplace({a: labels[a.name] for a in formula.atoms(Access) if a.name in labels})
    low, high = slope(formula, claim.wrt, ranges_of(definition, {n: v for n, v in settings.items() if n not in labels}))
    return bool(low >= 0 if claim.kind == "rising" else high <= 0)


def _limit(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    order = 1 if claim.kind.startswith("slope") else 0
    found = tends(definition, dict(claim.settings), claim.wrt, order, claim.kind.endswith("above"))
    return bool(found) and all(f == exact(claim.constant) for f in found)


def _calibrated(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    flat = flat_where_certain(definition, dict(claim.settings), claim.wrt, claim.other)
    return flat and _convex(definition, claim, lookup)


def _least_at(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    formula = written(definition, dict(claim.settings))
    swap = {a: Access(claim.other, *a.slots) for a in formula.atoms(Access) if a.name == claim.wrt}
    at_least = ranges_of(definition, dict(claim.settings))
    positive = {s: sympy.Dummy(positive=True) for s in formula.free_symbols if at_least.of(s)[0] >= 0}
    zero = sympy.simplify(formula.xreplace(swap).xreplace(positive)) == 0
    floor = replace(claim, kind="nonnegative", wrt="")
    return zero and (_nonnegative(definition, floor, lookup) or _even(definition, floor, lookup))


def _no_effect(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return shift(written(definition, {}), claim.wrt) == 0


def _moved(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return moved(written(definition, {}), (claim.wrt, *claim.other.split(",")))


def _flat(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return flat_at_zero(written(definition, {}), claim.wrt)


def _norm(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    settings = dict(claim.settings)
    bound = longest(written(definition, settings), claim.wrt, ranges_of(definition, {}))
    return bool(bound <= exact(claim.constant))


def _unbounded(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return grows(written(definition, dict(claim.settings)), claim.wrt, 1)


def _at_most(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    ranges = ranges_of(definition, dict(claim.settings))
    formula = written(definition, dict(claim.settings))
    return all(ranges.of(case)[1] <= exact(claim.constant) for case in label_cases(definition, formula))


def _below(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    """Compare two losses of one log odds, label by label."""
    other = lookup(claim.other)
    (wrt,) = [a.name for a in definition.differentiable]
    mine = odds_forms(definition, dict(claim.settings), wrt)
    domain = next((a.domain for a in definition.inputs if a.name != wrt), None)
    given = {a.name: a.default for a in other.parameters} | dict(claim.other_settings)
    labels = [{_label(other): v} for v in domain.values] if isinstance(domain, OneOf) else [{}]
    theirs = [odds_forms(other, {**given, **label}, wrt) for label in labels]
    ranges = ranges_of(definition, dict(claim.settings))
    if not all(theirs) or len(mine) != len(theirs):
        return False
    pairs = zip(mine, (f for (f,) in theirs), strict=True)
    return all(sign_of(b - a, ranges)[0] for a, b in pairs)


def _label(definition: Definition) -> str:
    return next(a.name for a in definition.inputs if not a.differentiable)


def _multiple(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    other = lookup(claim.other)
    chosen = next((v for v in other.variants if v.choice == definition.choice), other)
    return proportional(definition, chosen, claim.wrt, dict(claim.expressions))


def _never_convex(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return bends_down(definition, dict(claim.settings), claim.wrt, claim.other)


def _positive_side(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    """Prove that the loss never comes nearer to 0 on its way from 0 to one side, and is above 0 there."""
    kind = "falling" if claim.kind == "positive_below" else "rising"
    if not any(rule(definition, replace(claim, kind=kind), lookup) for _, rule in MONOTONE):
        return False
    settings = dict(claim.settings)
    formula = written(definition, settings)
    given = {**settings, claim.wrt: 0.0}
    at_zero = formula.xreplace({a: exact(float(given[a.name] or 0)) for a in formula.atoms(Access) if a.name in given})
    while found := at_zero.atoms(Atom):
        at_zero = at_zero.xreplace({a: a.textbook() for a in found})
    form = plain(definition, sympy.sympify(at_zero))
    return form is not None and sign(form) == 1


def _cosine_softmax(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    found = scores_of(definition, dict(claim.settings))
    return found is not None and found.vectors == tuple(sorted(claim.other.split(","))) and _scaled(claim.wrt, found)


def _cosine_bound(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    found = scores_of(definition, dict(claim.settings))
    return found is not None and found.axis.name == claim.other and _scaled(claim.wrt, found)


def _cosine_gradient(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    """Bound the gradient: a cosine moves by at most 1 / |q|, and what multiplies them is at most 2 in all."""
    found = scores_of(definition, dict(claim.settings))
    own = {a for a in written(definition, dict(claim.settings)).atoms(Access) if a.name == claim.wrt}
    rows = all(a.slots[0] == definition.per[0] for a in own)
    return (
        found is not None and claim.wrt in found.vectors and rows and _scaled(dict(claim.expressions)["scale"], found)
    )


def _scaled(text: str, scores: Scores) -> bool:
    names = {s.name: s for s in scores.factor.free_symbols}
    return bool(sympy.simplify(sympy.sympify(text, locals=names) - scores.factor) == 0)


def _sum_of(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    other = lookup(claim.other)
    defaults = {a.name: a.default for a in other.parameters}
    return is_sum_of(written(definition, {}), other, defaults, claim.wrt)


def _over_interval(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    inner, domain = claim.inner, claim.domain
    if inner is None or domain is None or inner.kind not in OVER_INTERVALS:
        return False
    narrow = restricted(replace(definition, variants=()), claim.other, domain)
    return any(rule(narrow, inner, lookup) for _, rule in RULES[inner.kind])


def _at_ends(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    """Prove a statement that sums inherit at the ends, or at one end and of what the parameter multiplies."""
    inner, domain = claim.inner, claim.domain
    if inner is None or domain is None or inner.kind not in ("convex", "nonnegative", "falls_in_odds"):
        return False
    alone = replace(definition, variants=())
    ends = [end for end in (domain.low, domain.high) if abs(end) != float("inf")]
    rate = multiplied(written(alone, dict(inner.settings)), claim.other)
    if rate is None or not ends:
        return False

    def proved(written_as: Definition, **settings: float) -> bool:
        there = replace(inner, settings=(*inner.settings, *settings.items()))
        return any(rule(written_as, there, lookup) for _, rule in RULES[inner.kind])

    if len(ends) == 1:
        outwards = rate if domain.low == ends[0] else -rate
        if not proved(replace(alone, formula=outwards)):
            return False
    return all(proved(alone, **{claim.other: end}) for end in ends)


def _leading(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    inner, domain = claim.inner, claim.domain
    if inner is None or domain is None or inner.kind not in ("not_convex", "can_be_negative"):
        return False
    (wrt, *others) = [inner.wrt] if inner.wrt else [a.name for a in definition.differentiable]
    order = 2 if inner.kind == "not_convex" else 0
    return not others and negative_near_an_end(definition, dict(inner.settings), wrt, order, claim.other, domain)


OVER_INTERVALS = (
    "nonnegative", "convex", "at_most", "rising", "falling", "falls_in_odds", "value_where", "positive_below",
    "positive_above",
)  # fmt: skip
"""Kinds whose rules read the domains of parameters, and never their defaults."""
NINE_DIGITS = 5e-10
BALLS = ("branch and bound in balls over the whole axis", _supremum)
CERTIFIED = {BALLS[0]}
"""Methods that certify by numbers; all others prove."""
EVEN = ("slopes on either side of the threshold", _even)
MONOTONE = (
    ("signs of the derivative in the log odds", _monotone),
    ("signs of slopes composed over the formula", _slopes_signed),
)
RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "nonnegative": (
        ("ranges composed over the formula", _nonnegative),
        EVEN,
        ("its sign in the log odds", _never_negative),
    ),
    "convex": (
        ("composition rules of convex functions", _convex),
        EVEN,
        ("signs of derivatives in the log odds", _of_odds),
    ),
    "lipschitz": (("ranges of slopes composed over the formula", _lipschitz), EVEN),
    "symmetric": (("the formula with the two inputs exchanged is the same", _symmetric),),
    "gradient_sums_to_zero": (("a common shift leaves the formula as it is", _shift),),
    "least_lipschitz": (BALLS,),
    "largest_curvature": (BALLS,),
    "gradient_norm": (("lengths of gradients composed over the formula", _norm),),
    "unbounded_slope": (("the derivative is a polynomial that grows", _unbounded),),
    "rising": MONOTONE,
    "falling": MONOTONE,
    **{
        f"{of}_limit_{end}": (("bounded terms that vanish at the end of the axis, and those that stay", _limit),)
        for of in ("value", "slope")
        for end in ("above", "below")
    },
    "calibrated": (("convex, and the derivative vanishes there", _calibrated),),
    "least_at": (("never negative, and 0 there", _least_at),),
    "no_effect": (("the input cancels", _no_effect),),
    "moved_together": (("only differences are read", _moved),),
    "flat_at_zero": (("a positive part, or a power, that is 0", _flat),),
    "at_most": (("ranges composed over the formula", _at_most),),
    "below": (("the difference has one sign in the log odds", _below),),
    "multiple": (("the two formulas are the same", _multiple),),
    "equals": (("the two formulas are the same", _equals),),
    "never_convex": (("the sign of the second derivative where the probability vanishes", _never_convex),),
    "positive_below": (("it only grows from a value above 0", _positive_side),),
    "positive_above": (("it only grows from a value above 0", _positive_side),),
    "cosine_softmax": (("the formula is that of softmax cross entropy of the cosines", _cosine_softmax),),
    "cosine_bound": (("cosines lie between -1 and 1", _cosine_bound),),
    "cosine_gradient": (("a cosine moves by at most one over the length of the vector", _cosine_gradient),),
    "sum_of": (("each term is the other loss at one of its labels", _sum_of),),
    "falling_part": (("signs of derivatives on each piece, and of the jumps between them", _falling),),
    "throughout": (
        ("the rules of the statement, over the interval", _over_interval),
        ("linear in the parameter, and proved at the ends of the interval", _at_ends),
        ("the leading term where the probability is near 0 or 1", _leading),
    ),
    **FORMULAS,
}
