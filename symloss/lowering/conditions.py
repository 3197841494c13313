"""Conditions in which no number is computed by cases, which SymPy takes in none."""

from __future__ import annotations

import sympy

from symloss.language.atoms import sigmoid
from symloss.language.nodes import Access
from symloss.stability.expansion import expand_atoms


def written_out(expression: sympy.Expr) -> sympy.Expr:
    """Return an expression with sigmoid and softplus written out, by their textbook form where they are compared.

    A sigmoid's exponential may overflow there, to a sigmoid of 0: it is only compared.
    """
    found = {
        node: node.replace(sigmoid, lambda x: sigmoid(x).textbook())
        for node in _relations(expression) if node.has(sigmoid)
    }  # fmt: skip
    return expand_atoms(expression.xreplace(found) if found else expression)


def _relations(node: sympy.Basic) -> set[sympy.Basic]:
    """Return the comparisons in an expression, without those in slots."""
    if isinstance(node, Access) or not node.args:
        return set()
    if isinstance(node, sympy.core.relational.Relational):
        return {node}
    return set().union(*map(_relations, node.args))
