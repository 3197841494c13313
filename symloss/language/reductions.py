"""What an author builds formulas with besides SymPy's functions: reductions, named values, cases, options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

from symloss.language.atoms import arctangent, held, magnitude, ratio
from symloss.language.axes import Index
from symloss.language.errors import fail
from symloss.language.nodes import Flag, Let, Reduction, given_flag


def free_indices(node: sympy.Basic) -> tuple[Index, ...]:
    """Return the indices that occur free in a node, by name."""
    found = (s for s in node.free_symbols if isinstance(s, Index))
    return tuple(sorted(found, key=lambda index: index.name))


def _reduce(operation: str, over: Any, body: Any, where: Any, empty: Any) -> sympy.Expr:
    bound = over if isinstance(over, tuple) else (over,)
    body, where = sympy.sympify(body), sympy.sympify(where)
    for index in bound:
        if not isinstance(index, Index):
            fail(f"{operation}: expected an index to reduce over, got {index!r}")
        if index not in body.free_symbols | where.free_symbols:
            fail(f"{operation}: neither the body {body} nor the mask depends on the index {index}")
    if where is not sympy.true and operation != "sum" and empty is None:
        fail(f"{operation}: a masked {operation} must say what it is when the mask is empty: empty=...")
    if where is sympy.true or empty is None:
        return Reduction(operation, body, bound, where, sympy.nan if empty is None else empty)
    empty = sympy.sympify(empty)
    if isinstance(empty, sympy.Number):
        if not empty.is_finite:
            fail(f"{operation}: empty must be a finite number or a formula, got {empty}")
        return Reduction(operation, body, bound, where, empty)
    some = sympy.Gt(sum_over(over, sympy.S.One, where), 0)
    return choose(some, Reduction(operation, body, bound, where, sympy.S.Zero), empty)


def _nested(operation: str, over: Any, body: Any, where: Any, empty: Any) -> sympy.Expr:
    """Reduce over one index at a time, the last first: a winner is one index, whose gradient that of the next reads."""
    first, *rest = over if isinstance(over, tuple) else (over,)
    if not rest:
        return _reduce(operation, first, body, where, empty)
    return _reduce(operation, first, _nested(operation, tuple(rest), body, where, empty), True, None)


def _extreme(operation: str, over: Any, body: Any, where: Any, empty: Any) -> sympy.Expr:
    if isinstance(over, tuple) and len(over) > 1 and sympy.sympify(where) is not sympy.true:
        fail(f"{operation}: expected one index where there is a mask, got {len(over)}; nest {operation}_over instead")
    return _nested(operation, over, body, where, empty)


def sum_over(over: Any, body: Any, where: Any = True) -> sympy.Expr:
    """Sum `body` over an index, or a tuple of them, where the mask holds; an empty sum is 0."""
    return _reduce("sum", over, body, where, None)


def mean_over(over: Any, body: Any, where: Any = True, empty: Any = None) -> sympy.Expr:
    """Average `body` over an index where the mask holds."""
    bound = over if isinstance(over, tuple) else (over,)
    if sympy.sympify(where) is sympy.true:
        return sum_over(over, body) / sympy.prod([k.axis.size for k in bound])
    if empty is None:
        fail("mean: a masked mean must say what it is when the mask is empty: empty=...")
    count = sum_over(over, sympy.S.One, where)
    return choose(sympy.Gt(count, 0), sum_over(over, body, where) / count, empty)


def logsumexp_over(over: Any, body: Any, where: Any = True, empty: Any = None) -> sympy.Expr:
    """Return the logarithm of the sum of exponentials of `body` over an index, `empty` where the mask is empty."""
    return _reduce("logsumexp", over, body, where, empty)


def max_over(over: Any, body: Any, where: Any = True, empty: Any = None) -> sympy.Expr:
    """Return the largest `body` over an index; of equal ones the first gets the gradient."""
    return _extreme("max", over, body, where, empty)


def min_over(over: Any, body: Any, where: Any = True, empty: Any = None) -> sympy.Expr:
    """Return the smallest `body` over an index; of equal ones the first gets the gradient."""
    return _extreme("min", over, body, where, empty)


def norm_over(over: Any, body: Any, where: Any = True, order: Any = 2) -> sympy.Expr:
    """Return the p-norm of `body` over an index where the mask holds, p being the `order`; its gradient at 0 is 0."""
    if order == 2:
        return _reduce("norm", over, body, where, 0)
    sizes = magnitude(sympy.sympify(body))
    if order == 1:
        return sum_over(over, sizes, where)
    order = sympy.Rational(repr(order)) if isinstance(order, float) else order  # the fraction that a decimal says
    largest = held(_nested("max", over, sizes, where, 0))  # no power underflows or overflows
    return largest * sum_over(over, ratio(sizes, largest) ** order, where) ** (1 / order)


def unit_over(over: Any, body: Any) -> sympy.Expr:
    """Return an entry of a vector divided by its Euclidean norm; the zero vector stays 0."""
    return ratio(sympy.sympify(body), norm_over(over, body))


def angle_over(over: Any, left: Any, right: Any) -> sympy.Expr:
    """Return the angle between two unit vectors, accurate for nearly equal and nearly opposite ones too."""
    return 2 * arctangent(norm_over(over, left - right), norm_over(over, left + right))


def softmax(over: Index, body: Any, at: Any) -> sympy.Expr:
    """Return the softmax of `body` over an index, at one of its values or at a label."""
    expression = sympy.sympify(body)
    check_slots("softmax", (over.axis.name,), (at,))
    return sympy.exp(expression.xreplace({over: sympy.sympify(at)}) - logsumexp_over(over, expression))


def choose(condition: Any, then: Any, otherwise: Any) -> sympy.Expr:
    """Return `then` where the condition holds, else `otherwise`; the condition is a constant to derivatives."""
    return sympy.Piecewise((sympy.sympify(then), condition), (sympy.sympify(otherwise), True))


def given(parameter: sympy.Symbol, then: Any, otherwise: Any) -> Any:
    """Return `then` where the optional parameter is given, else `otherwise` (numbers or conditions)."""
    flag = given_flag(parameter.name)
    if isinstance(then, sympy.logic.boolalg.Boolean):
        if otherwise is True:
            return sympy.Or(sympy.Not(flag), then)
        return sympy.Or(sympy.And(flag, then), sympy.And(sympy.Not(flag), sympy.sympify(otherwise)))
    return choose(flag, then, otherwise)


def when(option: Flag, then: Any, otherwise: Any) -> sympy.Expr:
    """Return `then` where the option is set, else `otherwise`."""
    return choose(option, then, otherwise)


def let(name: str, body: Any) -> Any:
    """Give a value the name that a paper would give it."""
    expression = sympy.sympify(body)
    indices = free_indices(expression)
    return Let(name, indices, expression, indices)


@dataclass(frozen=True)
class Named:
    """A named array: index it with as many slots as it was defined with."""

    name: str
    formals: tuple[Index, ...]
    body: sympy.Expr

    def __getitem__(self, slots: Any) -> Any:
        """Return the entry at `slots`."""
        actuals = slots if isinstance(slots, tuple) else (slots,)
        check_slots(self.name, tuple(k.axis.name for k in self.formals), actuals)
        return Let(self.name, self.formals, self.body, tuple(map(sympy.sympify, actuals)))


def define(name: str, *formals: Index) -> Callable[[Any], Named]:
    """Name an array by its entry: ``S = define("S", i, k)(w * cosine + b)``, read as ``S[i, k]`` or ``S[i, i]``."""

    def named(body: Any) -> Named:
        expression = sympy.sympify(body)
        stray = [k for k in free_indices(expression) if k not in formals]
        if stray:
            fail(f"{name}: the index {stray[0]} of {expression} is not among {', '.join(map(str, formals))}")
        return Named(name, formals, expression)

    return named


def slot_axis(slot: Any) -> str | None:
    """Return the name of the axis a slot points into, or None where it is no slot."""
    match slot:
        case Index():
            return slot.axis.name
        case _ if hasattr(slot, "into"):
            return str(slot.into.name)
        case _:
            return None


def check_slots(name: str, axes: tuple[str, ...], slots: tuple[Any, ...]) -> None:
    """Fail unless there is one slot for each axis and each slot ranges over its axis."""
    if len(slots) != len(axes):
        fail(f"{name}: expected {len(axes)} slots ({', '.join(axes)}), got {len(slots)}")
    for number, (axis, slot) in enumerate(zip(axes, slots, strict=True)):
        came = slot_axis(slot)
        if came is None:
            fail(f"{name}: slot {number} must be an index or a label, got {slot!r}")
        if came != axis:
            fail(f"{name}: slot {number} ranges over Axis({axis}), got {slot} over Axis({came})")
