"""The order of every statement's slots: a sample's own first, then as the arguments have their axes.

Loops and memory follow it: tensors that are read together are laid out, and so looped over, alike.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.axes import Index
from symloss.language.declarations import Argument
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program, accesses
from symloss.program.terms import Term


def axis_ranks(arguments: tuple[Argument, ...]) -> dict[str, int]:
    """Return the rank of each axis: every argument has its axes in this order, as far as that is possible."""
    sequences = [[x.name for x in a.axes] for a in arguments if a.axes]
    names = list(dict.fromkeys(n for s in sequences for n in s))
    after = {n: {m for s in sequences if n in s for m in s[: s.index(n)] if m != n} for n in names}
    ordered: list[str] = []
    while len(ordered) < len(names):
        ready = [n for n in names if n not in ordered and after[n] <= set(ordered)]
        ordered.append(ready[0] if ready else next(n for n in names if n not in ordered))
    return {n: k for k, n in enumerate(ordered)}


def orient(program: Program, per: tuple[Index, ...], arguments: tuple[Argument, ...]) -> Program:
    """Return the program with the slots of every statement in order, and every read of it likewise."""
    ranks = axis_ranks(arguments)
    moved: dict[str, tuple[int, ...]] = {}

    def walk(node: sympy.Basic) -> sympy.Basic:
        match node:
            case Access() if node.name in moved:
                slots = [walk(s) for s in node.slots]
                return Access(node.name, *(slots[k] for k in moved[node.name]))
            case _ if node.args:
                return node.func(*(walk(a) for a in node.args))
        return node

    statements = []
    for statement in program.statements:
        body, where = walk(statement.body), walk(statement.where)
        if statement.op == "softmax":
            free = statement.free
        else:
            free = _ordered(statement.free, body, per, ranks)
            moved[statement.name] = tuple(statement.free.index(k) for k in free)
        statements.append(replace(statement, body=body, where=where, free=free))
    outputs = tuple(
        Output(o.name, o.free, tuple(Term(walk(t.where), walk(t.body)) for t in o.terms)) for o in program.outputs
    )
    names = tuple((walk(e), n) for e, n in program.names)
    return replace(program, statements=tuple(statements), outputs=outputs, names=names)


def _ordered(
    free: tuple[Index, ...], body: sympy.Expr, per: tuple[Index, ...], ranks: dict[str, int]
) -> tuple[Index, ...]:
    """Return slots as the first tensor that has them all has them, else the sample's own first and the rest by axis."""
    for access in accesses(body):
        own = tuple(s for s in access.slots if s in free)
        if len(own) == len(free) == len(set(own)):
            return own
    seen = list(dict.fromkeys(s for a in accesses(body) for s in a.slots if s in free))

    def rank(k: Index) -> tuple[int, int, int]:
        own = per.index(k) if k in per else len(per)
        return own, ranks.get(k.axis.name, len(ranks)), seen.index(k) if k in seen else len(seen)

    return tuple(sorted(free, key=rank))
