"""Means by softmax weights, recognised."""

from __future__ import annotations

from collections.abc import Mapping

import sympy

from symloss.language.nodes import Access
from symloss.program.statement import Statement, accesses


def mean_of(statement: Statement, weights: Mapping[str, Statement]) -> tuple[Access, sympy.Expr] | None:
    """Return the weight as it is read and what is weighed, if a sum weighs with one whole set of softmax weights.

    Parameters
    ----------
    statement : Statement
        Which may be such a sum.
    weights : mapping of str to Statement
        The softmax statements.
    """
    if statement.op != "sum" or len(statement.bound) != 1 or statement.where is not sympy.true:
        return None
    found = [f for f in sympy.Mul.make_args(statement.body) if isinstance(f, Access) and f.name in weights]
    if len(found) != 1 or found[0].slots[-1] != statement.bound[0]:
        return None
    (weight,) = found
    weighed = statement.body / weight
    if set(weight.slots[:-1]) - set(statement.free) or any(a.name in weights for a in accesses(weighed)):
        return None
    return weight, weighed
