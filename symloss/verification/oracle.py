"""The oracle: balls of certified radius, on the textbook formula as the author wrote it.

A definition's formula is compiled once into closures over truncated power series with ball coefficients, so that
``f(x + t v)`` gives value, slope and curvature along a direction. Precision is raised until each ball pins one float; a
bare midpoint is never taken. Nothing of the compiler is used: no rule, no derivative, no printer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
import sympy

from symloss.language.atoms import Atom, magnitude, positive_part
from symloss.language.axes import Index, Size
from symloss.language.definition import Definition, axes_of
from symloss.language.nodes import Access, Flag, LabelAccess, Let, Reduction

Series = Any
Run = Callable[["Point"], Any]

ENOUGH = 80
"""Bits to which a ball must be known: 53 of a double, and some for the distance to a tie."""
MOST = 1 << 17
"""Bits of working precision at which the oracle gives up."""


class Undecided(ArithmeticError):
    """A ball that straddles a breakpoint or is too wide; more precision may help."""


@dataclass
class Point:
    """Where a formula is evaluated: values, a direction, sizes, and the indices that are set."""

    tensors: Mapping[str, Any]
    scalars: Mapping[str, Any]
    directions: Mapping[str, Any]
    sizes: Mapping[str, int]
    indices: dict[str, int]
    gap: float = 1.0


@dataclass(frozen=True)
class Oracle:
    """The formula of a definition, ready to be evaluated at points."""

    definition: Definition
    run: Run

    def along(
        self,
        tensors: Mapping[str, Any],
        scalars: Mapping[str, Any],
        directions: Mapping[str, Any],
        order: int,
        sample: tuple[int, ...] = (0,),
    ) -> tuple[Any, ...]:
        """Return value and derivatives of one sample's loss along a direction, as balls that pin a float each.

        Parameters
        ----------
        tensors, scalars : mapping
            Inputs and tensor parameters as arrays; scalar parameters, None where left out.
        directions : mapping
            For each input or parameter that moves, an array or number.
        order : int
            The highest derivative, 0 to 2.
        sample : tuple of int
            Which sample.

        Returns
        -------
        tuple of flint.arb
            ``f(0), f'(0), ..., f^(order)(0)`` for ``f(t) = loss(x + t v)``.

        Raises
        ------
        Undecided
            Where even the highest precision does not pin a float.
        """
        return self._evaluate(self._point(tensors, scalars, directions, sample), order)

    def gap(self, tensors: Mapping[str, Any], scalars: Mapping[str, Any], sample: tuple[int, ...] = (0,)) -> float:
        """Return how near the closest comparison is to a tie, relative to what is compared; 0 at a tie."""
        point = self._point(tensors, scalars, {}, sample)
        self._evaluate(point, 0)
        return point.gap

    def _point(
        self, tensors: Mapping[str, Any], scalars: Mapping[str, Any], directions: Mapping[str, Any],
        sample: tuple[int, ...],
    ) -> Point:  # fmt: skip
        indices = {k.name: n for k, n in zip(self.definition.per, sample, strict=True)}
        return Point(tensors, scalars, directions, _sizes(self.definition, tensors), indices)

    def _evaluate(self, point: Point, order: int) -> tuple[Any, ...]:
        """Evaluate at rising precision until every derivative pins a float."""
        before = flint.ctx.prec, flint.ctx.cap
        bits = 128
        try:
            while bits <= MOST:
                flint.ctx.prec, flint.ctx.cap = bits, order + 1
                try:
                    return _derivatives(_series(self.run(point)), order, bits)
                except (Undecided, ZeroDivisionError, ValueError):
                    bits *= 3
        finally:
            flint.ctx.prec, flint.ctx.cap = before
        message = f"{self.definition.name}: undecided at {bits // 3} bits"
        raise Undecided(message)


def oracle_of(definition: Definition) -> Oracle:
    """Return the oracle of a definition."""
    return Oracle(definition, _compile(definition.formula))


def counts(
    definition: Definition, tensors: Mapping[str, Any], scalars: Mapping[str, Any], sample: tuple[int, ...]
) -> bool:
    """Tell whether a sample counts."""
    indices = {k.name: n for k, n in zip(definition.per, sample, strict=True)}
    point = Point(tensors, scalars, {}, _sizes(definition, tensors), indices)
    return bool(_condition(definition.where)(point))


def _sizes(definition: Definition, tensors: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for argument in definition.arguments:
        axes = argument.axes
        if not axes and argument.role == "input" and definition.elementwise:
            axes = (definition.per[0].axis,)
        for axis, size in zip(axes, np.shape(tensors.get(argument.name, ())), strict=False):
            found[axis.name] = size
    missing = [axis.name for axis in axes_of(definition.arguments) if axis.name not in found]
    return found | dict.fromkeys(missing, 1)


def _series(value: Any) -> Any:
    return value if isinstance(value, flint.arb_series) else flint.arb_series([value])


def _derivatives(series: Any, order: int, bits: int) -> tuple[Any, ...]:
    """Return the derivatives in a series, if every one pins a float."""
    found = []
    for k in range(order + 1):
        ball = series[k] * (2 if k == 2 else 1)
        if not ball.is_finite():
            raise Undecided
        if ball.is_zero():
            found.append(ball)
            continue
        if ball.rel_accuracy_bits() < ENOUGH:
            # a derivative that is exactly 0 cancels to a ball around 0, whose radius shrinks with the precision
            if ball.contains(0) and bits > 8000 and abs(ball).upper() < flint.arb(2) ** -1200:
                found.append(flint.arb(0))
                continue
            raise Undecided
        found.append(ball)
    return tuple(found)


def _constant(value: Any) -> Any:
    return value[0] if isinstance(value, flint.arb_series) else value


def _sign(value: Any) -> int:
    """Return the sign of a ball; a ball around 0 that is not exactly 0 is undecided."""
    ball = flint.arb(_constant(value))
    if ball.is_zero():
        return 0
    if ball > 0:
        return 1
    if ball < 0:
        return -1
    raise Undecided


def _entry(array: Any, slots: tuple[int, ...]) -> Any:
    return flint.arb(float(array[slots]))


def _compile(node: sympy.Basic) -> Run:
    """Return a closure that evaluates a node at a point."""
    match node:
        case Index():
            return lambda point: point.indices[node.name]
        case Size():
            return lambda point: flint.arb(point.sizes[node.name])
        case LabelAccess():
            slots = [_compile(s) for s in node.slots]
            return lambda point: int(point.tensors[node.name][tuple(s(point) for s in slots)])
        case Access():
            return _access(node)
        case Let():
            return _compile(node.inlined)
        case Reduction():
            return _reduction(node)
        case sympy.Rational():
            p, q = int(node.p), int(node.q)
            return lambda point: flint.arb(p) / q if q != 1 else flint.arb(p)
        case sympy.pi:
            return lambda point: flint.arb.pi()
        case sympy.Symbol():
            return _parameter(node.name)
        case positive_part():
            x = _compile(node.args[0])
            return lambda point: v if _sign(v := x(point)) > 0 else flint.arb(0)
        case magnitude() | sympy.Abs():
            return _magnitude(_compile(node.args[0]))
        case Atom():
            return _compile(node.textbook())
        case sympy.Piecewise():
            cases = [(_compile(value), _condition(condition)) for value, condition in node.args]
            return lambda point: next(value(point) for value, holds in cases if holds(point))
        case sympy.Add():
            parts = [_compile(a) for a in node.args]
            return lambda point: sum((p(point) for p in parts[1:]), parts[0](point))
        case sympy.Mul():
            return _product([_compile(a) for a in node.args])
        case sympy.Pow():
            return _power(_compile(node.base), node.exp)
        case sympy.Max() | sympy.Min():
            return _extreme([_compile(a) for a in node.args], 1 if isinstance(node, sympy.Max) else -1)
    return _function(node)


def _access(node: Access) -> Run:
    slots = [_compile(s) for s in node.slots]
    name = node.name

    def read(point: Point) -> Any:
        at = tuple(s(point) for s in slots)
        value = _entry(point.tensors[name], at)
        if name in point.directions:
            slope = _entry(point.directions[name], at)
            if not slope.is_zero():
                return flint.arb_series([value, slope])
        return value

    return read


def _parameter(name: str) -> Run:
    def read(point: Point) -> Any:
        value = point.scalars[name]
        if isinstance(value, bool | int) and name not in point.directions:
            return flint.arb(int(value))
        slope = point.directions.get(name)
        ball = flint.arb(float(value))
        return ball if slope is None else flint.arb_series([ball, flint.arb(float(slope))])

    return read


def _magnitude(inner: Run) -> Run:
    def run(point: Point) -> Any:
        value = inner(point)
        sign = _sign(value)
        return value * sign if sign else flint.arb(0)  # at the kink the derivative is 0

    return run


def _product(parts: list[Run]) -> Run:
    def run(point: Point) -> Any:
        total = flint.arb(1)
        for part in parts:
            value = part(point)
            if not isinstance(value, flint.arb_series) and value.is_zero():
                return flint.arb(0)  # a term whose weight is 0 is not there
            total = total * value
        return total

    return run


def _power(base: Run, exponent: sympy.Expr) -> Run:
    if exponent.is_Integer:
        count = int(exponent)

        def whole(point: Point) -> Any:
            value, result = base(point), flint.arb(1)
            for _ in range(abs(count)):
                result = result * value
            return result if count >= 0 else 1 / result

        return whole
    if exponent == sympy.S.Half:
        return lambda point: base(point).sqrt()
    power = _compile(exponent)

    def general(point: Point) -> Any:
        value, by = base(point), power(point)
        if flint.arb(_constant(by)).is_zero() and not isinstance(by, flint.arb_series):
            return flint.arb(1)
        if flint.arb(_constant(value)).is_zero():
            return flint.arb(0)
        return (value.log() * by).exp()

    return general


def _extreme(parts: list[Run], sign: int) -> Run:
    def run(point: Point) -> Any:
        best, tied = parts[0](point), False
        for part in parts[1:]:
            value = part(point)
            order = _sign((value - best) * sign)
            tied = tied or order == 0
            best = value if order > 0 else best
        return flint.arb(_constant(best)) if tied else best

    return run


def _function(node: sympy.Basic) -> Run:
    inner = _compile(node.args[0])
    match type(node).__name__:
        case "exp":
            return lambda point: inner(point).exp()
        case "log":

            def logarithm(point: Point) -> Any:
                value = inner(point)
                if _sign(value) <= 0:
                    raise Undecided
                return value.log()

            return logarithm
        case "cos":
            return lambda point: inner(point).cos()
        case "sin":
            return lambda point: inner(point).sin()
        case "acos":
            return lambda point: inner(point).acos()
        case name:
            message = f"the oracle does not know the function {name}"
            raise NotImplementedError(message)


def _reduction(node: Reduction) -> Run:
    body, where = _compile(node.body), _condition(node.where)
    empty = _compile(node.empty) if node.empty is not sympy.nan else None
    names = [(k.name, k.axis.name) for k in node.bound]

    def entries(point: Point) -> list[Any]:
        before, found = dict(point.indices), []
        for position in itertools.product(*(range(point.sizes[axis]) for _, axis in names)):
            point.indices.update(zip((n for n, _ in names), position, strict=True))
            if where(point):
                found.append(body(point))
        point.indices.clear()
        point.indices.update(before)
        return found

    def run(point: Point) -> Any:
        values = entries(point)
        if not values and empty is not None:
            return empty(point)
        match node.operation:
            case "sum":
                return sum(values, flint.arb(0))
            case "logsumexp":
                return sum((v.exp() for v in values), flint.arb(0)).log()
            case "norm":
                return sum((v * v for v in values), flint.arb(0)).sqrt()
            case operation:
                best = values[0]
                for value in values[1:]:
                    best = value if _sign(value - best) * (1 if operation == "max" else -1) > 0 else best
                return best

    return run


def _condition(node: sympy.Basic) -> Callable[[Point], bool]:
    """Return a closure that decides a condition on the constant coefficients of the balls."""
    match node:
        case sympy.logic.boolalg.BooleanAtom():
            return lambda point: bool(node)
        case sympy.And():
            parts = [_condition(a) for a in node.args]
            return lambda point: all(p(point) for p in parts)
        case sympy.Or():
            parts = [_condition(a) for a in node.args]
            return lambda point: any(p(point) for p in parts)
        case sympy.Not():
            part = _condition(node.args[0])
            return lambda point: not part(point)
        case Flag():
            name = node.name
            if name.endswith("_given"):
                return lambda point: point.scalars[name.removesuffix("_given")] is not None
            return lambda point: bool(point.scalars[name])
        case sympy.Symbol() if node.name.endswith("_given"):
            return lambda point: point.scalars[node.name.removesuffix("_given")] is not None
        case sympy.core.relational.Relational():
            left, right = (_compile(a) for a in node.args)
            allowed = {"==": (0,), "!=": (-1, 1), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}[node.rel_op]
            return lambda point: _compare(left(point), right(point), point) in allowed
    message = f"the oracle cannot decide {node}"
    raise NotImplementedError(message)


def _compare(left: Any, right: Any, point: Point) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    difference, size = _constant(left) - _constant(right), abs(_constant(left)) + abs(_constant(right))
    order = _sign(difference)
    if size > 0:
        point.gap = min(point.gap, float((abs(difference) / size).mid()))
    return order
