"""Columns of a matrix that exists by blocks of rows only.

Items come in, items go out. The logsumexp of every column is brought up to date block by block, and what would have to
be kept whole until all blocks are done is computed again in a second pass over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.items import Item
from symloss.lowering.reductions import exp_difference
from symloss.program.statement import accesses

STEPS = ("max_columns", "argmax_columns", "rest_columns")
"""What a step for every column of a block brings up to date."""


def by_columns(items: Iterable[Item], big: frozenset[str]) -> list[Item]:
    """Return items with the logsumexp of columns as one step for each block.

    Parameters
    ----------
    items : iterable of Item
        In an order in which each reads only earlier ones.
    big : frozenset of str
        Tensors that exist by blocks of rows.

    Returns
    -------
    list of Item
        The largest entry of a column, its row and the sum of the other exponentials share one loop over blocks
        (`STEPS`); the exponents are an item of their own.
    """
    items = list(items)
    swaps: dict[str, tuple[Item, ...]] = {}
    for item in items:
        if item.op == "max" and _over_rows(item, big):
            winner = next((k for k in items if k.op == "argmax" and _shape(k) == _shape(item)), None)
            rest = _rest(items, item, winner) if winner is not None else None
            if winner is not None and rest is not None:
                exponent = Item(f"exponent_{item.name}", "let", item.bound + item.free, (), item.body)
                swaps[item.name] = (exponent, *(_step(part, exponent) for part in (item, winner, rest)))
    moved = {part.name for parts in swaps.values() for part in parts}
    found: list[Item] = []
    for item in items:
        found += swaps.get(item.name, () if item.name in moved else (item,))
    read = {a.name for item in found for a in item.reads}
    return [item for item in found if item.name in read or not isinstance(item.body, exp_difference)]


def _over_rows(item: Item, big: frozenset[str]) -> bool:
    """Tell whether a reduction runs over the rows of a large matrix, for each of its columns."""
    plain = len(item.free) == len(item.bound) == 1 and item.where is sympy.true
    return plain and any(a.name in big and a.slots == item.bound + item.free for a in item.reads)


def _shape(item: Item) -> tuple[object, ...]:
    order = item.free + item.bound
    return len(item.free), item.body.xreplace({k: Index(f"@{n}", k.axis) for n, k in enumerate(order)}), item.where


def _rest(items: list[Item], peak: Item, winner: Item) -> Item | None:
    """Return the sum of the exponentials of all entries but the largest."""
    lets = {item.name: item.body for item in items if item.op == "let"}
    for item in items:
        if item.op == "sum" and isinstance(item.body, Access) and len(item.bound) == 1:
            body = lets.get(item.body.name)
            of_peak = isinstance(body, exp_difference) and getattr(body.args[1], "name", "") == peak.name
            if of_peak and item.where == sympy.Ne(item.bound[0], Access(winner.name, *item.free)):
                return item
    return None


def _step(item: Item, exponent: Item) -> Item:
    (own,), (row,) = item.free, item.bound
    kind = {"sum": "rest"}.get(item.op, item.op)
    body = Access(exponent.name, row, own)
    return Item(item.name, f"{kind}_columns", item.free, item.bound, body, order=(row, own), comment=item.comment)


def completed_late(item: Item) -> bool:
    """Tell whether a value is complete only when the outermost loop is over."""
    return bool(item.bound) and item.prefix == 0


def computed_again(items: Iterable[Item], big: frozenset[str]) -> list[Item]:
    """Return items in which nothing large is kept from one pass over the blocks to the next.

    Parameters
    ----------
    items : iterable of Item
        In an order in which each reads only earlier ones.
    big : frozenset of str
        Tensors that exist by blocks of rows.
    """
    items = list(items)
    known = {item.name: item for item in items}
    passes: dict[str, int] = {}
    copies: dict[tuple[str, int], str] = {}
    entries: dict[sympy.Basic, str] = {}
    found: list[Item] = []

    def reread(item: Item, number: int, after: tuple[str, ...]) -> Item:
        swap = {}
        for read in item.reads:
            if read.name in big and passes[read.name] < number and read.slots[0] in item.loops[:1]:
                swap[read] = picked(read) or Access(copy(read.name, number, after), *read.slots)
        return replace(item, body=item.body.xreplace(swap), where=item.where.xreplace(swap)) if swap else item

    def picked(read: Access) -> Access | None:
        """Return where an entry for each row, on a diagonal or at a stored index, is kept while its block is there."""
        free = tuple(dict.fromkeys(k for k in read.slots if isinstance(k, Index)))
        sources = [read.name, *(a.name for k in read.slots for a in accesses(k) if a.name in known)]
        late = (passes[n] > passes[read.name] or completed_late(known[n]) for n in sources[1:])
        if len(free) == len(read.slots) or any(late):
            return None
        entry = read.xreplace({k: Index(f"@{n}", k.axis) for n, k in enumerate(free)})
        if entry not in entries:
            entries[entry] = name = f"{read.name}_entry_{len(entries) + 1}"
            known[name] = Item(name, "let", free, (), read)
            passes[name] = passes[read.name]
            found.insert(max(n for n, made in enumerate(found) if made.name in sources) + 1, known[name])
        return Access(entries[entry], *free)

    def copy(name: str, number: int, after: tuple[str, ...]) -> str:
        if (name, number) not in copies:
            item = reread(known[name], number, after)
            fresh = f"{name}_again" if number == 1 else f"{name}_again_{number}"
            copies[name, number] = fresh
            passes[fresh] = number
            found.append(replace(item, name=fresh, after=after))
        return copies[name, number]

    for item in items:
        ready = {r.name: passes[r.name] + completed_late(known[r.name]) for r in item.reads if r.name in known}
        number = passes[item.name] = max(ready.values(), default=0)
        found.append(reread(item, number, tuple(n for n, at in ready.items() if at == number)))
    return found
