"""What a kernel and its mutant both have of a number, and what their text says of names and comparisons."""

from __future__ import annotations

import ast
import copy
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

Fact = tuple[str, str, str]


Facts = dict[Fact, bool]


@dataclass(frozen=True)
class Both:
    """What the kernel and the mutant have in one place.

    Parameters
    ----------
    known : tuple of two objects, optional
        The constants of both.
    equal : bool
        Whether both are the same.
    zero : bool
        Whether both are 0, or both NaN.
    signed : bool
        Whether a 0 has the same sign in both.
    """

    known: tuple[Any, Any] | None = None
    equal: bool = True
    zero: bool = False
    signed: bool = True


EQUAL, ANY = Both(), Both(equal=False)


UNSIGNED_ZERO = Both(zero=True, signed=False)


COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip


ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


def constants_of(first: Any, second: Any) -> Both:
    """Return what is known of two constants."""
    same = first == second or (first != first and second != second)
    zero = bool(isinstance(first, float) and first == 0 == second)
    signed = not zero or math.copysign(1.0, first) == math.copysign(1.0, second)
    return Both((first, second), bool(same), zero, signed)


def joined(first: Both, second: Both) -> Both:
    """Return what holds of either."""
    if first == second:
        return first
    if not (first.equal and second.equal):
        return ANY
    return Both(zero=first.zero and second.zero, signed=first.signed and second.signed)


def unknown(value: Both) -> Both:
    """Return what is left of a value where a loop may have changed it."""
    return Both(equal=value.equal, zero=value.zero, signed=value.signed)


def number_of(value: Any) -> Any:
    """Return a constant as arithmetic takes it."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def entry_of(numbers: Any, place: Any) -> Any:
    """Return a part of a tuple."""
    return numbers[int(place)]


def unheard(*_: Any) -> Any:
    """Stand for an operation whose results are not computed."""
    raise TypeError


def is_same(one: ast.AST, two: ast.AST) -> bool:
    """Tell whether two trees are one text."""
    return one is two or (type(one) is type(two) and ast.dump(one) == ast.dump(two))


def choice_of(node: ast.AST) -> tuple[ast.expr, ast.expr, ast.expr] | None:
    """Return the test of a choice, and what it chooses from; None of anything else."""
    match node:
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return test, body, orelse
        case ast.Call(func=ast.Name(id="_choose"), args=[test, body, orelse]):
            return test, body, orelse
    return None


def facts_of(test: ast.expr, wanted: bool) -> Iterator[tuple[Fact, bool]]:
    """Yield the comparisons that are decided where a test says what is wanted."""
    match test:
        case ast.Compare(ops=[_]):
            fact, straight = canonical(test)
            yield fact, wanted is straight
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from facts_of(operand, not wanted)
        case ast.BoolOp(op=op, values=values) if isinstance(op, ast.And) is wanted:
            for value in values:
                yield from facts_of(value, wanted)


def canonical(test: ast.Compare) -> tuple[Fact, bool]:
    """Return a comparison in one form, and whether the form says what it says, or the opposite."""
    left, right = (
        repr(float(o.value)) if isinstance(o, ast.Constant) and isinstance(o.value, int | float) else ast.unparse(o)
        for o in (test.left, test.comparators[0])
    )
    name = type(test.ops[0]).__name__
    if name in ("Eq", "NotEq"):
        return (min(left, right), "Eq", max(left, right)), name == "Eq"
    return (left, name, right), True


def equality(one: str, two: str) -> Fact:
    """Return the comparison that says that two names are equal."""
    return min(one, two), "Eq", max(one, two)


def is_lasting(function: ast.FunctionDef, fact: Fact) -> bool:
    """Tell whether a comparison says the same until a name in it is assigned: nothing that it reads is stored to."""
    stored = {
        n.value.id for n in ast.walk(function)
        if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)
    }  # fmt: skip
    handed = {n for e in ast.walk(function) if isinstance(e, ast.Expr) for n in mentioned(e)}
    return not names_in(fact) & (stored | handed)


@cache
def names_in(fact: Fact) -> set[str]:
    """Return the names in a comparison."""
    return {name for part in (fact[0], fact[2]) for name in mentioned(ast.parse(part))}


def mentioned(tree: ast.AST) -> set[str]:
    """Return the names in a tree."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def targets_of(statement: ast.stmt) -> set[str]:
    """Return the names that one statement assigns, what is in it aside."""
    targets: list[ast.AST] = [*getattr(statement, "targets", ()), getattr(statement, "target", ast.Pass())]
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def assigned_in(tree: ast.AST) -> set[str]:
    """Return the names that are assigned in a tree."""
    return {n for s in ast.walk(tree) if isinstance(s, ast.stmt) for n in targets_of(s)}


@dataclass(frozen=True)
class Text:
    """Where the names of a function are assigned, and where they are read or added to."""

    assigned: dict[str, list[ast.stmt]]
    read: dict[str, list[ast.AST]]


def text_of(function: ast.FunctionDef) -> Text:
    """Return where the names of a function stand."""
    found = Text({}, {})
    for node in ast.walk(function):
        if isinstance(node, ast.stmt):
            for name in targets_of(node):
                found.assigned.setdefault(name, []).append(node)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.read.setdefault(node.target.id, []).append(node.target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.read.setdefault(node.id, []).append(node)
    return found


def reading_of(target: ast.expr) -> ast.expr:
    """Return the expression that reads what is assigned."""
    found = copy.copy(target)
    found.ctx = ast.Load()  # type: ignore[attr-defined]
    return found
