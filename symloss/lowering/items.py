"""Items: statements and outputs on their way into loops, each with the order in which its loops are nested."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.statement import accesses


@dataclass(frozen=True)
class Operand:
    """A matrix read by a product: a stored tensor whose slots fall into two runs of indices.

    Parameters
    ----------
    name : str
        The tensor.
    first, second : tuple of Index
        The indices of its rows and of its columns.
    """

    name: str
    first: tuple[Index, ...]
    second: tuple[Index, ...]

    def renamed(self, swap: dict[Index, Index]) -> Operand:
        """Return the operand with indices replaced."""
        return Operand(self.name, *(tuple(swap.get(k, k) for k in part) for part in (self.first, self.second)))


@dataclass(frozen=True)
class Product:
    """What makes a sum a matrix product: rows and columns of the result, and the operands."""

    rows: tuple[Index, ...]
    columns: tuple[Index, ...]
    left: Operand
    right: Operand


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
    order : tuple of Index
        For a sum that is added up in memory: its loops, outermost first. Empty: `free`, then `bound`.
    target : tuple of sympy.Expr
        For such a sum: the entry it adds to, where that is not at `free` (a scatter).
    product : Product, optional
        What makes it a matrix product.
    after : tuple of str
        What must be complete before it, though it does not read it.
    scales : bool
        For a maximum: whether all it is for is that a norm is relative to it. For a sum: whether it is that of the
        squares of float32 of a norm, which takes float64.
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
    order: tuple[Index, ...] = ()
    target: tuple[sympy.Expr, ...] = ()
    product: Product | None = None
    after: tuple[str, ...] = ()
    scales: bool = False

    def renamed(self, old: Index, new: Index) -> Item:
        """Return the item with one index replaced everywhere."""
        if old == new:
            return self
        swap = {old: new}

        def each(indices: tuple[Index, ...]) -> tuple[Index, ...]:
            return tuple(swap.get(k, k) for k in indices)

        product = self.product
        if product is not None:
            operands = product.left.renamed(swap), product.right.renamed(swap)
            product = Product(each(product.rows), each(product.columns), *operands)
        return replace(
            self, free=each(self.free), bound=each(self.bound), order=each(self.order), product=product,
            body=self.body.xreplace(swap), where=self.where.xreplace(swap),
            target=tuple(t.xreplace(swap) for t in self.target),
        )  # fmt: skip

    @property
    def reads(self) -> tuple[Access, ...]:
        """What the item reads."""
        return accesses(self.body) + accesses(self.where) + tuple(a for t in self.target for a in accesses(t))

    @property
    def loops(self) -> tuple[Index, ...]:
        """The loops around it, outermost first."""
        return self.order or self.free + self.bound

    @property
    def prefix(self) -> int:
        """How many of its own slots are its outermost loops: within them its value is complete."""
        if not self.order:
            return len(self.free)
        slots = self.target or self.free
        same = [loop == slot for loop, slot in zip(self.order, slots, strict=False)]
        return same.index(False) if False in same else len(same)
