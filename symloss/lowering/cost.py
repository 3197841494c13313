"""The cost of a kernel: floating-point operations as a polynomial of the axis sizes."""

from __future__ import annotations

import sympy

from symloss.language.axes import Size
from symloss.lowering.nodes import (
    Assign,
    Blocks,
    Chunks,
    Columns,
    Doubt,
    Extreme,
    Kernel,
    Loop,
    Multiply,
    Node,
    Store,
    Strips,
    Total,
    Update,
    When,
)


def cost(kernel: Kernel) -> sympy.Expr:
    """Return the operations of a kernel, each elementary function counted as one, a second look as none."""
    return sympy.expand(_cost(kernel.body))


def _cost(nodes: tuple[Node, ...]) -> sympy.Expr:
    total: sympy.Expr = sympy.S.Zero
    for node in nodes:
        match node:
            case Loop() | Strips():
                total += node.index.axis.size * _cost(node.body)
            case Blocks() | Chunks():
                total += _cost(node.body)
            case When() if node.otherwise:  # the first of two ways to the same numbers
                total += _cost(node.body)
            case Total() if node.axis:
                total += Size(node.axis)
            case Extreme():
                total += (2 if node.place else 1) * Size(node.axis)
            case Doubt():
                total += 2
            case Multiply():
                axes = (*node.target.first, *node.target.second, *_summed(node))
                total += 2 * sympy.prod([Size(a) for a in axes])
            case Columns():
                total += 5 * sympy.prod([Size(a) for a in node.axes])  # compare, and add an exponential
            case Store(expression=sympy.Piecewise() as cases) if cases.args[-1] == (0, True):
                total += sum(sympy.count_ops(value) for value, _ in cases.args)  # what a mask leaves out
            case Store(guard="larger" | "place"):
                total += 1
            case Assign() | Store():
                total += sympy.count_ops(node.expression)
            case Update():
                total += 1 + sympy.count_ops(node.expression)
    return total


def _summed(node: Multiply) -> tuple[str, ...]:
    return node.left.first if node.left_transposed else node.left.second
