"""Proofs by rules over the formula: ranges for signs, disciplined convex composition, slopes, exchange of inputs.

A definition and a claim come in; the name of the rule that proves the claim goes out, or an empty string: not proved is
not refuted. Every range contains all values over the declared domains, so a proof covers unbounded inputs too. The
rules know functions and never a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy
from sympy import S, oo

from symloss.language import atoms
from symloss.language.axes import Index
from symloss.language.claims import Claim
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, Let, Reduction

Range = tuple[sympy.Expr, sympy.Expr]
EVERYTHING: Range = (-oo, oo)
CONVEX, CONCAVE = frozenset({"convex"}), frozenset({"concave"})
AFFINE, UNKNOWN = CONVEX | CONCAVE, frozenset[str]()
RISING = (atoms.softplus, atoms.positive_part, sympy.exp)  # convex and nondecreasing


def prove(definition: Definition, claim: Claim) -> str:
    """Return the method that proves a claim for a definition and all its variants, or an empty string.

    Parameters
    ----------
    definition : Definition
        What is claimed; any author's.
    claim : Claim
        The claim; kinds without a rule are not proved.
    """
    method, rule = RULES.get(claim.kind, ("", _never))
    written = (definition, *definition.variants)
    return method if all(rule(d, claim) for d in written) else ""


@dataclass(frozen=True)
class _Ranges:
    """The declared range of each input and parameter."""

    known: Mapping[str, Range]

    def of(self, node: sympy.Basic) -> Range:
        """Return a range that contains every value of a formula."""
        match node:
            case sympy.Rational():
                return node, node
            case Let():
                return self.of(node.inlined)
            case Access() | sympy.Symbol() if not isinstance(node, Index):
                return self.known.get(node.name, EVERYTHING)
            case sympy.Add():
                return _sum([self.of(a) for a in node.args])
            case sympy.Mul():
                return _product([self.of(a) for a in node.args])
            case sympy.Pow():
                return self._power(self.of(node.base), node.exp)
            case sympy.Piecewise():
                return _hull([self.of(value) for value, _ in node.args])
            case Reduction():
                return self._reduction(node)
            case sympy.Abs() | atoms.magnitude():
                return S.Zero, oo
            case atoms.sigmoid():
                return S.Zero, S.One
            case atoms.softplus() | sympy.exp():
                return S.Zero, oo
            case atoms.positive_part():
                low, high = self.of(node.args[0])
                return sympy.Max(0, low), sympy.Max(0, high)
            case sympy.Max():
                parts = [self.of(a) for a in node.args]
                return sympy.Max(*(p[0] for p in parts)), sympy.Max(*(p[1] for p in parts))
            case sympy.log():
                low, high = self.of(node.args[0])
                return (S.Zero if low >= 1 else -oo), (S.Zero if high <= 1 else oo)
        return EVERYTHING

    def _power(self, base: Range, exponent: sympy.Expr) -> Range:
        if exponent.is_Integer and exponent > 0 and exponent % 2 == 0:
            return S.Zero, oo
        low, high = base
        if low >= 0:
            unit = high <= 1 and self.of(exponent)[0] >= 0
            return S.Zero, (S.One if unit else oo)
        return EVERYTHING

    def _reduction(self, node: Reduction) -> Range:
        match node.operation:
            case "norm":
                return S.Zero, oo
            case "sum" if self.of(node.body)[0] >= 0:
                return S.Zero, oo
        return EVERYTHING


def _sum(parts: list[Range]) -> Range:
    lows, highs = [p[0] for p in parts], [p[1] for p in parts]
    return (-oo if -oo in lows else sympy.Add(*lows)), (oo if oo in highs else sympy.Add(*highs))


def _product(parts: list[Range]) -> Range:
    result: Range = (S.One, S.One)
    for part in parts:
        ends = [S.Zero if S.Zero in (a, b) else a * b for a in result for b in part]
        result = sympy.Min(*ends), sympy.Max(*ends)
    return result


def _hull(parts: list[Range]) -> Range:
    return sympy.Min(*(p[0] for p in parts)), sympy.Max(*(p[1] for p in parts))


def _ranges(definition: Definition, claim: Claim) -> _Ranges:
    known: dict[str, Range] = {}
    for a in definition.arguments:
        ends = (a.domain.low, a.domain.high) if isinstance(a.domain, Interval) else (
            min(a.domain.values), max(a.domain.values))  # fmt: skip
        known[a.name] = _exact(ends[0]), _exact(ends[1])
    known |= {name: (_exact(value), _exact(value)) for name, value in claim.settings if value is not None}
    return _Ranges(known)


def _exact(number: float) -> sympy.Expr:
    infinite = number in (float("inf"), float("-inf"))
    return (oo if number > 0 else -oo) if infinite else sympy.Rational(number)


def _depends(node: sympy.Basic, name: str) -> bool:
    if isinstance(node, Access | sympy.Symbol) and node.name == name:
        return True
    return any(_depends(a, name) for a in node.args)


def _opposite(curvature: frozenset[str]) -> frozenset[str]:
    return frozenset({"convex": "concave", "concave": "convex"}[c] for c in curvature)


def _curvature(node: sympy.Basic, wrt: str, ranges: _Ranges) -> frozenset[str]:
    """Return what the rules of composition say of a formula as a function of one input."""

    def inner(part: sympy.Basic) -> frozenset[str]:
        return _curvature(part, wrt, ranges)

    if not _depends(node, wrt):
        return AFFINE
    match node:
        case Access() if not any(_depends(s, wrt) for s in node.slots):
            return AFFINE
        case Let():
            return inner(node.inlined)
        case sympy.Add() | sympy.Max():
            common = frozenset.intersection(*map(inner, node.args))
            return common if isinstance(node, sympy.Add) else common & CONVEX
        case sympy.Mul():
            moving = [a for a in node.args if _depends(a, wrt)]
            low, high = ranges.of(sympy.Mul(*(a for a in node.args if a not in moving)))
            shape = inner(moving[0]) if len(moving) == 1 else UNKNOWN
            return shape if shape == AFFINE or low >= 0 else _opposite(shape) if high <= 0 else UNKNOWN
        case sympy.Pow(exp=exponent) if exponent == 2:
            base = inner(node.base)
            return CONVEX if base == AFFINE or (base >= CONVEX and ranges.of(node.base)[0] >= 0) else UNKNOWN
        case sympy.Abs() | atoms.magnitude():
            return CONVEX if inner(node.args[0]) == AFFINE else UNKNOWN
        case sympy.Piecewise() if not any(_depends(condition, wrt) for _, condition in node.args):
            return frozenset.intersection(*(inner(value) for value, _ in node.args))
        case sympy.log():
            return _logarithm(node.args[0], inner)
        case Reduction() if not _depends(node.where, wrt) and not _depends(node.empty, wrt):
            body = inner(node.body)
            match node.operation:
                case "sum":
                    return body
                case "logsumexp" | "max":
                    return body & CONVEX
                case "norm" if body == AFFINE:
                    return CONVEX
    if isinstance(node, RISING):
        return inner(node.args[0]) & CONVEX
    return UNKNOWN


def _logarithm(inside: sympy.Basic, inner: Callable[[sympy.Basic], frozenset[str]]) -> frozenset[str]:
    """Compose what is known of log sigmoid, log(1 - sigmoid) and the log of a sum of exponentials."""
    opened = _opened(inside, {})
    if isinstance(opened, atoms.sigmoid):
        return inner(opened.args[0]) & CONCAVE
    terms = sympy.Add.make_args(1 - opened if isinstance(opened, sympy.Add) else opened)
    if len(terms) == 1 and isinstance(terms[0], atoms.sigmoid) and isinstance(opened, sympy.Add):
        return _opposite(inner(terms[0].args[0]) & CONVEX)
    terms = sympy.Add.make_args(opened)
    powers = [t for t in terms if isinstance(t, sympy.exp)]
    if all(isinstance(t, sympy.exp) or (t.is_Rational and t > 0) for t in terms):
        return CONVEX if all(inner(t.args[0]) >= CONVEX for t in powers) else UNKNOWN
    return UNKNOWN


def _slope(node: sympy.Basic, wrt: str, ranges: _Ranges) -> Range:
    """Return a range that contains every derivative in one input, one-sided ones at kinks included."""
    if not _depends(node, wrt):
        return S.Zero, S.Zero
    match node:
        case Access():
            return S.One, S.One
        case Let():
            return _slope(node.inlined, wrt, ranges)
        case sympy.Add():
            return _sum([_slope(a, wrt, ranges) for a in node.args])
        case sympy.Mul():
            moving = [a for a in node.args if _depends(a, wrt)]
            still = [ranges.of(a) for a in node.args if a not in moving]
            return _product([*still, _slope(moving[0], wrt, ranges)]) if len(moving) == 1 else EVERYTHING
        case sympy.Abs() | atoms.magnitude():
            return _product([(S.NegativeOne, S.One), _slope(node.args[0], wrt, ranges)])
        case atoms.positive_part() | atoms.softplus():
            return _product([(S.Zero, S.One), _slope(node.args[0], wrt, ranges)])
        case sympy.Max() | sympy.Min():
            return _hull([_slope(a, wrt, ranges) for a in node.args])
    return EVERYTHING


def _nonnegative(definition: Definition, claim: Claim) -> bool:
    return bool(_ranges(definition, claim).of(definition.formula)[0] >= 0)


def _convex(definition: Definition, claim: Claim) -> bool:
    return _curvature(definition.formula, claim.wrt, _ranges(definition, claim)) >= CONVEX


def _lipschitz(definition: Definition, claim: Claim) -> bool:
    if not definition.elementwise:
        return False  # a slope per entry is not yet summed over the places an entry is read
    low, high = _slope(definition.formula, claim.wrt, _ranges(definition, claim))
    return bool(sympy.Max(-low, high) <= _exact(claim.constant))


def _opened(node: sympy.Basic, swap: Mapping[str, str]) -> sympy.Basic:
    """Return a formula without names for its parts, squares written out, and inputs exchanged as asked."""
    if isinstance(node, Let):
        return _opened(node.inlined, swap)
    if isinstance(node, Access):
        return Access(swap.get(node.name, node.name), *node.slots)
    if isinstance(node, Reduction) or not node.args:
        return node
    built = node.func(*(_opened(a, swap) for a in node.args))
    return sympy.expand(built) if isinstance(built, sympy.Pow) and built.exp == 2 else built


def _symmetric(definition: Definition, claim: Claim) -> bool:
    names = {claim.wrt: claim.other, claim.other: claim.wrt}

    plain = not definition.formula.has(Reduction)
    return plain and _opened(definition.formula, {}) == _opened(definition.formula, names)


def _never(definition: Definition, claim: Claim) -> bool:
    del definition, claim
    return False


RULES: dict[str, tuple[str, Callable[[Definition, Claim], bool]]] = {
    "nonnegative": ("ranges composed over the formula", _nonnegative),
    "convex": ("composition rules of convex functions", _convex),
    "lipschitz": ("ranges of slopes composed over the formula", _lipschitz),
    "symmetric": ("the formula with the two inputs exchanged is the same", _symmetric),
}
