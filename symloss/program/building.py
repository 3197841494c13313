"""The builder of programs: fresh names, hash-consed statements, sums with their deltas eliminated.

Every stage that adds statements does it here, so that equal sums are computed once and a sum over an index that a
condition pins is no sum at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import permutations

import sympy

from symloss.language.atoms import complement, ratio
from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.statement import Program, Statement
from symloss.program.terms import conjuncts


def pinned(where: sympy.Basic, bound: Iterable[Index]) -> tuple[Index, sympy.Expr] | None:
    """Return a bound index that the condition pins to a value free of it, and that value."""
    for part in conjuncts(where):
        if isinstance(part, sympy.Eq):
            for index, value in (part.args, part.args[::-1]):
                if index in bound and index not in value.free_symbols:
                    return index, value
    return None


class Builder:
    """Statements under construction; none is called what is in `taken`."""

    def __init__(self, program: Program | None = None, taken: Iterable[str] = ()) -> None:
        self.statements: list[Statement] = list(program.statements) if program else []
        self._taken = {s.name for s in self.statements}.union(taken)
        self._indices = 0
        for statement in self.statements:
            for index in statement.bound + statement.free:
                _, _, number = index.name.rpartition("_")
                self._indices = max(self._indices, int(number) if number.isdigit() else 0)
        self._known = {self._key(s): s.name for s in self.statements}
        self._units = dict(filter(None, map(_unit, self.statements)))

    def fresh_index(self, index: Index) -> Index:
        """Return an index over the same axis that occurs nowhere else in the program."""
        self._indices += 1
        return Index(f"{index.name.split('_')[0]}_{self._indices}", index.axis)

    def fresh_name(self, base: str) -> str:
        """Return `base`, numbered if it is taken."""
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        return name

    @staticmethod
    def _key(statement: Statement) -> tuple[object, ...]:
        """Return what makes two statements the same but for the names of their indices."""
        bound = sorted(statement.bound, key=lambda k: k.axis.name)  # stable: two over one axis keep their order
        order = (*statement.free, *bound)
        canonical = {k: Index(f"@{number}", k.axis) for number, k in enumerate(order)}
        return (
            statement.op, len(statement.free), tuple(k.axis.name for k in order),
            statement.body.xreplace(canonical), statement.where.xreplace(canonical), statement.empty, statement.source,
        )  # fmt: skip

    def add(self, statement: Statement) -> Access:
        """Add a statement, or find the one that is already there; return it at the statement's own slots.

        It gets another name where one that computes something else has its own.
        """
        for free in _orders(statement):
            known = self._known.get(self._key(replace(statement, free=free)))
            if known is not None:
                return Access(known, *free)
        if any(s.name == statement.name for s in self.statements):
            statement = replace(statement, name=self.fresh_name(statement.name))
        return self._append(statement)

    def keep(self, statement: Statement) -> None:
        """Add a statement that others read by its name; it may be there already."""
        same = next((s for s in self.statements if s.name == statement.name), None)
        if same is None:
            self._append(statement)
        elif self._key(same) != self._key(statement):
            message = f"two statements are called {statement.name}"
            raise ValueError(message)

    def name_of(self, statement: Statement) -> str | None:
        """Return the name of the statement that computes the same, if there is one."""
        return self._known.get(self._key(statement))

    def _append(self, statement: Statement) -> Access:
        self._known.setdefault(self._key(statement), statement.name)
        self._taken.add(statement.name)
        self.statements.append(statement)
        self._units |= dict(filter(None, [_unit(statement)]))
        return Access(statement.name, *statement.free)

    def shared(self, node: sympy.Basic) -> sympy.Basic:
        """Return an expression with every quotient that a statement already holds read from there."""
        if isinstance(node, ratio) and all(isinstance(a, Access) for a in node.args):
            top, bottom = node.args
            found = self._units.get((top.name, bottom.name))
            if found is not None:
                name, own, below = found
                swap = dict(zip(own, top.slots, strict=True))
                if tuple(swap.get(k, k) for k in below) == bottom.slots:
                    return Access(name, *top.slots)
        if isinstance(node, Access) or not node.args:
            return node
        return node.func(*(self.shared(a) for a in node.args))

    def total(
        self, base: str, bound: tuple[Index, ...], where: sympy.Basic, body: sympy.Expr
    ) -> tuple[sympy.Basic, sympy.Expr]:
        """Sum `body` over `bound` where the condition holds.

        Returns
        -------
        (condition, expression)
            What is left of the condition outside the sum, and the sum: no statement where every index is pinned.
        """
        while (pin := pinned(where, bound)) is not None:
            index, value = pin
            bound = tuple(k for k in bound if k != index)
            where, body = where.xreplace({index: value}), body.xreplace({index: value})
        if not bound or body == 0 or where is sympy.false:
            return where, body
        for index in bound:
            whole = self._all_weights(index, where, body)
            if whole is not None:
                return self.total(base, tuple(k for k in bound if k != index), *whole)
        fresh: Mapping[Index, Index] = {k: self.fresh_index(k) for k in bound}
        where, body, bound = where.xreplace(fresh), body.xreplace(fresh), tuple(fresh.values())
        inside = sympy.And(*(part for part in conjuncts(where) if part.free_symbols & set(bound)))
        outside = sympy.And(*(part for part in conjuncts(where) if not part.free_symbols & set(bound)))
        factors = sympy.Mul.make_args(body)
        coefficient = sympy.Mul(*(f for f in factors if not f.free_symbols & set(bound)))
        core = sympy.Mul(*(f for f in factors if f.free_symbols & set(bound)))
        used = core.free_symbols | inside.free_symbols
        for k in bound:  # a sum of something that does not depend on the index is a multiple
            if k not in used:
                coefficient = coefficient * k.axis.size
        bound = tuple(k for k in bound if k in used)
        if not bound:
            return outside, coefficient * core
        free = tuple(sorted((s for s in used if isinstance(s, Index) and s not in bound), key=str))
        access = self.add(Statement(self.fresh_name(base), free, "sum", bound, core, inside))
        return outside, coefficient * access

    def _all_weights(self, index: Index, where: sympy.Basic, body: sympy.Expr) -> tuple[sympy.Basic, sympy.Expr] | None:
        """Sum softmax weights that nothing else under the sum depends on: to 1, or without one to its complement."""
        factors = sympy.Mul.make_args(body)
        moving = [f for f in factors if index in f.free_symbols]
        weight = moving[0] if len(moving) == 1 else None
        if not (isinstance(weight, Access) and weight.name in self._weights and weight.slots[-1] == index):
            return None
        masks = [part for part in conjuncts(where) if index in part.free_symbols]
        rest = sympy.And(*(part for part in conjuncts(where) if part not in masks))
        coefficient = sympy.Mul(*(f for f in factors if f is not weight))
        match masks:
            case []:
                return rest, coefficient
            case [sympy.Ne(args=(left, right))] if index in (left, right):
                other = right if left == index else left
                if index in other.free_symbols:
                    return None
                return rest, coefficient * complement(Access(weight.name, *weight.slots[:-1], other))
        return None

    @property
    def _weights(self) -> frozenset[str]:
        """The softmax statements over a whole axis."""
        return frozenset(s.name for s in self.statements if s.op == "softmax" and s.where is sympy.true)


def _orders(statement: Statement) -> Iterator[tuple[Index, ...]]:
    """Yield orders of a statement's slots: its own, and for a sum all others, since a transpose is the same sum."""
    yield statement.free
    axes = [k.axis for k in statement.free]
    if statement.op == "sum" and len(set(axes)) < len(axes):
        yield from (free for free in permutations(statement.free) if free != statement.free)


_Unit = tuple[tuple[str, str], tuple[str, tuple[sympy.Expr, ...], tuple[sympy.Expr, ...]]]


def _unit(statement: Statement) -> _Unit | None:
    """Return the key and slots of a statement that holds the quotient of one tensor by another, slot by slot."""
    body = statement.body
    if statement.op != "let" or not isinstance(body, ratio) or not all(isinstance(a, Access) for a in body.args):
        return None
    top, bottom = body.args
    if top.slots != statement.free or not set(bottom.slots) <= set(top.slots):
        return None
    return (top.name, bottom.name), (statement.name, top.slots, bottom.slots)
