"""Statements and programs: the one representation every stage reads and writes.

A statement computes a tensor by one scalar expression, reduced over its bound indices. A program is a list of
statements in order, and the outputs that read them. Both are immutable; bound indices are unique in a program, so
renaming an index never captures another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.terms import Term, fold

MAPS = ("let", "softmax", "argmax", "argmin")
REDUCTIONS = ("sum", "logsumexp", "max", "min", "norm", "argmax", "argmin")


@dataclass(frozen=True)
class Statement:
    """One tensor of a program.

    Parameters
    ----------
    name : str
        What accesses call it.
    free : tuple of Index
        Its own slots.
    op : str
        ``"let"``, ``"softmax"``, or a reduction.
    bound : tuple of Index
        The indices reduced over.
    body : sympy.Expr
        The scalar expression, over accesses.
    where : sympy boolean
        The mask.
    empty : sympy.Expr
        The value of a reduction whose mask lets nothing through.
    source : str
        For ``"softmax"``, ``"argmax"`` and ``"argmin"``: the reduction it belongs to.
    scales : bool
        For a maximum: whether all it is for is that a norm is relative to it. For a sum: whether it is that of the
        squares of float32 of a norm, which takes float64.
    """

    name: str
    free: tuple[Index, ...]
    op: str
    bound: tuple[Index, ...]
    body: sympy.Expr
    where: sympy.Basic = sympy.true
    empty: sympy.Expr = sympy.nan
    source: str = ""
    scales: bool = False

    @property
    def access(self) -> Access:
        """The statement read at its own slots."""
        return Access(self.name, *self.free)

    def at(self, slots: tuple[sympy.Expr, ...]) -> Mapping[sympy.Basic, sympy.Basic]:
        """Return the renaming that turns the statement's own slots into `slots`."""
        return dict(zip(self.free, slots, strict=True))


@dataclass(frozen=True)
class Output:
    """One result of a program: the sum of `terms` at every value of the indices `free`."""

    name: str
    free: tuple[Index, ...]
    terms: tuple[Term, ...]

    @property
    def expression(self) -> sympy.Expr:
        """The terms folded into one expression."""
        return fold(self.terms)


@dataclass(frozen=True)
class Program:
    """Statements in order, and the outputs that read them.

    Parameters
    ----------
    statements : tuple of Statement
        Each reads inputs and earlier statements only.
    outputs : tuple of Output
        What the program computes.
    names : tuple of (sympy.Expr, str) pairs
        Scalar expressions that have a name of the author's.
    """

    statements: tuple[Statement, ...]
    outputs: tuple[Output, ...]
    names: tuple[tuple[sympy.Expr, str], ...] = ()

    def statement(self, name: str) -> Statement:
        """Return the statement called `name`."""
        return next(s for s in self.statements if s.name == name)

    def output(self, name: str) -> Output:
        """Return the output called `name`."""
        return next(o for o in self.outputs if o.name == name)

    def keep(self, *outputs: str) -> Program:
        """Return the part of the program that the outputs need, in the same order."""
        kept = tuple(self.output(name) for name in outputs)
        by_name = {s.name: s for s in self.statements}
        needed: set[str] = set()
        stack = [part for o in kept for t in o.terms for part in (t.where, t.body)]
        while stack:
            for access in accesses(stack.pop()):
                if access.name in by_name and access.name not in needed:
                    statement = by_name[access.name]
                    needed.add(access.name)
                    stack += [statement.body, statement.where]
                    if statement.source in by_name:
                        stack.append(by_name[statement.source].access)
        return replace(self, statements=tuple(s for s in self.statements if s.name in needed), outputs=kept)


@lru_cache(maxsize=1 << 16)
def accesses(node: sympy.Basic) -> tuple[Access, ...]:
    """Return the distinct accesses in a node, gathers' labels included, in a fixed order."""
    found: dict[Access, None] = {}

    def walk(part: sympy.Basic) -> Iterator[None]:
        for argument in part.args:
            if isinstance(argument, sympy.Basic):
                yield from walk(argument)
        if isinstance(part, Access):
            found.setdefault(part)

    list(walk(node))
    return tuple(found)
