"""Losses of the size of a residual, one formula up to a threshold and another beyond it.

Such a loss is g(v) at v = |x - y|. Where g is continuous with one slope at the threshold, convex on both sides and does
not fall at 0, it is convex and nondecreasing as a whole, and so convex in x; its slope is largest far out.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from symloss.verification.proof_form import depends
from symloss.verification.proof_ranges import Ranges
from symloss.verification.proof_shape import slope

V = sympy.Symbol("v", positive=True)


@dataclass(frozen=True)
class Even:
    """A convex and nondecreasing function of the size of a residual.

    Parameters
    ----------
    near, far : sympy.Expr
        What it is up to a threshold, and beyond, in `V`.
    """

    near: sympy.Expr
    far: sympy.Expr

    @property
    def nonnegative(self) -> bool:
        """Whether it is never below zero: its least value is that at 0."""
        return bool(self.near.subs(V, 0).is_nonnegative)

    def steeper_than(self, bound: sympy.Expr) -> bool:
        """Tell whether its slope may exceed a bound: the largest is that far out."""
        return not sympy.simplify(bound - sympy.diff(self.far, V)).is_nonnegative


def even_of(formula: sympy.Expr, wrt: str, ranges: Ranges) -> Even | None:
    """Return an opened formula as a convex function of the size of a residual of slope 1, or None where it is none."""
    if not isinstance(formula, sympy.Piecewise) or len(formula.args) != 2 or formula.args[1][1] is not sympy.true:
        return None
    (near, condition), (far, _) = formula.args
    if not (isinstance(condition, sympy.Le | sympy.Ge) and isinstance(condition.lts, sympy.Abs)):
        return None
    residual, threshold = condition.lts.args[0], condition.gts
    if slope(residual, wrt, ranges) not in ((1, 1), (-1, -1)) or depends(threshold, wrt):
        return None
    if not ranges.of(threshold)[0] >= 0:
        return None
    positive = {s: sympy.Dummy(str(s), positive=True) for s in threshold.free_symbols}
    swap = {residual: V, sympy.Abs(residual): V}
    near, far, at = (e.xreplace(swap).xreplace(positive) for e in (near, far, threshold))
    if any(depends(e, wrt) for e in (near, far)):
        return None
    low, high = sympy.diff(near, V), sympy.diff(far, V)
    meets = sympy.simplify((near - far).subs(V, at)) == 0 and sympy.simplify((low - high).subs(V, at)) == 0
    bends = all(sympy.simplify(sympy.diff(e, V)).is_nonnegative for e in (low, high))
    return Even(near, far) if meets and bends and low.subs(V, 0).is_nonnegative else None
