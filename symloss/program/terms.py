"""Terms: an expression that counts only under a condition, and the sums of them that derivatives are.

A delta never appears as a number: it is the condition of a term, and vanishes when the index it pins is substituted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sympy


@dataclass(frozen=True)
class Term:
    """`body` where `where` holds, else 0."""

    where: sympy.Basic
    body: sympy.Expr

    def substitute(self, renaming: Mapping[sympy.Basic, sympy.Basic]) -> Term:
        """Return the term with indices replaced."""
        return Term(self.where.xreplace(dict(renaming)), self.body.xreplace(dict(renaming)))

    def times(self, factor: sympy.Expr, where: sympy.Basic = sympy.true) -> Term:
        """Return the term multiplied, and restricted by one more condition."""
        return Term(sympy.And(self.where, where), factor * self.body)


def merge(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Add terms under the same condition, drop those that are 0, keep the order of first appearance."""
    found: dict[sympy.Basic, sympy.Expr] = {}
    for term in terms:
        if term.where is not sympy.false and term.body != 0:
            where = _canonical(term.where)
            found[where] = found.get(where, sympy.S.Zero) + term.body
    return tuple(Term(where, body) for where, body in found.items() if body != 0)


def separated(body: sympy.Expr, bound: Iterable[sympy.Basic]) -> tuple[tuple[sympy.Expr, sympy.Expr], ...]:
    """Return (factor, coefficient) pairs whose products add up to `body`; coefficients are free of `bound`.

    Products are multiplied out only as far as that takes: a sum that is free of `bound` stays as it is.
    """
    indices = set(bound)

    def walk(node: sympy.Expr) -> dict[sympy.Expr, sympy.Expr]:
        if not node.free_symbols & indices:
            return {sympy.S.One: node}
        found: dict[sympy.Expr, sympy.Expr] = {}
        match node:
            case sympy.Add():
                for argument in node.args:
                    for factor, coefficient in walk(argument).items():
                        found[factor] = found.get(factor, sympy.S.Zero) + coefficient
            case sympy.Mul():
                found = {sympy.S.One: sympy.S.One}
                for argument in node.args:
                    parts = walk(argument)
                    product: dict[sympy.Expr, sympy.Expr] = {}
                    for left, a in found.items():
                        for right, b in parts.items():
                            product[left * right] = product.get(left * right, sympy.S.Zero) + a * b
                    found = product
            case _:
                found = {node: sympy.S.One}
        return found

    return tuple(walk(body).items())


def _canonical(where: sympy.Basic) -> sympy.Basic:
    """Write each equation with the plain index first, so that equal conditions are the same object."""

    def turned(part: sympy.Basic) -> sympy.Basic:
        if not isinstance(part, sympy.Eq):
            return part
        left, right = sorted(part.args, key=lambda a: (not a.is_Symbol, str(a)))
        return sympy.Eq(left, right)

    return sympy.And(*map(turned, conjuncts(where)))


def fold(terms: Iterable[Term]) -> sympy.Expr:
    """Return the sum of terms as one expression.

    A term under a condition that pins an index is added to the unconditional part case by case, with the index
    substituted there, so that a later rule sees the whole sum: the probability minus one at the label, say.
    """
    merged = merge(terms)
    dense = sympy.Add(*(t.body for t in merged if t.where is sympy.true))
    conditional = [t for t in merged if t.where is not sympy.true]
    if not conditional:
        return dense
    case = next((t.where for t in conditional if not t.where.has(sympy.Ne)), sympy.Not(conditional[0].where))
    if all(t.where in (case, sympy.Not(case)) for t in conditional):
        pins = {p.args[0]: p.args[1] for p in conjuncts(case) if isinstance(p, sympy.Eq) and p.args[0].is_Symbol}
        inside = (dense + sympy.Add(*(t.body for t in conditional if t.where == case))).xreplace(pins)
        outside = dense + sympy.Add(*(t.body for t in conditional if t.where != case))
        return sympy.Piecewise((inside, case), (outside, True))
    return dense + sympy.Add(*(sympy.Piecewise((t.body, t.where), (sympy.S.Zero, True)) for t in conditional))


def conjuncts(condition: sympy.Basic) -> tuple[sympy.Basic, ...]:
    """Return the parts of a conjunction."""
    if condition is sympy.true:
        return ()
    return condition.args if isinstance(condition, sympy.And) else (condition,)
