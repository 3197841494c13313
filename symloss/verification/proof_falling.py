"""A named part of a formula that falls as another grows, over an interval, whatever the parameters.

Each piece must have a derivative that is never positive where the piece holds, and no jump between pieces may go up.
Conditions are linear, so that what a sine or cosine is taken of lies between its values at the corners of a polygon.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sympy
from sympy import S

from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Flag, Let
from symloss.verification.proof_form import exact, opened

Constraints = tuple[sympy.Expr, ...]
"""Linear expressions that are at least 0."""
ANGLE = sympy.Symbol("angle", real=True)


def falls(definition: Definition, part: str, wrt: str, options: Mapping[str, bool]) -> bool:
    """Tell whether the part called `part` is proved to fall as the part `wrt`, an angle in [0, pi], grows."""
    formula = as_function(definition, part, wrt, options)
    if formula is None:
        return False
    domain: list[sympy.Expr] = [ANGLE, sympy.pi - ANGLE]
    for symbol in formula.free_symbols - {ANGLE}:
        argument = next((a for a in definition.parameters if a.name == symbol.name), None)
        if isinstance(symbol, Flag):
            continue
        if argument is None or not isinstance(argument.domain, Interval):
            return False
        ends = exact(argument.domain.low), exact(argument.domain.high)
        domain += [sign * (symbol - end) for sign, end in zip((1, -1), ends, strict=True) if end.is_finite]
    return all(_falling(case, ANGLE, tuple(domain)) for case in _by_flags(formula))


def as_function(definition: Definition, part: str, wrt: str, options: Mapping[str, bool]) -> sympy.Expr | None:
    """Return the part called `part` with `ANGLE` for the part called `wrt`, or None where a formula lacks either."""
    node, angle = _part(definition.formula, part), _part(definition.formula, wrt)
    if node is None or angle is None:
        return None
    swap: dict[sympy.Basic, sympy.Basic] = {Flag(n): sympy.true if v else sympy.false for n, v in options.items()}
    return opened(node.inlined.xreplace({angle: ANGLE} | swap))


def _part(node: sympy.Basic, name: str) -> Let | None:
    if isinstance(node, Let) and node.name == name:
        return node
    parts = (node.body,) if isinstance(node, Let) else node.args
    return next((found for a in parts if (found := _part(a, name)) is not None), None)


def _by_flags(formula: sympy.Expr) -> Iterator[sympy.Expr]:
    flags = sorted(formula.atoms(Flag), key=str)
    for values in itertools.product((sympy.true, sympy.false), repeat=len(flags)):
        yield formula.xreplace(dict(zip(flags, values, strict=True)))


def _falling(formula: sympy.Expr, t: sympy.Symbol, domain: Constraints) -> bool:
    pieces: tuple[Any, ...] = formula.args if isinstance(formula, sympy.Piecewise) else ((formula, sympy.true),)
    if len(pieces) > 2 or pieces[-1][1] is not sympy.true:
        return False
    inside, outside = domain, domain
    if len(pieces) == 2:
        condition = pieces[0][1]
        if not isinstance(condition, sympy.Le | sympy.Lt):
            return False
        room = condition.rhs - condition.lhs
        (rate, free) = (sympy.diff(room, t), room.subs(t, 0))
        if not rate.is_negative:
            return False
        inside, outside = (*domain, room), (*domain, -room)
        at = -free / rate
        jump = (pieces[0][0] - pieces[1][0]).subs(t, at)
        if not _nonnegative(sympy.expand_trig(jump) if jump.has(t) else sympy.simplify(jump), domain):
            return False
    regions = (inside, outside)
    return all(_nonnegative(-sympy.diff(e, t), region) for (e, _), region in zip(pieces, regions, strict=False))


def _nonnegative(node: sympy.Expr, region: Constraints) -> bool:
    """Tell whether an expression is at least 0 wherever all constraints are."""
    match node:
        case sympy.Mul():
            return all(_nonnegative(a, region) for a in node.args)
        case sympy.sin():
            low, high = _extent(node.args[0], region)
            return bool(low >= 0 and high <= sympy.pi)
        case sympy.cos():
            low, high = _extent(node.args[0], region)
            return bool(low >= -sympy.pi / 2 and high <= sympy.pi / 2)
    if node.is_number:
        return bool(node >= 0)
    if isinstance(node, sympy.Add) and all(_nonnegative(a, region) for a in node.args):
        return True
    low, _ = _extent(node, region)
    return bool(low >= 0) or _rising_from_zero(node, region)


def _rising_from_zero(node: sympy.Expr, region: Constraints) -> bool:
    """Tell whether a function of one parameter is at least 0 where that starts, and has a slope that is."""
    if not isinstance(node, sympy.Add) or len(node.free_symbols) != 1:
        return False
    (m,) = node.free_symbols
    start, _ = _extent(m, region)
    return bool(start.is_finite and node.subs(m, start) >= 0 and _nonnegative(sympy.diff(node, m), region))


def _extent(node: sympy.Expr, region: Constraints) -> tuple[sympy.Expr, sympy.Expr]:
    """Return the least and largest value of a linear expression over a polygon; everything where it is neither."""
    symbols = sorted(set().union(node.free_symbols, *(c.free_symbols for c in region)), key=str)
    linear = [e for e in (node, *region) if all(sympy.diff(e, s).is_number for s in symbols)]
    if len(linear) <= len(region) or len(symbols) > 2:
        return -sympy.oo, sympy.oo
    values = [node.subs(corner) for corner in _corners(symbols, region)]
    ends = [(c, s) for c in region for s in symbols if c.free_symbols == {s}]
    bounded = all(any(own == s and sympy.diff(c, s) * sign < 0 for c, own in ends) for s in symbols for sign in (1, -1))
    return (sympy.Min(*values), sympy.Max(*values)) if values and bounded else (-sympy.oo, sympy.oo)


def _corners(symbols: Sequence[sympy.Symbol], region: Constraints) -> Iterator[dict[sympy.Symbol, sympy.Expr]]:
    for chosen in itertools.combinations(region, len(symbols)):
        for corner in sympy.solve(chosen, symbols, dict=True):
            known = len(corner) == len(symbols) and all(v.is_number for v in corner.values())
            if known and all(c.subs(corner) >= S.Zero for c in region):
                yield corner
