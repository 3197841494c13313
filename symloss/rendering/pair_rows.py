"""Rows as lines of Numba source in pair arithmetic: sums by strips, the largest entry, and short rows side by side.

What is kept for every short row of a block is an array, and where numbers have rests, another beside it: so a loop over
the rows becomes vector instructions. Which have rests is known when all lines are: until then a mark stands for memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import sympy

from symloss.language.nodes import Access
from symloss.lowering.nodes import (
    LANES,
    LENGTH,
    PLACE,
    ROW,
    Beside,
    Buffer,
    Extreme,
    Lane,
    Lanes,
    Node,
    Side,
    Store,
    Strips,
)
from symloss.lowering.rows import STRIP
from symloss.rendering.primitives import interleaving
from symloss.rendering.row_format import Printer, lane_lines

Found = tuple[str, bool]
"""An expression as source, and whether it is a pair."""
IN_TURN = 2
"""Vectors that loops run on in turn: more do not fit into the registers."""
_MARK = "#"
"""What a line starts with that stands for memory."""
_REST = "_rest"


class Pairs(Protocol):
    """What prints nodes in pair arithmetic."""

    @property
    def plain(self) -> Printer:
        """What prints numbers."""

    @property
    def kept(self) -> Kept:
        """What is known of the rows' numbers."""

    @property
    def whole(self) -> set[str]:
        """Locals and arguments that are integers."""

    def set(self, name: str, is_pair: bool) -> None:
        """Note whether a local is a pair."""

    def is_layered(self, name: str) -> bool:
        """Tell whether an array is a buffer of pairs."""

    def of(self, node: sympy.Expr) -> Found:
        """Return an expression as source, and whether it is a pair."""

    def pair(self, node: sympy.Expr) -> str:
        """Return an expression as the source of a pair."""

    def call(self, name: str, *arguments: str) -> str:
        """Return a call of a primitive."""

    def condition(self, node: sympy.Basic) -> str:
        """Return a condition as source."""

    def lines(self, nodes: Iterable[Node], depth: int) -> list[str]:
        """Return nodes as lines of source."""


@dataclass
class Kept:
    """The arrays with an entry for every row of a block.

    Parameters
    ----------
    rests : dict of str to bool
        By name, whether its numbers have rests.
    shapes : dict of str to str
        Of those that are arrays of their own, the extents as source.
    """

    rests: dict[str, bool] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)

    def entry(self, node: Access, printer: Printer) -> Found:
        """Return an entry as source."""
        text = printer.doprint(node)
        if not self.rests[node.name]:
            return text, False
        return f"({text}, {printer.doprint(Access(node.name + _REST, *node.slots))})", True

    def memory(self, lines: Iterable[str]) -> list[str]:
        """Return lines with what makes the arrays in the place of the marks."""
        found: list[str] = []
        for line in lines:
            name = line.removeprefix(_MARK)
            if name == line:
                found.append(line)
            elif name in self.shapes:
                both = (name, name + _REST) if self.rests[name] else (name,)
                found += [f"{part} = np.empty(({self.shapes[name]},))" for part in both]
            else:
                parts = [n for n in self.rests if n not in self.shapes]
                names = [each for n in parts for each in ((n, n + _REST) if self.rests[n] else (n,))]
                found.append(f"{name} = np.empty(({len(names)}, {LANES}))")
                found += [f"{part} = {name}[{k}]" for k, part in enumerate(names)]
        return found


def strip_lines(node: Strips, pairs: Pairs) -> list[str]:
    """Return a loop by strips; its indices have no sign, so that none could count from the end."""
    axis, index = node.index.axis.name, node.index.name
    inner = pairs.lines(node.body, 2)
    lines = [
        f"for strip in range(np.uint64(0), np.uint64({axis}), np.uint64({LENGTH})):",
        f"    length = min(np.uint64({LENGTH}), np.uint64({axis}) - strip)",
        f"    for {PLACE} in range(length):",
        f"        {index} = strip + {PLACE}",
        *inner,
        *interleaving(inner, "    ", pairs.plain.used, least=IN_TURN),
    ]
    for number, (_, _, left_out) in enumerate(node.sums):
        if left_out is not None:
            both = ", ".join(f"{STRIP}[{number}, {k}, apart]" for k in (0, 1))
            lines.append(f"    apart = np.uint64({pairs.plain.doprint(left_out)}) - strip")
            lines += ["    if apart < length:", f"        {both} = 0.0, 0.0"]
    for number, (name, _, _) in enumerate(node.sums):
        added = pairs.call("_pair_block_sum", f"{STRIP}[{number}]", "length")
        lines.append(f"    {name} = {pairs.call('_pair_add', name, added)}")
    return lines


def extreme_lines(node: Extreme, pairs: Pairs) -> list[str]:
    """Return the search for the largest of a row, by first parts; where these are the same, the first is taken."""
    layered = pairs.is_layered(node.row.name)
    pairs.set(node.name, layered)
    slots = [pairs.plain.doprint(s) for s in node.row.slots]
    rows = [f"{node.row.name}[{', '.join([*slots, ':', str(k)])}]" for k in (0, 1)]
    row = rows[0] if layered else f"{node.row.name}[{', '.join(slots)}]" if slots else node.row.name
    first, place = (f"{node.name}_first", f"{node.name}_place") if layered else (node.name, "")
    place = node.place or place
    lines = [f"{first} = {pairs.call('_largest', row, node.axis)}"]
    if place:
        pairs.whole.add(place)
        lines.append(f"{place} = {pairs.call('_place_of', first, row, node.axis)}")
    if layered:
        lines.append(f"{node.name} = ({first}, {rows[1]}[{place}])")
    return lines


def is_kept(node: Buffer) -> bool:
    """Tell whether a buffer has an entry for every row of a block."""
    return bool(node.axes) and node.axes[-1] == str(LANES)


def lanes(node: Lanes | Side | Beside | Lane | Buffer, pairs: Pairs) -> list[str]:
    """Return the lines of one node.

    Raises
    ------
    ValueError
        Where the largest of a row would be looked for among pairs.
    """
    kept = pairs.kept
    match node:
        case Beside(dtype="float64"):
            kept.rests |= dict.fromkeys(node.parts, False)
            return [_MARK + node.name]
        case Buffer(dtype="like"):  # of results, which are rounded
            return [f"{node.name} = np.empty(({', '.join(node.axes)},))"]
        case Buffer():
            kept.rests[node.name] = False
            kept.shapes[node.name] = ", ".join(node.axes)
            return [_MARK + node.name]
        case Lane():
            return _lane(node, pairs)
        case _:
            lines = lane_lines(node, pairs.plain, "", lambda body: pairs.lines(body, 1))
            arithmetic = isinstance(node, Side) and any("_pair_" in line for line in lines)
            return lines + (interleaving(lines, "", pairs.plain.used, least=IN_TURN) if arithmetic else [])


def stored(node: Store, pairs: Pairs) -> list[str]:
    """Return the line that writes an entry."""
    text, is_pair = pairs.of(node.expression)
    entry, rest = _places(node.array, node.slots, pairs)
    if not is_pair and not pairs.kept.rests[node.array]:
        return [f"{entry} = {text}"]
    pairs.kept.rests[node.array] = True
    return [f"{entry}, {rest} = {text if is_pair else f'({text}, 0.0)'}"]


def _places(name: str, slots: tuple[sympy.Expr, ...], pairs: Pairs) -> tuple[str, str]:
    first, rest = (pairs.plain.doprint(Access(each, *slots)) for each in (name, name + _REST))
    return first, rest


def _lane(node: Lane, pairs: Pairs) -> list[str]:
    """Return what happens to a number kept for every row."""
    entry, rest = _places(node.name, (ROW,), pairs)
    match node.op:
        case "begin max":
            return [f"{entry} = -np.inf"]
        case "begin argmax":
            return [f"{entry} = 0"]
        case "begin compensated":
            pairs.kept.rests[node.name] = True
            return [f"{entry}, {rest} = 0.0, 0.0"]
        case "larger":
            text, is_pair = pairs.of(node.expression)
            if is_pair:
                message = "the largest pair of a row has no form for rows side by side"
                raise ValueError(message)
            return [f"{entry} = {pairs.call('_larger_beside', entry, text)}"]
        case "place":  # places rise, and to choose between this one and what is there would be stored under a mask
            place = pairs.plain.doprint(node.expression)
            return [f"{entry} = max({entry}, {place} if {pairs.condition(node.where)} else np.int32(0))"]
        case "count":
            return [f"{node.name} += 1 if {pairs.condition(node.where)} else 0"]
        case "unless":
            value = pairs.plain.doprint(node.expression) if node.expression.is_Symbol else "1"
            return [f"{entry} = 0 if {pairs.condition(node.where)} else {value}"]
        case "add":
            return [f"{entry}, {rest} = {pairs.call('_pair_add', f'({entry}, {rest})', pairs.pair(node.expression))}"]
        case _:
            return []
