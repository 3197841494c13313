"""Places: what is read where a label, or the largest entry, is.

Such a read is one of many entries, and what is computed with it may be the same for all samples or pixels that have
the same label. Items come in and go out in an order in which each reads only earlier ones.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.atoms import difference
from symloss.language.axes import Index
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.items import Item
from symloss.lowering.reductions import exp_difference
from symloss.program.statement import accesses

COSTLY = 8
"""Operations from which a value that is stored anyway is read rather than computed again."""
TABLED = 4
"""Operations from which what a label decides is computed once for every class."""


def needed(items: list[Item]) -> list[Item]:
    """Drop what nothing reads."""
    wanted = {item.name for item in items if item.op == "store" or item.name == "total"}
    for item in reversed(items):
        if item.name in wanted:
            wanted |= {a.name for a in item.reads}
    return [item for item in items if item.name in wanted]


def inline_gathers(items: list[Item]) -> list[Item]:
    """Compute a named value at a label where it is read, rather than store it for every index.

    One that is costly and stored anyway is read, unless the label is of another sample: that would have to wait for it.
    An exponential is costly where there are many labels for each sample.
    """
    lets = {item.name: item for item in items if item.op == "let" and item.free}
    plain = {a.name for item in items for a in item.reads if not any(isinstance(s, Access) for s in a.slots)}
    stored = {n for n, item in lets.items() if n in plain and _is_costly(item)}

    def walk(node: sympy.Basic) -> sympy.Basic:
        match node:
            case Access() if node.name in stored and not isinstance(node.slots[0], Access):
                return node
            case Access() if node.name in lets and any(isinstance(s, Access) for s in node.slots):
                item = lets[node.name]
                return walk(item.body.xreplace(dict(zip(item.free, node.slots, strict=True))))
            case Access():
                return node
            case _ if node.args:
                return node.func(*(walk(a) for a in node.args))
            case _:
                return node

    return needed([replace(item, body=walk(item.body), where=walk(item.where)) for item in items])


def _is_costly(item: Item) -> bool:
    return sympy.count_ops(item.body) >= COSTLY or (len(item.free) > 2 and item.body.has(exp_difference))


def with_tables(items: list[Item]) -> list[Item]:
    """Compute what a label alone decides for every class, where a sample has many labels."""
    lets = {item.name: item for item in items if item.op != "store"}
    found: list[Item] = []
    for item in items:
        tables: list[Item] = []
        body = _tabled(item.body, item, lets, tables) if item.op in ("let", "store") else item.body
        found += [*tables, replace(item, body=body)]
    return found


def _tabled(node: sympy.Basic, item: Item, lets: dict[str, Item], tables: list[Item]) -> sympy.Basic:
    """Return a node that reads such parts from tables, which are added to those there are."""
    if isinstance(node, Access) or not node.args:
        return node
    for label, index in _labels(node, item, lets).items():
        factors = node.args if isinstance(node, sympy.Mul) else (node,)
        own = [f for f in factors if not (f.is_number or f.xreplace({label: index}).has(label.slots[-1]))]
        part = node.func(*own) if isinstance(node, sympy.Mul) else node
        fits = own and isinstance(part, sympy.Expr) and part.has(label) and index not in part.free_symbols
        if fits and sympy.count_ops(part) >= TABLED:
            entry = _table(part.xreplace({label: index}), item, index, tables)
            rest = (_tabled(f, item, lets, tables) for f in factors if f not in own)
            return sympy.Mul(Access(entry.name, *entry.free[:-1], label), *rest)
    return node.func(*(_tabled(a, item, lets, tables) for a in node.args))


def _labels(node: sympy.Basic, item: Item, lets: dict[str, Item]) -> dict[Access, Index]:
    """Return the labels that a node reads at, of which a sample has many, with an index over what they point into."""
    found: dict[Access, Index] = {}
    for access in accesses(node):
        if access.name in lets:
            for slot, index in zip(access.slots, lets[access.name].free, strict=True):
                if _is_of_many(slot) and set(slot.slots) <= set(item.free):
                    found.setdefault(slot, index)
    return found


def _table(body: sympy.Expr, item: Item, index: Index, tables: list[Item]) -> Item:
    """Return the table of an expression, which is made where there is none."""
    known = next((table for table in tables if table.body == body), None)
    if known is None:
        free = tuple(k for k in item.free if k in body.free_symbols and k != index)
        known = Item(f"{item.name}_table_{len(tables) + 1}", "let", (*free, index), (), body)
        tables.append(known)
    return known


def reads_at_labels(part: sympy.Basic) -> bool:
    """Tell whether an expression reads at labels of which a sample has many: that takes as long as some operations."""
    return any(_is_of_many(slot) for access in accesses(part) for slot in access.slots)


def reads_at_places(item: Item, per: tuple[Index, ...]) -> bool:
    """Tell whether what is added up reads at a place that each entry of the sum has, of which a sample has many."""
    if {k.axis for k in item.free} <= {k.axis for k in per}:
        return False
    slots = (slot for access in accesses(item.body) for slot in access.slots if isinstance(slot, Access))
    return any(slot.slots == item.free and not isinstance(slot, LabelAccess) for slot in slots)


def _is_of_many(slot: sympy.Basic) -> bool:
    return isinstance(slot, LabelAccess) and len(slot.slots) > 1


def without_cases(items: list[Item]) -> list[Item]:
    """Drop cases that give what the general formula gives, where a sample has many places of a largest entry.

    A term that is left out of a sum may be 0 there, since it has the difference of two entries as a factor.
    """
    return [_without_cases(item) for item in items]


def _without_cases(item: Item) -> Item:
    match item:
        case Item(op="sum", bound=(bound,), where=sympy.Ne() as where) if len(item.free) > 1 and bound in where.args:
            place = next(a for a in where.args if a != bound)
            many = isinstance(place, Access) and len(place.slots) > 1
            return replace(item, where=sympy.true) if many and item.body.xreplace({bound: place}) == 0 else item
        case Item(op="store") if len(item.free) > 2:
            return replace(item, body=_general(item.body))
    return item


def _general(node: sympy.Basic) -> sympy.Basic:
    """Return a node with the general formula in the place of a case that it covers."""
    if isinstance(node, Access) or not node.args:
        return node
    if isinstance(node, sympy.Piecewise) and len(node.args) == 2:
        (special, where), (usual, always) = node.args
        sides = where.args if isinstance(where, sympy.Eq) and always == sympy.true else ()
        for one, other in (sides, sides[::-1]) if sides else ():
            grouped = _grouped(usual, {one: other}) if isinstance(other, Access) else None
            if grouped is not None and grouped.xreplace({one: other}) == special:
                return grouped
    return node.func(*map(_general, node.args))


def _grouped(node: sympy.Expr, swap: dict[sympy.Basic, sympy.Basic]) -> sympy.Expr | None:
    """Return a sum in which the two terms that become the same number are subtracted before anything is added."""
    if not isinstance(node, sympy.Add):
        return None
    for term in node.args:
        opposite = -term.xreplace(swap)
        if opposite != -term and opposite in node.args and not term.could_extract_minus_sign():
            return sympy.Add(difference(term, -opposite), *(t for t in node.args if t not in (term, opposite)))
    return None
