"""Programs as arrays: the same statements for a library that computes with whole arrays and has no loops of its own.

A program comes in; items go out, in an order in which each reads only earlier ones. Contractions are matrix products,
sums that pick their entry are scatters, and what occurs more than once, or depends on fewer indices than what reads
it, is an item of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import sympy
from sympy.logic.boolalg import Boolean

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.conditions import written_out
from symloss.lowering.contraction import contract
from symloss.lowering.items import Item
from symloss.lowering.logarithms import with_finite_logs
from symloss.lowering.reductions import lower_reductions
from symloss.program.statement import Program

COSTLY = 3
"""Operations from which a part with fewer indices than the whole is computed apart."""


def array_items(program: Program, outputs: tuple[str, ...]) -> tuple[Item, ...]:
    """Return the items that compute outputs of a program.

    Parameters
    ----------
    program : Program
        Stabilised.
    outputs : tuple of str
        Those wanted.
    """
    part = lower_reductions(program.keep(*outputs)).keep(*outputs)
    items = [Item(s.name, s.op, s.free, s.bound, _written(s.body), written_out(s.where)) for s in part.statements]
    items += [Item(o.name, "store", o.free, (), _written(o.expression)) for o in part.outputs]
    return tuple(_shared(contract(items, frozenset())))


def _written(expression: sympy.Expr) -> sympy.Expr:
    return with_finite_logs(written_out(expression))


def _shared(items: list[Item]) -> list[Item]:
    """Name every part that is worth it."""
    counts: Counter[sympy.Basic] = Counter()
    seen: set[sympy.Basic] = set()

    def count(node: sympy.Basic) -> None:
        for part in _parts(node):
            counts[part] += 1
            if part not in seen:
                seen.add(part)
                count(part)

    for item in items:
        count(sympy.Tuple(item.body, item.where))
    named: dict[sympy.Basic, Access] = {}
    found: list[Item] = []
    taken = {item.name for item in items} | {a.name for item in items for a in item.reads}

    def rebuilt(node: sympy.Basic, item: Item) -> sympy.Basic:
        if node in named:
            return named[node]
        parts = set(_parts(node))
        new = node.func(*(rebuilt(a, item) if a in parts or _opens(a) else a for a in node.args)) if parts else node
        own = _indices(node, item)
        if isinstance(node, sympy.Expr) and _worth(node, counts[node], own, item):
            name = next(n for k in range(1, len(taken) + 2) if (n := f"term_{k}") not in taken)
            taken.add(name)
            found.append(Item(name, "let", own, (), new))
            named[node] = Access(name, *own)
            return named[node]
        return new

    for item in items:
        body, where = rebuilt(item.body, item), rebuilt(item.where, item)
        found.append(replace(item, body=body, where=where))
    return found


def _opens(node: sympy.Basic) -> bool:
    """Tell whether a node holds expressions and is none itself."""
    return isinstance(node, Boolean | sympy.Tuple) or type(node).__name__ == "ExprCondPair"


def _parts(node: sympy.Basic) -> Iterator[sympy.Basic]:
    """Yield the expressions right below a node; a read is not opened."""
    if isinstance(node, Access):
        return
    for argument in node.args:
        if _opens(argument):
            yield from _parts(argument)
        elif isinstance(argument, sympy.Expr) and argument.args:
            yield argument


def _indices(node: sympy.Basic, item: Item) -> tuple[Index, ...]:
    return tuple(k for k in item.loops if k in node.free_symbols)


def _worth(node: sympy.Expr, count: int, own: tuple[Index, ...], item: Item) -> bool:
    if isinstance(node, Access) or node.could_extract_minus_sign() or node.is_number:
        return False
    inner = {k for k in node.free_symbols if isinstance(k, Index)}
    if not inner <= set(item.loops):
        return False
    operations = sympy.count_ops(node)
    narrower = len(own) < len(item.loops) and operations >= COSTLY
    return node != item.body and (narrower or (count > 1 and operations >= 1))
