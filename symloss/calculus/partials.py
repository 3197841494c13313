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


def _replace_outer(node: sympy.Basic, dummies: dict[Access, sympy.Dummy]) -> sympy.Basic:
    """Replace accesses by dummies from the outside in: the label inside a gather is part of the gather."""
    if isinstance(node, Access):
        return dummies[node]
    if not node.args:
        return node
    return node.func(*(_replace_outer(argument, dummies) for argument in node.args))
