"""Chunks: the loop over the elements of a loss, cut so that each part of it becomes vector instructions.

A loop over named scalars comes in; loops over one chunk of elements after another go out. A function that is a
polynomial in the kernel gets a loop of its own, since two of them do not fit into the registers; what is added up is
added in registers, in lanes; and sums that cancel are left to a second look, at the elements that have one: what is
added up of those is first written to a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.invariants import with_shared_divisors
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import (
    PLACE,
    ROW,
    Assign,
    Begin,
    Buffer,
    Chunks,
    Doubt,
    Gather,
    Loop,
    Node,
    Second,
    Store,
    Total,
    Update,
    When,
)
from symloss.lowering.rounds import side_by_side
from symloss.lowering.squares import USUAL, squares
from symloss.stability.careful import cancels, careful
from symloss.stability.expansion import SERIES


@dataclass
class _Cut:
    """The loop under the knife: what goes before the chunks, and what each chunk does."""

    index: Index
    taken: set[str]
    squared: frozenset[str]
    buffers: list[Buffer] = field(default_factory=list)

    def buffer(self, base: str, dtype: str = "float64") -> str:
        """Return the name of a new block of numbers."""
        self.buffers.append(self.scratch(base, dtype))
        return self.buffers[-1].name

    def scratch(self, base: str, dtype: str = "float64") -> Buffer:
        """Return a new block of numbers that is made where it is wanted: most chunks may not."""
        name = fresh_name(f"{base}_block", self.taken)
        return Buffer(name, (self.index.axis.name,), blocked=True, dtype=dtype)


def by_chunks(nodes: tuple[Node, ...], taken: set[str], squared: frozenset[str]) -> tuple[Node, ...]:
    """Return a kernel's nodes with its loop cut into chunks, or as they are where there is more in the loop.

    Parameters
    ----------
    nodes : tuple of Node
        Of an elementwise loss, its scalars named.
    taken : set of str
        Names in use; those of the blocks are added.
    squared : frozenset of str
        Exponents that are 2 unless they are given.
    """
    loops = [node for node in nodes if isinstance(node, Loop)]
    if len(loops) != 1 or not all(_is_flat(n) for n in loops[0].body):
        return nodes
    (loop,) = loops
    if not side_by_side(loop.body, loop.index):
        return nodes
    place = nodes.index(loop)
    loop = replace(loop, body=with_shared_divisors(loop.body, taken))
    cut = _Cut(loop.index, taken, squared)
    chunks = Chunks(loop.index, tuple(_chunk(loop, cut)))
    if not cut.buffers and not any(isinstance(n, Total) for n in chunks.body):  # nothing to be kept, or added up
        return (*nodes[:place], loop, *nodes[place + 1 :])
    return (*cut.buffers, *nodes[:place], chunks, *nodes[place + 1 :])


def by_blocks(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes whose chunks of several loops write what they add up to a block, and add that up from there.

    The last of these loops has all registers in use where numbers are float64.
    """
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Chunks) and sum(isinstance(n, Loop | When) for n in node.body) > 1:
            totals = [n for n in node.body if isinstance(n, Total) and not n.axis]
            found += [Buffer(n.part, (node.index.axis.name,), blocked=True) for n in totals]
            found.append(replace(node, body=tuple(_to_blocks(node.body, node.index))))
        else:
            found.append(node)
    return tuple(found)


def _to_blocks(body: tuple[Node, ...], index: Index) -> Iterator[Node]:
    for node in body:
        match node:
            case Begin(op="lanewise"):
                pass
            case Update(op="lanewise"):
                yield Store(node.name, (ROW,), node.expression)
            case Total(axis=""):
                yield replace(node, axis=index.axis.name)
            case Loop():
                yield replace(node, body=tuple(_to_blocks(node.body, index)))
            case _:
                yield node


def in_lanes(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes whose sums, of small integers, are taken in any order: each of them is exact."""
    found: list[Node] = []
    for node in nodes:
        match node:
            case Begin(op="sum") | Update(op="sum"):
                found.append(replace(node, op="lanes"))
            case Loop():
                found.append(replace(node, body=in_lanes(node.body)))
            case _:
                found.append(node)
    return tuple(found)


def _is_flat(node: Node) -> bool:
    """Tell whether a node of a loop is no loop itself, and adds up every element if it adds up any."""
    plain = isinstance(node, Update) and node.op in ("sum", "compensated") and node.where is sympy.true
    return plain or isinstance(node, Assign | Store)


def _chunk(loop: Loop, cut: _Cut) -> Iterator[Node]:
    """Yield the loops over one chunk."""
    body = tuple(_summed(loop.body, cut))
    totals = [n for n in body if isinstance(n, Total)]
    yield from (Begin(n.name, n.op) for n in body if isinstance(n, Update))
    guarded = [n for n in body if isinstance(n, Store) and n.guard and n.expression.has(ROW)]
    series = [n for n in body if isinstance(n, Assign) and isinstance(n.expression, SERIES)]
    rest = tuple(n for n in body if n not in totals and n not in guarded)
    for node in series:
        block = cut.buffer(node.name)
        kept = replace(node, expression=Access(block, ROW), comment="")
        above = rest[: rest.index(node)]
        before = _needed(above, node.expression)
        usual = Loop(loop.index, (*before, Store(block, (ROW,), node.expression)), block=True)
        known = tuple(n for n in body if isinstance(n, Assign))
        found = squares(node.expression, known, cut.squared, cut.taken)
        if found is None:
            yield usual
        else:
            decay, square = found
            before = (*_needed(above, decay.expression, square), decay)
            product = Loop(loop.index, (*before, Store(block, (ROW,), square)), block=True)
            yield When(f"{node.expression.args[-1]} != {float(USUAL)}", (usual,), (product,), or_wide=True)
        rest = tuple(kept if n == node else n for n in rest)
    used = [n.expression for n in rest if isinstance(n, Store | Update)]
    wanted = _needed(rest, *used)
    last = tuple(n for n in rest if isinstance(n, Store | Update) or n in wanted)
    yield from _with_second_look(loop.index, last, cut)
    yield from totals
    for store in guarded:
        yield When(store.guard, (Loop(loop.index, (replace(store, guard=""),), block=True),))


def _summed(body: tuple[Node, ...], cut: _Cut) -> Iterator[Node]:
    """Yield the nodes of a loop with what each chunk adds to a sum: a number, or a block where a second look may be."""
    blocks: dict[sympy.Expr, Access] = {}
    for node in body:
        match node:
            case Update() if not _has_a_sum(node, body):
                part = fresh_name(f"{node.name}_part", cut.taken)
                yield replace(node, name=part, op="lanewise")
                yield Total(node.name, part, "", node.op)
            case Update():
                block = blocks[node.expression] = Access(cut.buffer(node.name), ROW)
                yield Store(block.name, (ROW,), node.expression)
                yield Total(node.name, block.name, cut.index.axis.name, node.op)
            case Store() if node.guard and node.guard != "add":
                yield replace(node, expression=blocks.get(node.expression, node.expression))
            case _:
                yield node


def _needed(body: tuple[Node, ...], *wanted: sympy.Basic) -> tuple[Assign, ...]:
    """Return the assignments that expressions are computed from."""
    names = set().union(*(_names(w) for w in wanted))
    found: list[Assign] = []
    for node in reversed(body):
        if isinstance(node, Assign) and node.name in names:
            names |= _names(node.expression)
            found.insert(0, node)
    return tuple(found)


def _names(node: sympy.Basic) -> set[str]:
    return {s.name for s in node.free_symbols if isinstance(s, sympy.Symbol)}


def _with_second_look(index: Index, body: tuple[Node, ...], cut: _Cut) -> Iterator[Node]:
    """Yield the loop over a chunk with its sums as they are, and what is done once more where any of them is in doubt.

    Then the sums in doubt are computed with more digits, each from what it is looked at with, moved together; and what
    depends on sums is computed from these for the whole chunk, since a loop that picks has no vector instructions.
    """
    body, sums = _with_sums_named(body, cut.taken)
    if not sums:
        yield Loop(index, body, block=True)
        return
    first: list[Node] = [*_all_swapped(body, sums)]
    again: list[Node] = []
    known: dict[sympy.Basic, sympy.Expr] = {}
    place, closer, doubt = cut.scratch("place", "uint64"), cut.scratch("closer"), cut.scratch("doubt", "int64")
    moved: dict[sympy.Expr, Buffer] = {}
    for part in sums:
        recipe, plain, size, *leaves = part.args
        target, sizes = cut.buffer(plain.name), cut.buffer(size.name)
        first += [Store(target, (ROW,), plain), Store(sizes, (ROW,), size), Doubt("doubtful", plain, size)]
        noted = Store(doubt.name, (ROW,), cancels(Access(target, ROW), Access(sizes, ROW)))
        made = _needed(body, *leaves)
        varying = [x for x in leaves if isinstance(x, Access) or x.name in {n.name for n in made}]
        for x in varying:
            if x not in moved:
                moved[x] = cut.scratch(x.name)
        gather = Gather("many", doubt.name, place.name, tuple((moved[x].name, x) for x in varying))
        given = tuple(Access(moved[x].name, PLACE) if x in moved else x for x in leaves)
        second = Second("many", place.name, target, sizes, closer.name, recipe, given)
        again += [Loop(index, (noted,), block=True), Begin("many", "count")]
        again += [Loop(index, (*made, gather), block=True), second]
        known[part] = Access(target, ROW)
    yield Begin("doubtful", "count")
    yield Loop(index, tuple(first), block=True)
    late = _all_swapped(body, known)
    pairs = zip(body, late, strict=True)
    stores = [n for old, n in pairs if isinstance(old, Store) and isinstance(n, Store) and _has_a_sum(old, body)]
    last = Loop(index, (*_needed(late, *(s.expression for s in stores)), *stores), block=True)
    yield When("doubtful > 0", (place, closer, doubt, *moved.values(), *again, last))


def _all_swapped(body: tuple[Node, ...], table: Mapping[sympy.Basic, sympy.Expr]) -> tuple[Node, ...]:
    """Return nodes with parts of their expressions replaced."""
    return tuple(
        replace(n, expression=_swapped(n.expression, table)) if isinstance(n, Assign | Store | Update) else n
        for n in body
    )


def _with_sums_named(body: tuple[Node, ...], taken: set[str]) -> tuple[tuple[Node, ...], dict[sympy.Basic, sympy.Expr]]:
    """Return a body in which every sum that may cancel, and its size, has a name; and the plain sum for each."""
    nodes: list[Node] = []
    sums: dict[sympy.Basic, sympy.Expr] = {}
    named: dict[sympy.Basic, sympy.Expr] = {}
    for node in body:
        if isinstance(node, Assign | Store | Update):
            for part in sorted(node.expression.atoms(careful) - named.keys(), key=sympy.default_sort_key):
                names = [fresh_name(base, taken) for base in ("plain_sum", "size")]
                nodes += [Assign(n, e) for n, e in zip(names, part.args[1:3], strict=True)]
                found = [sympy.Symbol(n, real=True) for n in names]
                named[part] = part.func(part.args[0], *found, *part.args[3:])
                sums[named[part]] = found[0]
            node = replace(node, expression=_swapped(node.expression, named))
        nodes.append(node)
    return tuple(nodes), sums


def _has_a_sum(node: Store | Update, body: tuple[Node, ...]) -> bool:
    """Tell whether what is written or added up is computed from a sum that may cancel."""
    expressions = (node.expression, *(n.expression for n in _needed(body, node.expression)))
    return any(e.has(careful) for e in expressions)


def _swapped(node: sympy.Basic, table: Mapping[sympy.Basic, sympy.Expr]) -> sympy.Basic:
    """Return an expression with parts replaced, its order as it was: it decides how the rest is rounded."""
    if node in table:
        return table[node]
    return rebuilt(node, tuple(_swapped(a, table) for a in node.args))
