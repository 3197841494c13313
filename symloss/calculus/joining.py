"""Sums over the same entries of the same softmax weights become one sum, whose terms a rule can then combine.

The sum of p a less the sum of p**2 a is a difference of two nearly equal numbers where the weights are near 1; as one
sum, its terms are p (1 - p) a.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy

from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Statement, accesses


def joined(builder: Builder, expression: sympy.Expr, made: Mapping[str, Statement]) -> sympy.Expr:
    """Return an expression whose sums in `made` that weigh alike are one sum.

    Parameters
    ----------
    builder : Builder
        Where the joint sums are added.
    expression : sympy.Expr
        A sum of products, each with at most one of the sums as a factor.
    made : mapping of str to Statement
        The sums that may be joined, by name.
    """
    weights = frozenset(s.name for s in builder.statements if s.op == "softmax")
    groups: dict[tuple[object, ...], list[tuple[sympy.Expr, Access]]] = {}
    rest = []
    for term in sympy.Add.make_args(expression):
        reads = [f for f in sympy.Mul.make_args(term) if isinstance(f, Access) and f.name in made]
        if len(reads) == 1 and (weighed := _weights(made[reads[0].name], weights)):
            (read,) = reads
            factor = term / read
            size = -factor if factor.could_extract_minus_sign() else factor
            groups.setdefault((size, read.slots, _shape(made[read.name]), weighed), []).append((factor, read))
        else:
            rest.append(term)
    return sympy.Add(*rest, *(_one(builder, parts, made) for parts in groups.values()))


def _weights(statement: Statement, weights: frozenset[str]) -> frozenset[str]:
    """Return the softmax weights that a sum reads."""
    return frozenset(a.name for a in accesses(statement.body) if a.name in weights)


def _shape(statement: Statement) -> tuple[object, ...]:
    """Return what two sums must share: axes in order, and the condition."""
    order = statement.free + statement.bound
    places = {k: sympy.Symbol(f"@{n}") for n, k in enumerate(order)}
    return len(statement.free), tuple(k.axis.name for k in order), statement.where.xreplace(places)


def _one(builder: Builder, parts: list[tuple[sympy.Expr, Access]], made: Mapping[str, Statement]) -> sympy.Expr:
    factor, read = parts[0]
    if len(parts) == 1:
        return factor * read
    first = made[read.name]
    bodies = [first.body]
    for other, access in parts[1:]:
        statement = made[access.name]
        names = dict(zip(statement.free + statement.bound, first.free + first.bound, strict=True))
        bodies.append((1 if other == factor else -1) * statement.body.xreplace(names))
    name = builder.fresh_name(f"{first.name}_joint")
    joint = builder.add(replace(first, name=name, body=sympy.Add(*bodies)))
    return factor * Access(joint.name, *read.slots)
