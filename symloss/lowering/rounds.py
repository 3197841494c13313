"""Rounds of a loop: whether they could be run side by side."""

from __future__ import annotations

import sympy

from symloss.language.nodes import Access
from symloss.lowering.nodes import Assign, Node, Store, Update


def side_by_side(body: tuple[Node, ...], *counters: sympy.Symbol) -> bool:
    """Tell whether no round of a loop reads or writes an entry of an array that another writes.

    Such rounds can be vectors, wherever in memory the arrays are, but for what they add up.

    Parameters
    ----------
    body : tuple of Node
        Of the loop.
    counters : sympy.Symbol
        What is another number in each round.
    """
    if not all(isinstance(n, Assign | Store | Update) for n in body):
        return False
    parts = [x for n in body if isinstance(n, Assign | Store | Update) for x in n.expression.atoms(Access)]
    used = [(x.name, x.slots) for x in parts]
    written = [(n.array, n.slots) for n in body if isinstance(n, Store)]
    return all(
        any(
            slot in counters and all(other[at : at + 1] == (slot,) for n, other in used + written if n == name)
            for at, slot in enumerate(slots)
        )
        for name, slots in written
    )
