"""Shape: convexity by the rules of composition, slopes by the chain rule on ranges.

The rules know functions and never a loss; where none applies, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import S

from symloss.language import atoms
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import depends
from symloss.verification.proof_ranges import EVERYTHING, UNIT, Range, Ranges, hull, product, total

CONVEX, CONCAVE = frozenset({"convex"}), frozenset({"concave"})
AFFINE, UNKNOWN = CONVEX | CONCAVE, frozenset[str]()
RISING = (atoms.softplus, atoms.positive_part, sympy.exp)  # convex and nondecreasing


def _opposite(curvature: frozenset[str]) -> frozenset[str]:
    return frozenset({"convex": "concave", "concave": "convex"}[c] for c in curvature)


def curvature(node: sympy.Basic, wrt: str, ranges: Ranges) -> frozenset[str]:
    """Return what the rules of composition say of an opened formula as a function of one input."""

    def inner(part: sympy.Basic) -> frozenset[str]:
        return curvature(part, wrt, ranges)

    if not depends(node, wrt):
        return AFFINE
    match node:
        case Access() if not any(depends(s, wrt) for s in node.slots):
            return AFFINE
        case sympy.Add() | sympy.Max():
            common = frozenset.intersection(*map(inner, node.args))
            return common if isinstance(node, sympy.Add) else common & CONVEX
        case sympy.Mul():
            moving = [a for a in node.args if depends(a, wrt)]
            low, high = ranges.of(sympy.Mul(*(a for a in node.args if a not in moving)))
            shape = inner(moving[0]) if len(moving) == 1 else UNKNOWN
            return shape if shape == AFFINE or low >= 0 else _opposite(shape) if high <= 0 else UNKNOWN
        case sympy.Pow(exp=exponent) if exponent == 2:
            base = inner(node.base)
            return CONVEX if base == AFFINE or (base >= CONVEX and ranges.of(node.base)[0] >= 0) else UNKNOWN
        case sympy.Abs() | atoms.magnitude():
            return CONVEX if inner(node.args[0]) == AFFINE else UNKNOWN
        case sympy.Piecewise() if not any(depends(condition, wrt) for _, condition in node.args):
            return frozenset.intersection(*(inner(value) for value, _ in node.args))
        case sympy.log():
            return _logarithm(node.args[0], inner)
        case Reduction() if not depends(node.where, wrt) and not depends(node.empty, wrt):
            body = inner(node.body)
            match node.operation:
                case "sum":
                    return body
                case "logsumexp" | "max":
                    return body & CONVEX
                case "norm" if body == AFFINE:
                    return CONVEX
    if isinstance(node, RISING):
        return inner(node.args[0]) & CONVEX
    return UNKNOWN


def _of_sigmoid(inside: sympy.Basic) -> tuple[sympy.Expr, bool] | None:
    """Return x and whether it is sigmoid(x) (or 1 - sigmoid(x)) that the formula is."""
    if isinstance(inside, atoms.sigmoid):
        return inside.args[0], True
    other = 1 - inside
    return (other.args[0], False) if isinstance(other, atoms.sigmoid) else None


def _logarithm(inside: sympy.Basic, inner: Callable[[sympy.Basic], frozenset[str]]) -> frozenset[str]:
    """Compose what is known of log sigmoid, log(1 - sigmoid) and the log of a sum of exponentials."""
    if (found := _of_sigmoid(inside)) is not None:
        argument, plain = found
        return inner(argument) & CONCAVE if plain else _opposite(inner(argument) & CONVEX)
    terms = sympy.Add.make_args(inside)
    powers = [t for t in terms if isinstance(t, sympy.exp)]
    if all(isinstance(t, sympy.exp) or (t.is_Rational and t > 0) for t in terms):
        return CONVEX if all(inner(t.args[0]) >= CONVEX for t in powers) else UNKNOWN
    return UNKNOWN


def slope(node: sympy.Basic, wrt: str, ranges: Ranges) -> Range:
    """Return a range that contains every derivative in one input, one-sided ones at kinks included."""

    def inner(part: sympy.Basic) -> Range:
        return slope(part, wrt, ranges)

    if not depends(node, wrt):
        return S.Zero, S.Zero
    match node:
        case Access():
            return S.One, S.One
        case sympy.Add():
            return total([inner(a) for a in node.args])
        case sympy.Mul():
            moving = [a for a in node.args if depends(a, wrt)]
            still = [ranges.of(a) for a in node.args if a not in moving]
            return product([*still, inner(moving[0])]) if len(moving) == 1 else EVERYTHING
        case sympy.Pow(exp=exponent) if exponent == 2:
            return product([(S(2), S(2)), ranges.of(node.base), inner(node.base)])
        case sympy.Abs() | atoms.magnitude():
            return product([(S.NegativeOne, S.One), inner(node.args[0])])
        case atoms.positive_part() | atoms.softplus():
            return product([UNIT, inner(node.args[0])])
        case sympy.Max() | sympy.Min():
            return hull([inner(a) for a in node.args])
        case sympy.log() if (found := _of_sigmoid(node.args[0])) is not None:
            argument, plain = found
            return product([UNIT if plain else (S.NegativeOne, S.Zero), inner(argument)])
        case sympy.Piecewise() if not any(depends(condition, wrt) for _, condition in node.args):
            return hull([inner(value) for value, _ in node.args])
    return EVERYTHING
