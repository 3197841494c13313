"""Joined sums: what is only added to a matrix product is added where the product is, in one array instead of several.

Each of them is as large as an argument of the loss; one array less is written with zeros, and read again at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sympy

from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.nodes import Blocks, Buffer, Loop, Multiply, Node, Store, Strips
from symloss.lowering.outputs import mentions, parts_of


def joined(nodes: tuple[Node, ...], constants: frozenset[str], *, alike: bool = False) -> tuple[Node, ...]:
    """Return a kernel's nodes with sums joined.

    Parameters
    ----------
    nodes : tuple of Node
        With matrix products.
    constants : frozenset of str
        Parameters that are never 0.
    alike : bool
        Whether arrays of the dtype of the arguments are those of the arithmetic.
    """
    buffers = {n.name: n for n in nodes if isinstance(n, Buffer)}
    products = {p.target.name for p in _within(nodes) if isinstance(p, Multiply) and p.add and p.target.name in buffers}
    for product in sorted(products):
        for name, buffer in buffers.items():
            own = buffers[product]
            if name in products or buffer.axes != own.axes or not (alike or buffer.dtype == own.dtype):
                continue
            factor = _factor(nodes, product, name, constants)
            if factor is not None and _is_only_added_to(nodes, name):
                return joined(tuple(_one(nodes, product, name, factor)), constants, alike=alike)
    return nodes


def _within(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Yield nodes and all that are in them."""
    for node in nodes:
        yield node
        if isinstance(node, Loop | Blocks | Strips):
            yield from _within(node.body)


def _is_only_added_to(nodes: tuple[Node, ...], name: str) -> bool:
    """Tell whether an array is set to 0 and then added to, by stores alone, and else named only where it is read."""
    for node in _within(nodes):
        match node:
            case Buffer(name=own) if own == name:
                continue
            case Store(array=array) if array == name:
                if node.guard != "add" and not (node.expression == 0 and not node.guard and node in nodes):
                    return False
            case Loop() | Blocks() | Strips():
                continue
            case _ if any(part == name for part in parts_of(node) if isinstance(part, str)):
                return False
    return True


def _factor(nodes: tuple[Node, ...], product: str, name: str, constants: frozenset[str]) -> sympy.Expr | None:
    """Return what a sum is multiplied by relative to a product, where they are read in sums of both alone."""
    found: set[sympy.Expr | None] = set()

    def visit(node: sympy.Basic) -> None:
        terms = _terms(node, product, name) if isinstance(node, sympy.Add) else None
        if terms is not None:
            (one, by), (other, along) = terms
            known = all(s.name in constants for s in (by.free_symbols | along.free_symbols))
            found.add(along / by if known and one.slots == other.slots else None)
            for a in node.args:
                if not a.has(one, other):
                    visit(a)
        elif isinstance(node, Access) and node.name in (product, name):
            found.add(None)
        else:
            for a in node.args:
                visit(a)

    for node in _within(nodes):
        if not isinstance(node, Loop | Blocks | Strips):
            for part in parts_of(node):
                if isinstance(part, sympy.Basic):
                    visit(part)
    return found.pop() if len(found) == 1 else None


def _terms(node: sympy.Add, product: str, name: str) -> list[tuple[Access, sympy.Expr]] | None:
    """Return the entries of two arrays that a sum has one term of each of, with their factors."""
    found: dict[str, tuple[Access, sympy.Expr]] = {}
    for a in node.args:
        for entry in (e for e in a.atoms(Access) if e.name in (product, name)):
            by = a / entry
            if entry.name in found or by.atoms(Access) or isinstance(a, sympy.Add):
                return None
            found[entry.name] = entry, by
    return [found[product], found[name]] if len(found) == 2 else None


def _one(nodes: tuple[Node, ...], product: str, name: str, factor: sympy.Expr) -> Iterator[Node]:
    """Yield nodes with one array instead of two."""

    def without(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, sympy.Add) and _terms(node, product, name) is not None:
            kept = [a for a in node.args if not any(e.name == name for e in a.atoms(Access))]
            return without(kept[0]) if len(kept) == 1 else rebuilt(node, tuple(map(without, kept)))
        return rebuilt(node, tuple(map(without, node.args))) if node.args else node

    def moved(node: Any) -> Any:
        match node:
            case Store(array=array) if array == name:
                above, below = sympy.fraction(factor)  # divided last: a small number below 1 over which is infinite
                parts = [above, node.expression, *([1 / below] if below != 1 else ())]
                return replace(node, array=product, expression=sympy.Mul(*parts, evaluate=False))
            case Loop() | Blocks() | Strips():
                return replace(node, body=tuple(map(moved, node.body)))
            case _ if mentions(node, name):
                changes = {f: without(getattr(node, f)) for f in ("expression", "where") if hasattr(node, f)}
                return replace(node, **changes)
            case _:
                return node

    for node in nodes:
        if isinstance(node, Buffer | Store) and name in (getattr(node, "name", ""), getattr(node, "array", "")):
            continue  # and its zeros
        yield moved(node)
