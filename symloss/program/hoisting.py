"""From a definition to a program: named values written out, each reduction a statement of its own.

The author's formula comes in as a tree; out goes a program whose one output, ``value``, is the loss of one sample.
A named array that is read under more indices than it has is computed once and stored; any other is written out.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from symloss.language.axes import Index
from symloss.language.definition import Definition
from symloss.language.errors import DefinitionError
from symloss.language.naming import names_of
from symloss.language.nodes import Access, Let, Reduction
from symloss.language.reductions import free_indices
from symloss.program.building import Builder
from symloss.program.extremes import chosen, comparison, extreme
from symloss.program.interpreter import unknown
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term


def hoist(definition: Definition) -> Program:
    """Return the program of a definition.

    Raises
    ------
    DefinitionError
        Where the formula has something in it that has no kernel.
    """
    builder = Builder(taken=names_of(definition.arguments, definition.per, definition.formula))
    hoisting = _Hoisting(builder, {}, frozenset(_shared(definition.formula, 0)), frozenset(_whole(definition.formula)))
    formula = hoisting.run(definition.formula)
    statements = hoisting.builder.statements
    for part in (definition.where, formula, *(part for s in statements for part in (s.body, s.where))):
        stranger = unknown(part)
        if stranger is not None:
            what = f"{definition.name}: {type(stranger).__name__} has no kernel and no derivative here: {stranger}"
            raise DefinitionError(definition.file, definition.line, what)
    value = Output("value", definition.per, (Term(sympy.true, formula),))
    return Program(tuple(statements), (value,), tuple(hoisting.names.items()))


def _shared(node: sympy.Basic, scope: int) -> set[str]:
    """Return the named arrays with a reduction in them that a sum over more indices than theirs reads."""
    found: set[str] = set()
    if isinstance(node, Let) and len(node.formals) < scope and node.body.atoms(Reduction):
        found.add(node.name)
    if isinstance(node, Reduction):
        scope = len(set(free_indices(node.body)))
    for argument in (node.body,) if isinstance(node, Let | Reduction) else node.args:
        found |= _shared(argument, scope)
    return found


def _whole(node: sympy.Basic) -> set[str]:
    """Return the named arrays with a reduction in them that are read at an index of its own in every slot."""
    found: set[str] = set()
    if isinstance(node, Let) and len(set(node.actuals)) == len(node.actuals) and node.body.atoms(Reduction):
        found.add(node.name)
    for argument in (node.body,) if isinstance(node, Let | Reduction) else node.args:
        found |= _whole(argument)
    return found


def _compares_extremes(node: sympy.Basic) -> bool:
    """Tell whether a condition compares the largest or the smallest of several numbers."""
    return isinstance(node, sympy.Rel) and bool(node.has(sympy.Max, sympy.Min))


@dataclass(frozen=True)
class _Hoisting:
    """The program under construction, the author's names, the named arrays to store, and those read entry by entry."""

    builder: Builder
    names: dict[sympy.Expr, str]
    shared: frozenset[str]
    whole: frozenset[str]

    def run(self, node: sympy.Basic) -> sympy.Basic:
        """Return a node with its reductions and shared arrays made statements."""
        match node:
            case Let() if node.name in self.shared:
                return self._array(node)
            case Let() if node.name in self.whole and len(set(node.actuals)) < len(node.actuals):
                return self._entry(node)
            case Let():
                body = self.run(node.inlined)
                if node.actuals == node.formals and not isinstance(body, sympy.Number | sympy.Symbol):
                    self.names.setdefault(body, node.name)
                return body
            case Reduction():
                return self._reduction(node)
            case Access() | sympy.Symbol():
                return node
            case sympy.Max() | sympy.Min():
                return extreme(node, tuple(map(self.run, node.args)))
            case sympy.Piecewise() if len(node.args) == 2 and _compares_extremes(node.args[0][1]):
                (then, where), (otherwise, _) = node.args
                return chosen(where.func, *map(self.run, (*where.args, then, otherwise)))
            case sympy.Rel() if _compares_extremes(node):
                return comparison(node, *map(self.run, node.args))
            case _ if node.args:
                return node.func(*(self.run(argument) for argument in node.args))
        return node

    def _entry(self, node: Let) -> sympy.Basic:
        """Return an entry on a diagonal, read from the array that holds the others too: the same number in both."""
        return self.run(node.body).xreplace(dict(zip(node.formals, node.actuals, strict=True)))

    def _array(self, node: Let) -> Access:
        fresh = {k: self.builder.fresh_index(k) for k in node.formals}
        body = self.run(node.body.xreplace(fresh))
        name = self.builder.fresh_name(node.name)
        statement = self.builder.add(Statement(name, tuple(fresh.values()), "let", (), body))
        return Access(statement.name, *node.actuals)

    def _reduction(self, node: Reduction) -> Access:
        fresh = {k: self.builder.fresh_index(k) for k in node.bound}
        body, where = self.run(node.body.xreplace(fresh)), self.run(node.where.xreplace(fresh))
        used = (body.free_symbols | where.free_symbols) - set(fresh.values())
        free = tuple(sorted((s for s in used if isinstance(s, Index)), key=str))
        tensors = [a.name for a in accesses(body)] or ["mask"]
        name = self.builder.fresh_name(f"{node.operation}_{tensors[0]}")
        return self.builder.add(Statement(name, free, node.operation, tuple(fresh.values()), body, where, node.empty))
