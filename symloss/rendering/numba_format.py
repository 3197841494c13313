"""Loop nodes into lines of Numba source.

A comparison of floats with NaN takes neither branch, so NaN comes out wherever it came in. Arithmetic is float64
throughout; what is stored is rounded once, to the dtype of the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import sympy
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.invariants import with_inverses
from symloss.lowering.nodes import (
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
    Update,
    When,
)
from symloss.lowering.outputs import kept_in_outputs
from symloss.rendering.look_format import look_lines
from symloss.rendering.primitives import WIDTHS, interleaving, narrowed
from symloss.rendering.row_format import extreme_lines, lane_lines, strip_lines, whole_start
from symloss.stability.careful import Recipe

_REVERSED = {sympy.Lt: ">=", sympy.Ge: "<", sympy.Gt: "<=", sympy.Le: ">"}
_STARTS = {
    "sum": "0.0",
    "lanes": "0.0",
    "count": "0",
    "compensated": "0.0",
    "norm": "0.0",
    "max": "-np.inf",
    "min": "np.inf",
    "argmax": "0",
    "argmin": "0",
}
_CALLS = {
    "exp": "_exp", "log": "_log", "log1p": "_log1p", "log1p_unit": "_log1p_unit", "cos": "math.cos", "sin": "math.sin",
    "acos": "math.acos", "atan2": "math.atan2", "tanh": "math.tanh", "magnitude": "abs",
    "positive_part": "_positive_part", "raised_decay": "_raised_decay", "exp_difference": "_exp_difference",
    "power": "_power", "ratio": "_ratio", "quotient": "_quotient", "arctangent": "math.atan2",
    "sigmoid_power": "_sigmoid_power", "magnified": "_magnified", "step": "_step", "signum": "_signum",
}  # fmt: skip


class NumbaPrinter(StrPrinter):
    """One scalar expression as Python source, in the order in which it was lowered."""

    printmethod = "_symloss_numba"  # the nodes' own text forms are for readers, not for kernels

    def __init__(self, loads: frozenset[str], real: Format, *, flat: bool = False) -> None:
        super().__init__({"order": "none"})
        self.loads = loads
        self.real = real
        self.flat = flat  # no branches: what is in a loop becomes vector instructions
        self.used: set[str] = set()
        self.recipes: set[Recipe] = set()

    def doprint(self, expr: sympy.Basic) -> str:
        """Return an expression as source."""
        text: str = super().doprint(expr)
        return text if self.real is FLOAT64 else narrowed(text)

    def _print_Access(self, node: Access) -> str:
        slots = ", ".join(self._integer(s) for s in node.slots) or "()"
        entry = f"{node.name}[{slots}]"
        if isinstance(node, LabelAccess):
            return entry
        return f"np.float64({entry})" if node.name in self.loads else entry

    _print__Label = _print_Access
    _print_LabelAccess = _print_Access

    def _print_Index(self, node: Index) -> str:
        return str(node.name)

    def _print_Size(self, node: Size) -> str:
        return str(node.name) if self.real is FLOAT64 else f"f32({node.name})"

    def _print_Integer(self, node: sympy.Integer) -> str:
        return f"{int(node)}.0"

    def _print_Rational(self, node: sympy.Rational) -> str:
        value = float(node)
        return repr(value) if sympy.Rational(value) == node else f"({int(node.p)}.0 / {int(node.q)}.0)"

    def _print_Infinity(self, _node: sympy.Expr) -> str:
        return "np.inf"

    def _print_NegativeInfinity(self, _node: sympy.Expr) -> str:
        return "-np.inf"

    def _print_Float(self, node: sympy.Float) -> str:
        return repr(float(node))

    def _print_NumberSymbol(self, node: sympy.NumberSymbol) -> str:
        return repr(float(node))

    _print_Pi = _print_NumberSymbol

    def _print_Add(self, node: sympy.Add, order: object = None) -> str:
        del order
        text = ""
        for term in node.args:
            piece = self.parenthesize(term, PRECEDENCE["Add"], strict=True)
            if not text:
                text = piece
            else:
                text += f" - {piece[1:].lstrip()}" if piece.startswith("-") else f" + {piece}"
        return text

    def _print_Mul(self, node: sympy.Mul) -> str:
        over = [a for a in node.args if not (isinstance(a, sympy.Pow) and a.exp.is_Number and a.exp.is_negative)]
        under = [
            sympy.Pow(a.base, -a.exp, evaluate=False) if a.exp != -1 else a.base for a in node.args if a not in over
        ]
        sign = ""
        if over and over[0] == -1:
            sign, over = "-", over[1:]
        level = precedence(sympy.Mul(sympy.Symbol("a"), sympy.Symbol("b")))
        top = " * ".join(self.parenthesize(a, level, strict=True) for a in over) or "1.0"
        if not under:
            return sign + top
        bottom = " * ".join(self.parenthesize(a, level, strict=len(under) == 1) for a in under)
        needs = len(under) > 1 or (isinstance(under[0], sympy.Add | sympy.Mul) and not bottom.startswith("("))
        return f"{sign}{top} / ({bottom})" if needs else f"{sign}{top} / {bottom}"

    def _print_Pow(self, node: sympy.Pow, rational: bool = False) -> str:
        del rational
        base = self.parenthesize(node.base, PRECEDENCE["Atom"], strict=True)
        if node.exp == sympy.S.Half:
            return f"math.sqrt({self._print(node.base)})"
        if node.exp.is_Integer and 2 <= node.exp <= 4:
            return "(" + " * ".join([base] * int(node.exp)) + ")"
        if node.exp.is_number and node.exp.is_negative:
            return f"(1.0 / {self.parenthesize(sympy.Pow(node.base, -node.exp), PRECEDENCE['Atom'], strict=True)})"
        self.used.add("_power")
        return f"_power({self._print(node.base)}, {self._print(node.exp)})"

    def _print_careful(self, node: sympy.Function) -> str:
        recipe, value, size, *leaves = node.args
        self.recipes.add(recipe)
        return f"{recipe.name}({', '.join([*map(self._print, (value, size)), 'near', *map(self._print, leaves)])})"

    def _print_cancels(self, node: sympy.Function) -> str:
        self.used.add("_cancels")
        return f"_cancels({', '.join(map(self._print, node.args))}, near)"

    def _print_Function(self, node: sympy.Function) -> str:
        if type(node).__name__ == "difference":
            left = self.parenthesize(node.args[0], PRECEDENCE["Add"], strict=True)
            return f"({left} - {self.parenthesize(node.args[1], PRECEDENCE['Add'])})"
        if type(node).__name__ == "either":
            self.used.add("_choose")
            condition, first, last = node.args
            return f"_choose({self.condition(condition)}, {self._print(first)}, {self._print(last)})"
        if type(node).__name__ == "shrunk":
            return f"({self._print(node.args[0])} * 5.421010862427522e-20)"
        if type(node).__name__ == "decay_of_sum":
            return self.call("_decay_of_sum", [f"({', '.join(self._print(a) for a in node.args)})"])
        return self.call(_CALLS[type(node).__name__], [self._print(a) for a in node.args])

    def call(self, name: str, arguments: list[str]) -> str:
        """Return the call of a function as source, and note it."""
        if name.startswith("_"):
            self.used.add(name)
        wide = ["wide"] if name in WIDTHS and self.real is FLOAT64 else []
        return f"{name}({', '.join([*arguments, *wide])})"

    def _print_Piecewise(self, node: sympy.Piecewise) -> str:
        *cases, (last, _) = node.args
        ordered = [text for _, condition in cases for text in self._ordered(condition)]
        weight = [value for value, _ in cases if any(a.name == "sample_weights" for a in value.atoms(Access))]
        if self.flat and weight:  # compiled once with weights and once without, where there is no such line
            return f"({self._print(last)} if sample_weights is None else {self._print(weight[0])})"
        if self.flat:
            self.used.add("_choose")
            text: str = self._print(last)
            if ordered:
                text = f"_choose({' & '.join(f'({o})' for o in ordered)}, {text}, np.nan)"
            for value, condition in reversed(cases):
                text = f"_choose({self.condition(condition)}, {self._print(value)}, {text})"
            return text
        text = "".join(
            f"{self.parenthesize(value, PRECEDENCE['Atom'])} if {self.condition(condition)} else "
            for value, condition in cases
        )
        text += self.parenthesize(last, PRECEDENCE["Atom"], strict=True)
        return f"({text} if {' and '.join(ordered)} else np.nan)" if ordered else f"({text})"

    def _ordered(self, condition: sympy.Basic) -> list[str]:
        """Return what holds where a condition does not, unless a number is NaN, which takes no case."""
        found = []
        if isinstance(condition, sympy.Eq) and not condition.lhs.is_integer:
            same = next(a for a in condition.args if not a.is_number)
            found.append(f"{self._print(same)} == {self._print(same)}")
        if type(condition) in _REVERSED:
            left, right = condition.args
            found.append(f"{self._print(left)} {_REVERSED[type(condition)]} {self._print(right)}")
        return found

    def condition(self, node: sympy.Basic) -> str:
        """Return a condition as source."""
        match node:
            case sympy.And() | sympy.Or():
                parts = sorted((self.condition(a) for a in node.args), key=lambda t: (len(t), t))
                words = (" and ", " or ")
                if self.flat:
                    words, parts = (" & ", " | "), [f"({part})" for part in parts]
                return "(" + words[isinstance(node, sympy.Or)].join(parts) + ")"
            case sympy.Not():
                return f"not {self.condition(node.args[0])}"
            case sympy.core.relational.Relational():
                written = self._print if self.flat else self._integer  # beside an integer, float32 is made float64
                left, right = (written(a) for a in node.args)
                return f"{left} {node.rel_op} {right}"
            case _:
                return str(node)

    def _integer(self, node: sympy.Expr) -> str:
        return str(int(node)) if node.is_Integer else self._print(node)


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
CHUNK = 1024
"""Elements of a chunk: a few blocks of so many numbers stay in the nearest cache."""


def format_kernel(
    kernel: Kernel, loads: frozenset[str], extents: dict[str, str], like: str, real: Format, scalars: frozenset[str],
    *, flat: bool = False,
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
    """
    narrow = {node.name for node in kernel.body if isinstance(node, Buffer) and node.dtype == "like"}
    printer = NumbaPrinter(loads | narrow, real, flat=flat)
    nodes = kernel.body if flat and real is FLOAT64 else with_inverses(kernel.body)  # to the last place there
    if real is not FLOAT64:  # and neither are the arrays
        nodes = kept_in_outputs(nodes)
    body = [line.replace("LIKE", f"{like}.dtype") for line in _lines(nodes, printer, 0)]
    body = [*block_size(kernel), *body]
    if flat:  # no sign, so that no index could count from the end
        extents = {axis: f"np.uint64({source})" for axis, source in extents.items()}
    if any(isinstance(node, Chunks) for node in kernel.body):
        body.insert(0, f"block = np.uint64({CHUNK})")
    text = "\n".join(body)
    head = [f"{axis} = {source}" for axis, source in extents.items() if mentions(text, axis)]
    if "if weighted" in text:
        head.append("weighted = sample_weights.size > 0")
    if real is not FLOAT64:
        head += [f"{name} = f32({name})" for name in kernel.arguments if name in scalars and mentions(text, name)]
    if mentions(text, "wide"):
        head.append(f"wide = _wide({like})")
        printer.used.add("_wide")
    if mentions(text, "near"):
        head.append(f"near = {NEAR_WIDE} if {like}.itemsize == 8 else {NEAR}")
    if mentions(text, "nearer"):
        head.append(f"nearer = {NEARER_WIDE} if {like}.itemsize == 8 else {NEARER}")
    if "if wanted" in text:
        head.append("wanted = value_out.size > 0")
    tail = [f"return {kernel.returns}"] if kernel.returns else []
    return head + body + tail, printer.used, printer.recipes


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
                if operation == "whole":
                    lines += whole_start(node.name, printer, pad)
                    continue
                searched = operation in ("argmax", "argmin")
                start = "-1" if searched and masked else _STARTS[operation]
                if node.scales and printer.real is FLOAT64:
                    start = f"{_UNSCALED} if wide is None else {start}"
                narrow = operation in ("max", "min", "lanes") and printer.real is not FLOAT64
                lines.append(f"{pad}{node.name} = {f'f32({start})' if narrow else start}")
                if operation == "compensated":
                    lines.append(f"{pad}{node.name}_lost = 0.0")
                if searched:
                    lines.append(f"{pad}{node.name}_best = {'-' if operation == 'argmax' else ''}np.inf")
            case Buffer():
                axes = ("block", *node.axes[1:]) if node.blocked else node.axes
                kind = {"like": ", LIKE", "float64": _KINDS[printer.real]}.get(node.dtype, f", np.{node.dtype}")
                lines.append(f"{pad}{node.name} = np.empty(({', '.join(axes)},){kind})")
            case Loop():
                extent = "start, stop" if node.block else node.index.axis.name
                lines.append(f"{pad}for {node.index.name} in range({extent}):")
                inner = _lines(node.body, printer, depth + 1)
                if node.block and mentions("\n".join(inner), ROW.name):
                    lines.append(f"{pad}    {ROW} = {node.index.name} - start")
                lines += inner
                if all(isinstance(n, Assign | Store | Update | Doubt) for n in node.body):
                    lines += interleaving(inner, pad, printer.used, least=2 if node.block else 1)
            case Strips():
                lines += strip_lines(node, printer, pad, lambda body: _lines(body, printer, depth + 2))
            case Lanes() | Side() | Beside() | Lane():
                lines += lane_lines(node, printer, pad, lambda body: _lines(body, printer, depth + 1))
            case Blocks():
                axis = node.index.axis.name
                lines.append(f"{pad}for start in range(0, {axis}, block):")
                lines.append(f"{pad}    stop = min(start + block, {axis})")
                lines += _lines(node.body, printer, depth + 1)
            case Chunks():
                axis = node.index.axis.name
                lines.append(f"{pad}for start in range(np.uint64(0), {axis}, block):")
                lines.append(f"{pad}    stop = min(start + block, {axis})")
                lines += _lines(node.body, printer, depth + 1)
            case Total():
                lines.append(f"{pad}{_total(node, printer)}")
            case Extreme():
                lines += extreme_lines(node, printer, pad)
            case Doubt():
                lines.append(f"{pad}{node.block}[{ROW}] = {printer.doprint(node.condition)}")
                lines.append(f"{pad}{node.count} += {node.block}[{ROW}]")
            case Gather() | Second():
                lines += look_lines(node, printer, pad)
            case When():
                lines.append(f"{pad}if {_flag(node.condition, printer)}:")
                lines += _lines(node.body, printer, depth + 1)
            case Multiply():
                operands = [_matrix(m) for m in (node.left, node.right, node.target)]
                flags = node.left_transposed, node.right_transposed, node.add
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


def _flag(condition: str, printer: NumbaPrinter) -> str:
    """Return the condition of a branch; whether values are wanted is known when a kernel over elements is compiled."""
    return "value_out is not None" if printer.flat and condition == "wanted" else condition


def _total(node: Total, printer: NumbaPrinter) -> str:
    """Return the line that adds a block of numbers to a sum."""
    printer.used.add("_block_sum")
    count = "stop - start" if node.chunked else node.axis
    added = f"_block_sum({node.block}, {count})"
    if node.op == "compensated":
        printer.used.add("_plus")
        return f"{node.name}, {node.name}_lost = _plus({node.name}, {node.name}_lost, {added})"
    if node.op == "set":
        return f"{node.name} = {added if printer.real is FLOAT64 else f'f32({added})'}"
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
    if node.where is not sympy.true:
        inner = _store(replace(node, where=sympy.true), printer, pad + "    ")
        return [f"{pad}if {printer.condition(node.where)}:", *inner]
    value = printer.doprint(node.expression)
    match node.guard:
        case "":
            return [f"{pad}{node.array}[{slots}] = {value}"]
        case "add":
            return [f"{pad}{node.array}[{slots}] += {value}"]
        case guard:
            return [f"{pad}if {_flag(guard, printer)}:", f"{pad}    {node.array}[{slots}] = {value}"]


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
        case "lanes":
            lines.append(f"{pad}{node.name} = _add_in_lanes({node.name}, {value})")
            printer.used.add("_add_in_lanes")
        case "compensated":
            lines.append(f"{pad}{node.name}, {node.name}_lost = _plus({node.name}, {node.name}_lost, {value})")
            printer.used.add("_plus")
        case "larger":
            lines.append(f"{pad}{node.name} = _larger({node.name}, {value})")
            printer.used.add("_larger")
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
