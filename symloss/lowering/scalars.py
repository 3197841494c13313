"""Scalars: what is computed once, at which loop, and under what name.

A subexpression that does not depend on a loop moves out of it; one that is used twice, or that the author named, gets a
name of its own. Names come from the mathematics: the author's, the symbol of an input, the function that made a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import sympy

from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, Flag, LabelAccess
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import (
    ROW,
    START,
    Assign,
    Begin,
    Blocks,
    Buffer,
    Columns,
    Finish,
    Loop,
    Multiply,
    Node,
    Skip,
    Store,
    Update,
)
from symloss.stability.expansion import SERIES, log1p_unit, raised_decay, shrunk


@dataclass
class _Scope:
    """One block under construction: its statements, and the expressions that already have a name."""

    nodes: list[Node] = field(default_factory=list)
    known: dict[sympy.Basic, sympy.Symbol] = field(default_factory=dict)


@dataclass
class _Namer:
    """The state of the pass over one kernel."""

    hints: Mapping[sympy.Basic, str]
    comments: Mapping[sympy.Basic, str]
    symbols: Mapping[str, str]
    arrays: frozenset[str]
    buffers: Mapping[str, str]
    counts: Counter[sympy.Basic]
    taken: set[str]
    apart: bool
    scopes: list[_Scope] = field(default_factory=list)
    depth: dict[str, int] = field(default_factory=dict)

    def level(self, node: sympy.Basic) -> int:
        """Return the innermost scope an expression depends on."""
        return max((self.depth.get(name, 0) for name in _names(node)), default=0)

    def emit(self, node: sympy.Basic) -> sympy.Basic:
        """Return the expression as it is written in the current scope, naming what deserves a name."""
        here = len(self.scopes) - 1
        if node.is_Atom or isinstance(node, Size | Index | Flag):
            return node
        level = min(self.level(node), here)
        for scope in self.scopes[level : here + 1]:
            if node in scope.known:
                return scope.known[node]
        if self._deserves_name(node, level, here):
            return self._name(node, level)
        return self._rebuild(node)

    def _deserves_name(self, node: sympy.Basic, level: int, here: int) -> bool:
        if isinstance(node, sympy.logic.boolalg.Boolean):
            return False
        if isinstance(node, sympy.Pow) and node.exp.is_Number and node.exp.is_negative:
            return False  # written as a division wherever it stands, so that every kernel rounds alike
        if isinstance(node, Access):
            return node.name in self.arrays or (node.name in self.buffers and self.counts[node] > 1)
        if level < here and not _is_signed_leaf(node):
            return True
        if self.apart and isinstance(node, SERIES):
            return True
        return node in self.hints or (self.counts[node] > 1 and not _is_signed_leaf(node))

    def _name(self, node: sympy.Basic, level: int) -> sympy.Symbol:
        """Set a local of the scope the expression belongs to."""
        outer, self.scopes = self.scopes, self.scopes[: level + 1]
        expression = self._rebuild(node)
        self.scopes = outer
        name = fresh_name(self._base(node), self.taken)
        symbol = sympy.Symbol(name, real=True)
        self.depth[name] = level
        self.scopes[level].nodes.append(Assign(name, expression, self.comments.get(node, "")))
        self.scopes[level].known[node] = symbol
        return symbol

    def _rebuild(self, node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access):
            return node.func(node.args[0], *(self.emit(s) for s in node.slots))
        if isinstance(node, sympy.Add | sympy.Mul):
            return self._grouped(self._with_common_factors(node))
        if isinstance(node, sympy.Pow) and node.exp in (2, 3, 4) and not _is_signed_leaf(node.base):
            return sympy.Pow(self._once(node.base), node.exp, evaluate=False)  # written as a product of itself
        if isinstance(node, sympy.Piecewise):
            cases = [(self.emit(value), self.emit(condition)) for value, condition in node.args]
            return node.func(*cases, evaluate=False)
        return node.func(*(self.emit(a) for a in node.args), **({"evaluate": False} if node.is_Function else {}))

    def _with_common_factors(self, node: sympy.Expr) -> sympy.Expr:
        """Return a sum or product in which the number that all terms of a sum have is a factor of the sum.

        A difference is then taken before anything is rounded, and takes a multiplication less. A sum that gets a name,
        since it is used elsewhere too or can be computed further out, stays as it is.
        """
        if isinstance(node, sympy.Add):
            factor, rest = _common_factor(node)
            return node if factor == 1 else sympy.Mul(factor, rest, evaluate=False)
        here = len(self.scopes) - 1
        inside = [a for a in node.args if not self._deserves_name(a, min(self.level(a), here), here)]
        parts = [_common_factor(a) if a in inside else (sympy.S.One, a) for a in node.args]
        if all(factor == 1 for factor, _ in parts):
            return node
        number = sympy.Mul(*(factor for factor, _ in parts), *(a for a in node.args if a.is_Number))
        others = [rest for _, rest in parts if not rest.is_Number]
        return sympy.Mul(*((number,) if number != 1 else ()), *others, evaluate=False)

    def _once(self, node: sympy.Expr) -> sympy.Basic:
        """Return an expression under a name."""
        found = self.emit(node)
        return found if found.is_Symbol else self._name(node, min(self.level(node), len(self.scopes) - 1))

    def _grouped(self, node: sympy.Expr) -> sympy.Basic:
        """Write a sum or product in an order that no naming changes, what is fixed outside the loop first.

        Plain values come first, so that differences are taken before anything else is added; and the order depends on
        the expression alone, so that every kernel that computes it rounds alike.
        """
        here = len(self.scopes) - 1
        ordered = sorted(node.args, key=_written_order)
        outer = [a for a in ordered if min(self.level(a), here) < here and not a.is_Number]
        if len(outer) > 1 and len(outer) < len(ordered):
            if isinstance(node, sympy.Mul) and sympy.S.NegativeOne in ordered:
                outer.insert(0, sympy.S.NegativeOne)
            inner = [self.emit(a) for a in ordered if a not in outer]
            return node.func(self.emit(node.func(*outer)), *inner, evaluate=False)
        return node.func(*(self.emit(a) for a in ordered), evaluate=False)

    def _base(self, node: sympy.Basic) -> str:
        if node in self.hints:
            return self.hints[node]
        match node:
            case LabelAccess():
                return self.symbols.get(node.name, node.name)
            case Access():
                gathers = [s.name for s in node.slots if isinstance(s, LabelAccess)]
                own = self.symbols.get(node.name, node.name)
                return f"{own}_{self.symbols.get(gathers[0], gathers[0])}" if gathers else own
            case sympy.Pow():
                return "inverse" if node.exp.is_negative else "square" if node.exp == 2 else "power"
            case sympy.Mul():
                return "factor"
            case sympy.Add():
                return "term"
            case sympy.Piecewise():
                return "case"
            case log1p_unit():
                return "log1p_value"
            case shrunk() if isinstance(node.args[0], raised_decay):
                return "decay"
            case _:
                return f"{type(node).__name__}_value"

    def block(self, nodes: tuple[Node, ...], own: tuple[sympy.Symbol, ...] = ()) -> tuple[Node, ...]:
        """Name the scalars of a block, whose loop sets `own`, and of the loops in it."""
        self.scopes.append(_Scope())
        depth = len(self.scopes) - 1
        for symbol in own:
            self.depth[symbol.name] = depth
        scope = self.scopes[-1]
        for node in nodes:
            match node:
                case Assign():
                    # an assigned value is the name of its own expression
                    expression = self._rebuild(node.expression) if node.expression.args else node.expression
                    scope.nodes.append(replace(node, expression=expression))
                    self.depth[node.name] = depth
                case Begin() | Finish() | Buffer():
                    scope.nodes.append(node)
                    self.depth[node.name] = depth
                case Loop() | Blocks():
                    for name in _written(node.body):
                        self.depth[name] = max(depth, self.depth.get(name, 0))
                    own = (START,) if isinstance(node, Blocks) else (node.index, ROW) if node.block else (node.index,)
                    scope.nodes.append(replace(node, body=self.block(node.body, own)))
                    self.depth |= dict.fromkeys(_written(node.body), depth)  # complete from here on
                case Multiply() | Columns():
                    scope.nodes.append(node)
                case Update():
                    compared = node.op not in ("sum", "norm")  # written more than once
                    found = self._once(node.expression) if compared else self.emit(node.expression)
                    scope.nodes.append(replace(node, expression=found, where=self.emit(node.where)))
                case Store():
                    slots = tuple(self.emit(k) if isinstance(k, Access) else k for k in node.slots)
                    entry = Access(node.array, *node.slots)
                    stored = self.emit(node.expression)
                    kept = node.array in self.buffers and self.counts[entry] > 0 and _is_whole(node)
                    if kept and not stored.is_Symbol:
                        name = fresh_name(f"{node.array}_now", self.taken)
                        self.depth[name] = depth
                        scope.nodes.append(Assign(name, stored))
                        stored = sympy.Symbol(name, real=True)
                    if kept:  # what is read back in the same turn of the loop is what was computed, not yet rounded
                        scope.known[entry] = stored
                    scope.nodes.append(replace(node, expression=stored, where=self.emit(node.where), slots=slots))
                case Skip():
                    scope.nodes.append(replace(node, condition=self.emit(node.condition)))
        return tuple(self.scopes.pop().nodes)


def _common_factor(node: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """Return the number by which all terms of a sum are multiplied, signs apart, and the sum without it."""
    terms = [a.as_coeff_Mul() for a in node.args] if isinstance(node, sympy.Add) else []
    sizes = {abs(number) for number, _ in terms}
    if len(sizes) != 1 or sizes == {sympy.S.One} or not all(size.is_Rational for size in sizes):
        return sympy.S.One, node
    (size,) = sizes
    return size, sympy.Add(*(number / size * rest for number, rest in terms))


@lru_cache(maxsize=1 << 16)
def _names(node: sympy.Basic) -> frozenset[str]:
    """Return the names of the symbols and tensors in an expression."""
    return frozenset(s.name for s in node.free_symbols | node.atoms(Access))


def _is_whole(node: Store) -> bool:
    """Tell whether a store leaves just its expression in its entry."""
    return node.where is sympy.true and not node.guard


def _written_order(part: sympy.Expr) -> tuple[bool, bool, bool]:
    """Return the sort key of a term or factor: numbers, plain values, positive terms, the rest."""
    plain = isinstance(part, Access) or part.is_Atom or _is_signed_leaf(part)
    return not part.is_Number, not plain, part.could_extract_minus_sign()


def _written(nodes: tuple[Node, ...]) -> Iterator[str]:
    """Return the arrays a loop writes: whoever reads them comes after it."""
    for node in nodes:
        match node:
            case Store():
                yield node.array
            case Multiply():
                yield node.target.name
            case Columns():
                yield from (node.peak, node.winner, node.rest)
            case Loop() | Blocks():
                yield from _written(node.body)


def _is_signed_leaf(node: sympy.Basic) -> bool:
    """Tell whether naming would gain nothing: a number, a symbol, or either with a sign."""
    if node.is_Atom or isinstance(node, Access):
        return True
    return isinstance(node, sympy.Mul) and len(node.args) == 2 and node.args[0] == -1 and _is_signed_leaf(node.args[1])


def _count(nodes: tuple[Node, ...], counts: Counter[sympy.Basic]) -> None:
    """Count how often each subexpression is used, the inside of a repeated one once."""

    def visit(node: sympy.Basic) -> None:
        counts[node] += 1
        if counts[node] == 1:
            for argument in node.args:
                if isinstance(argument, sympy.Basic):
                    visit(argument)

    for node in nodes:
        match node:
            case Loop() | Blocks():
                _count(node.body, counts)
            case Assign() | Store():
                visit(node.expression)
            case Update():
                visit(node.expression)
                visit(node.where)


def name_scalars(
    nodes: tuple[Node, ...],
    hints: Mapping[sympy.Basic, str],
    comments: Mapping[sympy.Basic, str],
    symbols: Mapping[str, str],
    arrays: frozenset[str],
    taken: set[str],
    *,
    apart: bool = False,
) -> tuple[Node, ...]:
    """Name the scalars of a kernel.

    Parameters
    ----------
    nodes : tuple of Node
        The loop nest.
    hints, comments : mapping
        Names and mathematics of expressions.
    symbols : mapping of str to str
        The symbol of each input.
    arrays : frozenset of str
        Tensors whose entries are loaded into a local.
    taken : set of str
        Names in use.
    apart : bool
        Whether every function that is a polynomial in the kernel gets a name, so that it can have a loop of its own.

    Returns
    -------
    tuple of Node
        The same computation, with locals.
    """
    counts: Counter[sympy.Basic] = Counter()
    _count(nodes, counts)
    buffers = {node.name: node.dtype for node in nodes if isinstance(node, Buffer)}
    return _Namer(hints, comments, symbols, arrays, buffers, counts, taken, apart).block(nodes)
