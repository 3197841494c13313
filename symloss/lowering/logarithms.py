"""Logarithms of what is raised to a power: finite at 0."""

from __future__ import annotations

import sympy

from symloss.stability.expansion import power


class unless_zero(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """A number, and the smallest normal one of float32 where that is 0: its logarithm stands for that of 0."""

    nargs = 1


def with_finite_logs(expression: sympy.Expr) -> sympy.Expr:
    """Return an expression in which the logarithm of what is raised to a power is finite at 0.

    A power comes with it where it is differentiated in its exponent, and times the power it tends to 0.
    """
    bases = {node.args[0] for node in expression.atoms(power)}
    logs = {node: node.args[0] for node in expression.atoms(sympy.log) if node.args[0] in bases}
    finite = {node: sympy.log(unless_zero(x), evaluate=False) for node, x in logs.items() if not x.is_positive}
    return expression.xreplace(finite) if finite else expression
