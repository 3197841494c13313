"""The largest and the smallest of several numbers as cases of which one is taken: SymPy's have no derivatives here.

What is the positive part of a number stays one. Any other choice compares two numbers and is differentiated case by
case, so that nothing of the number that is not taken comes in: it may be infinite, or have no derivative.
"""

from __future__ import annotations

from functools import reduce

import sympy

from symloss.language.nodes import Access


class Piecewise(sympy.Piecewise):
    """One of two cases by which of two numbers is larger, and NaN where one of those is NaN, in array code too.

    Its name is that of SymPy's, which is how SymPy's printers find what to do.
    """


def extreme(node: sympy.Max | sympy.Min, values: tuple[sympy.Expr, ...]) -> sympy.Expr:
    """Return the largest or the smallest of several numbers.

    Parameters
    ----------
    node : sympy.Max or sympy.Min
        As it is written.
    values : tuple of sympy.Expr
        Its arguments, with statements in the place of reductions.

    Returns
    -------
    sympy.Expr
        In cases, of which the first is taken where two are equal: what reads no tensor comes first, so that the
        derivative of a number that is clipped at a constant is 0 where it meets it, as that of a positive part is; then
        the order is that in which formulas are printed.
    """
    pairs = sorted(zip(node.args, values, strict=True), key=lambda pair: sympy.default_sort_key(pair[0]))
    ordered = sorted((value for _, value in pairs), key=lambda value: bool(value.atoms(Access)))
    largest = isinstance(node, sympy.Max)
    relation, sign = (sympy.Ge, 1) if largest else (sympy.Le, -1)
    others = [value for value in ordered if value != 0]
    found = reduce(lambda rest, first: chosen(relation, first, rest, first, rest), reversed(others))
    return found if len(others) == len(ordered) else sign * sympy.Max(sympy.S.Zero, sign * found)


def chosen(
    relation: type[sympy.Rel], left: sympy.Expr, right: sympy.Expr, then: sympy.Expr, otherwise: sympy.Expr
) -> sympy.Expr:
    """Return a number where a relation holds, else another; sides in cases are compared case by case.

    SymPy takes no condition with cases in it.
    """
    cases = _choice(left, right)
    if cases is None:
        return Piecewise((then, relation(left, right)), (otherwise, True))
    parts = (left, right, then, otherwise)
    return cases.func(*((chosen(relation, *(p.xreplace({cases: v}) for p in parts)), c) for v, c in cases.args))


def comparison(node: sympy.Rel, left: sympy.Expr, right: sympy.Expr) -> sympy.Basic:
    """Return a comparison of two numbers, of whole cases as one condition for all of them.

    Parameters
    ----------
    node : sympy.Rel
        As it is written.
    left, right : sympy.Expr
        Its sides, of which one may be the largest or the smallest of several numbers.
    """
    cases = _choice(left, right)
    if cases is None:
        return node.func(left, right)
    found, before = sympy.false, sympy.true
    for value, condition in cases.args:
        holds = comparison(node, left.xreplace({cases: value}), right.xreplace({cases: value}))
        found = sympy.Or(found, sympy.And(before, condition, holds))
        before = sympy.And(before, sympy.Not(condition))
    return found


def _choice(left: sympy.Expr, right: sympy.Expr) -> sympy.Piecewise | None:
    """Return the outermost cases in one of two numbers, if there are any."""
    nodes = sympy.preorder_traversal(sympy.Tuple(left, right))
    return next((node for node in nodes if isinstance(node, sympy.Piecewise)), None)
