"""The schedule: items grouped into fused loops, each value stored in as few dimensions as its readers allow.

Items are taken in order. An item joins the first loop over its leading axis that comes late enough for everything it
reads; it may read a value of the same loop where both are at the same iteration. Dimensions that producer and readers
share become loop iterations, so that a row-local tensor is a row buffer and an element-local one a scalar. A loop with
matrix products runs by blocks of rows: what the products read and write is stored for one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.columns import STEPS, completed_late
from symloss.lowering.contraction import left_out, matrices
from symloss.lowering.items import Item, Operand
from symloss.lowering.nodes import (
    ROW,
    Assign,
    Begin,
    Blocks,
    Buffer,
    Columns,
    Finish,
    Loop,
    Matrix,
    Multiply,
    Node,
    Skip,
    Store,
    Update,
)
from symloss.program.statement import accesses

ALL = sympy.Symbol(":")
"""A whole axis, where zeros are stored."""


@dataclass
class _Group:
    """Items that share a loop over `axis`, or single items at this level where `axis` is empty."""

    axis: str
    items: list[Item] = field(default_factory=list)
    product: bool = False


@dataclass(frozen=True)
class _Storage:
    """Where values live.

    Parameters
    ----------
    kept : dict of str to int
        For each item how many leading dimensions need no storage: its readers share those loops.
    blocked : frozenset of str
        Items stored for one block of rows at a time.
    """

    kept: dict[str, int]
    blocked: frozenset[str]


def schedule(
    items: tuple[Item, ...], mask: sympy.Basic = sympy.true, per: Index | None = None, *, wide: bool = False
) -> tuple[Node, ...]:  # fmt: skip
    """Return the loop nest of a list of items.

    Parameters
    ----------
    items : tuple of Item
        In an order in which each reads only earlier ones.
    mask : sympy boolean
        The condition under which a sample counts.
    per : Index, optional
        The index of a sample, to which the mask applies.
    wide : bool
        Matrices are float64, whatever the inputs are.

    Returns
    -------
    tuple of Node
        Buffers first, then loops; reads of stored values have only the slots that are still stored.
    """
    items = _fixed_first(items, per)
    storage = _storage(items)
    body = _nest(items, 0, storage, mask, per)
    low = frozenset() if wide else matrices(items)
    buffers = tuple(
        Buffer(
            item.name, tuple(k.axis.name for k in item.free[storage.kept[item.name] :]),
            item.name in storage.blocked,
            "int64" if item.op.startswith("arg") else "like" if item.name in low
            else "wide" if item.scales and item.op == "sum" else "float64",
        )
        for item in items
        if item.op != "store" and storage.kept[item.name] < len(item.free)
    )  # fmt: skip
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
        loops = item.loops[depth:]
        earliest = 0
        for read in item.reads:
            if read.name in place:
                position, producer = place[read.name]
                fused = bool(loops) and _same_iteration(read, producer, loops[0], depth)
                barrier = groups[position].axis != "" and not fused
                earliest = max(earliest, position + 1 if barrier else position)
        for name in place.keys() & item.after:
            position, producer = place[name]
            earliest = max(earliest, position + completed_late(producer))
        axis = loops[0].axis.name if loops else ""
        spot = next((n for n in range(earliest, len(groups)) if groups[n].axis == axis), None)
        if spot is None:
            groups.append(_Group(axis))
            spot = len(groups) - 1
        groups[spot].items.append(item)
        groups[spot].product = groups[spot].product or item.product is not None
        place[item.name] = (spot, item)
    return groups


def _same_iteration(read: Access, producer: Item, index: Index, depth: int) -> bool:
    """Tell whether a read sees the value made in the same iteration of the loop that would be shared."""
    return depth < producer.prefix and len(read.slots) > depth and read.slots[depth] == index


def _segments(items: tuple[Item, ...]) -> list[tuple[Item, ...]]:
    """Partition the items of a block into loops over its rows and single matrix products, in order."""
    segments: list[list[Item]] = []
    place: dict[str, int] = {}
    for item in items:
        earliest = 0
        for name in (read.name for read in item.reads if read.name in place):
            apart = _takes_block(item) or _takes_block(segments[place[name]][0])
            earliest = max(earliest, place[name] + apart)
        spot = next((n for n in range(earliest, len(segments)) if _together(item, segments[n][0])), None)
        if spot is None:
            segments.append([])
            spot = len(segments) - 1
        segments[spot].append(item)
        place[item.name] = spot
    return [tuple(s) for s in segments]


def _takes_block(item: Item) -> bool:
    """Tell whether an item takes a block of rows at once: a matrix product, or a step for every column."""
    return item.product is not None or item.op in STEPS


def _together(item: Item, other: Item) -> bool:
    """Tell whether two items may share a segment: a loop over rows, or one step for every column."""
    if item.op in STEPS and other.op in STEPS:
        return bool(item.body == other.body.xreplace(dict(zip(other.order, item.order, strict=True))))
    return not _takes_block(item) and not _takes_block(other)


def _storage(items: tuple[Item, ...]) -> _Storage:
    """Return in how many dimensions each value is stored, and which are stored by blocks."""
    kept = {item.name: 0 if item.product else item.prefix for item in items if item.op != "store"}
    apart = {item.name: item.free.index(k) for item in items if (k := left_out(item)) is not None}
    kept |= {name: min(kept[name], place) for name, place in apart.items()}  # all of them are made at once
    inside: set[str] = set()
    outside: set[str] = set()

    def visit(level: tuple[Item, ...], depth: int) -> None:
        groups = _groups(level, depth)
        where = {item.name: number for number, group in enumerate(groups) for item in group.items}
        for number, group in enumerate(groups):
            for item in group.items:
                for read in item.reads:
                    if (read.name in where and where[read.name] != number) or (
                        read.name in where and group.axis and read.slots[depth] != item.loops[depth]
                    ):
                        kept[read.name] = min(kept[read.name], depth)
                        if depth == 0:
                            outside.add(read.name)
        for group in groups:
            if group.product and depth == 0:
                aligned = _aligned(group.items, depth)
                inside.update(i.name for i in aligned if i.free and i.free[0] == i.loops[0])
                for part in _crossing(_segments(aligned)):
                    kept[part] = 0
                for segment in _segments(aligned):
                    if not _takes_block(segment[0]):
                        visit(segment, 1)
            elif group.axis:
                visit(_aligned(group.items, depth), depth + 1)

    visit(items, 0)
    return _Storage(kept, frozenset(n for n in inside - outside if kept.get(n) == 0))


def _crossing(segments: list[tuple[Item, ...]]) -> set[str]:
    """Return the values that one segment makes and another reads."""
    where = {item.name: n for n, segment in enumerate(segments) for item in segment}
    reads = ((r.name, n) for n, segment in enumerate(segments) for item in segment for r in item.reads)
    return {name for name, n in reads if where.get(name, n) != n}


def _aligned(items: Iterable[Item], depth: int) -> tuple[Item, ...]:
    """Rename the loop index of every item at a depth to that of the first."""
    found: list[Item] = []
    for item in items:
        first = found[0].loops[depth] if found else item.loops[depth]
        own = item.loops[depth]
        if first != own and first in item.free + item.bound:  # in use further in: make room
            item = item.renamed(first, Index(f"{first.name}_in", first.axis))
        found.append(item.renamed(own, first))
    return tuple(found)


def _nest(
    items: tuple[Item, ...], depth: int, storage: _Storage, mask: sympy.Basic, per: Index | None
) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for group in _groups(items, depth):
        if not group.axis:
            nodes += [_leaf(item, storage) for item in group.items]
            continue
        aligned = _aligned(group.items, depth)
        index = aligned[0].loops[depth]
        nodes += [_begin(i, storage) for i in aligned if i.bound and i.prefix == depth and (not i.product or i.order)]
        if group.product and depth == 0:
            nodes += [_blocks(aligned, storage, mask, per), *_finishes(aligned, depth, storage)]
            continue
        inner = list(_nest(aligned, depth + 1, storage, mask, per))
        if depth == 0 and per is not None and mask is not sympy.true and index.axis == per.axis:
            zeros = tuple(
                Store(i.name, (index, *(ALL for _ in i.free[1:])), sympy.S.Zero, i.guard)
                for i in aligned
                if i.op == "store" and i.free
            )
            inner.insert(0, Skip(sympy.Not(mask.xreplace({per: index})), zeros))
        nodes.append(Loop(index, tuple(inner)))
        nodes += _finishes(aligned, depth, storage)
        nodes += _ends(aligned, depth, storage)
    return tuple(nodes)


def _finishes(items: tuple[Item, ...], depth: int, storage: _Storage) -> list[Node]:
    """Return what completes the compensated sums whose loop has just ended."""
    return [
        Finish(_local(item, storage))
        for item in items
        if item.bound and item.prefix == depth and not item.order and _operation(item) == "compensated"
    ]


def _ends(items: tuple[Item, ...], depth: int, storage: _Storage) -> list[Node]:
    """Return what stores the accumulators whose loop has just ended."""
    return [
        Store(item.name, _slots(item, item.free, storage), sympy.Symbol(_local(item, storage)))
        for item in items
        if item.bound and not item.order and len(item.free) == depth and storage.kept[item.name] < len(item.free)
    ]


def _begin(item: Item, storage: _Storage) -> Node:
    """Return what a reduction starts from: a scalar, or zeros in memory."""
    if item.order:
        rest = tuple(ALL for _ in item.free[item.prefix :])
        return Store(item.name, _slots(item, item.free[: item.prefix], storage) + rest, sympy.S.Zero)
    masked = "" if item.where is sympy.true else "_masked"
    return Begin(_local(item, storage), _operation(item) + masked, item.scales)


def _operation(item: Item) -> str:
    """Return how a reduction is carried out; the total over samples is not what a derivative is computed from."""
    return "compensated" if item.op == "sum" and item.name != "total" else item.op


def _blocks(items: tuple[Item, ...], storage: _Storage, mask: sympy.Basic, per: Index | None) -> Blocks:
    """Return a loop over blocks of rows: loops over the rows of a block, and matrix products."""
    if mask is not sympy.true:
        message = "samples that do not count are not supported beside matrix products"
        raise NotImplementedError(message)
    index = items[0].loops[0]
    inside: tuple[str, ...] = ()
    body: list[Node] = []
    for segment in _segments(items):
        product = segment[0].product
        if product is None:
            columns = segment[0].op in STEPS
            body.append(
                _columns(segment) if columns else Loop(index, _nest(segment, 1, storage, mask, per), block=True)
            )
            continue
        if index in product.rows:
            inside = inside or tuple(k.axis.name for k in product.rows if k != index)
        (item,) = segment
        left, right = (_matrix(o, index, storage) for o in (product.left, product.right))
        target = _matrix(Operand(item.name, product.rows, product.columns), index, storage)
        body.append(
            Multiply(
                target, left, right, product.left.first != product.rows, product.right.first == product.columns,
                bool(item.order),
            )
        )  # fmt: skip
    return Blocks(index, inside, tuple(body))


def _columns(items: tuple[Item, ...]) -> Columns:
    """Return the step that brings what is known of every column up to date with a block of rows."""
    names = {item.op: item.name for item in items}
    (block,) = accesses(items[0].body)
    rows, columns = (k.axis.name for k in items[0].order)
    peak, winner, rest = (names[op] for op in STEPS)
    return Columns(block.name, peak, winner, rest, (rows, columns))


def _matrix(operand: Operand, index: Index, storage: _Storage) -> Matrix:
    leading = (operand.first + operand.second)[0] == index
    part = ("block" if operand.name in storage.blocked else "rows") if leading else ""
    axes = (tuple(k.axis.name for k in operand.first), tuple(k.axis.name for k in operand.second))
    return Matrix(operand.name, part, *axes)


def _leaf(item: Item, storage: _Storage) -> Node:
    """Return the statement that an item is once all its loops are open."""
    body, where = _stored(item.body, storage), _stored(item.where, storage)
    kept = storage.kept
    if item.order:
        target = tuple(_stored(t, storage) for t in item.target or item.free)
        return Store(item.name, _slots(item, target, storage), body, "add", where)
    match item.op:
        case "store":
            slots = item.free if item.entry is None else (sympy.Integer(item.entry),)
            return Store(item.name, slots, body, item.guard)
        case "let" if kept[item.name] < len(item.free):
            return Store(item.name, _slots(item, item.free, storage), body)
        case "let":
            return Assign(item.name, body, item.comment)
        case _:
            return Update(_local(item, storage), _operation(item), body, where, item.bound[0], item.scales)


def _local(item: Item, storage: _Storage) -> str:
    """Return the name of a reduction's accumulator, which differs from that of its array where it is stored."""
    return f"{item.name}_now" if storage.kept[item.name] < len(item.free) else item.name


def _slots(item: Item, slots: tuple[sympy.Expr, ...], storage: _Storage) -> tuple[sympy.Expr, ...]:
    """Return where an entry of a stored value is: without the slots that are loops, from the start of the block."""
    rest = slots[storage.kept[item.name] :]
    return (ROW, *rest[1:]) if rest and item.name in storage.blocked else rest


def _stored(node: sympy.Basic, storage: _Storage) -> sympy.Basic:
    """Drop from every read the slots that are loops shared with the producer."""
    match node:
        case Access() if node.name in storage.kept:
            slots = tuple(_stored(s, storage) for s in node.slots[storage.kept[node.name] :])
            if slots and node.name in storage.blocked:
                slots = (ROW, *slots[1:])
            return Access(node.name, *slots) if slots else sympy.Symbol(node.name)
        case _ if node.args and any(isinstance(a, sympy.Basic) for a in node.args):
            return node.func(*(_stored(a, storage) for a in node.args))
        case _:
            return node
