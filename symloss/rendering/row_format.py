"""Rows as lines of Numba source: sums by strips, the largest entry, and short rows side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import sympy

from symloss.elementary.formats import FLOAT64, Format
from symloss.lowering.nodes import (
    LANES,
    LENGTH,
    PLACE,
    ROW,
    Beside,
    Extreme,
    Lane,
    Lanes,
    Node,
    Side,
    Store,
    Strips,
    Turn,
    Update,
)
from symloss.lowering.rounds import side_by_side
from symloss.lowering.rows import STRIP
from symloss.rendering.intrinsics import LINE
from symloss.rendering.primitives import interleaving, lanes_after

AHEAD = LINE // 4
"""Numbers that the cache fetches together, of float32; of float64 it fetches two such lines at once."""
REACH = 2048
"""Numbers of a row that the cache is asked for: what lies further along, a processor fetches by itself in time."""


class Printer(Protocol):
    """What prints expressions."""

    real: Format
    loads: frozenset[str]
    used: set[str]

    def doprint(self, expr: sympy.Basic) -> str:
        """Return an expression as source."""

    def condition(self, node: sympy.Basic) -> str:
        """Return a condition as source."""


def whole_start(name: str, printer: Printer, pad: str) -> list[str]:
    """Return the lines that a sum of one loop starts with: float32 strips lose nothing in a float64 sum."""
    return [f"{pad}{name}_sum = 0.0", *([f"{pad}{name}_lost = 0.0"] if printer.real is FLOAT64 else [])]


def strip_lines(node: Strips, printer: Printer, pad: str, inside: Callable[[tuple[Node, ...]], list[str]]) -> list[str]:
    """Return a loop by strips; its indices have no sign, so that none could count from the end."""
    axis, index = node.index.axis.name, node.index.name
    lines = [f"{pad}for strip in range(np.uint64(0), np.uint64({axis}), np.uint64({LENGTH})):"]
    whole, end = f"np.uint64({LENGTH})", f"np.uint64({axis})"
    lines.append(f"{pad}    length = {whole} if strip + {whole} < {end} else {end} - strip")
    largest = [n.name for n in node.body if isinstance(n, Update) and n.op == "larger"]
    body = tuple(_of_strip(n) for n in node.body)
    inner = inside(body)
    in_turn = interleaving(inner, f"{pad}    ", printer.used)
    parts = [f"_block_sum({STRIP}[{number}], length)" for number in range(len(node.sums))]
    in_lanes = not in_turn and all(out is None for *_, out in node.sums) and side_by_side(node.body, node.index, PLACE)
    if not in_lanes and any(op == "wide" for _, op, _ in node.sums):
        message = "squares in float64 cannot be added up from strips of float32"
        raise NotImplementedError(message)
    if in_turn:  # memory has nothing else to do while exponentials are computed
        lines += _fetching(node, printer, f"{pad}    ")
    elif in_lanes:
        parts = [f"{name}_part" for name, *_ in node.sums]
        starts = ("0.0" if op == "wide" else printer.doprint(sympy.S.Zero) for _, op, _ in node.sums)
        lines += [f"{pad}    {part} = {start}" for part, start in zip(parts, starts, strict=True)]
        inner = inside(tuple(_in_lanes(n, parts) for n in body))
        in_turn = lanes_after(f"{pad}    ", printer.real, printer.used)
    lines += [f"{pad}    {name}_part = {printer.doprint(-sympy.oo)}" for name in largest]
    lines += [f"{pad}    for {PLACE} in range(length):", f"{pad}        {index} = strip + {PLACE}", *inner, *in_turn]
    lines += [f"{pad}    {name} = _larger({name}, {name}_part)" for name in largest]
    if any(part.startswith("_block_sum") for part in parts):
        printer.used.add("_block_sum")
    for number, (_, _, left_out) in enumerate(node.sums):
        if left_out is not None:
            lines.append(f"{pad}    apart = np.uint64({printer.doprint(left_out)}) - strip")
            lines += [f"{pad}    if apart < length:", f"{pad}        {STRIP}[{number}, apart] = 0.0"]
    for number, (name, op, _) in enumerate(node.sums):
        own, lost = f"{name}_sum" if op in ("whole", "wide") else name, f"{name}_lost"
        added = parts[number]
        if op == "compensated" or (op == "whole" and printer.real is FLOAT64):
            printer.used.add("_plus")
            lines.append(f"{pad}    {own}, {lost} = _plus({own}, {lost}, {added})")
        else:
            lines.append(f"{pad}    {own} += {added}")
    return lines


def _of_strip(node: Node) -> Node:
    """Return a node that looks for the largest of a strip, not of a row: beside a sum LLVM makes no vectors of that."""
    if isinstance(node, Update) and node.op == "larger":
        return replace(node, name=f"{node.name}_part")
    return node


def _in_lanes(node: Node, parts: Sequence[str]) -> Node:
    """Return a node that adds to such a part in the place of one that writes to a strip."""
    if not isinstance(node, Store) or node.array != STRIP:
        return node
    return Update(parts[int(node.slots[0])], "lanewise", node.expression, node.where)


def _fetching(node: Strips, printer: Printer, pad: str) -> list[str]:
    """Return the lines that have the cache fetch the beginning of a row while one of another is worked on."""
    if not node.asked:
        return []
    printer.used.add("_fetch")
    near = f"{pad}if strip < np.uint64({REACH}):  # further along, a processor does so by itself"
    head = f"{pad}    for ahead in range(np.uint64(0), length, np.uint64({AHEAD})):"
    return [near, head, *(f"{pad}        _fetch({array}, {row}, strip + ahead)" for array, row in node.asked)]


def extreme_lines(node: Extreme, printer: Printer, pad: str) -> list[str]:
    """Return the search for the largest of a row, and for its place."""
    slots = ", ".join(map(printer.doprint, node.row.slots))
    row = f"{node.row.name}[{slots}]" if slots else node.row.name
    printer.used.add("_first_largest")
    lines = [f"{pad}{node.name}, {node.place or '_'} = _first_largest({row}, {node.axis})"]
    if node.row.name in printer.loads and printer.real is FLOAT64:
        lines.append(f"{pad}{node.name} = np.float64({node.name})")
    return lines


def turn_line(node: Turn) -> str:
    """Return the call that turns the rows of a block."""
    if node.back:
        return f"_turn({node.source}, np.uint64(0), {node.axis}, length, {node.target}, start)"
    return f"_turn({node.source}, start, length, {node.axis}, {node.target}, np.uint64(0))"


def lane_lines(
    node: Lanes | Side | Beside | Lane, printer: Printer, pad: str, inside: Callable[[tuple[Node, ...]], list[str]]
) -> list[str]:
    """Return the lines of one node.

    Parameters
    ----------
    node : node
        A loop over blocks of rows, or over the rows of one, or what is kept for each of them.
    printer : Printer
        For expressions; primitives are noted there.
    pad : str
        What lines start with.
    inside : callable
        Gives the lines of the nodes in a loop.
    """
    match node:
        case Lanes():
            axis = node.index.axis.name
            return [
                f"{pad}for start in range(np.uint64(0), np.uint64({axis}), np.uint64({LANES})):",
                f"{pad}    length = min(np.uint64({LANES}), np.uint64({axis}) - start)",
                *inside(node.body),
            ]
        case Side():
            lines = inside(node.body)
            if not lines:
                return []
            index = node.index.name
            named = [f"{pad}    {index} = start + {ROW}"] if any(_mentions(line, index) for line in lines) else []
            adding = any("_add_in_lanes(" in line for line in lines)  # pairs are added by a function
            after = lanes_after(pad, printer.real, printer.used) if adding else interleaving(lines, pad, printer.used)
            return [f"{pad}for {ROW} in range(length):", *named, *lines, *after]
        case Beside():
            kind = f", np.{node.dtype}" if node.dtype != "float64" else "" if printer.real is FLOAT64 else ", f32"
            parts = [*node.parts, *(f"{part}_lost" for part in node.sums if printer.real is FLOAT64)]
            head = f"{pad}{node.name} = np.empty(({len(parts)}, {LANES}){kind})"
            return [head, *(f"{pad}{part} = {node.name}[{k}]" for k, part in enumerate(parts))]
        case Lane():
            return _lane(node, printer, pad)


def _mentions(line: str, name: str) -> bool:
    return name in line.replace("[", " ").replace("]", " ").replace(",", " ").split()


def _lane(node: Lane, printer: Printer, pad: str) -> list[str]:
    """Return what happens to a number kept for every row."""
    entry, zero = f"{node.name}[{ROW}]", printer.doprint(sympy.S.Zero)
    lost = f"{node.name}_lost[{ROW}]"
    value = printer.doprint(node.expression)
    wide = printer.real is FLOAT64
    match node.op:
        case "begin max":
            return [f"{pad}{entry} = {printer.doprint(-sympy.oo)}"]
        case "begin argmax":
            return [f"{pad}{entry} = 0"]
        case "begin compensated":
            return [f"{pad}{entry} = {zero}", *([f"{pad}{lost} = {zero}"] if wide else [])]
        case "larger":
            printer.used.add("_larger_beside")
            return [f"{pad}{entry} = _larger_beside({entry}, {value})"]
        case "place":  # places rise, and to choose between this one and what is there would be stored under a mask
            return [f"{pad}{entry} = max({entry}, {value} if {printer.condition(node.where)} else np.int32(0))"]
        case "unless":
            value = value if node.expression.is_Symbol else "1"
            return [f"{pad}{entry} = 0 if {printer.condition(node.where)} else {value}"]
        case "count":
            return [f"{pad}{node.name} += 1 if {printer.condition(node.where)} else 0"]
        case "add" if wide:
            printer.used.add("_plus")
            return [f"{pad}{entry}, {lost} = _plus({entry}, {lost}, {value})"]
        case "add":
            return [f"{pad}{entry} += {value}"]
        case "finish" if wide:
            printer.used.add("_completed")
            return [f"{pad}{entry} = _completed({entry}, {lost})"]
        case _:
            return []
