"""Expressions with other parts, in the order they were written in: it decides how results are rounded."""

from __future__ import annotations

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair


def rebuilt(node: sympy.Basic, arguments: tuple[sympy.Basic, ...]) -> sympy.Basic:
    """Return a node with these arguments, unevaluated; the node itself where nothing changes."""
    if arguments == node.args:
        return node
    plain = isinstance(node, sympy.logic.boolalg.Boolean | ExprCondPair)
    return node.func(*arguments) if plain else node.func(*arguments, evaluate=False)
