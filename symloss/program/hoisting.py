"""From a definition to a program: named values written out, each reduction a statement of its own.

The author's formula comes in as a tree; out goes a program whose one output, ``value``, is the loss of one sample.
"""

from __future__ import annotations

import sympy

from symloss.language.axes import Index
from symloss.language.definition import Definition
from symloss.language.nodes import Access, Let, Reduction
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term


def hoist(definition: Definition) -> Program:
    """Return the program of a definition."""
    builder = Builder()
    names: dict[sympy.Expr, str] = {}
    formula = _hoist(definition.formula, builder, names)
    value = Output("value", definition.per, (Term(sympy.true, formula),))
    return Program(tuple(builder.statements), (value,), tuple(names.items()))


def _hoist(node: sympy.Basic, builder: Builder, names: dict[sympy.Expr, str]) -> sympy.Basic:
    match node:
        case Let():
            body = _hoist(node.inlined, builder, names)
            if node.actuals == node.formals and not isinstance(body, sympy.Number | sympy.Symbol):
                names.setdefault(body, node.name)
            return body
        case Reduction():
            fresh = {k: builder.fresh_index(k) for k in node.bound}
            body = _hoist(node.body.xreplace(fresh), builder, names)
            where = _hoist(node.where.xreplace(fresh), builder, names)
            bound = set(fresh.values())
            used = (body.free_symbols | where.free_symbols) - bound
            free = tuple(sorted((s for s in used if isinstance(s, Index)), key=str))
            tensors = [a.name for a in accesses(body)] or ["mask"]
            name = builder.fresh_name(f"{node.operation}_{tensors[0]}")
            return builder.add(Statement(name, free, node.operation, tuple(fresh.values()), body, where, node.empty))
        case Access() | sympy.Symbol():
            return node
        case _ if node.args:
            return node.func(*(_hoist(argument, builder, names) for argument in node.args))
        case _:
            return node
