"""Partial derivatives of one scalar expression: SymPy differentiates scalars here, and nowhere else.

Each distinct access is replaced by a Dummy, the expression is differentiated, and the accesses are put back.
"""

from __future__ import annotations

from collections.abc import Collection

import sympy

from symloss.language.nodes import Access
from symloss.program.statement import accesses


def partials(expression: sympy.Expr, variables: Collection[str]) -> tuple[tuple[sympy.Expr, sympy.Expr], ...]:
    """Return each access or symbol whose name is among `variables`, with the partial derivative in it.

    Conditions are constants: the cases of a Piecewise are differentiated, its conditions are not.
    """
    reads = accesses(expression)
    dummies = {access: sympy.Dummy(access.name, real=True) for access in reads}
    scalar = _replace_outer(expression, dummies)
    back = {dummy: access for access, dummy in dummies.items()}
    found: list[tuple[sympy.Expr, sympy.Expr]] = []
    for access, dummy in dummies.items():
        if access.name in variables and scalar.has(dummy):
            found.append((access, sympy.diff(scalar, dummy).xreplace(back)))
    for symbol in sorted((s for s in scalar.free_symbols if s.name in variables and not s.is_Dummy), key=str):
        found.append((symbol, sympy.diff(scalar, symbol).xreplace(back)))
    return tuple((where, partial) for where, partial in found if partial != 0)


def cases(expression: sympy.Expr) -> tuple[tuple[sympy.Basic, sympy.Expr], ...]:
    """Return an expression by the cases of a condition on indices, so that a sum over one of them may vanish.

    Returns
    -------
    tuple of (condition, expression)
        Exclusive conditions; what is 0 is left out.
    """
    factors = sympy.Mul.make_args(expression)
    for number, factor in enumerate(factors):
        if isinstance(factor, sympy.Piecewise) and len(factor.args) == 2 and _is_index_relation(factor.args[0][1]):
            (inside, condition), (outside, _) = factor.args
            rest = sympy.Mul(*factors[:number], *factors[number + 1 :])
            parts = ((condition, inside), (sympy.Not(condition), outside))
            return tuple(
                (sympy.And(where, inner), part)
                for where, value in parts
                if value != 0
                for inner, part in cases(value * rest)
            )
    return ((sympy.true, expression),)


def _is_index_relation(condition: sympy.Basic) -> bool:
    """Tell whether a condition is an equation or inequation between indices or labels."""
    return isinstance(condition, sympy.Eq | sympy.Ne) and all(a.is_integer and not a.is_number for a in condition.args)


def _replace_outer(node: sympy.Basic, dummies: dict[Access, sympy.Dummy]) -> sympy.Basic:
    """Replace accesses by dummies from the outside in: the label inside a gather is part of the gather."""
    if isinstance(node, Access):
        return dummies[node]
    if not node.args:
        return node
    return node.func(*(_replace_outer(argument, dummies) for argument in node.args))
