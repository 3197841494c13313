"""What stays the same: under a common shift, with inputs exchanged, from one loss to another at given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from symloss.language.definition import Definition
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, depends, label_cases, named, written


def shift(node: sympy.Basic, wrt: str) -> sympy.Expr | None:
    """Return how an opened formula moves when all of an input moves by 1: a number, or None where that is not known."""
    if not depends(node, wrt):
        return sympy.S.Zero
    if named(node, wrt):
        return sympy.S.One
    moves = [shift(a, wrt) for a in node.args]
    match node:
        case Reduction():
            inside = shift(node.body, wrt)
            if depends(node.where, wrt) or inside is None:
                return None
            return inside if node.operation in ("logsumexp", "max", "min") or inside == 0 else None
        case sympy.Add() if None not in moves:
            return sympy.Add(*moves)
        case sympy.Mul() if None not in moves:
            still = [a for a in node.args if not depends(a, wrt)]
            factor = sympy.Mul(*still)
            if len(still) == len(node.args) - 1 and factor.is_Rational:
                return factor * sympy.Add(*moves)
    return sympy.S.Zero if all(m == 0 for m in moves) else None


def _normal(node: sympy.Basic) -> sympy.Basic:
    """Return a formula with squares written out and norms of differences in one order."""
    match node:
        case Reduction(operation="norm") if node.body.could_extract_minus_sign():
            return Reduction(node.args[0], -node.body, node.bound, node.where, node.empty)
        case Reduction() | Access() | sympy.Symbol():
            return node
        case _ if node.args:
            built = node.func(*(_normal(a) for a in node.args))
            return sympy.expand(built) if isinstance(built, sympy.Pow) and built.exp == 2 else built
    return node


def renamed(node: sympy.Basic, names: Mapping[str, str]) -> Any:
    """Return a formula with inputs of other names."""
    match node:
        case Access():
            return node.func(names.get(node.name, node.name), *(renamed(k, names) for k in node.slots))
        case Reduction():  # taken apart by hand: a replacement that reads a bound index would be captured
            body, where, empty = (renamed(part, names) for part in (node.body, node.where, node.empty))
            return Reduction(node.args[0], body, node.bound, where, empty)
        case sympy.Symbol():
            return node
        case _ if node.args:
            return node.func(*(renamed(a, names) for a in node.args))
    return node


def exchanged(formula: sympy.Basic, one: str, other: str) -> bool:
    """Tell whether an opened formula is the same with two inputs exchanged."""
    return bool(_normal(formula) == _normal(renamed(formula, {one: other, other: one})))


def identical(definition: Definition, settings: Settings, other: Definition, theirs: Settings) -> bool:
    """Tell whether two losses have one formula, for every value of the labels; inputs of other names go by place."""
    own, names = [a.name for a in definition.inputs], [a.name for a in other.inputs]
    if len(own) < len(names):
        return False
    shared = {a.name for a in definition.parameters}
    defaults = {a.name: a.default for a in other.parameters if a.name not in shared and a.kind != "switch"}
    mine, found = written(definition, settings), written(other, {**defaults, **theirs})
    if not set(names) <= set(own):
        found = renamed(found, dict(zip(names, own, strict=False)))
    ours, others = list(label_cases(definition, mine)), list(label_cases(definition, found))
    same = (a == b or sympy.expand(a - b) == 0 for a, b in zip(ours, others, strict=False))
    return len(ours) == len(others) and all(same)


def moved(formula: sympy.Basic, names: tuple[str, ...]) -> bool:
    """Tell whether an opened formula reads several inputs only in differences of entries at the same place.

    Moving each place by a number of its own then changes nothing.
    """
    if isinstance(formula, Access):
        return formula.name not in names
    if isinstance(formula, sympy.Add):
        moving = [t for t in formula.args if any(depends(t, n) for n in names)]
        parts = [t.as_coeff_Mul() for t in moving]
        if all(isinstance(a, Access) and a.name in names for _, a in parts):
            places = {a.slots for _, a in parts}
            return all(sum(c for c, a in parts if a.slots == at) == 0 for at in places)
        inner = [t for t in moving if not isinstance(t.as_coeff_Mul()[1], Access)]
        return len(inner) == len(moving) and all(moved(t, names) for t in inner)
    return all(moved(a, names) for a in formula.args)


def proportional(definition: Definition, other: Definition, factor: str, shared: Mapping[str, str]) -> bool:
    """Tell whether a loss is another one times a factor, with parameters that are expressions in its own."""
    own = {a.name: sympy.Symbol(a.name, real=True) for a in definition.parameters}
    names = dict(zip((a.name for a in other.inputs), (a.name for a in definition.inputs), strict=False))
    found = renamed(written(other, {}), names).xreplace(
        {sympy.Symbol(n, real=True): sympy.sympify(text, locals=own) for n, text in shared.items()}
    )
    positive = {s: sympy.Dummy(s.name, positive=True) for s in own.values()}
    mine, theirs = (e.xreplace(positive) for e in (written(definition, {}), sympy.sympify(factor, locals=own) * found))
    return bool(_cases_equal(mine, theirs))


def _cases_equal(one: sympy.Expr, two: sympy.Expr) -> bool:
    """Compare two formulas, case by case where they are made of the same cases."""
    two = sympy.piecewise_fold(two) if two.has(sympy.Piecewise) else two
    if isinstance(one, sympy.Piecewise) and isinstance(two, sympy.Piecewise):
        pairs = zip(one.args, two.args, strict=False)
        same = len(one.args) == len(two.args) and all(a[1] == b[1] for a, b in zip(one.args, two.args, strict=False))
        return same and all(sympy.expand(a[0] - b[0]) == 0 for a, b in pairs)
    return bool(one == two or sympy.expand(one - two) == 0)
