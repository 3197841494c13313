"""Rows: reductions along a row, cut so that each part of them becomes vector instructions.

A loop that adds up, or looks for the largest, carries a number from turn to turn, which no vector instruction does. What
is reduced is written to a buffer first, by a loop whose turns are independent; the buffer is then reduced in lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
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
        name, number = f"{base}_row", 1
        while name in self.taken:
            number += 1
            name = f"{base}_row_{number}"
        self.taken.add(name)
        self.buffers.append(Buffer(name, (index.axis.name,)))
        return name

    def walk(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return nodes with the reductions of every innermost loop taken out of it."""
        found: list[Node] = []
        whole: set[str] = set()
        begun = {n.name for n in nodes if isinstance(n, Begin)}
        for node in nodes:
            match node:
                case Loop() if _reduces(node):
                    loop, after = self._cut(node, begun)
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
        rows: dict[tuple[sympy.Basic, ...], str] = {}
        for node in loop.body:
            if not isinstance(node, Update):
                body.append(node)
                continue
            masked = node.where is not sympy.true
            cases = sympy.Piecewise((node.expression, node.where), (sympy.S.Zero, True), evaluate=False)
            expression = cases if masked else node.expression
            key = (expression,)
            if key not in rows:
                rows[key] = self.buffer(node.name, loop.index)
                body.append(Store(rows[key], (loop.index,), expression))
            axis, row = loop.index.axis.name, rows[key]
            match node.op:
                case "max":
                    after.append(Extreme(node.name, "", row, axis))
                case "argmax":
                    after = [_placed(n, node.name, row) for n in after]
                case op:
                    after.append(Total(node.name, row, axis, "set" if node.name in begun else op))
        return replace(loop, body=tuple(body)), after


def _placed(node: Node, place: str, row: str) -> Node:
    """Return the search for the largest of a row with a name for its place; any other node as it is."""
    return replace(node, place=place) if isinstance(node, Extreme) and node.row == row else node


def _reduces(loop: Loop) -> bool:
    """Tell whether a loop is innermost, and all its reductions are sums or the plain largest and its place."""
    updates = [n for n in loop.body if isinstance(n, Update)]
    if not updates or not all(isinstance(n, Assign | Store | Update) for n in loop.body):
        return False
    if any(isinstance(n, Store) and n.guard == "add" for n in loop.body):
        return False
    largest = {n.expression for n in updates if n.op == "max" and n.where is sympy.true}
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
