"""What a reader sees of a program: a letter for each statement, the author's letters for indices, no name twice.

A program comes in with the names the compiler gave; out come expressions and lines of LaTeX, in which a statement
has the author's name or a letter of its own, an index is a letter of its axis, and each line can be read by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import sympy

from symloss.language.axes import Axis, Index
from symloss.language.definition import Definition, lets_of
from symloss.language.nodes import Access, Reduction
from symloss.program.statement import Program, Statement, accesses
from symloss.rendering.latex_format import Head, latex

LETTERS = "ABCDEFGHJKLMNPQRSTUVXYZ"
PREFERRED = {"softmax": "pq", "logsumexp": "L", "norm": "N", "max": "M", "min": "M"}
SMALL = 6
"""Operations up to which the body of a norm is printed where it is read."""


@dataclass(frozen=True)
class Names:
    """How the statements and indices of a program are printed.

    Parameters
    ----------
    definition : Definition
        Whose program it is.
    heads : dict of str to Head
        The letter of each statement, and what stands below it.
    statements : dict of str to Statement
        By name.
    letters : dict of Axis to tuple of str
        What the author calls indices of an axis.
    """

    definition: Definition
    heads: dict[str, Head]
    statements: dict[str, Statement]
    letters: dict[Axis, tuple[str, ...]]

    def inline(self, name: str) -> bool:
        """Tell whether a statement is printed where it is read: a norm of something short."""
        found = self.statements.get(name)
        return found is not None and found.op == "norm" and sympy.count_ops(found.body) <= SMALL

    def written(self, node: sympy.Basic) -> sympy.Basic:
        """Return an expression in which short norms stand as they are."""
        if isinstance(node, Access) and self.inline(node.name):
            norm = self.statements[node.name]
            body = norm.body.xreplace(dict(norm.at(node.slots)))
            return Reduction("norm", body, norm.bound, norm.where, norm.empty)
        if isinstance(node, Access) or not node.args:
            return node
        return node.func(*(self.written(a) for a in node.args))

    def lettered(self, *parts: sympy.Basic, own: tuple[Index, ...] = ()) -> tuple[sympy.Basic, ...]:
        """Return expressions of one line with the author's letters, `own` first, and no letter for two indices."""
        found = dict.fromkeys(own)
        for part in parts:
            found |= dict.fromkeys(sorted(indices_of(part) - set(found), key=lambda k: (len(k.name), k.name)))
        taken: set[str] = set()
        renaming: dict[sympy.Basic, sympy.Basic] = {}
        for index in found:
            name = next(n for n in self._candidates(index) if n not in taken)
            taken.add(name)
            renaming[index] = Index(name, index.axis)
        return tuple(part.xreplace(renaming) for part in parts)

    def _candidates(self, index: Index) -> Iterator[str]:
        base = index.name.split("_")[0]
        known = self.letters.get(index.axis, ())
        first = (base,) if base in known or not known else ()
        yield from dict.fromkeys((*first, *known))
        for primes in range(1, 9):
            for name in dict.fromkeys((*first, *known)):
                yield name + "'" * primes

    def owned(self, statement: Statement) -> Statement:
        """Return a statement in the author's letters, its own indices first."""
        access, body, where, *bound = self.lettered(
            statement.access, self.written(statement.body), statement.where, *statement.bound, own=statement.free
        )
        return replace(statement, free=access.args[1:], body=body, where=where, bound=tuple(bound))

    def latex(self, expression: sympy.Basic) -> str:
        """Return an expression as LaTeX, with the letters of the statements."""
        return latex(expression, self.definition, self.heads)

    def line(self, statement: Statement, body: sympy.Expr) -> str:
        """Return what a statement is, with `body` in place of its own, as an equation."""
        body = self.written(body)
        access, body, where, *bound = self.lettered(
            statement.access, body, statement.where, *statement.bound, own=statement.free
        )
        left, right, where = self.latex(access), self.latex(body), _bound_first(where, bound)
        over = ", ".join(map(self.latex, bound))
        if where is not sympy.true:
            over = ", ".join(filter(None, ("" if where.free_symbols >= set(bound) else over, self.latex(where))))
        wide = isinstance(body, sympy.Add | sympy.Piecewise)
        inner = rf"\left({right}\right)" if wide else right
        match statement.op:
            case "softmax":
                return rf"{left} = \operatorname{{softmax}}\left({right}\right)"
            case "logsumexp":
                return rf"{left} = \log \sum_{{{over}}} e^{{{right}}}"
            case "let":
                return f"{left} = {right}"
            case "sum" if body.could_extract_minus_sign() and not wide:
                return rf"{left} = - \sum_{{{over}}} {self.latex(-body)}"
            case "sum":
                return rf"{left} = \sum_{{{over}}} {inner}"
            case "norm":
                return f"{left} = {self.latex(Reduction('norm', body, bound, where))}"
            case "argmax" | "argmin" as operation:
                return rf"{left} = \operatorname{{{operation[:3]}}}_{{{over}}}\operatorname{{-index}} {inner}"
            case operation:
                return rf"{left} = \{operation}_{{{over}}} {inner}"


def _bound_first(where: sympy.Basic, bound: list[sympy.Basic]) -> sympy.Basic:
    """Return a mask in which an index that is summed over comes first: ``j != i`` below a sum over j."""
    if isinstance(where, sympy.And):
        return sympy.And(*(_bound_first(part, bound) for part in where.args), evaluate=False)
    turned = isinstance(where, sympy.Ne | sympy.Eq) and where.rhs in bound and where.lhs not in bound
    return where.reversed if turned else where


def names_of(definition: Definition, program: Program, shown: Iterable[str]) -> Names:
    """Choose the letters: the author's names first, then one for each statement in the order they are shown."""
    statements = {s.name: s for s in program.statements}
    authors = {let.name for let in lets_of(definition)}
    taken = {a.symbol.lstrip("\\") for a in definition.arguments} | {a.split("_")[0] for a in authors}
    letters: dict[Axis, tuple[str, ...]] = {}
    everything = (definition.formula, definition.where, *definition.per, *(let.body for let in lets_of(definition)))
    for index in sorted({k for part in everything for k in indices_of(part)}, key=lambda k: k.name):
        own = letters.get(index.axis, ())
        letters[index.axis] = (index.name, *own) if index in definition.per else (*own, index.name)
    names = Names(definition, {}, statements, {axis: tuple(dict.fromkeys(own)) for axis, own in letters.items()})
    free = (number + letter for number in ("", *map(str, range(1, 40))) for letter in LETTERS)
    for name in shown:
        if name not in names.heads and not names.inline(name):
            names.heads[name] = _head(statements[name], authors, taken, free)
    return names


def _head(statement: Statement, authors: set[str], taken: set[str], free: Iterator[str]) -> Head:
    if statement.name in authors and statement.op == "let":
        return Head.of(statement.name)
    below = statement.name.removeprefix("adjoint_")
    if below != statement.name and below in authors:
        own = Head.of(below)
        return Head(rf"\overline{{{own.base}}}", own.below)
    for letter in PREFERRED.get(statement.op, ""):
        if letter not in taken:
            taken.add(letter)
            return Head(letter, "")
    found = next(name for name in free if name not in taken)
    taken.add(found)
    return Head(found[-1], found[:-1])


def indices_of(part: sympy.Basic) -> set[Index]:
    """Return the indices that occur in an expression, those of its reads included."""
    found = {s for s in part.free_symbols if isinstance(s, Index)}
    return found | {s for a in accesses(part) for s in a.free_symbols if isinstance(s, Index)}


def needed(expression: sympy.Expr, statements: dict[str, Statement]) -> list[Statement]:
    """Return the statements that an expression reads, and that these read, those it reads itself first."""
    found: dict[str, Statement] = {}
    queue = [expression]
    while queue:
        part = queue.pop(0)
        for access in sorted(accesses(part), key=str):
            statement = statements.get(access.name)
            if statement is not None and statement.name not in found:
                found[statement.name] = statement
                queue += [statement.body, statement.where]
    return list(found.values())
