"""Which rule proves which kind of claim about formulas, see `claims_rules`."""

from __future__ import annotations

from collections.abc import Callable

from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.verification import proof_formula, proof_pieces, proof_statistic
from symloss.verification.proof_form import exact

Lookup = Callable[[str], Definition]
Rule = Callable[[Definition, Claim, Lookup], bool]


def _least_at_mean(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    settings, sigmoid = dict(claim.settings), bool(claim.constant)
    return proof_statistic.least_at_mean(definition, settings, claim.wrt, claim.other, sigmoid=sigmoid)


def _least_at_quantile(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    level = dict(claim.expressions)["level"]
    return proof_statistic.least_at_quantile(definition, dict(claim.settings), claim.wrt, claim.other, level)


def _least_at_frequencies(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_statistic.least_at_frequencies(definition, dict(claim.settings), claim.wrt)


def _softmax_gradient(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_statistic.softmax_gradient(definition, dict(claim.settings), claim.wrt)


def _falls_in_odds(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_statistic.falls_in_odds(definition, dict(claim.settings), claim.wrt)


def _smooth(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_pieces.smooth(definition, dict(claim.settings), claim.wrt, int(claim.constant))


def _piecewise(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_pieces.piecewise(definition, dict(claim.settings), claim.wrt, int(claim.constant))


def _steepest(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    bound = dict(claim.expressions)["bound"]
    return proof_pieces.steepest(definition, dict(claim.settings), claim.wrt, bound)


def _equals_formula(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    texts = dict(claim.expressions)
    return proof_formula.equals_formula(definition, dict(claim.settings), texts["formula"], texts["where"], lookup)


def _expansion(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    texts = dict(claim.expressions)
    return proof_formula.expands(
        definition, dict(claim.settings), claim.wrt, texts["shift"], texts["first"], lookup
    )  # fmt: skip


def _approaches(definition: Definition, claim: Claim, lookup: Lookup) -> bool:
    texts = dict(claim.expressions)
    return proof_formula.approaches(
        definition, dict(claim.settings), texts["formula"], texts["over"], claim.wrt, claim.constant, lookup
    )


def _of_counts(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    text = dict(claim.expressions)["formula"]
    return proof_formula.of_counts(definition, dict(claim.settings), (claim.wrt, claim.other), text)


def _value_where(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    return proof_formula.is_where(definition, dict(claim.settings), claim.constant)


def _saturates(definition: Definition, claim: Claim, _lookup: Lookup) -> bool:
    bound = proof_formula.saturates(definition, dict(claim.settings), claim.wrt, claim.other)
    return bool(bound <= exact(claim.constant))


SIDES = "formulas of both sides, and of their derivatives, where they meet"
FORMULAS: dict[str, tuple[tuple[str, Rule], ...]] = {
    "least_at_mean": (("the derivative is a positive multiple of the difference", _least_at_mean),),
    "least_at_quantile": (("two slopes, and no others", _least_at_quantile),),
    "least_at_frequencies": (("convex, and the derivative is the softmax less the label", _least_at_frequencies),),
    "softmax_gradient": (("the formula is a logsumexp less one of its scores", _softmax_gradient),),
    "falls_in_odds": (("signs of the derivative in the label's log odds", _falls_in_odds),),
    "smooth": ((SIDES, _smooth),),
    "piecewise": (("degrees of the pieces", _piecewise),),
    "steepest": (("slopes at the ends of each piece", _steepest),),
    "equals_formula": (("the difference is 0 on each piece, and for each label", _equals_formula),),
    "expansion": (("the formula has the logarithm whose series is known", _expansion),),
    "approaches": (("the limit of the piece next to the end", _approaches),),
    "of_counts": (("each sum over masks is a count", _of_counts),),
    "value_where": (("the formula at these numbers", _value_where),),
    "saturates": (("the derivative of a quotient of sums", _saturates),),
}
