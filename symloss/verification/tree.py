"""A formula as closures: SymPy's tree and the language's nodes, compiled once, evaluated at many points.

In comes the formula as the author wrote it, out goes a function from a `Point` to a ball or series. Named values and
reductions are computed once for each value of their indices, as the formula itself shares them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import flint
import sympy

from symloss.language import atoms
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, Flag, LabelAccess, Let, Reduction
from symloss.verification import series
from symloss.verification.point import Point, moving, note_gap
from symloss.verification.series import Value, constant

Run = Callable[[Point], Value]
Holds = Callable[[Point], bool]

FUNCTIONS: dict[type, Callable[[Value], Value]] = {
    sympy.exp: lambda v: v.exp(),
    sympy.log: series.logarithm,
    sympy.cos: lambda v: v.cos(),
    sympy.sin: lambda v: v.sin(),
    sympy.acos: lambda v: v.acos(),
    sympy.tanh: series.hyperbolic_tangent,
}
KINKED: dict[type, Callable[[Value], Value]] = {
    sympy.Abs: series.magnitude,
    atoms.magnitude: series.magnitude,
    atoms.positive_part: series.positive_part,
}
RELATIONS = {"==": (0,), "!=": (-1, 1), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}


def compile_formula(node: sympy.Basic) -> Run:
    """Return a function that evaluates a node at a point."""
    return _Compiler({}).run(node)


def compile_condition(node: sympy.Basic) -> Holds:
    """Return a function that decides a condition at a point."""
    return _Compiler({}).holds(node)


@dataclass(frozen=True)
class _Compiler:
    """Closures by node, so that equal nodes are compiled once."""

    done: dict[sympy.Basic, Run]

    def run(self, node: sympy.Basic) -> Run:
        if node not in self.done:
            self.done[node] = self._run(node)
        return self.done[node]

    def _run(self, node: sympy.Basic) -> Run:
        match node:
            case Index():
                return lambda point: point.indices[node.name]
            case Size():
                return lambda point: flint.arb(point.sizes[node.name])
            case LabelAccess():
                return self._label(node)
            case Access():
                return self._access(node)
            case Let():
                return self._named(node)
            case Reduction():
                return self._reduction(node)
            case sympy.Rational():
                return _number(int(node.p), int(node.q))
            case sympy.Symbol():
                return _parameter(node.name)
            case sympy.Add():
                parts = [self.run(a) for a in node.args]
                return lambda point: series.add(p(point) for p in parts)
            case sympy.Mul():
                factors = [self.run(a) for a in node.args]
                return lambda point: series.multiply([lambda f=f: f(point) for f in factors])  # type: ignore[misc]
            case sympy.Pow():
                return self._power(node)
            case sympy.Piecewise():
                cases = [(self.run(value), self.holds(condition)) for value, condition in node.args]
                return lambda point: next(value(point) for value, holds in cases if holds(point))
            case sympy.Max() | sympy.Min():
                options = [self._measured(a) for a in node.args]
                direction = 1 if isinstance(node, sympy.Max) else -1
                return lambda point: _taken([o(point) for o in options], direction, point, node)
        return self._function(node)

    def _function(self, node: sympy.Basic) -> Run:
        if node is sympy.pi:
            return lambda point: flint.arb.pi()
        if isinstance(node, atoms.ratio):
            top, bottom = (self.run(a) for a in node.args)
            return lambda point: series.ratio(top(point), bottom(point))
        if isinstance(node, sympy.atan2):
            top, bottom = (self.run(a) for a in node.args)
            return lambda point: series.arctangent(top(point), bottom(point))
        function = FUNCTIONS.get(type(node))
        if function is not None:
            inner = self.run(node.args[0])
            return lambda point: function(series.as_ball(inner(point)))
        if type(node) in KINKED:
            return _kinked(KINKED[type(node)], self._measured(node.args[0]))
        if isinstance(node, atoms.Atom):
            return self.run(node.textbook())
        message = f"the oracle does not know {type(node).__name__}: {node}"
        raise NotImplementedError(message)

    def _measured(self, node: sympy.Basic) -> Run:
        """Note how far the terms of a kink's argument cancel: that is how near the kink is, as rounding sees it."""
        if not isinstance(node, sympy.Add):
            return self.run(node)
        parts = [self.run(a) for a in node.args]

        def run(point: Point) -> Value:
            values = [p(point) for p in parts]
            total = series.add(values)
            note_gap(point, constant(total), series.add(abs(constant(v)) for v in values), node)
            return total

        return run

    def _power(self, node: sympy.Pow) -> Run:
        base = self.run(node.base)
        if node.exp.is_Integer:
            count = int(node.exp)
            return lambda point: series.whole_power(base(point), count)
        if abs(node.exp) == sympy.S.Half:
            if node.exp > 0:
                return lambda point: series.square_root(series.as_ball(base(point)))
            return lambda point: series.divide(flint.arb(1), series.square_root(series.as_ball(base(point))))
        exponent = self.run(node.exp)
        return lambda point: series.power(series.as_ball(base(point)), exponent(point))

    def _slots(self, node: Access) -> Callable[[Point], tuple[int, ...]]:
        slots = [self.run(s) for s in node.slots]
        return lambda point: tuple([s(point) for s in slots])

    def _label(self, node: LabelAccess) -> Run:
        name, slots = node.name, self._slots(node)
        return lambda point: int(point.tensors[name][slots(point)])

    def _access(self, node: Access) -> Run:
        name, slots = node.name, self._slots(node)

        def read(point: Point) -> Value:
            at = slots(point)
            return moving(flint.arb(float(point.tensors[name][at])), point.directions.get(name), at)

        return read

    def _named(self, node: Let) -> Run:
        """Read a named value; its body sees its own indices only."""
        names = [k.name for k in node.formals]
        actuals, body = [self.run(a) for a in node.actuals], self.run(node.body)

        def read(point: Point) -> Value:
            at = tuple([a(point) for a in actuals])
            key = (body, at)
            if key not in point.known:
                outer, point.indices = point.indices, dict(zip(names, at, strict=True))
                point.known[key] = body(point)
                point.indices = outer
            return point.known[key]

        return read

    def _reduction(self, node: Reduction) -> Run:
        body, where, operation = self.run(node.body), self.holds(node.where), node.operation
        empty = self.run(node.empty) if node.empty is not sympy.nan else None
        bound = [(k.name, k.axis.name) for k in node.bound]
        free = sorted(s.name for s in node.free_symbols if isinstance(s, Index))
        owner = object()

        def entries(point: Point) -> list[Value]:
            found, outer = [], point.indices
            for position in itertools.product(*(range(point.sizes[axis]) for _, axis in bound)):
                point.indices = outer | {name: at for (name, _), at in zip(bound, position, strict=True)}
                if where(point):
                    found.append(body(point))
            point.indices = outer
            return found

        def reduce(point: Point) -> Value:
            key = (owner, tuple([point.indices[k] for k in free]))
            if key not in point.known:
                values = entries(point)
                vacant = not values and empty is not None
                point.known[key] = empty(point) if vacant and empty else _reduce(operation, values, point)
            return point.known[key]

        return reduce

    def holds(self, node: sympy.Basic) -> Holds:
        match node:
            case sympy.logic.boolalg.BooleanAtom():
                return lambda point: bool(node)
            case sympy.And():
                parts = [self.holds(a) for a in _flags_first(node)]
                return lambda point: all(p(point) for p in parts)
            case sympy.Or():
                parts = [self.holds(a) for a in _flags_first(node)]
                return lambda point: any(p(point) for p in parts)
            case sympy.Not():
                part = self.holds(node.args[0])
                return lambda point: not part(point)
            case sympy.Symbol() if node.name.endswith("_given"):
                name = node.name.removesuffix("_given")
                return lambda point: point.scalars[name] is not None
            case Flag():
                return lambda point: bool(point.scalars[node.name])
            case sympy.core.relational.Relational():
                left, right = (self.run(a) for a in node.args)
                allowed = RELATIONS[node.rel_op]
                return lambda point: _compare(left(point), right(point), point, node) in allowed
        message = f"the oracle cannot decide {node}"
        raise NotImplementedError(message)


def _number(numerator: int, denominator: int) -> Run:
    """Return a rational: an integer is exact, a fraction a ball at the working precision."""
    if denominator == 1:
        ball = flint.arb(numerator)
        return lambda point: ball
    fraction = flint.fmpq(numerator, denominator)
    return lambda point: flint.arb(fraction)


def _flags_first(node: sympy.Basic) -> list[sympy.Basic]:
    """Put flags before the rest: what follows may read a parameter that is only there where the flag holds."""

    def rank(part: sympy.Basic) -> tuple[bool, str]:
        return not isinstance(part.args[0] if isinstance(part, sympy.Not) else part, sympy.Symbol), str(part)

    return sorted(node.args, key=rank)


def _kinked(function: Callable[[Value], Value], inner: Run) -> Run:
    def run(point: Point) -> Value:
        value = series.as_ball(inner(point))
        point.tied = point.tied or constant(value).is_zero()
        return function(value)

    return run


def _largest(values: list[Value], direction: int, point: Point) -> Value:
    point.tied = point.tied or series.ties(values)
    return series.largest(values, direction)


def _taken(values: list[Value], direction: int, point: Point, node: sympy.Basic) -> Value:
    """Return the largest of some values, and note how near the next is; from 0, a number is as far as it is large."""
    *_, second, first = sorted(map(constant, values), key=lambda value: direction * float(value.mid()))
    if not (first.is_zero() or second.is_zero()):
        note_gap(point, first - second, abs(first) + abs(second), node)
    return _largest(values, direction, point)


def _parameter(name: str) -> Run:
    def read(point: Point) -> Value:
        value = point.scalars[name]
        return moving(flint.arb(int(value) if isinstance(value, int) else float(value)), point.directions.get(name), ())

    return read


def _reduce(operation: str, values: list[Value], point: Point) -> Value:
    match operation:
        case "sum":
            return series.add(values)
        case "logsumexp":
            return series.log_sum_exp(values)
        case "norm":
            return series.norm(values)
        case "max" | "min":
            return _largest(values, 1 if operation == "max" else -1, point)
    message = f"the oracle does not know the reduction {operation}"
    raise NotImplementedError(message)


def _compare(left: Value, right: Value, point: Point, comparison: object) -> int:
    """Return the order of two values at the point; conditions are constants to derivatives."""
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    first, second = constant(left), constant(right)
    difference = first - second
    order = series.sign(difference)
    point.tied = point.tied or order == 0
    note_gap(point, difference, abs(first) + abs(second), comparison)
    return order
