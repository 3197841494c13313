"""The second look at sums that cancel, as source: numbers moved together, then loops over these."""

from __future__ import annotations

from typing import Protocol

import sympy

from symloss.lowering.nodes import PLACE, ROW, Gather, Second
from symloss.rendering.careful_format import closer_name
from symloss.stability.careful import Recipe


class Printer(Protocol):
    """What prints expressions, and keeps the recipes that they call."""

    recipes: set[Recipe]

    def doprint(self, expr: sympy.Basic) -> str:
        """Return an expression as source."""


def look_lines(node: Gather | Second, printer: Printer, pad: str) -> list[str]:
    """Return the lines of one of the nodes of a second look."""
    match node:
        case Gather():
            numbers = [f"{block}[{node.count}] = {printer.doprint(x)}" for block, x in node.numbers]
            lines = [f"{node.place}[{node.count}] = {ROW}", *numbers, f"{node.count} += {node.doubt}[{ROW}]"]
        case Second():
            printer.recipes.add(node.recipe)
            leaves = ", ".join(map(printer.doprint, node.leaves))
            each = f"for {PLACE} in range(np.uint64(0), np.uint64({node.count})):"  # no index counts from the end
            known = f"{node.closer}[{PLACE}], {node.size}[{ROW}], nearer"
            lines = [
                each,
                f"    {node.closer}[{PLACE}] = {closer_name(node.recipe)}({leaves})",
                each,
                f"    {ROW} = {node.place}[{PLACE}]",
                f"    {node.target}[{ROW}] = {node.recipe.name}({known}, {leaves})",
            ]
    return [pad + line for line in lines]
