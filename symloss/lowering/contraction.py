"""Contractions: sums of products of tensors with separate indices become matrix products.

Items come in, items go out: sums of several products are split, factors that the sum does not touch are taken out of
it, and what a product reads is packed into matrices where it is not one already. Sums that pick their entry scatter,
and sums whose last slot is contiguous in memory are added up row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.lowering.columns import by_columns, computed_again
from symloss.lowering.items import Item, Operand, Product
from symloss.program.terms import conjuncts


def contract(items: Iterable[Item], big: frozenset[str], *, wide: bool = False) -> list[Item]:
    """Return items with every contraction made a matrix product and every other sum given its order of loops.

    Parameters
    ----------
    items : iterable of Item
        In an order in which each reads only earlier ones.
    big : frozenset of str
        Tensors larger than any argument: their leading index is the one that blocks run over.
    wide : bool
        Arguments are packed too: matrices are wider than what a caller passes.
    """
    found: list[Item] = []
    packed: dict[object, Access] = {}
    parts = list(by_columns(_with_diagonals(list(items), big), big))
    stored = frozenset(item.name for item in parts) if wide else None
    for item in parts:
        for part in _split(item, big) if item.op == "sum" else [item]:
            found += _lowered(part, big, packed, stored) if part.op == "sum" else [part]
    return computed_again(found, big)


def _with_diagonals(items: list[Item], big: frozenset[str]) -> list[Item]:
    """Copy each diagonal that is read of a large tensor, so that the tensor is not kept for it."""
    own: dict[str, Item] = {}
    for item in items:
        if item.name in big and item.op == "let" and len(item.free) == 2 and item.free[0].axis == item.free[1].axis:
            first = item.free[0]
            own[item.name] = Item(f"{item.name}_own", "let", (first,), (), Access(item.name, first, first))
    found: list[Item] = []
    for item in items:
        diagonals = {
            a: Access(own[a.name].name, a.slots[0]) for a in item.reads if a.name in own and a.slots[0] == a.slots[1]
        }
        found.append(replace(item, body=item.body.xreplace(diagonals), where=item.where.xreplace(diagonals)))
    wanted = {a.name for item in found for a in item.reads}
    copied = {name: [part] for name, part in own.items() if part.name in wanted}
    return [part for item in found for part in (item, *copied.get(item.name, ()))]


def _split(item: Item, big: frozenset[str]) -> list[Item]:
    """Split a sum of several products into sums, if one of them is a contraction, and what adds them up."""
    terms = sympy.Add.make_args(item.body)
    if len(terms) == 1 or _runs(item, big) or not any(_sides(replace(item, body=t)) for t in terms):
        return [item]
    parts = [replace(item, name=f"{item.name}_part{n}", body=t) for n, t in enumerate(terms, 1)]
    total = sympy.Add(*(Access(p.name, *p.free) for p in parts))
    return [*parts, Item(item.name, "let", item.free, (), total, comment=item.comment)]


def _lowered(
    item: Item, big: frozenset[str], packed: dict[object, Access], stored: frozenset[str] | None
) -> list[Item]:
    scattered = _scatter(item)
    if scattered is not None:
        return [scattered]
    lead = _lead(item, big)
    sides = None if _runs(item, big) else _sides(item)
    if sides is not None:
        return _product(item, *sides, lead or item.free[0], packed, stored)
    if lead is not None and lead in item.bound and item.free:
        return [replace(item, order=(lead, *(k for k in item.bound if k != lead), *item.free))]
    if _row_by_row(item):
        return [replace(item, order=(*item.free[:-1], *item.bound, item.free[-1]))]
    return [item]


def _lead(item: Item, big: frozenset[str]) -> Index | None:
    """Return the index of the blocks that a sum goes through, if what it reads exists by blocks only."""
    return next(
        (a.slots[0] for a in item.reads if a.name in big and a.slots and a.slots[0] in item.free + item.bound), None
    )


def _runs(item: Item, big: frozenset[str]) -> bool:
    """Tell whether a sum that leaves out one is taken along with those that leave out the others."""
    return _lead(item, big) is None and left_out(item) is not None


def _scatter(item: Item) -> Item | None:
    """Return a sum that adds each term to the entry its condition names, or None."""
    for part in conjuncts(item.where):
        if not isinstance(part, sympy.Eq):
            continue
        for own, at in (part.args, part.args[::-1]):
            if own in item.free and own not in at.free_symbols and at.free_symbols & set(item.bound):
                rest = sympy.And(*(p for p in conjuncts(item.where) if p != part)).xreplace({own: at})
                target = tuple(at if k == own else k for k in item.free)
                outer = tuple(k for k in item.free if k in at.free_symbols)
                others = tuple(k for k in item.free if k != own and k not in outer)
                return replace(
                    item, body=item.body.xreplace({own: at}), where=rest, target=target,
                    order=(*outer, *item.bound, *others),
                )  # fmt: skip
    return None


def _row_by_row(item: Item) -> bool:
    """Tell whether a sum reads rows that are contiguous in its last slot, and not in what it sums over."""
    if not item.free or not item.bound:
        return False
    last = item.free[-1]
    reads = [a for a in item.reads if len(a.slots) > 1]
    return any(a.slots[-1] == last for a in reads) and not any(
        a.slots[-1] in item.bound and last in a.slots for a in reads
    )


def left_out(item: Item) -> Index | None:
    """Return the index whose own entry a sum leaves out, where all entries of it add up the same vectors but for that.

    Such sums are taken all together, each vector twice (`symloss.lowering.leave_one_out`): no matrix is worth it.
    """
    if item.op != "sum" or len(item.bound) != 1 or not _row_by_row(item):
        return None
    (own,), parts = item.bound, conjuncts(item.where)
    for k in item.free[:-1]:
        apart = k.axis == own.axis and (sympy.Ne(own, k) in parts or sympy.Ne(k, own) in parts)
        if apart and sum(part.has(k) for part in (item.body, *parts)) == 1:
            return k
    return None


def _sides(item: Item) -> tuple[tuple[Index, ...], tuple[Index, ...]] | None:
    """Return the rows and columns of a sum that is a matrix product, or None.

    No factor may depend on both, and both must depend on everything that is summed over.
    """
    free, bound = set(item.free), set(item.bound)
    if len(free) < 2 or not bound:
        return None
    parts = [p.free_symbols & (free | bound) for p in (*sympy.Mul.make_args(item.body), *conjuncts(item.where))]
    row = {item.free[0]}
    while grown := set().union(*(p & free for p in parts if p & row and p & bound)) - row:
        row |= grown
    rows = tuple(k for k in item.free if k in row)
    columns = tuple(k for k in item.free if k not in row)
    if not columns or item.free != rows + columns:
        return None
    for side in (set(rows), set(columns)):
        touched = set().union(*(p for p in parts if p & side))
        if not bound <= touched:
            return None
    if any(p & set(rows) and p & set(columns) and p & bound for p in parts):
        return None
    return rows, columns


def _product(
    item: Item, rows: tuple[Index, ...], columns: tuple[Index, ...], lead: Index, packed: dict[object, Access],
    stored: frozenset[str] | None,
) -> list[Item]:  # fmt: skip
    """Return the packed operands, the product, and the factors outside the sum."""
    bound = set(item.bound)
    outside: list[sympy.Expr] = []
    left: list[sympy.Expr] = []
    right: list[sympy.Expr] = []
    # a factor of the summed index alone joins the operand that is smaller in memory: the one without the block
    loose = left if lead in columns else right
    for factor in sympy.Mul.make_args(item.body):
        own = factor.free_symbols
        chosen = left if own & set(rows) else right if own & set(columns) else loose
        (chosen if own & bound else outside).append(factor)
    masks: dict[bool, list[sympy.Basic]] = {True: [], False: []}
    for part in conjuncts(item.where):
        masks[not part.free_symbols & set(columns)].append(part)
    inner = (lead, *(k for k in item.bound if k != lead)) if lead in bound else item.bound
    found: list[Item] = []
    first = _operand(f"{item.name}_left", left, masks[True], rows, inner, lead, found, packed, stored)
    second = _operand(f"{item.name}_right", right, masks[False], columns, inner, lead, found, packed, stored)
    body = Access(first.name, *first.first, *first.second) * Access(second.name, *second.first, *second.second)
    name = f"{item.name}_product" if outside else item.name
    found.append(
        Item(
            name, "sum", item.free, inner, body, order=(*inner, *item.free) if lead in bound else (),
            product=Product(rows, columns, first, second), comment="" if outside else item.comment,
        )
    )  # fmt: skip
    if outside:
        scaled = sympy.Mul(*outside, Access(name, *item.free))
        found.append(Item(item.name, "let", item.free, (), scaled, comment=item.comment))
    return found


def _operand(
    name: str, factors: list[sympy.Expr], masks: list[sympy.Basic], own: tuple[Index, ...], bound: tuple[Index, ...],
    lead: Index, found: list[Item], packed: dict[object, Access], stored: frozenset[str] | None,
) -> Operand:  # fmt: skip
    """Return an operand as it stands where it is one tensor whose blocks are rows, else packed by a new item.

    `stored` names the tensors that may stand as they are, or is None: all may.
    """
    orders = ((own, bound), (bound, own))
    plain = len(factors) == 1 and not masks and isinstance(factors[0], Access)
    if plain and (stored is None or factors[0].name in stored):
        slots = factors[0].slots
        for first, second in orders:
            if slots == first + second and (lead == slots[0] or lead not in slots):
                return Operand(factors[0].name, first, second)
    first, second = orders[lead in bound]
    body = sympy.Mul(*factors)
    if masks:
        body = sympy.Piecewise((body, sympy.And(*masks)), (sympy.S.Zero, True))
    slots = first + second
    key = (tuple(k.axis for k in slots), body.xreplace({k: Index(f"@{n}", k.axis) for n, k in enumerate(slots)}))
    if key not in packed:
        packed[key] = Access(name, *slots)
        found.append(Item(name, "let", slots, (), body))
    return Operand(packed[key].name, first, second)


def matrices(items: Iterable[Item]) -> frozenset[str]:
    """Return the tensors that matrix products read or write."""
    products = [(i, i.product) for i in items if i.product is not None]
    return frozenset(n for i, p in products for n in (i.name, p.left.name, p.right.name))
