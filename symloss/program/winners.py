"""What goes with an extreme or a logsumexp: the index that attains it, and the softmax weights, as statements."""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.nodes import Access
from symloss.program.statement import Statement


def softmax_of(statement: Statement) -> Statement:
    """Return the softmax weights of a logsumexp: its derivative."""
    name = statement.name.replace("logsumexp", "softmax")
    return Statement(
        name, statement.free + statement.bound, "softmax", (), statement.body, statement.where, source=statement.name
    )


def has_winner(statement: Statement, winner: Access) -> sympy.Basic:
    """Return the condition under which a maximum or minimum has a winner: its mask lets something through."""
    return sympy.true if statement.where is sympy.true else sympy.Ge(winner, 0)


def winner_of(statement: Statement) -> Statement:
    """Return the index of the largest entry (of the smallest, for a minimum), the first of equals, -1 for no entry."""
    if statement.op == "logsumexp":
        statement = replace(statement, name=statement.name.replace("logsumexp", "max"), op="max")
    return replace(statement, name=f"arg{statement.name}", op=f"arg{statement.op}", source=statement.name)
