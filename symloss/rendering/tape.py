"""Recipes as tapes: tables that `symloss.rendering.triple_double` runs.

An expression comes in; out come the leaves a tape starts from, as source, and its rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import reduce

import sympy

from symloss.language.atoms import magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Flag
from symloss.rendering.triple_double import CHOOSE, COMBINE, INVERT, LEAST, LOG, LOG1P, SCALE, TERMS, USUAL
from symloss.stability.careful import Recipe, half_tanh
from symloss.stability.expansion import unsigned

Row = tuple[int, int, int, int, int, int, int]


class _Tape:
    """A tape under construction; every method returns the place of its result."""

    def __init__(self, numbers: Iterable[sympy.Rational], leaves: Iterable[sympy.Expr]) -> None:
        usual = [sympy.Rational(n.numerator, n.denominator) for n in USUAL]
        starts: tuple[sympy.Expr, ...] = (*usual, *numbers, *leaves)
        self.places: dict[object, int] = {node: TERMS + k for k, node in enumerate(starts)}
        self.rows: list[Row] = []
        self.first = TERMS + len(starts)
        self.zero, self.one, self.minus, self.two, self.half = (self.places[n] for n in usual[:5])

    def row(self, what: int, a: int, b: int = 0, c: int = 0, step: int = 0, times: int = 1, to: int = -1) -> int:
        """Add a row that writes a new number, or to one that there is."""
        result = self.first + len(self.rows)
        self.rows.append((what, result if to < 0 else to, result if a < 0 else a, b, c, step, times))
        return self.rows[-1][1]

    def add(self, x: int, y: int) -> int:
        return self.row(COMBINE, x, self.one, y)

    def subtract(self, x: int, y: int) -> int:
        return self.row(COMBINE, y, self.minus, x)

    def multiply(self, x: int, y: int) -> int:
        return self.row(COMBINE, x, y, self.zero)

    def divide(self, x: int, y: int) -> int:
        """Two steps of Newton's, each of which doubles the digits of 1 / y."""
        found, minus = self.row(INVERT, y), self.multiply(self.minus, y)
        for _ in range(2):
            off = self.row(COMBINE, minus, found, self.one)
            found = self.row(COMBINE, off, found, found)
        return self.multiply(x, found)

    def choose(self, x: int, below: int, above: int) -> int:
        """Take the first where x is negative, else the second."""
        return self.row(CHOOSE, below, x, above)

    def expm1(self, x: int) -> int:
        """Add up the series, for arguments up to 0.7."""
        return self.multiply(x, self.row(COMBINE, -1, x, 0, 1, TERMS))

    def exp(self, x: int) -> int:
        least = self.places[sympy.Integer(LEAST)]
        x = self.choose(self.subtract(x, least), least, x)
        part = self.multiply(x, self.places[sympy.Rational(1, 2**SCALE)])
        found = self.add(self.one, self.expm1(part))
        return self.row(COMBINE, found, found, self.zero, 0, SCALE, to=found)

    def nearer(self, y: int, x: int, there: int, total: int) -> int:
        """One step of Halley's towards a logarithm, which triples its digits: y + 2 (x - exp(y)) / (x + exp(y))."""
        return self.row(COMBINE, self.two, self.divide(self.subtract(x, there), total), y)

    def log(self, x: int) -> int:
        start = self.row(LOG, x)
        there = self.exp(start)
        return self.nearer(start, x, there, self.add(x, there))

    def log1p(self, x: int) -> int:
        start = self.row(LOG1P, x)
        there = self.expm1(start)
        return self.nearer(start, x, there, self.add(self.two, self.add(x, there)))

    def size(self, x: int) -> int:
        return self.choose(x, self.multiply(self.minus, x), x)

    def decay(self, x: sympy.Expr) -> int:
        """exp(-|x|), which sigmoid and softplus of both signs share."""
        key = ("decay", unsigned(x))
        if key not in self.places:
            self.places[key] = self.exp(self.multiply(self.minus, self.size(self.of(unsigned(x)))))
        return self.places[key]

    def of(self, node: sympy.Basic) -> int:
        """Return the place of a node's value."""
        if node not in self.places:
            self.places[node] = self._new(node)
        return self.places[node]

    def _new(self, node: sympy.Basic) -> int:
        match node:
            case sympy.Rational():
                return self.divide(*(self.of(sympy.Integer(n)) for n in (node.p, node.q)))
            case sympy.Add():
                return reduce(self.add, map(self.of, node.args))
            case sympy.Mul():
                return reduce(self.multiply, map(self.of, node.args))
            case sympy.Pow():
                return reduce(self.multiply, [self.of(node.base)] * int(node.exp))
            case sympy.Piecewise():
                return self._cases(node)
        x = self.of(node.args[0])
        match node:
            case sympy.exp():
                return self.exp(x)
            case sympy.log():
                return self.log(x)
            case sigmoid():
                e = self.decay(node.args[0])
                return self.divide(self.choose(x, e, self.one), self.add(self.one, e))
            case softplus():
                return self.add(self.choose(x, self.zero, x), self.log1p(self.decay(node.args[0])))
            case half_tanh():
                m = self.expm1(x)
                return self.divide(m, self.add(self.add(self.two, self.two), self.multiply(self.two, m)))
            case positive_part():
                return self.choose(x, self.zero, x)
            case magnitude():
                return self.size(x)
        message = f"no tape is known for {node}"
        raise ValueError(message)

    def _cases(self, node: sympy.Piecewise) -> int:
        """Compute every case, and choose from the last to the first."""
        *cases, (last, _) = node.args
        found = self.of(last)
        for value, condition in reversed(cases):
            here = self.of(value)
            match condition:
                case Flag():
                    found = self.choose(self.subtract(self.half, self.of(condition)), here, found)
                case sympy.Lt() | sympy.Gt():
                    found = self.choose(self.subtract(*map(self.of, (condition.lts, condition.gts))), here, found)
                case _:  # not the other way round
                    found = self.choose(self.subtract(*map(self.of, (condition.gts, condition.lts))), found, here)
        return found


def tape_of(recipe: Recipe) -> tuple[list[str], list[Row]]:
    """Return the leaves of a recipe's tape as source, and its rows."""
    numbers: dict[sympy.Rational, None] = {}
    for number in sorted(recipe.expression.atoms(sympy.Rational)):
        exact = sympy.Rational(float(number)) == number
        numbers |= dict.fromkeys((number,) if exact else map(sympy.Integer, (number.p, number.q)))
    kept = [n for n in numbers if Fraction(int(n.p), int(n.q)) not in USUAL]
    tape = _Tape(kept, recipe.leaves)
    tape.of(recipe.expression)
    return [*(repr(float(n)) for n in kept), *(leaf.name for leaf in recipe.leaves)], tape.rows
