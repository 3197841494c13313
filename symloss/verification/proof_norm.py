"""How far a loss can move: the length of its gradient in one sample's vector, and where it is exactly 0.

The Lipschitz constant of a vector goes through a formula by rules: a distance has that of the difference it is of, sums
add theirs up, the largest of several has the largest. A positive part is flat where it is 0, a power above 1 too.
"""

from __future__ import annotations

import sympy
from sympy import S, oo

from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import depends
from symloss.verification.proof_ranges import Ranges
from symloss.verification.proof_shape import slope


def longest(node: sympy.Basic, wrt: str, ranges: Ranges) -> sympy.Expr:
    """Return a bound of the length of the gradient of an opened formula in one vector, infinite where none is known."""

    def inner(part: sympy.Basic) -> sympy.Expr:
        return longest(part, wrt, ranges)

    if not depends(node, wrt):
        return S.Zero
    match node:
        case sympy.Add():
            return sympy.Add(*map(inner, node.args))
        case sympy.Mul():
            moving = [a for a in node.args if depends(a, wrt)]
            low, high = ranges.of(sympy.Mul(*(a for a in node.args if a not in moving)))
            return sympy.Max(-low, high) * inner(moving[0]) if len(moving) == 1 else oo
        case sympy.Max() | sympy.Min():
            return sympy.Max(*map(inner, node.args))
        case sympy.Abs():
            return inner(node.args[0])
        case sympy.Piecewise():
            return _by_cases(node, wrt, ranges)
        case Reduction(operation="norm") if not depends(node.where, wrt):
            reads = {a for a in node.body.atoms(Access) if a.name == wrt}
            one_each = len(reads) == 1 and all(k in next(iter(reads)).slots for k in node.bound)
            low, high = slope(node.body, wrt, ranges)
            return sympy.Max(-low, high) if one_each else oo
    return oo


def _by_cases(node: sympy.Piecewise, wrt: str, ranges: Ranges) -> sympy.Expr:
    """Take the largest of the cases, where a condition leaves no jump: it compares them, or does not move."""
    values = [value for value, _ in node.args]
    for _, condition in node.args:
        compared = isinstance(condition, sympy.core.relational.Relational) and set(condition.args) == set(values)
        if depends(condition, wrt) and not (compared and len(values) == 2):
            return oo
    return sympy.Max(*(longest(value, wrt, ranges) for value in values))


def flat_at_zero(node: sympy.Basic, wrt: str) -> bool:
    """Tell whether an opened formula that is 0 has a gradient that is 0, with 0 for the derivative at a kink."""
    match node:
        case sympy.Max():
            return S.Zero in node.args
        case sympy.Pow():
            return bool(node.exp.is_number and node.exp > 1)
        case sympy.Mul():
            moving = [a for a in node.args if depends(a, wrt)]
            still = [a for a in node.args if a not in moving]
            return len(moving) == 1 and all(a.is_number and a != 0 for a in still) and flat_at_zero(moving[0], wrt)
        case sympy.Piecewise():
            return all(flat_at_zero(v, wrt) and not depends(c, wrt) for v, c in node.args)
    return False


def grows(formula: sympy.Expr, wrt: str, order: int) -> bool:
    """Tell whether a derivative is a polynomial in an input that reaches every size."""
    reads = [a for a in formula.atoms(Access) if a.name == wrt]
    if len(reads) != 1:
        return False
    x = sympy.Dummy(real=True)
    form = sympy.expand(formula.xreplace({reads[0]: x}))
    return bool(form.is_polynomial(x) and sympy.degree(sympy.diff(form, x, order), x) >= 1)
