"""Ahead: while one row is computed, the cache fetches the beginning of the next.

A row of a few thousand numbers is read in one go for its largest, and then worked on for a while from the nearest
cache. A processor that fetches ahead by itself stops at the end of a page of memory, about where a row ends, so each
row would begin with a wait. What is asked for changes no number. Loops that do little with each number keep memory busy
anyway: they are printed without requests. Nothing is asked for that is written, and nothing into the nearest cache:
its lines are all waited for where several are asked for at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from symloss.language.axes import Index
from symloss.lowering.nodes import Assign, Extreme, Loop, Node, Store, Strips, Update
from symloss.program.statement import accesses


def fetched_ahead(nodes: tuple[Node, ...], inputs: frozenset[str], per: Index) -> tuple[Node, ...]:
    """Return a kernel's nodes; the first strips of a row ask for the rows that are read next.

    Parameters
    ----------
    nodes : tuple of Node
        With reductions along rows by strips.
    inputs : frozenset of str
        The arrays that samples are rows of.
    per : Index
        Of a sample.
    """
    return tuple(
        replace(n, body=_asking(n, inputs)) if isinstance(n, Loop) and n.index == per and not n.block else n
        for n in nodes
    )  # fmt: skip


def _asking(loop: Loop, inputs: frozenset[str]) -> tuple[Node, ...]:
    """Return what is done for a sample, with requests in its first strips."""
    for place, node in enumerate(loop.body):
        if isinstance(node, Strips):
            axis = node.index.axis.name
            read = sorted(set(_read(loop, axis)) & inputs)
            asked = tuple((name, f"{loop.index.name} + 1") for name in read)
            return (*loop.body[:place], replace(node, asked=asked), *loop.body[place + 1 :])
    return loop.body


def _read(loop: Loop, axis: str) -> Iterator[str]:
    """Yield the arrays of which the row of a sample is read, entry by entry."""
    for node in loop.body:
        if isinstance(node, Extreme) and node.row.slots == (loop.index,) and node.axis == axis:
            yield node.row.name
        if isinstance(node, Loop | Strips) and node.index.axis.name == axis:
            for part in node.body:
                if isinstance(part, Assign | Store | Update):
                    yield from (a.name for a in accesses(part.expression) if a.slots == (loop.index, node.index))
