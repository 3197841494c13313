"""Rows: reductions along a row, cut so that each part of them becomes vector instructions.

A loop that adds up carries a number from turn to turn, which no vector instruction does. What is added up is that of
one strip after another: in registers, in lanes, where the loop does little else; in others it is written to memory that
stays in the nearest cache, and added up from there by one function. Either has the same order in every kernel. The
largest number of a row is looked for in lanes too; its place only where it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import (
    LENGTH,
    PLACE,
    Assign,
    Begin,
    Blocks,
    Buffer,
    Extreme,
    Finish,
    Loop,
    Node,
    Store,
    Strips,
    Update,
)
from symloss.lowering.reductions import exp_difference
from symloss.lowering.rounds import side_by_side
from symloss.stability.expansion import SERIES

SUMS = ("sum", "compensated")
STRIP = "strips"
"""The memory that strips of what is added up are written to."""


@dataclass
class _Rows:
    """The buffers made so far, how many sums share a loop, and the names in use."""

    taken: set[str]
    sums: int = 0
    buffers: list[Buffer] = field(default_factory=list)

    def buffer(self, base: str, index: Index) -> str:
        """Return the name of a new buffer, as long as an axis."""
        name = fresh_name(f"{base}_row", self.taken)
        self.buffers.append(Buffer(name, (index.axis.name,)))
        return name

    def walk(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return nodes with the reductions of every innermost loop in a form that lanes can take."""
        found: list[Node] = []
        swaps: dict[str, tuple[Node, ...]] = {}
        begun = {n.name for n in nodes if isinstance(n, Begin)}
        for node in nodes:
            match node:
                case Loop() if _is_innermost(node) and _can_reduce(node, begun):
                    for loop in _without_wide_sums(node):
                        found += self._reduced(loop, begun, swaps)
                case Loop() if _is_innermost(node):
                    loop, last = _one_apart(node)
                    found += [loop, *last]
                case Loop() | Blocks():
                    found.append(replace(node, body=self.walk(node.body)))
                case Finish(name=name) if name in swaps:
                    pass
                case _:
                    found.append(node)
        return tuple(m for n in found for m in (swaps.get(n.name, (n,)) if isinstance(n, Begin) else (n,)))

    def _reduced(self, loop: Loop, begun: set[str], swaps: dict[str, tuple[Node, ...]]) -> list[Node]:
        """Return a loop whose sums are taken by strips, and what comes after it; what its sums start from is noted."""
        body: list[Node] = []
        after: list[Node] = []
        sums: list[tuple[str, str, sympy.Expr | None]] = []
        rows: dict[sympy.Basic, Access] = {}
        reads = {n.name: n.expression for n in loop.body if isinstance(n, Assign)}
        placed = {n.expression for n in loop.body if isinstance(n, Update) and n.op == "argmax"}
        for node in loop.body:
            if not isinstance(node, Update):
                body.append(node)
                continue
            match node.op:
                case "argmax":
                    after = [_placed(n, node.name, rows[node.expression]) for n in after]
                    swaps[node.name] = ()
                case "max":
                    plain = _plain_row(reads.get(str(node.expression), node.expression), loop.index)
                    stored = plain is None and node.expression in placed
                    row = Access(self.buffer(node.name, loop.index)) if stored else plain
                    if row is not None:
                        rows[node.expression] = row
                        after.append(Extreme(node.name, "", row, loop.index.axis.name))
                        swaps[node.name] = ()
                    if stored and row is not None:
                        body.append(Store(row.name, (loop.index,), node.expression))
                    elif plain is None:
                        body.append(replace(node, op="larger"))
                case op:
                    kind = ("wide" if node.scales else "whole") if node.name in begun else op
                    own = _left_out(node, loop)
                    sums.append((node.name, kind, own))
                    if node.name in begun:
                        swaps[node.name] = (Begin(node.name, kind),)
                        after.append(Finish(node.name, kind))
                    added = _where(node) if own is None else node.expression
                    body.append(Store(STRIP, (sympy.Integer(len(sums) - 1), PLACE), added))
        loop, last = _one_apart(replace(loop, body=used_nodes(body)))
        self.sums = max(self.sums, len(sums))
        if not loop.body:
            return [*after, *last]
        return [Strips(loop.index, loop.body, tuple(sums)) if sums else loop, *after, *last]


def _left_out(node: Update, loop: Loop) -> sympy.Expr | None:
    """Return the place of the one entry that a sum leaves out, where it leaves out one."""
    if not isinstance(node.where, sympy.Ne) or loop.index not in node.where.args:
        return None
    own = next(a for a in node.where.args if a != loop.index)
    set_here = {n.name for n in loop.body if isinstance(n, Assign)}
    return None if own.has(loop.index) or set_here & {s.name for s in own.free_symbols} else own


def _where(node: Update) -> sympy.Expr:
    """Return what a turn of the loop adds: nothing where a condition is not met."""
    if node.where is sympy.true:
        return node.expression
    return sympy.Piecewise((node.expression, node.where), (sympy.S.Zero, True), evaluate=False)


def _plain_row(node: sympy.Basic, index: Index) -> Access | None:
    """Return the row of which an expression is just the entry, or None."""
    if not isinstance(node, Access) or isinstance(node, LabelAccess) or not node.slots or node.slots[-1] != index:
        return None
    outer = node.slots[:-1]
    return None if any(s.has(index) for s in outer) else Access(node.name, *outer)


def used_nodes(body: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes of a loop without the scalars that nothing after them reads."""
    found: list[Node] = []
    names: set[str] = set()
    for node in reversed(body):
        if not isinstance(node, Assign) or node.name in names:
            found.insert(0, node)
            names |= names_read([node])
    return tuple(found)


def names_read(nodes: Iterable[Node]) -> set[str]:
    """Return the names of the scalars that nodes read, and those in loops."""
    parts: list[sympy.Basic] = []
    for node in nodes_within(nodes):
        match node:
            case Assign():
                parts.append(node.expression)
            case Update():
                parts += [node.expression, node.where]
            case Store():
                parts += [node.expression, node.where, *node.slots]
            case Extreme():
                parts.append(node.row)
            case Strips():
                parts += [left_out for *_, left_out in node.sums if left_out is not None]
    return {s.name for part in parts for s in part.free_symbols if isinstance(s, sympy.Symbol)}


def nodes_within(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield nodes and those in loops."""
    for node in nodes:
        yield node
        if isinstance(node, Loop | Strips):
            yield from nodes_within(node.body)


def _one_apart(loop: Loop) -> tuple[Loop, list[Node]]:
    """Return a loop that writes every entry alike, and what writes the one entry of an array that is another."""
    body: list[Node] = []
    after: list[Node] = []
    set_here = {n.name for n in loop.body if isinstance(n, Assign)}
    for node in loop.body:
        found = special_entry(node, loop.index) if isinstance(node, Store) else None
        if isinstance(node, Store) and found is not None and not {s.name for s in found[0].free_symbols} & set_here:
            special, own, usual = found
            body.append(replace(node, expression=usual))
            slots = tuple(own if s == loop.index else s for s in node.slots)
            after.append(replace(node, slots=slots, expression=special, where=_is_there(own)))
        else:
            body.append(node)
    return replace(loop, body=tuple(body)), after


def special_entry(node: Store, index: Index) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr] | None:
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


def _placed(node: Node, place: str, row: Access) -> Node:
    """Return the search for the largest of a row with a name for its place; any other node as it is."""
    return replace(node, place=place) if isinstance(node, Extreme) and node.row == row else node


def _without_wide_sums(loop: Loop) -> list[Loop]:
    """Return a loop, in two where squares would be added up from strips of memory, which are float32."""
    wide = [n for n in loop.body if isinstance(n, Update) and n.scales and n.op in SUMS]
    computed = [n.expression for n in loop.body if isinstance(n, Assign | Store | Update)]
    from_memory = any(e.has(*SERIES, exp_difference) for e in computed) or not side_by_side(loop.body, loop.index)
    from_memory |= any(_left_out(n, loop) is not None for n in loop.body if isinstance(n, Update))
    if not wide or not from_memory:
        return [loop]
    squares = used_nodes([n for n in loop.body if isinstance(n, Assign) or n in wide])
    return [replace(loop, body=squares), replace(loop, body=used_nodes([n for n in loop.body if n not in wide]))]


def _is_innermost(loop: Loop) -> bool:
    return all(isinstance(n, Assign | Store | Update) for n in loop.body)


def _can_reduce(loop: Loop, begun: set[str]) -> bool:
    """Tell whether all reductions of a loop are sums, or the plain largest and its place of this loop alone."""
    updates = [n for n in loop.body if isinstance(n, Update)]
    largest = {n.expression for n in updates if n.op == "max" and n.where is sympy.true and n.name in begun}
    return bool(updates) and all(
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
    strips = (Buffer(STRIP, (str(rows.sums), str(LENGTH))),) if rows.sums else ()
    return (*rows.buffers, *strips, *found)
