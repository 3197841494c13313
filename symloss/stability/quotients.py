"""What a quotient of sums lacks to a number: sums of what the two lack to each other, not a difference of quotients.

``1 - a / b`` cancels where a is near b; ``(b - a) / b`` does not, once b - a is one sum whose terms have one sign. A
polynomial linear in numbers between 0 and 1 has such terms in its Bernstein form: each corner's value, times x or 1 - x
for each number. Derivatives keep the form they were derived from, in which they do not cancel.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import sympy

from symloss.language.atoms import complement, ratio
from symloss.language.definition import Definition
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term
from symloss.stability.ranges import declared

Parts = dict[sympy.Basic, sympy.Expr]
"""What is summed where a condition holds, beyond what is summed everywhere; that is under true."""


def whole_quotients(definition: Definition, program: Program) -> Program:
    """Write c - c a / b in the value as c (b - a) / b, where b - a has terms of one sign.

    Parameters
    ----------
    definition : Definition
        For the domains of what is added up.
    program : Program
        With the output ``value``.
    """
    builder = Builder(program)
    units = {n for n, ends in declared(definition).items() if ends == (0.0, 1.0)}
    weights = {s.name for s in program.statements if s.op == "softmax"}
    units |= weights
    sums = {s.name: s for s in program.statements if s.op == "sum"}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, sympy.Add):
            for term in node.args:
                factor, quotient = term.as_coeff_Mul()
                if isinstance(quotient, ratio) and -factor in node.args:
                    top, bottom = quotient.args
                    lack = _lack(sympy.expand(bottom - top), sums, units, weights, builder)
                    if lack is not None:
                        near = sympy.Piecewise(
                            (-factor, sympy.Eq(bottom, 0)), (-factor * ratio(lack, bottom), True)
                        )  # a quotient by 0 is 0
                        return near + (node - term + factor)
        if isinstance(node, Access) or not node.args:
            return node
        return node.func(*map(walk, node.args))

    outputs = tuple(
        Output(o.name, o.free, tuple(Term(t.where, walk(t.body)) for t in o.terms)) if o.name == "value" else o
        for o in program.outputs
    )
    return replace(program, statements=tuple(builder.statements), outputs=outputs)


def _lack(
    difference: sympy.Expr, sums: Mapping[str, Statement], units: set[str], weights: set[str], builder: Builder
) -> sympy.Expr | None:
    """Return a difference of sums as sums of terms of one sign, or None where that is not known."""
    parts: Parts = {}
    first: Statement | None = None
    for term in sympy.Add.make_args(difference):
        factor, access = term.as_coeff_Mul()
        statement = sums.get(access.name) if isinstance(access, Access) else None
        if statement is None or len(statement.bound) != 1 or access.slots != statement.free:
            return None
        first = first or statement
        if [k.axis for k in statement.free] != [k.axis for k in first.free] or statement.bound[0].axis != first.bound[
            0
        ].axis:
            return None
        names = dict(zip(statement.free + statement.bound, first.free + first.bound, strict=True))
        where = statement.where.xreplace(names)
        parts[where] = parts.get(where, sympy.S.Zero) + factor * statement.body.xreplace(names)
    if first is None or len(parts) > 2 or (len(parts) == 2 and sympy.true not in parts):
        return None
    every = parts.pop(sympy.true, sympy.S.Zero)
    cases = [(w, every + more) for w, more in parts.items()]
    cases.append((sympy.Not(cases[0][0]) if cases else sympy.true, every))
    total = sympy.S.Zero
    for where, body in cases:
        positive = _positive(sympy.expand(body), units, weights)
        if positive is None:
            return None
        fresh = {first.bound[0]: builder.fresh_index(first.bound[0])}
        condition, found = builder.total(
            f"lack_{first.name.removeprefix('sum_')}",
            tuple(fresh.values()),
            where.xreplace(fresh),
            positive.xreplace(fresh),
        )
        if condition is not sympy.true:
            return None
        total += found
    return total


def _positive(body: sympy.Expr, units: set[str], weights: set[str]) -> sympy.Expr | None:
    """Return a polynomial as a square, or in Bernstein form, if neither has a negative term."""
    factored = sympy.factor(body)
    if isinstance(factored, sympy.Pow) and factored.exp.is_even:
        return factored
    numbers = accesses(body)
    if not all(a.name in units for a in numbers) or len(numbers) > 4:
        return None
    names = {a: sympy.Dummy() for a in numbers}
    poly = sympy.Poly(body.xreplace(names), *names.values()) if names else None
    if poly is None or any(max(m) > 1 for m in poly.monoms()):
        return None

    def lack(number: Access) -> sympy.Expr:
        return complement(number) if number.name in weights else 1 - number

    total = sympy.S.Zero
    for corner in itertools.product((0, 1), repeat=len(numbers)):
        value = poly(*corner)
        if not value >= 0:
            return None
        total += value * sympy.Mul(*(a if at else lack(a) for a, at in zip(numbers, corner, strict=True)))
    return total
