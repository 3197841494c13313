"""Outputs as scratch: a row that is only the raw material of a row of an output is kept there from the beginning.

The nearest caches then hold one row less. It takes an output whose numbers are as wide as those of the arithmetic, or
the raw material would be rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import sympy

from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.nodes import Assign, Blocks, Buffer, Loop, Multiply, Node, Skip, Store, Strips

_Place: TypeAlias = tuple[str, tuple[sympy.Expr, ...]]
"""An array, and a row of it, or nothing for all of it."""


def kept_in_outputs(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return a kernel's nodes without the buffers of one row that an output can stand for.

    Parameters
    ----------
    nodes : tuple of Node
        With reductions along rows by strips.
    """
    for loop in (n for n in nodes if isinstance(n, Loop) and not n.block):
        for buffer in (n for n in nodes if isinstance(n, Buffer)):
            others = [n for n in nodes if n is not loop and n is not buffer]
            output = None if any(mentions(n, buffer.name) for n in others) else _output(buffer, loop)
            if output is not None:
                body = tuple(_moved(n, buffer.name, (output, (loop.index,))) for n in loop.body)
                moved = tuple(replace(loop, body=body) if n is loop else n for n in nodes if n is not buffer)
                return kept_in_outputs(moved)
    return nodes


def _output(buffer: Buffer, loop: Loop) -> str | None:
    """Return the output of which a row can hold what a buffer does, or None.

    That is written in one loop over the row, and read in one later, entry by entry, for the outputs this writes: the
    last of them then holds it. A sample that is skipped has its zeros and nothing else.
    """
    using = [n for n in loop.body if mentions(n, buffer.name)]
    if buffer.dtype != "float64" or buffer.blocked or len(using) != 2:
        return None
    first, last = using
    if not isinstance(first, Strips | Loop) or not isinstance(last, Loop):
        return None
    axes = {(n.index.axis.name,) for n in using if isinstance(n, Strips | Loop)}
    made = [n for n in first.body if mentions(n, buffer.name)]
    stores = [n for n in last.body if isinstance(n, Store)]
    if axes != {buffer.axes} or len(made) != 1 or not stores or not all(map(_is_plain, (*made, *stores))):
        return None
    source, target = made[0], stores[-1]  # whatever else is read for is written by then
    if not isinstance(source, Store) or source.array != buffer.name or source.slots != (first.index,):
        return None
    read = set(_accessed(last.body, buffer.name))
    if target.slots != (loop.index, last.index) or read != {(last.index,)}:
        return None
    between = (n for n in loop.body[: loop.body.index(last)] if not isinstance(n, Skip))
    after = last.body[last.body.index(target) + 1 :]
    free = all(isinstance(n, Assign | Store) for n in last.body) and not any(mentions(n, buffer.name) for n in after)
    return target.array if free and not any(mentions(n, target.array) for n in between) else None


def products_in_outputs(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return a kernel's nodes without the matrices that are added up only to be made an output, row by row, at the end.

    Parameters
    ----------
    nodes : tuple of Node
        With matrix products.
    """
    for buffer in (n for n in nodes if isinstance(n, Buffer)):
        for loop in (n for n in nodes if isinstance(n, Loop) and not n.block and buffer.dtype == "like"):
            others = tuple(n for n in nodes if n is not loop and n is not buffer)
            output = _made_of(buffer, loop) if any(_accessed(loop, buffer.name)) else None
            if output is None or any(mentions(n, output) for n in others) or any(_accessed(others, buffer.name)):
                continue
            found = tuple(_moved(n, buffer.name, (output, ())) for n in nodes if n is not buffer)
            if not any(mentions(n, buffer.name) for n in found):  # as an operand of a product it would be
                return products_in_outputs(found)
    return nodes


def _made_of(buffer: Buffer, loop: Loop) -> str | None:
    """Return the output whose rows are made of those of a matrix in a loop over them, which reads them no later."""
    using = [n for n in loop.body if mentions(n, buffer.name)]
    last = using[-1]
    stores = [n for n in last.body if isinstance(n, Store)] if isinstance(last, Loop) else []
    if not isinstance(last, Loop) or len(stores) != 1 or not _is_plain(stores[0]):
        return None
    (target,) = stores
    place = (loop.index, last.index)
    rows = all(slots[0] == loop.index for slots in _accessed(loop.body, buffer.name))
    own = target.slots == place and set(_accessed(last.body, buffer.name)) == {place}
    elsewhere = [n for n in (*loop.body, *last.body) if n is not last and n is not target]
    written = any(mentions(n, target.array) for n in elsewhere)
    return target.array if rows and own and not written and last.body[-1] is target else None


def _is_plain(node: Any) -> bool:
    """Tell whether a store always writes, and writes what it computes."""
    return isinstance(node, Store) and not node.guard and node.where is sympy.true


def parts_of(node: Any) -> Iterator[Any]:
    """Yield what a node is made of: names, expressions, and all that the nodes in it are made of."""
    match node:
        case tuple() | list():
            for part in node:
                yield from parts_of(part)
        case _ if is_dataclass(node):
            for field in fields(node):
                yield from parts_of(getattr(node, field.name))
        case _:
            yield node


def mentions(node: Any, name: str) -> bool:
    """Tell whether a node reads or writes an array."""
    return any(
        part == name or any(_accessed(part, name)) for part in parts_of(node) if isinstance(part, str | sympy.Basic)
    )


def _accessed(node: Any, name: str) -> Iterator[tuple[sympy.Expr, ...]]:
    """Yield the places of an array that expressions read."""
    for part in parts_of(node):
        if isinstance(part, sympy.Basic):
            yield from (a.slots for a in part.atoms(Access) if a.name == name)


def _moved(node: Node, name: str, place: _Place) -> Node:
    """Return a node that reads and writes entries of an array, or a row of it, in the place of those of a buffer.

    Operands of matrix products stay as they are.
    """
    array, row = place

    def entry(expression: sympy.Basic) -> sympy.Basic:
        if isinstance(expression, Access):
            return Access(array, *row, *expression.slots) if expression.name == name else expression
        return rebuilt(expression, tuple(map(entry, expression.args)))

    match node:
        case Loop() | Strips() | Blocks():
            return replace(node, body=tuple(_moved(n, name, place) for n in node.body))
        case Store(array=stored) if stored == name:
            return replace(node, array=array, slots=(*row, *node.slots), expression=entry(node.expression))
        case Store() | Assign():
            return replace(node, expression=entry(node.expression))
        case Multiply() if node.target.name == name and not node.target.part:
            return replace(node, target=replace(node.target, name=array))
        case _:
            return node
