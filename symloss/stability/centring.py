"""A number less the mean that softmax weights give it: taken relative to that of the largest weight.

``F(k) - sum_j p_j F(j)`` cancels where p_k is near 1. With t the largest weight it is ``F(k) - F(t) - D``, where
``D = sum_j p_j (F(j) - F(t))`` leaves t out: at k = t only D is left, and no small weight is lost beside a large one.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.means import mean_of
from symloss.program.statement import Program, Statement, accesses
from symloss.program.terms import Term
from symloss.program.winners import winner_of


def centred(program: Program) -> Program:
    """Take every number less its mean over softmax weights relative to the largest weight's.

    Parameters
    ----------
    program : Program
        Stable, with all derivatives.
    """
    builder = Builder(program)
    weights = {s.name: s for s in program.statements if s.op == "softmax" and s.where is sympy.true}
    means = {s.name: found for s in program.statements if (found := _mean(s, weights)) is not None}
    if not means:
        return program

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access) or not node.args:
            return node
        node = node.func(*map(walk, node.args))
        while isinstance(node, sympy.Add) and (found := _relative(node, means, builder)) is not None:
            node = found
        return node

    outputs = tuple(replace(o, terms=tuple(Term(t.where, walk(t.body)) for t in o.terms)) for o in program.outputs)
    return replace(program, statements=tuple(builder.statements), outputs=outputs)


NAMED = 8
"""Operations from which what is weighed becomes a statement of its own."""

_Mean = tuple[Statement, Statement, Access, sympy.Expr]
"""The sum, the logsumexp's softmax statement, the weight as read, and what is weighed."""


def _mean(statement: Statement, weights: dict[str, Statement]) -> _Mean | None:
    """Return what a sum weighs, if it weighs with one whole set of softmax weights."""
    found = mean_of(statement, weights)
    return None if found is None else (statement, weights[found[0].name], *found)


def _relative(node: sympy.Add, means: dict[str, _Mean], builder: Builder) -> sympy.Expr | None:
    """Return a sum with one pair of F(k) and its mean taken relative to the largest weight's; None without a pair."""
    reads = [(t, f) for t in node.args for f in sympy.Mul.make_args(t) if isinstance(f, Access) and f.name in means]
    for term, read in reads:
        factor = -term / read
        statement, softmax, weight, given = means[read.name]
        weighed = given
        (own,) = statement.bound
        if sympy.count_ops(weighed) >= NAMED:  # as many as there are weights of one set, not of all
            free = tuple(k for k in (*statement.free, own) if k in weighed.free_symbols)
            weighed = builder.add(Statement(f"{statement.name}_weighed", free, "let", (), weighed))
        at = dict(zip(statement.free, read.slots, strict=True))
        slots = sorted({s for a in accesses(node) for s in a.slots}, key=sympy.default_sort_key)
        found = {s: given.xreplace(at | {own: s}) for s in slots}
        whole = node
        place = next((s for s in slots if factor * found[s] in whole.args), None)
        if place is None:  # a common factor may hide it
            whole = sympy.Add(*map(_multiplied_out, node.args))
            place = next((s for s in slots if factor * found[s] in whole.args), None)
        if place is None:
            continue
        number, gap = weighed.xreplace(at), found[place]
        source = next(s for s in builder.statements if s.name == softmax.source)
        top = builder.add(winner_of(source))
        names = dict(zip(source.free, weight.slots[:-1], strict=True))
        here = Access(top.name, *(names[k] for k in source.free))
        other = builder.fresh_index(own)
        away = (weight * (weighed - weighed.xreplace({own: here}))).xreplace({own: other})
        _, rest = builder.total(f"{statement.name}_centred", (other,), sympy.Ne(other, here), away)
        rest, there = rest.xreplace(at), here.xreplace(at)
        apart = number.xreplace({own: place}) - number.xreplace({own: there})
        relative = sympy.Piecewise((-rest, sympy.Eq(place, there)), (apart - rest, True))
        return whole - factor * gap - term + factor * relative
    return None


def _multiplied_out(product: sympy.Expr) -> sympy.Expr:
    """Return a product with one sum in it as a sum of products."""
    inner = next((f for f in sympy.Mul.make_args(product) if isinstance(f, sympy.Add)), None)
    return product if inner is None else sympy.Add(*(product / inner * term for term in inner.args))
