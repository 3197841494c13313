"""Shared memory: a matrix of a block stands where another one was that nothing reads any more.

Matrices of a block are what a kernel over pairs takes most of its memory for. One of them is often written entry by
entry from another: from similarities the weights by which vectors are added up. Where nothing reads the other later, it
is written in its place, and the caches have one matrix less to hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import sympy

from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import ROW, Assign, Blocks, Buffer, Loop, Node, Store, Strips
from symloss.lowering.outputs import mentions, parts_of


@dataclass(frozen=True)
class _Use:
    """A matrix, and the first and the last part of a block's work that names it."""

    buffer: Buffer
    first: int
    last: int


def shared(nodes: tuple[Node, ...], taken: Iterable[str] = ()) -> tuple[Node, ...]:
    """Return a kernel's nodes; a matrix of a block stands in the memory of one of the same kind that is done with.

    Parameters
    ----------
    nodes : tuple of Node
        As they are printed: no loop changes place afterwards.
    taken : iterable of str
        Names in use besides those in the nodes.
    """
    blocks = next((n for n in nodes if isinstance(n, Blocks)), None)
    if blocks is None:
        return nodes
    names = {*taken, *_names(nodes)}
    body = blocks.body
    owners: dict[str, str] = {}
    latest: dict[str, _Use] = {}
    for use in sorted(_uses(nodes, blocks), key=lambda u: u.first):
        for owner, before in latest.items():
            fits = (before.buffer.axes, before.buffer.dtype) == (use.buffer.axes, use.buffer.dtype)
            changed = _after(body, before, use, names) if fits else None
            if changed is not None:
                body, owners[use.buffer.name], latest[owner] = changed, owner, use
                break
        else:
            latest[use.buffer.name] = use
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Buffer):
            if node.name not in owners:
                found.append(node)
            found += [n for n in nodes if isinstance(n, Buffer) and owners.get(n.name) == node.name]
        else:
            found.append(replace(node, body=body) if node is blocks else node)
    return tuple(replace(n, shares=owners.get(n.name, "")) if isinstance(n, Buffer) else n for n in found)


def _uses(nodes: tuple[Node, ...], blocks: Blocks) -> Iterable[_Use]:
    """Yield the matrices of a block that nothing names outside the loop over blocks, with where they are named."""
    others = [n for n in nodes if n is not blocks and not isinstance(n, Buffer)]
    for buffer in (n for n in nodes if isinstance(n, Buffer) and n.blocked and len(n.axes) > 1):
        places = [at for at, node in enumerate(blocks.body) if mentions(node, buffer.name)]
        if places and not any(mentions(n, buffer.name) for n in others):
            yield _Use(buffer, places[0], places[-1])


def _after(body: tuple[Node, ...], before: _Use, use: _Use, names: set[str]) -> tuple[Node, ...] | None:
    """Return a block's work in which one matrix may stand where the other one was, or None."""
    if before.last < use.first:
        return body
    rows = body[use.first]
    if before.last > use.first or not isinstance(rows, Loop):
        return None
    changed = _in_turn(rows, before.buffer.name, use.buffer, names)
    return None if changed is None else (*body[: use.first], replace(rows, body=changed), *body[use.first + 1 :])


def _in_turn(rows: Loop, old: str, new: Buffer, names: set[str]) -> tuple[Node, ...] | None:
    """Return what is done for a row, where each entry of one matrix is read before that of another is written.

    Entries that are read later, and known by then, are read before. None where more than that is read.
    """
    at = next(n for n, node in enumerate(rows.body) if mentions(node, new.name))
    loop = rows.body[at]
    if not isinstance(loop, Loop | Strips) or (loop.index.axis.name,) != new.axes[1:]:
        return None
    if not _read_first(loop, old, new.name) or any(read.slots[0] != ROW for read in _reads(rows.body, old)):
        return None
    still_to_come = {part for part in parts_of(rows.body[at:]) if isinstance(part, str)}
    kept: dict[Access, sympy.Symbol] = {}
    after: list[Node] = []
    for node in rows.body[at + 1 :]:
        late = _reads(node, old)
        if late and not (isinstance(node, Assign) and all(still_to_come.isdisjoint(_names(a.slots)) for a in late)):
            return None
        for read in sorted(late - kept.keys(), key=sympy.default_sort_key):
            kept[read] = sympy.Symbol(fresh_name(f"{old}_kept", names), real=True)
        after.append(replace(node, expression=_replaced(node.expression, kept)) if isinstance(node, Assign) else node)
    before = (Assign(symbol.name, read) for read, symbol in kept.items())
    return (*rows.body[:at], *before, loop, *after)


def _read_first(loop: Loop | Strips, old: str, new: str) -> bool:
    """Tell whether a round writes an entry of one matrix, and reads of the other only the same entry, not later."""
    writing = [n for n, node in enumerate(loop.body) if mentions(node, new)]
    store = loop.body[writing[0]]
    if not isinstance(store, Store) or store.array != new or store.guard or store.where is not sympy.true:
        return False
    reading = [n for n, node in enumerate(loop.body) if mentions(node, old)]
    same = all(read.slots == store.slots for node in loop.body for read in _reads(node, old))
    apart = any(left_out is not None and _reads(left_out, old) for _, _, left_out in getattr(loop, "sums", ()))
    return store.slots == (ROW, loop.index) and same and not apart and max(reading, default=-1) <= writing[0]


def _reads(node: Any, name: str) -> set[Access]:
    """Return what is read of an array."""
    parts = (part for part in parts_of(node) if isinstance(part, sympy.Basic))
    return {a for part in parts for a in part.atoms(Access) if a.name == name}


def _names(parts: Any) -> set[str]:
    """Return the names in nodes or expressions."""
    found: set[str] = set()
    for part in parts_of(parts):
        if isinstance(part, str):
            found.add(part)
        elif isinstance(part, sympy.Basic):
            found |= {s.name for s in part.free_symbols if isinstance(s, sympy.Symbol)}
            found |= {a.name for a in part.atoms(Access)}
    return found


def _replaced(node: sympy.Basic, kept: dict[Access, sympy.Symbol]) -> sympy.Basic:
    if isinstance(node, Access):
        return kept.get(node, node)
    return rebuilt(node, tuple(_replaced(a, kept) for a in node.args))
