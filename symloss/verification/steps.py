"""Steps of a derivation, one by one: both sides of a rule, a partial derivative beside a difference quotient.

Expressions of the compiler come in; numbers of 60 digits at random points say whether a step holds. One that does not
is an error, so that no page shows it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import mpmath
import sympy

from symloss.language.axes import Index, Size
from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf
from symloss.language.nodes import Access, Flag, LabelAccess
from symloss.program.interpreter import evaluate

DIGITS, POINTS = 60, 8
SHIFT = 20
"""A derivative's difference quotient moves by ten to the power of minus this."""
Scalars = dict[str, object]


class WrongStep(Exception):
    """A step of a derivation whose two sides differ."""


def rule_holds(definition: Definition, before: sympy.Expr, after: sympy.Expr, positive: frozenset[str]) -> int:
    """Return at how many points both sides of a rule agree to 30 digits.

    Parameters
    ----------
    definition : Definition
        Whose arguments lie in domains.
    before, after : sympy.Expr
        Both sides.
    positive : frozenset of str
        Statements that lie between 0 and 1: softmax weights.

    Raises
    ------
    WrongStep
        Where they differ.
    """
    (left, right), symbols = _flattened(before, after)
    agreed = 0
    with mpmath.workdps(DIGITS):
        for scalars in _points(definition, symbols, positive):
            try:
                first, second = (evaluate(side, {}, {}, scalars, {}) for side in (left, right))
            except (ZeroDivisionError, ValueError, OverflowError, StopIteration):
                continue
            if isinstance(first, mpmath.mpc) or isinstance(second, mpmath.mpc) or not mpmath.isfinite(first):
                continue
            agreed += _same(first, second, 30, f"{before} -> {after}")
    return agreed


def slope_holds(
    definition: Definition, line: sympy.Expr, read: sympy.Expr, partial: sympy.Expr, positive: frozenset[str]
) -> int:
    """Return at how many points a partial derivative agrees with a difference quotient to 15 digits.

    Raises
    ------
    WrongStep
        Where they differ.
    """
    (value, slope), symbols = _flattened(line, partial)
    moved = symbols.get(read, read).name
    agreed = 0
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(10) ** -SHIFT
        for scalars in _points(definition, symbols, positive):
            try:
                at = mpmath.mpf(scalars[moved])
                ahead, behind = (evaluate(value, {}, {}, scalars | {moved: at + s}, {}) for s in (step, -step))
                found = evaluate(slope, {}, {}, scalars, {})
            except (ZeroDivisionError, ValueError, OverflowError, StopIteration):
                continue
            if any(isinstance(x, mpmath.mpc) for x in (ahead, behind, found)) or not mpmath.isfinite(found):
                continue
            agreed += _same((ahead - behind) / (2 * step), found, 15, f"d({line})/d({read}) = {partial}")
    return agreed


def _same(first: mpmath.mpf, second: mpmath.mpf, digits: int, what: str) -> bool:
    if abs(first - second) > mpmath.mpf(10) ** -digits * max(1, abs(first)):
        message = f"a step of the derivation does not hold: {what}"
        raise WrongStep(message)
    return True


def _flattened(*sides: sympy.Expr) -> tuple[list[sympy.Basic], dict[sympy.Basic, sympy.Symbol]]:
    """Replace what is read by plain symbols, from the outside in, alike on both sides."""
    found: dict[sympy.Basic, sympy.Symbol] = {}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access | Index | Size):
            return found.setdefault(node, sympy.Symbol(f"read_{len(found)}", integer=_whole(node) or None))
        if isinstance(node, Flag):
            return found.setdefault(node, sympy.Symbol(f"flag_{len(found)}"))
        if isinstance(node, sympy.Symbol):
            return found.setdefault(node, node)
        return node.func(*map(walk, node.args)) if node.args else node

    with sympy.evaluate(False):  # as it stands: SymPy would turn one side into the other
        return [walk(side) for side in sides], found


def _whole(node: sympy.Basic) -> bool:
    return isinstance(node, LabelAccess | Index | Size)


def _points(
    definition: Definition, symbols: dict[sympy.Basic, sympy.Symbol], positive: frozenset[str]
) -> Iterator[Scalars]:
    """Yield values for everything that is read."""
    draw = random.Random(definition.name)
    domains = {a.name: a.domain for a in definition.arguments if a.kind == "real"}
    for _ in range(POINTS):
        scalars: Scalars = {}
        for node, symbol in symbols.items():
            name = getattr(node, "name", "")
            if isinstance(node, Flag):
                scalars[symbol.name] = draw.random() < 0.5
            elif isinstance(node, Size):
                scalars[symbol.name] = draw.randint(3, 6)
            elif _whole(node):
                scalars[symbol.name] = draw.randint(0, 2)
            elif name in positive:
                scalars[symbol.name] = draw.uniform(0.01, 0.99)
            else:
                scalars[symbol.name] = _drawn(domains.get(name), name, draw)
        yield scalars


def _drawn(domain: Interval | OneOf | None, name: str, draw: random.Random) -> float:
    match domain:
        case OneOf(values=values):
            return float(draw.choice(sorted(values)))
        case Interval(low=low, high=high) if high - low < 100:
            return draw.uniform(low, high)
        case Interval(low=low) if low > -100:
            return low + draw.expovariate(1.0)
        case Interval():
            return draw.gauss(0.0, 3.0)
    return draw.uniform(0.1, 3.0) if name.startswith("norm") else draw.gauss(0.0, 3.0)
