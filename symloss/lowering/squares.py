"""Squares: a power of a sigmoid whose exponent usually is 2 is a quotient there, which takes less than half as long.

It rounds once or twice more than the exponential, which carries what its argument loses: exact float32 results do not
show that, fast ones by a unit of the last place, and float64 results keep the exponential.
"""

from __future__ import annotations

import sympy

from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import Assign
from symloss.lowering.unordered import either
from symloss.stability.expansion import log1p_unit, sigmoid_power

USUAL = 2
"""The exponent that is looked for."""


def squares(
    expression: sympy.Expr, body: tuple[Assign, ...], usual: frozenset[str], taken: set[str]
) -> tuple[Assign, sympy.Expr] | None:
    """Return exp(-|x|), named, and the square of sigmoid(x) that an expression is; None for anything else.

    Parameters
    ----------
    expression : expression
        Of a loop over elements, its parts named.
    body : tuple of Assign
        What the names stand for.
    usual : frozenset of str
        The parameters that are 2 unless they are given.
    taken : set of str
        Names in use; a new one is added.
    """
    if not isinstance(expression, sigmoid_power):
        return None
    x, lost, exponent = expression.args
    logarithm = next((n.expression for n in body if isinstance(lost, sympy.Symbol) and n.name == lost.name), lost)
    if not isinstance(logarithm, log1p_unit) or getattr(exponent, "name", "") not in usual:
        return None
    (decay,) = logarithm.args
    name = fresh_name("unit_decay", taken)
    d = sympy.Symbol(name, real=True)
    above = either(sympy.Ge(x, 0), sympy.S.One, d**USUAL, evaluate=False)  # NaN comes through the divisor
    return Assign(name, decay), above / (1 + d * (2 + d))  # which rounds less than the square of a sigmoid
