"""Across: loops over an outer axis and, inside, over the one that lies in memory side by side, as in images by class.

Vector instructions take many entries of the inner axis at once, if each of them has the same done to it. So the largest
entry along the outer axis is looked for in all places together, a number that is left out of a sum is added as 0, what
is read where another array says is moved together before, and the one entry that is written otherwise is written after.
Results are the same bits: only the order of what does not meet is another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import Assign, Begin, Buffer, Loop, Node, Store, Update
from symloss.lowering.rows import special_entry, used_nodes
from symloss.lowering.schedule import ALL
from symloss.program.statement import accesses


def across(nodes: tuple[Node, ...], taken: set[str]) -> tuple[Node, ...]:
    """Return a kernel's nodes with such loops in a form that vector instructions take.

    Parameters
    ----------
    nodes : tuple of Node
        Their scalars named, no reduction cut into strips yet.
    taken : set of str
        Names in use; new ones are added.
    """
    places = frozenset(n.name for n in nodes if isinstance(n, Buffer) and n.dtype == "int64")
    rooms = _Rooms(taken, places)
    found = rooms.walk(nodes)
    return (*rooms.buffers, *found)


@dataclass
class _Rooms:
    """The names in use, the buffers that hold places, and those made so far."""

    taken: set[str]
    places: frozenset[str]
    buffers: list[Buffer] = field(default_factory=list)

    def walk(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        found: list[Node] = []
        for node in nodes:
            match node:
                case Loop(body=(Loop() as inner,)) if not node.block and _is_plain(inner):
                    found += self._nest(node, inner)
                case Loop():
                    found += _largest_across(node) or [replace(node, body=self.walk(node.body))]
                case _:
                    found.append(node)
        return tuple(found)

    def _nest(self, outer: Loop, inner: Loop) -> list[Node]:
        """Return two loops, what is moved together before them, and the entries that are written after them."""
        body, before = self._gathered(outer, inner)
        usual, after = _apart(outer, replace(inner, body=body))
        set_here = {n.name for n in usual if isinstance(n, Assign)}
        chosen = tuple(part for n in usual for part in self._added(n, (outer.index, inner.index), set_here))
        return [*before, replace(outer, body=(replace(inner, body=chosen),)), *after]

    def _gathered(self, outer: Loop, inner: Loop) -> tuple[tuple[Node, ...], list[Node]]:
        """Return the body of the inner loop, and a loop that moves together what it reads at places of its own."""
        known = self._places_in(inner.body)
        written = {n.array for n in inner.body if isinstance(n, Store)}
        moved: dict[sympy.Basic, Access] = {}
        stores: list[Node] = []
        for access in dict.fromkeys(a for n in inner.body for a in _reads(n)):
            own = _names(access.slots) & known.keys()
            if own and access.name not in written and not access.has(outer.index):
                name = fresh_name(f"{access.name}_there", self.taken)
                self.buffers.append(Buffer(name, (inner.index.axis.name,)))
                moved[access] = Access(name, inner.index)
                stores += [*(known[place] for place in sorted(own)), Store(name, (inner.index,), access)]
        if not moved:
            return inner.body, []
        body = used_nodes(tuple(_rewritten(n, moved) for n in inner.body))
        return body, [Loop(inner.index, tuple(dict.fromkeys(stores)))]

    def _places_in(self, body: tuple[Node, ...]) -> dict[str, Assign]:
        """Return the places that a buffer of this kernel holds: they are inside every array that is read there."""
        reads = (n for n in body if isinstance(n, Assign) and isinstance(n.expression, Access))
        return {n.name: n for n in reads if n.expression.name in self.places}

    def _added(self, node: Node, loops: tuple[Index, Index], set_here: set[str]) -> list[Node]:
        """Return a node that adds 0 where it added nothing: what it computes must make sense everywhere.

        A condition that is the same for all entries of the inner axis is no hindrance.
        """
        if not isinstance(node, Store) or node.guard != "add":
            return [node]
        if not (node.where.has(loops[1]) or _names((node.where,)) & set_here):
            return [node]
        if not set(node.slots) <= set(loops) or not all(set(a.slots) <= set(loops) for a in _reads(node)):
            return [node]
        name = fresh_name(f"{node.array}_added", self.taken)
        added = sympy.Piecewise((sympy.Symbol(name, real=True), node.where), (sympy.S.Zero, True), evaluate=False)
        return [Assign(name, node.expression), replace(node, expression=added, where=sympy.true)]


def _largest_across(loop: Loop) -> list[Node]:
    """Return loops that take the largest entry, and its place, in all places of a loop together; or nothing.

    The place moves on where an entry is larger than all before.
    """
    q, inner = loop.index, next((n for n in loop.body if isinstance(n, Loop)), None)
    if inner is None or not _is_plain(inner):
        return []
    updates = [n for n in inner.body if isinstance(n, Update)]
    entries = {n.name: n.expression for n in inner.body if isinstance(n, Assign)}
    largest = {n.expression: n.name for n in updates if n.op == "max"}
    kept = {str(n.expression): n for n in loop.body if isinstance(n, Store) and n.slots == (q,) and not n.guard}
    names = {n.name for n in updates}
    rest = tuple(n for n in loop.body if n is not inner and not _is_about(n, names))
    if not (
        updates
        and len(updates) + len(entries) == len(inner.body)
        and names <= kept.keys()
        and all(n.op in ("max", "argmax") and n.where is sympy.true and n.expression in largest for n in updates)
        and all(_lies_along(entries.get(str(e)), inner.index, q) for e in largest)
        and not any(names & {s.name for s in e.free_symbols} for n in rest for e in _expressions(n))
    ):
        return []
    arrays = {name: kept[name].array for name in names}
    found: list[Node] = []
    turns: list[Node] = [n for n in inner.body if isinstance(n, Assign)]
    for update in sorted(updates, key=lambda n: n.op):  # a place is looked for before the largest is known
        array, entry = arrays[update.name], update.expression
        if update.op == "max":
            found.append(Store(array, (ALL,), -sympy.oo))
            turns.append(Store(array, (q,), entry, "larger"))
        else:
            found.append(Store(array, (ALL,), sympy.S.Zero))
            turns.append(Store(array, (q,), inner.index, "place", entry > Access(arrays[largest[entry]], q)))
    found.append(replace(inner, body=(Loop(q, tuple(turns)),)))
    return [*found, replace(loop, body=rest)] if rest else found


def _is_about(node: Node, names: set[str]) -> bool:
    """Tell whether a node starts a reduction of these names, or keeps what comes out."""
    match node:
        case Begin():
            return node.name in names
        case Store():
            return str(node.expression) in names
    return False


def _lies_along(entry: sympy.Expr | None, over: Index, along: Index) -> bool:
    """Tell whether an entry is one of an array in which those of one index lie side by side, and another's apart."""
    return isinstance(entry, Access) and len(entry.slots) > 1 and entry.slots[-1] == along and over in entry.slots


def _apart(outer: Loop, inner: Loop) -> tuple[tuple[Node, ...], list[Node]]:
    """Return the body of the inner loop without what only one turn of the outer loop writes, and what writes it after.

    That turn may be one that the outer loop does not have.
    """
    body: list[Node] = []
    after: list[Node] = []
    for node in inner.body:
        found = special_entry(node, outer.index) if isinstance(node, Store) else None
        if isinstance(node, Store) and found is not None and set(node.slots[-2:]) == {outer.index, inner.index}:
            special, own, usual = found
            body.append(replace(node, expression=usual))
            there = sympy.And(own >= 0, own < sympy.Symbol(outer.index.axis.name, integer=True))
            slots = tuple(own if s == outer.index else s for s in node.slots)
            written = replace(node, slots=slots, expression=special, where=there)
            scalars: list[Node] = [n for n in inner.body if isinstance(n, Assign)]
            after.append(Loop(inner.index, used_nodes([*scalars, written])))
        else:
            body.append(node)
    return used_nodes(tuple(body)), after


def _is_plain(loop: Loop) -> bool:
    """Tell whether a loop has no loop inside."""
    return all(isinstance(n, Assign | Store | Update) for n in loop.body)


def _expressions(node: Node) -> tuple[sympy.Basic, ...]:
    match node:
        case Assign():
            return (node.expression,)
        case Store():
            return (node.expression, node.where, *node.slots)
        case Update():
            return (node.expression, node.where)
    return ()


def _reads(node: Node) -> tuple[Access, ...]:
    return tuple(a for e in _expressions(node) for a in accesses(e))


def _names(expressions: tuple[sympy.Basic, ...]) -> set[str]:
    return {s.name for e in expressions for s in e.free_symbols if isinstance(s, sympy.Symbol)}


def _rewritten(node: Node, moved: dict[sympy.Basic, Access]) -> Node:
    match node:
        case Assign():
            return replace(node, expression=_with_reads(node.expression, moved))
        case Store():
            return replace(node, expression=_with_reads(node.expression, moved))
    return node


def _with_reads(node: sympy.Basic, moved: dict[sympy.Basic, Access]) -> sympy.Basic:
    """Return an expression, in the order it was written in, with some reads replaced."""
    if node in moved:
        return moved[node]
    return rebuilt(node, tuple(_with_reads(a, moved) for a in node.args)) if node.args else node
