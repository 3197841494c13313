"""NaN: a case distinction needs no case of its own for it where the last of the others gives NaN anyway.

A comparison with NaN holds on no side, so kernels let a number that is NaN take no case at all, which costs a second
selection. Where the last case is computed from that number by operations that hand NaN on, it is NaN by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy

from symloss.language.atoms import magnitude, positive_part, signum, step
from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.invariants import over
from symloss.lowering.nodes import Assign, Chunks, Loop, Node, Store, Update, When
from symloss.stability.careful import careful
from symloss.stability.expansion import log1p, log1p_unit, raised_decay, shrunk

HANDED_ON = (
    sympy.Add, sympy.Mul, sympy.exp, sympy.log, sympy.Abs, log1p, log1p_unit, raised_decay, shrunk, magnitude,
    positive_part, signum, step, over,
)  # fmt: skip
"""Operations whose result is NaN where an argument is; not powers: NaN to the power of 0 is 1."""
Known = Mapping[str, sympy.Expr]


class either(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """The first of two numbers where a condition holds, else the second, which is NaN where what is compared is."""

    nargs = 3


def without_nan_cases(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return an elementwise kernel's nodes with two cases where NaN needs no third.

    Parameters
    ----------
    nodes : tuple of Node
        Their scalars named, cut into chunks where they are.
    """
    return _walk(nodes, _known(nodes))


def _known(nodes: tuple[Node, ...]) -> dict[str, sympy.Expr]:
    """Return what named scalars and blocks of numbers are computed as."""
    found: dict[str, sympy.Expr] = {}
    for node in nodes:
        match node:
            case Assign():
                found.setdefault(node.name, node.expression)  # the first time, before a block may be read instead
            case Store():
                found.setdefault(node.array, node.expression)
            case When():
                found = _known((*node.body, *node.otherwise)) | found
            case Loop() | Chunks():
                found = _known(node.body) | found
    return found


def _walk(nodes: tuple[Node, ...], known: Known) -> tuple[Node, ...]:
    found: list[Node] = []
    for node in nodes:
        match node:
            case Assign() | Store() | Update():
                found.append(replace(node, expression=_simplified(node.expression, known)))
            case When():
                body, otherwise = (_walk(each, known) for each in (node.body, node.otherwise))
                found.append(replace(node, body=body, otherwise=otherwise))
            case Loop() | Chunks():
                found.append(replace(node, body=_walk(node.body, known)))
            case _:
                found.append(node)
    return tuple(found)


def _simplified(node: sympy.Basic, known: Known) -> sympy.Basic:
    """Return an expression, its order as it was, with such distinctions of two cases."""
    if isinstance(node, careful) or not node.args:
        return node
    arguments = tuple(_simplified(a, known) for a in node.args)
    if isinstance(node, sympy.Piecewise) and len(arguments) == 2:
        (first, condition), (last, rest) = (pair.args for pair in arguments)
        compared = _compared(condition, known) if rest is sympy.true else None
        if compared is not None and all(_hands_on(last, side, known) for side in compared):
            return either(condition, first, last, evaluate=False)
    return rebuilt(node, arguments)


def _compared(condition: sympy.Basic, known: Known) -> list[sympy.Basic] | None:
    """Return what is compared that may be NaN, which numbers and parameters are not; None for other conditions."""
    if not isinstance(condition, sympy.Lt | sympy.Le | sympy.Gt | sympy.Ge):
        return None
    sides = [a for a in condition.args if not (a.is_number or (isinstance(a, sympy.Symbol) and a.name not in known))]
    return [_signed(side, known) for side in sides]


def _signed(node: sympy.Basic, known: Known) -> sympy.Basic:
    """Return what a magnitude is that of: one is NaN where the other is."""
    meant = known.get(node.name, node) if isinstance(node, sympy.Symbol) else node
    return _signed(meant.args[0], known) if isinstance(meant, sympy.Abs | magnitude) else node


def _hands_on(node: sympy.Basic, source: sympy.Basic, known: Known) -> bool:
    """Tell whether an expression is NaN where another is."""
    if node == source:
        return True
    match node:
        case sympy.Symbol() if node.name in known:
            return _hands_on(known[node.name], source, known)
        case Access() if node.name in known:
            return _hands_on(known[node.name], source, known)
        case sympy.Pow(args=(base, power)):
            return bool(power.is_number and power != 0) and _hands_on(base, source, known)
        case either(args=(_, first, last)):
            return all(_hands_on(a, source, known) for a in (first, last))
        case _ if isinstance(node, HANDED_ON):
            return any(_hands_on(a, source, known) for a in node.args)
        case _:
            return False
