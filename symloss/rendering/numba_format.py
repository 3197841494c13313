"""Loop nodes into lines of Numba source.

A comparison of floats with NaN takes neither branch, so NaN comes out wherever it came in. Arithmetic is float64
throughout; what is stored is rounded once, to the dtype of the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import sympy

from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.lowering.bounds import as_input
from symloss.lowering.chunks import by_blocks
from symloss.lowering.invariants import with_inverses
from symloss.lowering.joined import joined
from symloss.lowering.nodes import (
    CHUNK,
    ROW,
    Assign,
    Begin,
    Beside,
    Blocks,
    Buffer,
    Chunks,
    Columns,
    Doubt,
    Extreme,
    Finish,
    Gather,
    Inverse,
    Kernel,
    Lane,
    Lanes,
    Loop,
    Matrix,
    Multiply,
    Node,
    Second,
    Side,
    Skip,
    Store,
    Strips,
    Total,
    Turn,
    Update,
    When,
)
from symloss.lowering.outputs import kept_in_outputs, products_in_outputs
from symloss.lowering.rounds import side_by_side
from symloss.lowering.rows import STRIP
from symloss.lowering.sharing import shared
from symloss.rendering.expression_format import NumbaPrinter
from symloss.rendering.look_format import look_lines
from symloss.rendering.primitives import interleaving, lanes_after
from symloss.rendering.row_format import extreme_lines, lane_lines, strip_lines, turn_line, whole_start
from symloss.stability.careful import Recipe

_STARTS = {
    "sum": "0.0",
    "lanes": "0.0",
    "lanewise": "0.0",
    "count": "0",
    "compensated": "0.0",
    "norm": "0.0",
    "max": "-np.inf",
    "min": "np.inf",
    "argmax": "0",
    "argmin": "0",
    "bits": "",
}
_UNSCALED = "1.0"
"""What norms of float32 are relative to in float64, where no square of one leaves the format."""
_KINDS = {FLOAT64: "", FLOAT32: ", f32"}
"""What the allocation of a buffer says of its numbers."""
ROWS = 512
"""Rows of a block: fewer lose speed in the matrix products, more only take memory."""

NEAR, NEAR_WIDE = 2.0**-16, 0.375
"""The part of its terms' size below which a sum is computed again where the result is float32; for float64."""
NEARER, NEARER_WIDE = 2.0**-60, 2.0**-36
"""The same for the sum in loose pairs: some 90 bits of its terms' size are right."""


def format_kernel(
    kernel: Kernel, loads: frozenset[str], extents: dict[str, str], like: str, real: Format, scalars: frozenset[str],
    *, flat: bool = False, positive: frozenset[str] = frozenset(),
) -> tuple[list[str], set[str], set[Recipe]]:  # fmt: skip
    """Return the body of a kernel as source lines, and the primitives and recipes it calls.

    Parameters
    ----------
    kernel : Kernel
        The loop nest.
    loads : frozenset of str
        Arrays whose entries are turned into float64 when they are read.
    extents : dict of str to str
        The source of each axis's extent.
    like : str
        The array whose dtype matrices have.
    real : Format
        The arithmetic.
    scalars : frozenset of str
        Arguments that are numbers.
    flat : bool
        Whether it has no loop but those over elements.
    positive : frozenset of str
        Parameters that are above 0.
    """
    if kernel.comparing and real is FLOAT64:  # numbers that say their format take the array's
        plain = replace(kernel, comparing=False)
        lines, used, recipes = format_kernel(plain, frozenset(), extents, like, FLOAT32, scalars, flat=flat)
        own = [f"own = {like}.dtype.type", *(line.replace("f32(", "own(") for line in lines)]
        return own, used, recipes
    narrow = {node.name for node in kernel.body if isinstance(node, Buffer) and node.dtype == "like"}
    printer = NumbaPrinter(loads | narrow, real, flat=flat)
    body = joined(kernel.body, positive, alike=real is not FLOAT64)
    nodes = with_inverses(body, either=flat and real is FLOAT64)  # float64 results are right to the last place there
    # in float32 arithmetic outputs are as wide as what is computed with
    nodes = shared(
        by_blocks(nodes) if real is FLOAT64 else products_in_outputs(kept_in_outputs(nodes)), kernel.arguments
    )
    lines = [line.replace("LIKE", f"{like}.dtype") for line in _lines(nodes, printer, 0)]
    if not any(f"{STRIP}[" in line for line in lines):
        lines = [line for line in lines if not line.startswith(f"{STRIP} = ")]
        printer.used.discard("_strips")
    lines = [*block_size(kernel), *lines]
    if flat:  # no sign, so that no index could count from the end
        extents = {axis: f"np.uint64({source})" for axis, source in extents.items()}
    if any(isinstance(node, Chunks) for node in kernel.body):
        lines.insert(0, f"block = np.uint64({CHUNK})")
    text = "\n".join(lines)
    head = [f"{axis} = {source}" for axis, source in extents.items() if mentions(text, axis)]
    if "if weighted" in text:
        head.append("weighted = sample_weights.size > 0")
    if real is not FLOAT64:
        head += [f"{name} = f32({name})" for name in kernel.arguments if name in scalars and mentions(text, name)]
    if mentions(text, "wide"):
        head.append(f"wide = _wide({like})")
        printer.used.add("_wide")
    if mentions(text, "own"):
        head.append(f"own = {like}.dtype.type")
    if mentions(text, "near"):
        head.append(f"near = {NEAR_WIDE} if {like}.itemsize == 8 else {NEAR}")
    if mentions(text, "nearer"):
        head.append(f"nearer = {NEARER_WIDE} if {like}.itemsize == 8 else {NEARER}")
    if "if wanted" in text:
        head.append("wanted = value_out.size > 0")
    tail = [f"return {kernel.returns}"] if kernel.returns else []
    return head + lines + tail, printer.used, printer.recipes


def extent_of(loop: Loop) -> str:
    """Return what a loop runs through, as source."""
    axis = loop.index.axis.name
    return "start, stop" if loop.block else f"{axis} - 1, -1, -1" if loop.down else axis


def block_size(kernel: Kernel) -> list[str]:
    """Return the line that sets how many rows a block has, where there are blocks."""
    blocks = [node for node in kernel.body if isinstance(node, Blocks)]
    if not blocks:
        return []
    inside = " * ".join(blocks[0].inside)
    size = f"max(1, {ROWS} // max(1, {inside}))" if inside else str(ROWS)
    return [f"block = max(1, min({size}, {blocks[0].index.axis.name}))"]


def mentions(text: str, axis: str) -> bool:
    """Tell whether source has a name in it that is no attribute, comments apart."""
    return re.search(rf"(?<![\w.]){axis}(?!\w)", re.sub(r"#.*", "", text)) is not None


def _lines(nodes: Iterable[Node], printer: NumbaPrinter, depth: int) -> list[str]:
    pad, lines = "    " * depth, []
    for node in nodes:
        match node:
            case Assign():
                comment = f"  # {node.comment}" if node.comment and node.comment != node.name else ""
                lines.append(f"{pad}{node.name} = {printer.doprint(node.expression)}{comment}")
            case Begin():
                operation, _, masked = node.op.partition("_")
                if operation in ("whole", "wide"):
                    lines += whole_start(node.name, printer, pad)
                    continue
                searched = operation in ("argmax", "argmin")
                start = "-1" if searched and masked else _STARTS[operation]
                if operation == "bits":
                    start = printer.doprint(as_input(sympy.S.Zero))
                if node.scales and printer.real is FLOAT64:
                    start = f"{_UNSCALED} if wide is None else {start}"
                narrow = operation in ("max", "min", "lanes", "lanewise") and printer.real is not FLOAT64
                lines.append(f"{pad}{node.name} = {f'f32({start})' if narrow else start}")
                if operation == "compensated":
                    lines.append(f"{pad}{node.name}_lost = 0.0")
                if searched:
                    lines.append(f"{pad}{node.name}_best = {'-' if operation == 'argmax' else ''}np.inf")
            case Buffer():
                lines.append(f"{pad}{node.name} = {_made(node, printer)}")
            case Loop():
                lines.append(f"{pad}for {node.index.name} in range({extent_of(node)}):")
                inner = _lines(node.body, printer, depth + 1)
                if node.block and mentions("\n".join(inner), ROW.name):
                    lines.append(f"{pad}    {ROW} = {node.index.name} - start")
                lines += inner
                if any(isinstance(n, Update) and n.op == "lanewise" for n in node.body):
                    lines += lanes_after(pad, printer.real, printer.used)
                elif all(isinstance(n, Assign | Store | Update | Doubt) for n in node.body):
                    in_turn = interleaving(inner, pad, printer.used, least=2 if node.block else 1)
                    written = not in_turn and all(isinstance(n, Assign | Store) for n in node.body)
                    plain = printer.flat and written and side_by_side(node.body, node.index, ROW)
                    lines += lanes_after(pad, FLOAT64, printer.used) if plain and printer.real is FLOAT64 else in_turn
            case Strips():
                lines += strip_lines(node, printer, pad, lambda body: _lines(body, printer, depth + 2))
            case Lanes() | Side() | Beside() | Lane():
                lines += lane_lines(node, printer, pad, lambda body: _lines(body, printer, depth + 1))
            case Turn():
                lines.append(pad + turn_line(node))
                printer.used.add("_turn")
            case Blocks():
                axis = node.index.axis.name
                lines.append(f"{pad}for start in range(0, {axis}, block):")
                lines.append(f"{pad}    stop = min(start + block, {axis})")
                lines += _lines(node.body, printer, depth + 1)
            case Chunks():
                axis = node.index.axis.name
                lines.append(f"{pad}for start in range(np.uint64(0), {axis}, block):")
                lines.append(f"{pad}    stop = start + block if start + block < {axis} else {axis}")
                lines += _lines(node.body, printer, depth + 1)
            case Total():
                lines.append(f"{pad}{_total(node, printer)}")
            case Extreme():
                lines += extreme_lines(node, printer, pad)
            case Doubt():
                known = [printer.doprint(node.value), printer.doprint(node.size), "near"]
                lines.append(f"{pad}{node.count} += {printer.call('_is_small', known)}")
            case Gather() | Second():
                lines += look_lines(node, printer, pad)
            case When():
                wide = "wide is not None or " if node.or_wide and printer.real is FLOAT64 else ""
                lines.append(f"{pad}if {wide}{_flag(node.condition, printer)}:")
                lines += _lines(node.body, printer, depth + 1)
                if node.otherwise:
                    lines += [f"{pad}else:", *_lines(node.otherwise, printer, depth + 1)]
            case Multiply():
                # True and False have types of their own: what is called would be compiled for each
                operands = [_matrix(m) for m in (node.left, node.right, node.target)]
                flags = [f"np.bool_({flag})" for flag in (node.left_transposed, node.right_transposed, node.add)]
                left, right, target = operands
                lines.append(f"{pad}_multiply({left}, {flags[0]}, {right}, {flags[1]}, {target}, {flags[2]})")
                printer.used.add("_multiply")
            case Columns():
                known = [f"{node.block}[: stop - start]", "start", node.peak, node.winner, node.rest]
                lines.append(pad + printer.call("_update_columns", known))
            case Inverse():
                call = "_divisor" if node.zero else "_inverse"
                lines.append(f"{pad}{', '.join(node.names)} = {call}({printer.doprint(node.divisor)})")
                printer.used.add(call)
            case Finish(op="wide"):
                lines.append(f"{pad}{node.name} = {node.name}_sum")
            case Finish(op="whole") if printer.real is not FLOAT64:
                lines.append(f"{pad}{node.name} = f32({node.name}_sum)")
            case Finish():
                own = f"{node.name}_sum" if node.op == "whole" else node.name
                lines.append(f"{pad}{node.name} = _completed({own}, {node.name}_lost)")
                printer.used.add("_completed")
            case Update():
                lines += _update(node, printer, pad)
            case Store():
                lines += _store(node, printer, pad)
            case Skip():
                lines.append(f"{pad}if {printer.condition(node.condition)}:")
                lines += _lines(node.zeros, printer, depth + 1)
                lines.append(f"{pad}    continue")
    return lines


def _made(node: Buffer, printer: NumbaPrinter) -> str:
    """Return what makes an array of a kernel's own: of a size known when it is compiled, on the stack."""
    if node.shares:
        return node.shares
    axes = ("block", *node.axes[1:]) if node.blocked else node.axes
    known = {"like": ", LIKE", "float64": _KINDS[printer.real], "wide": ", np.float64"}
    kind = known.get(node.dtype, f", np.{node.dtype}")
    of = kind.removeprefix(", ") or "np.float64"
    if printer.flat and axes == ("block",):
        printer.used.add("_scratch")
        return f"_scratch({of})"
    if node.name == STRIP:
        printer.used.add("_strips")
        return f"_strips({axes[0]}, {of})"
    return f"np.empty(({', '.join(axes)},){kind})"


def _flag(condition: str, printer: NumbaPrinter) -> str:
    """Return the condition of a branch; whether values are wanted is known when a kernel over elements is compiled."""
    return "value_out is not None" if printer.flat and condition == "wanted" else condition


def _total(node: Total, printer: NumbaPrinter) -> str:
    """Return the line that adds what a chunk has of a sum."""
    added = node.part
    if node.axis:
        printer.used.add("_block_sum")
        added = f"_block_sum({node.part}, stop - start)"
    if node.op == "compensated":
        printer.used.add("_plus")
        return f"{node.name}, {node.name}_lost = _plus({node.name}, {node.name}_lost, {added})"
    return f"{node.name} += {added}"


def _matrix(node: Matrix) -> str:
    """Return an array seen as a matrix, as source."""
    part = {"block": "[: stop - start]", "rows": "[start:stop]", "": ""}[node.part]
    if len(node.first) == len(node.second) == 1:
        return node.name + part
    rows, columns = list(node.first), list(node.second)
    if node.part:
        rows[0] = "(stop - start)"
    return f"{node.name}{part}.reshape(({' * '.join(rows)}, {' * '.join(columns)}))"


def _store(node: Store, printer: NumbaPrinter, pad: str) -> list[str]:
    slots = ", ".join(str(int(s)) if s.is_Integer else printer.doprint(s) for s in node.slots) or "()"
    entry = f"{node.array}[{slots}]"
    if node.guard == "place":  # places rise, and a choice between two of them would be stored under a mask
        return [f"{pad}{entry} = max({entry}, {node.expression} if {printer.condition(node.where)} else 0)"]
    if node.where is not sympy.true:
        inner = _store(replace(node, where=sympy.true), printer, pad + "    ")
        return [f"{pad}if {printer.condition(node.where)}:", *inner]
    value = printer.doprint(node.expression)
    match node.guard:
        case "":
            return [f"{pad}{entry} = {value}"]
        case "add":
            return [f"{pad}{entry} += {value}"]
        case "larger":
            printer.used.add("_larger_beside")
            return [f"{pad}{entry} = _larger_beside({entry}, {value})"]
        case guard:
            return [f"{pad}if {_flag(guard, printer)}:", f"{pad}    {entry} = {value}"]


def _update(node: Update, printer: NumbaPrinter, pad: str) -> list[str]:
    lines = []
    if node.scales and printer.real is FLOAT64:
        lines.append(f"{pad}if wide is not None:")
        pad += "    "
    if node.where is not sympy.true:
        lines.append(f"{pad}if {printer.condition(node.where)}:")
        pad += "    "
    value = printer.doprint(node.expression)
    match node.op:
        case "sum":
            lines.append(f"{pad}{node.name} += {value}")
        case "lanes" | "lanewise":
            lines.append(f"{pad}{node.name} = _add_in_lanes({node.name}, {value})")
            printer.used.add("_add_in_lanes")
        case "compensated":
            lines.append(f"{pad}{node.name}, {node.name}_lost = _plus({node.name}, {node.name}_lost, {value})")
            printer.used.add("_plus")
        case "larger":
            lines.append(f"{pad}{node.name} = _larger({node.name}, {value})")
            printer.used.add("_larger")
        case "bits":
            lines.append(f"{pad}{node.name} = _larger_by_bits({node.name}, {printer.entry(node.expression)})")
            printer.used.add("_larger_by_bits")
        case "max" | "min":
            relation = ">" if node.op == "max" else "<"
            lines.append(f"{pad}if {value} {relation} {node.name} or {value} != {value}:")
            lines.append(f"{pad}    {node.name} = {value}")
        case "argmax" | "argmin":
            relation, index = (">" if node.op == "argmax" else "<"), node.index
            lines.append(f"{pad}if {value} {relation} {node.name}_best:")
            lines.append(f"{pad}    {node.name}_best = {value}")
            lines.append(f"{pad}    {node.name} = {index}")
        case operation:
            message = f"no kernel form is known for the reduction {operation!r}"
            raise ValueError(message)
    return lines
