"""The largest value of an increasing function is that function of the largest value.

Values that differ may round alike under a function that saturates: taken before it, the choice of the largest (and so
the gradient, which goes to it alone) stays that of the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sympy

from symloss.language.atoms import sigmoid, softplus
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Program, Statement
from symloss.program.terms import Term

INVERSES: dict[type[sympy.Basic], Callable[[sympy.Expr], sympy.Expr]] = {
    sigmoid: lambda p: sympy.log(p / (1 - p)),
    softplus: lambda s: sympy.log(sympy.exp(s) - 1),
    sympy.exp: sympy.log,
}
"""Increasing functions of the whole line that tend to 0 at -oo, and their inverses."""

NAMES = {"max": "largest", "min": "smallest"}


def inner_extrema(program: Program) -> Program:
    """Take increasing functions out of every maximum and minimum.

    Parameters
    ----------
    program : Program
        Before differentiation.

    Returns
    -------
    Program
        With ``max(f(x))`` read as ``f(max(x))``. A function whose inverse at the value of an empty maximum is no
        number stays where it is.
    """
    builder = Builder()
    opened: dict[str, tuple[str, type[sympy.Basic]]] = {}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access):
            slots = tuple(walk(s) for s in node.slots)
            if node.name not in opened:
                return node.func(node.args[0], *slots)
            name, function = opened[node.name]
            return function(Access(name, *slots))
        return node.func(*(walk(a) for a in node.args)) if node.args else node

    for statement in program.statements:
        read = replace(statement, body=walk(statement.body), where=walk(statement.where))
        if statement.op in NAMES and (inner := _opened(read)) is not None:
            name = builder.add(replace(inner, name=builder.fresh_name(NAMES[statement.op]))).name
            opened[statement.name] = (name, type(read.body))
        else:
            builder.add(read)
    outputs = tuple(replace(o, terms=tuple(Term(t.where, walk(t.body)) for t in o.terms)) for o in program.outputs)
    names = tuple((walk(e), name) for e, name in program.names)
    return replace(program, statements=tuple(builder.statements), outputs=outputs, names=names)


def _opened(statement: Statement) -> Statement | None:
    """Return the statement over the argument of its function, or None where it has none that increases."""
    inverse = INVERSES.get(type(statement.body))
    if inverse is None:
        return None
    empty = statement.empty
    if empty is not sympy.nan:
        empty = -sympy.oo if empty == 0 else inverse(empty)
        if not empty.is_extended_real:
            return None
    return replace(statement, body=statement.body.args[0], empty=empty)
