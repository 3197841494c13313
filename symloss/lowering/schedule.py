"""The schedule: statements grouped into fused loops, each value stored in as few dimensions as its readers allow.

Items are taken in order. An item joins the first loop over its leading axis that comes late enough for everything it
reads; it may read a value of the same loop where both are at the same iteration. Dimensions that producer and readers
share become loop iterations, so that a row-local tensor is a row buffer and an element-local one a scalar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.nodes import Assign, Begin, Buffer, Loop, Node, Skip, Store, Update
from symloss.program.statement import accesses

ALL = sympy.Symbol(":")
"""A whole axis, where zeros are stored."""


@dataclass(frozen=True)
class Item:
    """A statement or an output on its way into loops.

    Parameters
    ----------
    name : str
        The tensor computed, or the array written.
    op : str
        ``"let"``, ``"store"`` or a reduction.
    free, bound : tuple of Index
        Slots, and indices reduced over.
    body : sympy.Expr
        The scalar expression.
    where : sympy boolean
        The mask of a reduction.
    guard : str
        For a store: the flag without which nothing is written.
    comment : str
        The mathematics, for the reader of the kernel.
    entry : int, optional
        For a store without indices: the entry written.
    """

    name: str
    op: str
    free: tuple[Index, ...]
    bound: tuple[Index, ...]
    body: sympy.Expr
    where: sympy.Basic = sympy.true
    guard: str = ""
    comment: str = ""
    entry: int | None = None

    def renamed(self, old: Index, new: Index) -> Item:
        """Return the item with one index replaced everywhere."""
        if old == new:
            return self
        swap = {old: new}
        return replace(
            self, free=tuple(swap.get(k, k) for k in self.free), bound=tuple(swap.get(k, k) for k in self.bound),
            body=self.body.xreplace(swap), where=self.where.xreplace(swap),
        )  # fmt: skip

    @property
    def reads(self) -> tuple[Access, ...]:
        """What the item reads."""
        return accesses(self.body) + accesses(self.where)


@dataclass
class _Group:
    """Items that share a loop over `axis`, or single items at this level where `axis` is empty."""

    axis: str
    items: list[Item] = field(default_factory=list)


def schedule(items: tuple[Item, ...], mask: sympy.Basic = sympy.true, per: Index | None = None) -> tuple[Node, ...]:
    """Return the loop nest of a list of items.

    Parameters
    ----------
    items : tuple of Item
        In an order in which each reads only earlier ones.
    mask : sympy boolean
        The condition under which a sample counts.
    per : Index, optional
        The index of a sample, to which the mask applies.

    Returns
    -------
    tuple of Node
        Buffers first, then loops; reads of stored values have only the slots that are still stored.
    """
    items = _fixed_first(items, per)
    kept = _kept_dimensions(items)
    body = _nest(items, 0, kept, mask, per)
    buffers = tuple(
        Buffer(item.name, tuple(k.axis.name for k in item.free[kept[item.name] :]))
        for item in items
        if item.op != "store" and kept[item.name] < len(item.free)
    )
    return buffers + body


def _fixed_first(items: tuple[Item, ...], per: Index | None) -> tuple[Item, ...]:
    """Put what no sample changes before the loop over samples, so that it does not split that loop."""
    if per is None:
        return items
    varying: set[str] = set()
    for item in items:
        own = {k.axis for k in item.free + item.bound}
        if per.axis in own or any(read.name in varying for read in item.reads):
            varying.add(item.name)
    stores = {item.name for item in items if item.op == "store"}
    fixed = tuple(i for i in items if i.name not in varying | stores)
    return fixed + tuple(i for i in items if i not in fixed)


def _groups(items: Iterable[Item], depth: int) -> list[_Group]:
    """Partition items into a sequence of fused loops and single statements."""
    groups: list[_Group] = []
    place: dict[str, tuple[int, Item]] = {}
    for item in items:
        loops = (item.free + item.bound)[depth:]
        earliest = 0
        for read in item.reads:
            if read.name in place:
                position, producer = place[read.name]
                fused = bool(loops) and _same_iteration(read, producer, loops[0], depth)
                barrier = groups[position].axis != "" and not fused
                earliest = max(earliest, position + 1 if barrier else position)
        axis = loops[0].axis.name if loops else ""
        spot = next((n for n in range(earliest, len(groups)) if groups[n].axis == axis), None)
        if spot is None:
            groups.append(_Group(axis))
            spot = len(groups) - 1
        groups[spot].items.append(item)
        place[item.name] = (spot, item)
    return groups


def _same_iteration(read: Access, producer: Item, index: Index, depth: int) -> bool:
    """Tell whether a read sees the value made in the same iteration of the loop that would be shared."""
    return depth < len(producer.free) and len(read.slots) > depth and read.slots[depth] == index


def _kept_dimensions(items: tuple[Item, ...]) -> dict[str, int]:
    """Return for each item how many leading dimensions need no storage: its readers share those loops."""
    kept = {item.name: len(item.free) for item in items if item.op != "store"}

    def visit(level: tuple[Item, ...], depth: int) -> None:
        groups = _groups(level, depth)
        where = {item.name: number for number, group in enumerate(groups) for item in group.items}
        for number, group in enumerate(groups):
            for item in group.items:
                for read in item.reads:
                    if (read.name in where and where[read.name] != number) or (
                        read.name in where and group.axis and read.slots[depth] != (item.free + item.bound)[depth]
                    ):
                        kept[read.name] = min(kept[read.name], depth)
        for group in groups:
            if group.axis:
                visit(_aligned(group, depth), depth + 1)

    visit(items, 0)
    return kept


def _aligned(group: _Group, depth: int) -> tuple[Item, ...]:
    """Rename the leading index of every item of a group to that of the first."""
    first = (group.items[0].free + group.items[0].bound)[depth]
    return tuple(item.renamed((item.free + item.bound)[depth], first) for item in group.items)


def _nest(
    items: tuple[Item, ...], depth: int, kept: dict[str, int], mask: sympy.Basic, per: Index | None
) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for group in _groups(items, depth):
        if not group.axis:
            nodes += [_leaf(item, kept) for item in group.items]
            continue
        aligned = _aligned(group, depth)
        index = (aligned[0].free + aligned[0].bound)[depth]
        for item in aligned:
            if item.bound and len(item.free) == depth:
                masked = "" if item.where is sympy.true else "_masked"
                nodes.append(Begin(_local(item, kept), item.op + masked))
        inner = list(_nest(aligned, depth + 1, kept, mask, per))
        if depth == 0 and per is not None and mask is not sympy.true and index.axis == per.axis:
            zeros = tuple(
                Store(i.name, (index, *(ALL for _ in i.free[1:])), sympy.S.Zero, i.guard)
                for i in aligned
                if i.op == "store" and i.free
            )
            inner.insert(0, Skip(sympy.Not(mask.xreplace({per: index})), zeros))
        nodes.append(Loop(index, tuple(inner)))
        for item in aligned:
            if item.bound and len(item.free) == depth and kept[item.name] < len(item.free):
                nodes.append(Store(item.name, item.free[kept[item.name] :], sympy.Symbol(_local(item, kept))))
    return tuple(nodes)


def _leaf(item: Item, kept: dict[str, int]) -> Node:
    """Return the statement that an item is once all its loops are open."""
    body, where = _stored(item.body, kept), _stored(item.where, kept)
    match item.op:
        case "store":
            slots = item.free if item.entry is None else (sympy.Integer(item.entry),)
            return Store(item.name, slots, body, item.guard)
        case "let" if kept[item.name] < len(item.free):
            return Store(item.name, item.free[kept[item.name] :], body)
        case "let":
            return Assign(item.name, body, item.comment)
        case _:
            return Update(_local(item, kept), item.op, body, where, item.bound[0])


def _local(item: Item, kept: dict[str, int]) -> str:
    """Return the name of a reduction's accumulator, which differs from that of its array where it is stored."""
    return f"{item.name}_now" if kept[item.name] < len(item.free) else item.name


def _stored(node: sympy.Basic, kept: dict[str, int]) -> sympy.Basic:
    """Drop from every read the slots that are loops shared with the producer."""
    match node:
        case Access() if node.name in kept:
            slots = node.slots[kept[node.name] :]
            return Access(node.name, *(_stored(s, kept) for s in slots)) if slots else sympy.Symbol(node.name)
        case _ if node.args and any(isinstance(a, sympy.Basic) for a in node.args):
            return node.func(*(_stored(a, kept) for a in node.args))
        case _:
            return node
