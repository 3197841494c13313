"""Ranges: what values a formula can take over the declared domains, unbounded ones included.

Every range contains all values, so that a sign or bound read off it is proved. Besides interval arithmetic there are
five lemmas: a logsumexp is at least each of its entries; exp(x) is at least 1 + x; log(x) is at most x - 1; a
polynomial linear in each of several bounded numbers takes its extremes at corners; sums over one axis are one sum. The
rules never know a loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy
from sympy import S, oo

from symloss.language import atoms
from symloss.language.axes import Index, Size
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, exact, slots_in

Range = tuple[sympy.Expr, sympy.Expr]
EVERYTHING: Range = (-oo, oo)
UNIT: Range = (S.Zero, S.One)
CORNERS = 4
"""Numbers of a polynomial whose corners are tried."""


def ranges_of(definition: Definition, settings: Settings) -> Ranges:
    """Return the declared range of each input and parameter, those of `settings` at their value."""
    known: dict[str, Range] = {}
    for a in definition.arguments:
        ends = (a.domain.low, a.domain.high) if isinstance(a.domain, Interval) else (
            min(a.domain.values), max(a.domain.values))  # fmt: skip
        known[a.name] = exact(ends[0]), exact(ends[1])
    return Ranges(known | {n: (exact(v), exact(v)) for n, v in settings.items() if v is not None})


@dataclass(frozen=True)
class Ranges:
    """The declared range of each input and parameter."""

    known: Mapping[str, Range]

    def of(self, node: sympy.Basic) -> Range:
        """Return a range that contains every value of a formula."""
        match node:
            case sympy.Rational():
                return node, node
            case Size():
                return S.Zero, oo
            case Access() | sympy.Symbol() if not isinstance(node, Index):
                return self.known.get(node.name, EVERYTHING)
            case sympy.Add():
                return self._add(node)
            case sympy.Mul():
                return product([self.of(a) for a in node.args])
            case sympy.Pow():
                return self._power(self.of(node.base), node.exp)
            case sympy.Piecewise():
                return hull([self.of(value) for value, _ in node.args])
            case Reduction():
                return self._reduction(node)
            case atoms.ratio():
                return self._ratio(*node.args)
            case sympy.Max() | sympy.Min():
                parts = [self.of(a) for a in node.args]
                return node.func(*(p[0] for p in parts)), node.func(*(p[1] for p in parts))
        return self._function(node)

    def _function(self, node: sympy.Basic) -> Range:
        match node:
            case sympy.Abs() | atoms.magnitude() | atoms.softplus():
                return S.Zero, oo
            case atoms.sigmoid():
                return UNIT
            case sympy.exp():
                low, high = self.of(node.args[0])
                return (S.One if low >= 0 else S.Zero), (S.One if high <= 0 else oo)
            case sympy.cos() | sympy.sin():
                return S.NegativeOne, S.One
            case atoms.positive_part():
                low, high = self.of(node.args[0])
                return sympy.Max(0, low), sympy.Max(0, high)
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
            case "sum":
                low, high = self.of(node.body)
                return (S.Zero if low >= 0 else -oo), (S.Zero if high <= 0 else oo)
            case "max" | "min":
                parts = [node.body] if node.where is sympy.true else [node.body, node.empty]
                return hull([self.of(p) for p in parts])
        return EVERYTHING

    def _ratio(self, top: sympy.Expr, bottom: sympy.Expr) -> Range:
        if self.of(top)[0] < 0 or self.of(bottom)[0] < 0:
            return EVERYTHING
        return S.Zero, (S.One if self.of(bottom - top)[0] >= 0 else oo)

    def _add(self, node: sympy.Add) -> Range:
        found = total([self.of(a) for a in node.args])
        for lemma in (_above_entries, _above_tangent, _below_tangent):
            if (pair := lemma(node)) is not None:
                part, rest = pair
                found = meet(found, total([part, self.of(rest)]))
        found = meet(found, self._corners(node))
        return meet(found, self._one_sum(node))

    def _corners(self, node: sympy.Expr) -> Range:
        """Return the extremes of a polynomial at corners, or the sign of one that is a square."""
        names, powers = _as_polynomial(node)
        if powers is None or len(names) > CORNERS:
            return EVERYTHING
        known = {name: self.of(part) for part, name in names.items()}
        if all(max(p) <= 1 for p in powers.monoms()):
            ends = [known[g] for g in powers.gens]
            if not any(oo in (abs(a), abs(b)) for a, b in ends):
                values = [powers(*corner) for corner in itertools.product(*ends)]
                return sympy.Min(*values), sympy.Max(*values)
        factored = sympy.factor(powers.as_expr())
        factors = sympy.Mul.make_args(factored)
        even = all(f.is_Rational or (isinstance(f, sympy.Pow) and f.exp.is_even) for f in factors)
        return product([self.of(f) for f in factors]) if even else EVERYTHING

    def _one_sum(self, node: sympy.Add) -> Range:
        """Return the sign of several sums over one axis from that of their terms together, masks as 0 or 1."""
        sums: list[tuple[sympy.Expr, Reduction]] = []
        rest = []
        for term in node.args:
            factor, part = term.as_coeff_Mul()
            is_sum = isinstance(part, Reduction) and part.operation == "sum" and len(part.bound) == 1
            sums += [(factor, part)] if is_sum else []
            rest += [] if is_sum else [term]
        if len(sums) < 2 or len({r.bound[0].axis for _, r in sums}) > 1:
            return EVERYTHING
        own = Index("@", sums[0][1].bound[0].axis)
        masks: dict[sympy.Basic, sympy.Symbol] = {sympy.true: S.One}
        together = S.Zero
        for factor, part in sums:
            swap = {part.bound[0]: own}
            mask = masks.setdefault(part.where.xreplace(swap), sympy.Symbol(f"mask {len(masks)}", real=True))
            together += factor * mask * part.body.xreplace(swap)
        inside = replace(self, known={**self.known, **{m.name: UNIT for m in masks.values() if m.is_Symbol}})
        low, high = inside.of(sympy.expand(together, power_exp=False))
        sign = (S.Zero if low >= 0 else -oo), (S.Zero if high <= 0 else oo)
        return total([sign, *(self.of(t) for t in rest)])


def _as_polynomial(node: sympy.Expr) -> tuple[dict[sympy.Expr, sympy.Dummy], sympy.Poly | None]:
    """Return names for what a sum is a polynomial in, and the polynomial, or None where it is none."""
    names: dict[sympy.Expr, sympy.Dummy] = {}

    def hide(part: sympy.Expr) -> sympy.Expr:
        if isinstance(part, sympy.Add | sympy.Mul):
            return part.func(*(hide(a) for a in part.args))
        if isinstance(part, sympy.Pow) and part.exp.is_Integer and part.exp > 0:
            return hide(part.base) ** part.exp
        return part if part.is_Rational else names.setdefault(part, sympy.Dummy(real=True))

    hidden = hide(node)
    return names, (sympy.Poly(hidden, *names.values()) if names else None)


def _above_entries(node: sympy.Add) -> tuple[Range, sympy.Expr] | None:
    """Take logsumexps out of a sum with the entries that are subtracted: each is at least any of its entries."""
    parts = [t.as_coeff_Mul() for t in node.args]
    sums = [(c, r) for c, r in parts if isinstance(r, Reduction) and r.operation == "logsumexp"]
    for chosen in (*([s] for s in sums), sums):
        if len({c > 0 for c, _ in chosen}) != 1:
            continue
        weight = sympy.Add(*(c for c, _ in chosen))
        entries = [_entries(r, node) for _, r in chosen]
        for entry in sorted(set(entries[0]).intersection(*entries[1:]), key=sympy.default_sort_key):
            taken = sympy.Add.make_args(sympy.expand_mul(-weight * entry, deep=False))
            rest = [t for t in node.args if t not in taken and t not in [c * r for c, r in chosen]]
            if len(rest) == len(node.args) - len(taken) - len(chosen):
                return ((S.Zero, oo) if weight > 0 else (-oo, S.Zero)), sympy.Add(*rest)
    return None


def _entries(node: Reduction, around: sympy.Expr) -> list[sympy.Expr]:
    """Return what a reduction's body is at each index that stands outside it."""
    if len(node.bound) != 1 or node.where is not sympy.true:
        return []
    (own,) = node.bound
    slots = [s for s in slots_in(around) if s != own and getattr(s, "axis", own.axis) == own.axis]
    return [node.body.xreplace({own: s}) for s in slots]


def _above_tangent(node: sympy.Add) -> tuple[Range, sympy.Expr] | None:
    """Take c (exp(x) - x - 1) out of a sum: it has the sign of c."""
    for term in node.args:
        factor, power = term.as_coeff_Mul()
        if isinstance(power, sympy.exp):
            taken = [*sympy.Add.make_args(-factor * power.args[0]), -factor, term]
            constant, others = node.as_coeff_Add()
            rest = [t for t in sympy.Add.make_args(others) if t not in taken]
            if len(rest) == len(sympy.Add.make_args(others)) - len(taken) + 1:
                return ((S.Zero, oo) if factor > 0 else (-oo, S.Zero)), sympy.Add(constant + factor, *rest)
    return None


def _below_tangent(node: sympy.Add) -> tuple[Range, sympy.Expr] | None:
    """Take c (x - 1 - log(x)) out of a sum: it has the sign of c."""
    constant, others = node.as_coeff_Add()
    terms = sympy.Add.make_args(others)
    for term in terms:
        factor, logarithm = term.as_coeff_Mul()
        if isinstance(logarithm, sympy.log):
            taken = [term, *sympy.Add.make_args(sympy.expand_mul(-factor * logarithm.args[0], deep=False))]
            numbers = sympy.Add(*(t for t in taken if t.is_number))
            rest = [t for t in terms if t not in taken]
            if len(rest) == len(terms) - sum(not t.is_number for t in taken):
                left = sympy.Add(constant - numbers - factor, *rest)
                return ((S.Zero, oo) if factor < 0 else (-oo, S.Zero)), left
    return None


def total(parts: Iterable[Range]) -> Range:
    """Return the range of a sum."""
    lows, highs = zip(*parts, strict=True)
    return (-oo if -oo in lows else sympy.Add(*lows)), (oo if oo in highs else sympy.Add(*highs))


def product(parts: Iterable[Range]) -> Range:
    """Return the range of a product."""
    result: Range = (S.One, S.One)
    for part in parts:
        ends = [S.Zero if S.Zero in (a, b) else a * b for a in result for b in part]
        result = sympy.Min(*ends), sympy.Max(*ends)
    return result


def hull(parts: list[Range]) -> Range:
    """Return the least range around several."""
    return sympy.Min(*(p[0] for p in parts)), sympy.Max(*(p[1] for p in parts))


def meet(one: Range, other: Range) -> Range:
    """Return what two ranges of the same number leave together."""
    return sympy.Max(one[0], other[0]), sympy.Min(one[1], other[1])
