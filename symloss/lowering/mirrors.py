"""Mirrors: what a sigmoid and its mirror image add up to, with one choice for both of them.

With e = exp(-|x|), the sigmoids of x and -x are 1 / (1 + e) and e / (1 + e), in one order or the other, and their
softpluses log(1 + e) + |x| and log(1 + e). So the sign of x only decides which of two factors comes first: a sum of
both takes one division and one choice, where each by itself takes one of either. For arithmetic that rounds as the
results do: where more digits are carried, sums are looked at term by term.
"""

from __future__ import annotations

from collections.abc import Iterable

import sympy

from symloss.language.atoms import magnitude, sigmoid, softplus
from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.unordered import either
from symloss.stability.expansion import decay, log1p_unit, unsigned


def are_mirrors(expressions: Iterable[sympy.Expr]) -> bool:
    """Tell whether no sigmoid is left by itself where they are put together: else all is computed that was before."""
    found = [(e, with_mirrors(e)) for e in expressions]
    return any(old != new for old, new in found) and not any(new.has(sigmoid) for _, new in found)


def with_mirrors(node: sympy.Basic) -> sympy.Basic:
    """Return an expression with such sums, and the product of a sigmoid and its mirror image, written out."""
    if isinstance(node, Access) or not node.args:
        return node
    if isinstance(node, sympy.Add):
        for kind in (sigmoid, softplus):
            arguments = {unsigned(a.args[0]) for a in node.atoms(kind) if not a.has(sympy.Piecewise)}
            for x in sorted(arguments, key=sympy.default_sort_key):
                found = _both(node, kind, x)
                if found is not None:
                    return with_mirrors(found)
    if isinstance(node, sympy.Mul):
        for a in node.args:
            mirrored = sigmoid(-a.args[0]) if isinstance(a, sigmoid) else None
            if mirrored in node.args:
                rest = [with_mirrors(f) for f in node.args if f not in (a, mirrored)]
                e = decay(unsigned(a.args[0]))
                return sympy.Mul(*rest, e / (1 + e * (2 + e)))
    return rebuilt(node, tuple(with_mirrors(a) for a in node.args))


def _both(node: sympy.Add, kind: type[sympy.Function], x: sympy.Expr) -> sympy.Expr | None:
    """Return a sum with the terms that are a multiple of a function of x or of -x put together, if there are both."""
    factors: dict[sympy.Expr, list[sympy.Expr]] = {kind(x): [], kind(-x): []}
    rest: list[sympy.Expr] = []
    for term in node.args:
        own = [a for a in sympy.Mul.make_args(term) if a in factors]
        if len(own) == 1:
            factors[own[0]].append(sympy.Mul(*(a for a in sympy.Mul.make_args(term) if a not in own)))
        else:
            rest.append(term)
    straight, mirrored = (sympy.Add(*own) for own in factors.values())
    if straight == 0 or mirrored == 0:
        return None
    e, positive = decay(x), x >= 0

    def chosen(above: sympy.Expr, below: sympy.Expr) -> sympy.Expr:
        return above if positive is sympy.true else either(positive, above, below, evaluate=False)  # e brings NaN on

    first = chosen(straight, mirrored)
    if kind is sigmoid:
        second = chosen(mirrored, straight)
        return sympy.Add(*rest, (first + second * e) / (1 + e))
    return sympy.Add(*rest, (straight + mirrored) * log1p_unit(e), first * magnitude(x))
