"""Rows: reductions along a row, cut so that each part of them becomes vector instructions.

A loop that adds up, or looks for the largest, carries a number from turn to turn, which no vector instruction does.
What is reduced is written to a buffer first, by a loop whose turns are independent, and that buffer is reduced in
lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import (
    Assign,
    Begin,
    Blocks,
    Buffer,
    Extreme,
    Finish,
    Loop,
    Node,
    Store,
    Total,
    Update,
)

SUMS = ("sum", "compensated")


@dataclass
class _Rows:
    """The buffers made so far, and the names in use."""

    taken: set[str]
    buffers: list[Buffer] = field(default_factory=list)

    def buffer(self, base: str, index: Index) -> str:
        """Return the name of a new buffer, as long as an axis."""
        name = fresh_name(f"{base}_row", self.taken)
        self.buffers.append(Buffer(name, (index.axis.name,)))
        return name

    def walk(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return nodes with the reductions of every innermost loop taken out of it."""
        found: list[Node] = []
        whole: set[str] = set()
        begun = {n.name for n in nodes if isinstance(n, Begin)}
        for node in nodes:
            match node:
                case Loop() if _is_innermost(node) and _can_reduce(node, begun):
                    loop, after = self._cut(node, begun)
                    loop, last = _one_apart(loop)
                    after += last
                    whole |= {n.name for n in after if isinstance(n, Total) and n.op == "set"}
                    whole |= {name for n in after if isinstance(n, Extreme) for name in (n.name, n.place)}
                    found += [loop, *after]
                case Loop() | Blocks():
                    found.append(replace(node, body=self.walk(node.body)))
                case _:
                    found.append(node)
        return tuple(n for n in found if not (isinstance(n, Begin | Finish) and n.name in whole))

    def _cut(self, loop: Loop, begun: set[str]) -> tuple[Loop, list[Node]]:
        """Return a loop that only writes, and what reduces what it wrote."""
        body: list[Node] = []
        after: list[Node] = []
        rows: dict[sympy.Basic, str] = {}
        for node in loop.body:
            if not isinstance(node, Update):
                body.append(node)
                continue
            axis = loop.index.axis.name
            if (kept := self._all_but_one(node, loop)) is not None:
                block, own = kept
                name = fresh_name(f"{block}_kept", self.taken)
                back = Store(block, (own,), sympy.Symbol(name, real=True), where=_is_there(own))
                zero = replace(back, expression=sympy.S.Zero)
                total = Total(node.name, block, axis, "set" if node.name in begun else node.op)
                after += [Assign(name, Access(block, own)), zero, total, back]
                continue
            expression = node.expression
            if node.where is not sympy.true:
                expression = sympy.Piecewise((expression, node.where), (sympy.S.Zero, True), evaluate=False)
            if expression not in rows:
                rows[expression] = self.buffer(node.name, loop.index)
                body.append(Store(rows[expression], (loop.index,), expression))
            row = rows[expression]
            match node.op:
                case "max":
                    after.append(Extreme(node.name, "", row, axis))
                case "argmax":
                    after = [_placed(n, node.name, row) for n in after]
                case op:
                    after.append(Total(node.name, row, axis, "set" if node.name in begun else op))
        return replace(loop, body=tuple(body)), after

    @staticmethod
    def _all_but_one(node: Update, loop: Loop) -> tuple[str, sympy.Expr] | None:
        """Return the buffer that holds what is added up, and the entry left out, where a sum is over all others."""
        if node.op not in SUMS or not isinstance(node.where, sympy.Ne) or loop.index not in node.where.args:
            return None
        own = next(a for a in node.where.args if a != loop.index)
        if own.has(loop.index):
            return None
        stores = (n for n in loop.body if isinstance(n, Store) and n.slots == (loop.index,) and not n.guard)
        return next(((n.array, own) for n in stores if n.expression == node.expression), None)


def _one_apart(loop: Loop) -> tuple[Loop, list[Node]]:
    """Return a loop that writes every entry alike, and what writes the one entry of an array that is another."""
    body: list[Node] = []
    after: list[Node] = []
    set_here = {n.name for n in loop.body if isinstance(n, Assign)}
    for node in loop.body:
        found = _special_entry(node, loop.index) if isinstance(node, Store) else None
        if isinstance(node, Store) and found is not None and not {s.name for s in found[0].free_symbols} & set_here:
            special, own, usual = found
            body.append(replace(node, expression=usual))
            slots = tuple(own if s == loop.index else s for s in node.slots)
            after.append(replace(node, slots=slots, expression=special, where=_is_there(own)))
        else:
            body.append(node)
    return replace(loop, body=tuple(body)), after


def _special_entry(node: Store, index: Index) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr] | None:
    """Return what is written to one entry, that entry, and what is written to all others, where one is another."""
    if node.guard or node.where is not sympy.true or not isinstance(node.expression, sympy.Piecewise):
        return None
    (special, where), *others = node.expression.args
    if len(others) != 1 or others[0][1] is not sympy.true:
        return None
    usual = others[0][0]
    if not isinstance(where, sympy.Eq) or index not in where.args or special.has(index):
        return None
    own = next(a for a in where.args if a != index)
    return None if own.has(index) else (special, own, usual)


def _is_there(place: sympy.Expr) -> sympy.Basic:
    """Return the condition that there is such an entry: the largest of nothing is at -1."""
    return sympy.Ge(place, 0)


def _placed(node: Node, place: str, row: str) -> Node:
    """Return the search for the largest of a row with a name for its place; any other node as it is."""
    return replace(node, place=place) if isinstance(node, Extreme) and node.row == row else node


def _is_innermost(loop: Loop) -> bool:
    return all(isinstance(n, Assign | Store | Update) for n in loop.body)


def _can_reduce(loop: Loop, begun: set[str]) -> bool:
    """Tell whether all reductions of a loop are sums, or the plain largest and its place of this loop alone."""
    updates = [n for n in loop.body if isinstance(n, Update)]
    if any(isinstance(n, Store) and n.guard == "add" for n in loop.body):
        return False
    largest = {n.expression for n in updates if n.op == "max" and n.where is sympy.true and n.name in begun}
    return all(
        n.op in SUMS or (n.op in ("max", "argmax") and n.where is sympy.true and n.expression in largest)
        for n in updates
    )  # fmt: skip


def by_rows(nodes: tuple[Node, ...], taken: set[str]) -> tuple[Node, ...]:
    """Return a kernel's nodes with the reductions of innermost loops taken out of these.

    Parameters
    ----------
    nodes : tuple of Node
        Their scalars named.
    taken : set of str
        Names in use; those of the buffers are added.
    """
    rows = _Rows(taken)
    found = rows.walk(nodes)
    return (*rows.buffers, *found)
