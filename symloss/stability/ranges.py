"""Ranges of scalar expressions over the declared domains: enough to know the sign of a term."""

from __future__ import annotations

import math
from collections.abc import Mapping

import sympy

from symloss.language.atoms import magnitude, positive_part, sigmoid, softplus, step
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access

Range = tuple[float, float]
EVERYTHING: Range = (-math.inf, math.inf)


def declared(definition: Definition) -> dict[str, Range]:
    """Return the range of each argument."""
    found: dict[str, Range] = {}
    for a in definition.arguments:
        match a.domain:
            case Interval(low=low, high=high):
                found[a.name] = (float(low), float(high))
            case _:
                found[a.name] = (float(min(a.domain.values)), float(max(a.domain.values)))
    return found


def range_of(node: sympy.Basic, known: Mapping[str, Range]) -> Range:
    """Return a range that contains every value of an expression; its ends are floats, good for signs."""
    match node:
        case sympy.Number() | sympy.NumberSymbol():
            return float(node), float(node)
        case Access() | sympy.Symbol():
            return known.get(node.name, EVERYTHING)
        case sympy.Add():
            parts = [range_of(a, known) for a in node.args]
            return sum(p[0] for p in parts), sum(p[1] for p in parts)
        case sympy.Mul():
            return _product([range_of(a, known) for a in node.args])
        case sympy.Pow():
            even = node.exp.is_Integer and node.exp % 2 == 0
            low = range_of(node.base, known)[0]
            return (0.0, math.inf) if even or low >= 0 else EVERYTHING
        case sympy.Piecewise():
            parts = [range_of(value, known) for value, _ in node.args]
            return min(p[0] for p in parts), max(p[1] for p in parts)
        case sigmoid() | step():
            return 0.0, 1.0
        case softplus() | sympy.exp() | positive_part() | magnitude():
            return 0.0, math.inf
    return EVERYTHING


def _product(parts: list[Range]) -> Range:
    low, high = 1.0, 1.0
    for part in parts:
        ends = [0.0 if 0.0 in (a, b) else a * b for a in (low, high) for b in part]
        low, high = min(ends), max(ends)
    return low, high
