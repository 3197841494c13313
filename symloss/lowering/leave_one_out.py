"""Sums that leave out one: of n numbers, the n sums of all but one of them, as the centroids of GE2E.

One after the other they take n (n - 1) additions. What comes before a number and what comes after it are sums that run
along, there and back, which takes 3 n. Nothing is taken away again, so that nothing cancels, and what is left out makes
no sum infinite or NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import Assign, Begin, Blocks, Buffer, Finish, Loop, Node, Store, Update
from symloss.lowering.rows import names_read, nodes_within, used_nodes
from symloss.lowering.schedule import ALL
from symloss.program.statement import accesses
from symloss.program.terms import conjuncts


@dataclass(frozen=True)
class _Step:
    """How a term is added: what it is computed from, for all entries along an axis and for each, and the store."""

    along: Index
    once: tuple[Assign, ...]
    each: tuple[Assign, ...]
    added: Store


def leave_one_out(nodes: tuple[Node, ...], taken: set[str]) -> tuple[Node, ...]:
    """Return a kernel's nodes with such sums taken before the loop over what they leave out.

    Parameters
    ----------
    nodes : tuple of Node
        Their scalars named, no reduction cut into strips yet.
    taken : set of str
        Names in use; new ones are added.
    """
    sums = _Sums(taken)
    found = sums.walk(nodes)
    return (*sums.buffers, *found)


@dataclass
class _Sums:
    """The names in use, and the buffers made so far."""

    taken: set[str]
    buffers: list[Buffer] = field(default_factory=list)

    def walk(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        found: list[Node] = []
        for node in nodes:
            if isinstance(node, Loop | Blocks):
                node = replace(node, body=self.walk(node.body))
            if isinstance(node, Loop) and not node.block:
                before, body = self._taken_before(node)
                found += before
                found += [replace(node, body=body)] if body else []
            else:
                found.append(node)
        return tuple(found)

    def _taken_before(self, loop: Loop) -> tuple[list[Node], tuple[Node, ...]]:
        """Return the sums of a loop that leave out its own index, and what is left of it."""
        before: list[Node] = []
        body = loop.body
        for zero, step, stored in list(_sums_of_all_but_one(loop)):
            rest = _without(body, (zero, stored))
            if _is_there_before(step, rest):
                before += self._there_and_back(loop.index, step)
                body = rest
        return before, body

    def _there_and_back(self, index: Index, step: _Step) -> Iterator[Node]:
        """Yield two passes over the terms: one writes what comes before each of them, one adds what comes after."""
        name, along, added = fresh_name("running", self.taken), step.along, step.added
        self.buffers.append(Buffer(name, (along.axis.name,)))
        for down, guard in ((False, ""), (True, "add")):
            yield Store(name, (ALL,), sympy.S.Zero)
            sums = Store(added.array, added.slots, Access(name, along), guard)
            run = Store(name, (along,), added.expression, "add", added.where)
            yield Loop(index, (*step.once, Loop(along, (sums, *step.each, run))), down=down)


def _sums_of_all_but_one(loop: Loop) -> Iterator[tuple[Store, _Step, Store]]:
    """Yield what a sum of all terms but that of a loop's own index starts from, how it is added to, and where."""
    for adding in loop.body:
        if not isinstance(adding, Loop) or adding.index.axis != loop.index.axis:
            continue
        for place, row in enumerate(adding.body):
            if isinstance(row, Loop):
                above = adding.body[:place]
                for stored in row.body:
                    step = _all_but_one(adding.index, above, row, stored, loop.index)
                    if step is not None and isinstance(stored, Store):
                        zero = Store(stored.array, (*stored.slots[:-1], ALL), sympy.S.Zero)
                        yield from ((n, step, stored) for n in loop.body if isinstance(n, Store) and n == zero)


def _all_but_one(own: Index, above: tuple[Node, ...], row: Loop, stored: Node, index: Index) -> _Step | None:
    """Return how the term at an index is added, where a node in a row adds all terms but that, for `own`; or None."""
    if not isinstance(stored, Store) or stored.guard != "add" or stored.slots[-1:] != (row.index,):
        return None
    conditions = conjuncts(stored.where)
    others = [c for c in conditions if c not in (sympy.Ne(own, index), sympy.Ne(index, own))]
    if len(others) == len(conditions) or index not in stored.slots or own in stored.slots:
        return None
    once, each = ([n for n in nodes if isinstance(n, Assign)] for nodes in (above, row.body))
    used = used_nodes([*once, *each, stored])
    if any(part.has(index) for part in (*(n.expression for n in used if isinstance(n, Assign | Store)), *others)):
        return None
    here = {own: index}

    def moved(nodes: list[Assign]) -> tuple[Assign, ...]:
        return tuple(replace(n, expression=n.expression.xreplace(here)) for n in nodes if n in used)

    where = sympy.And(*others).xreplace(here)
    added = replace(stored, expression=stored.expression.xreplace(here), where=where)
    return _Step(row.index, moved(once), moved(each), added)


def _without(nodes: tuple[Node, ...], gone: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes without some of them, and without what they alone have read in their loops."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Loop):
            body = _without(node.body, gone)
            body = used_nodes(body) if body != node.body else body
            found += [replace(node, body=body)] if body else []
        elif not any(node is n for n in gone):
            found.append(node)
    return tuple(found)


def _is_there_before(step: _Step, rest: Iterable[Node]) -> bool:
    """Tell whether the rest of a loop makes nothing that a term is computed from."""
    made: set[str] = set()
    for node in nodes_within(rest):
        match node:
            case Assign() | Begin() | Finish() | Update():
                made.add(node.name)
            case Store():
                made.add(node.array)
            case Loop():
                pass
            case _:
                return False
    nodes: list[Assign | Store] = [*step.once, *step.each, step.added]
    parts = [*(n.expression for n in nodes), step.added.where]
    read = {a.name for part in parts for a in accesses(part)} | {step.added.array}
    return not made & ((names_read(nodes) - {n.name for n in (*step.once, *step.each)}) | read)
