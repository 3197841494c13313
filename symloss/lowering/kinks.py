"""Kinks: pieces of a formula that meet at one, without a choice between them.

A step beside the positive part of the same number says nothing that this does not. And where a formula goes on beyond
two opposite bounds as it is there, or along its tangent, the nearest number between the bounds takes the place of a
choice: two instructions, which let NaN pass, for the comparisons, the sign and the other piece.
"""

from __future__ import annotations

import sympy

from symloss.language.atoms import difference, magnitude, positive_part, signum, step
from symloss.language.nodes import Access


class clipped(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """The nearest number to the first between the second, which is positive, and its opposite."""

    nargs = 2


def without_steps(expression: sympy.Expr) -> sympy.Expr:
    """Return an expression without steps that are multiplied by the positive part of the same number."""
    found: dict[sympy.Basic, sympy.Basic] = {}
    for node in expression.atoms(sympy.Mul):
        bases = {f.as_base_exp()[0]: f.as_base_exp()[1] for f in node.args}
        known = {b.args[0] for b, exponent in bases.items() if isinstance(b, positive_part) and exponent.is_positive}
        kept = [f for f in node.args if not (isinstance(f, step) and f.args[0] in known)]
        if len(kept) < len(node.args):
            found[node] = node.func(*kept)
    return expression.xreplace(found) if found else expression


def with_clipping(expression: sympy.Expr, positive: frozenset[str]) -> sympy.Expr:
    """Return an expression with numbers between two bounds in the place of such choices.

    Parameters
    ----------
    expression : sympy.Expr
        The formula.
    positive : frozenset of str
        Parameters that are above 0.
    """
    found = {node: new for node in expression.atoms(sympy.Piecewise) if (new := _clipped(node, positive)) is not None}
    return expression.xreplace(found) if found else expression


def _clipped(node: sympy.Piecewise, positive: frozenset[str]) -> sympy.Expr | None:
    """Return a choice between what is inside two bounds and what is beyond as one formula, or None."""
    if len(node.args) != 2 or node.args[1][1] != sympy.true:
        return None
    (inside, where), (beyond, _) = node.args
    match where:
        case sympy.Ge(args=(bound, magnitude(args=(x,)))) | sympy.Le(args=(magnitude(args=(x,)), bound)):
            pass
        case _:
            return None
    if not (isinstance(bound, sympy.Symbol) and bound.name in positive):
        return None
    r = sympy.Dummy("r", real=True)
    inner = _in_terms(inside, x, r)
    signs = [(side, {magnitude(x): side * r, signum(x): sympy.Integer(side)}) for side in (1, -1)]
    sides = [(side, _in_terms(beyond.xreplace(swap), x, r)) for side, swap in signs]
    near = clipped(x, bound)
    line, square = inner / r, inner / r**2
    if line.is_number and all(inner.subs(r, side * bound) == outer for side, outer in sides):
        return line * near
    if square.is_number and all(_is_tangent(inner, r, side * bound, outer) for side, outer in sides):
        return 2 * square * near * difference(x, near / 2)
    return None


def _in_terms(node: sympy.Expr, x: sympy.Expr, r: sympy.Symbol) -> sympy.Expr:
    """Return an expression in which a sum has a name, also where it was expanded."""
    found = node.xreplace({x: r})
    for access in sorted(x.atoms(Access) & found.atoms(Access), key=str)[:1]:
        if access in x.args or access == x:
            found = sympy.expand(node.xreplace({access: r - (x - access)}))
    return found


def _is_tangent(inner: sympy.Expr, r: sympy.Symbol, at: sympy.Expr, outer: sympy.Expr) -> bool:
    """Tell whether a formula is the tangent of another at a place."""
    line = inner.subs(r, at) + inner.diff(r).subs(r, at) * (r - at)
    return bool(sympy.expand(line - outer) == 0)
