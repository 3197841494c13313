"""Loop nodes as lines of Numba source in pair arithmetic, for float64.

The loops are those of other kernels. A local is a number, or a pair where rounding may have left a rest; a buffer of
numbers has their rests beside them. Results are rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

import sympy

from symloss.elementary.formats import FLOAT64
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.invariants import with_inverses
from symloss.lowering.joined import joined
from symloss.lowering.nodes import (
    LENGTH,
    PLACE,
    ROW,
    Assign,
    Begin,
    Beside,
    Blocks,
    Buffer,
    Columns,
    Extreme,
    Finish,
    Inverse,
    Kernel,
    Lane,
    Lanes,
    Loop,
    Matrix,
    Multiply,
    Node,
    Side,
    Skip,
    Store,
    Strips,
    Turn,
    Update,
    When,
)
from symloss.lowering.rows import STRIP
from symloss.lowering.sharing import shared
from symloss.rendering.expression_format import NumbaPrinter
from symloss.rendering.numba_format import block_size, extent_of, mentions
from symloss.rendering.pair_arithmetic import CALLED, TRACED
from symloss.rendering.pair_rows import IN_TURN, Found, Kept, extreme_lines, is_kept, lanes, stored, strip_lines
from symloss.rendering.primitives import interleaving
from symloss.rendering.row_format import turn_line

_OWN = {"log1p_unit": "log1p", "arctangent": "atan2"}
_OWN |= {f.__name__.removeprefix("_pair_"): f.__name__.removeprefix("_pair_") for f in (*TRACED, *CALLED)}
"""Functions of pairs that are pairs, by the name of the atom."""
_SIDES = {"step": "_step", "signum": "_signum"}
"""Functions of the sign, which are numbers."""


@dataclass
class _Pairs:
    """What is known while a kernel is printed."""

    plain: NumbaPrinter
    pairs: set[str] = field(default_factory=set)
    """Locals that are pairs."""
    buffers: dict[str, str] = field(default_factory=dict)
    """Buffers and their dtypes."""
    whole: set[str] = field(default_factory=set)
    """Locals and arguments that are integers."""
    kept: Kept = field(default_factory=Kept)
    """Numbers of rows side by side."""

    def call(self, name: str, *arguments: str) -> str:
        self.plain.used.add(name)
        return f"{name}({', '.join(arguments)})"

    def pair(self, node: sympy.Expr) -> str:
        """Return an expression as the source of a pair."""
        return self.raised(self.of(node))

    def raised(self, found: Found) -> str:
        text, is_pair = found
        return text if is_pair else f"({text}, 0.0)"

    def of(self, node: sympy.Expr) -> Found:
        """Return an expression as source, and whether it is a pair."""
        match node:
            case sympy.Rational():
                return self.number(Fraction(int(node.p), int(node.q)))
            case sympy.NumberSymbol() | sympy.Float():
                digits = sympy.Rational(str(node.evalf(60)))
                return self.number(Fraction(int(digits.p), int(digits.q)))
            case Size():
                return f"np.float64({node.name})", False
            case sympy.Symbol() | Index():
                return str(node.name), node.name in self.pairs
            case LabelAccess():
                return self.plain.doprint(node), False
            case Access():
                return self.entry(node)
            case sympy.Add():
                return reduce(self.sum_of, map(self.of, node.args))
            case sympy.Mul():
                return self.product(node)
            case sympy.Pow():
                return self.power(node)
            case sympy.Piecewise():
                return self.cases(node)
            case sympy.Function():
                return self.function(node)
            case _:
                return self.plain.doprint(node), False

    def number(self, value: Fraction) -> Found:
        first = float(value)
        rest = float(value - Fraction(first))
        return (repr(first), False) if rest == 0.0 else (f"({first!r}, {rest!r})", True)

    def entry(self, node: Access) -> Found:
        if node.name in self.kept.rests:
            return self.kept.entry(node, self.plain)
        if not self.is_layered(node.name):
            return self.plain.doprint(node), False
        if all(map(_is_loops, node.slots)):
            return f"_pair_at({node.name}, ({', '.join(map(self.slot, node.slots))},))", True
        first, rest = (self.plain.doprint(Access(node.name, *node.slots, sympy.Integer(k))) for k in (0, 1))
        return f"({first}, {rest})", True

    def slot(self, node: sympy.Expr) -> str:
        return str(int(node)) if node.is_Integer else self.plain.doprint(node)

    def is_layered(self, name: str) -> bool:
        """Tell whether an array is a buffer of pairs."""
        return self.buffers.get(name) in ("float64", "like")

    def sum_of(self, a: Found, b: Found) -> Found:
        match a[1], b[1]:
            case True, True:
                return self.call("_pair_add", a[0], b[0]), True
            case True, False:
                return self.call("_pair_add_number", a[0], b[0]), True
            case False, True:
                return self.call("_pair_add_number", b[0], a[0]), True
            case _:
                return self.call("_pair_of_sum", a[0], b[0]), True

    def times(self, a: Found, b: Found) -> Found:
        match a[1], b[1]:
            case True, True:
                return self.call("_pair_multiply", a[0], b[0]), True
            case True, False:
                return self.call("_pair_multiply_number", a[0], b[0]), True
            case False, True:
                return self.call("_pair_multiply_number", b[0], a[0]), True
            case _:
                return self.call("_pair_of_product", a[0], b[0]), True

    def negative(self, a: Found) -> Found:
        return (self.call("_pair_negative", a[0]), True) if a[1] else (f"-{a[0]}", False)

    def product(self, node: sympy.Mul) -> Found:
        """Multiply factors, signs and powers of 2 apart, which round nothing; divide once."""
        power, over, under = Fraction(1), [], []
        for factor in node.args:
            match factor:
                case sympy.Rational() if _is_power_of_two(factor):
                    power *= Fraction(int(factor.p), int(factor.q))
                case sympy.Pow() if factor.exp.is_number and factor.exp.is_negative:
                    base = factor.base if factor.exp == -1 else sympy.Pow(factor.base, -factor.exp, evaluate=False)
                    under.append(self.of(base))
                case _:
                    over.append(self.of(factor))
        found = reduce(self.times, over) if over else ("1.0", False)
        if under:
            found = self.call("_pair_divide", self.raised(found), self.raised(reduce(self.times, under))), True
        if abs(power) != 1:
            scale = repr(float(abs(power)))
            found = (
                (self.call("_pair_scaled", found[0], scale), True) if found[1] else (f"({found[0]} * {scale})", False)
            )
        return self.negative(found) if power < 0 else found

    def power(self, node: sympy.Pow) -> Found:
        if node.exp == sympy.S.Half:
            return self.call("_pair_root", self.pair(node.base)), True
        if node.exp.is_number and node.exp.is_negative:
            below = self.of(sympy.Pow(node.base, -node.exp, evaluate=False) if node.exp != -1 else node.base)
            return self.call("_pair_divide", "(1.0, 0.0)", self.raised(below)), True
        if node.exp.is_Integer and node.exp <= 8:
            return reduce(self.times, [self.of(node.base)] * int(node.exp))
        return self.call("_pair_power", self.pair(node.base), self.pair(node.exp)), True

    def function(self, node: sympy.Function) -> Found:
        name = type(node).__name__
        if name in _SIDES:
            return self.call(_SIDES[name], f"{self.pair(node.args[0])}[0]"), False
        if name in ("difference", "exp_difference"):
            found = self.sum_of(self.of(node.args[0]), self.negative(self.of(node.args[1])))
            return found if name == "difference" else (self.call("_pair_exp", found[0]), True)
        if name == "magnitude" and not (found := self.of(node.args[0]))[1]:
            return f"abs({found[0]})", False
        if name == "quotient":
            over, unit, inverse = map(self.of, node.args)
            scaled = self.call("_pair_scaled", over[0], unit[0]) if over[1] else f"({over[0]} * {unit[0]})"
            return self.times((scaled, over[1]), inverse)
        if name == "shrunk":
            return self.call("_pair_scaled", self.pair(node.args[0]), "5.421010862427522e-20"), True
        if name == "decay_of_sum":
            total = self.raised(reduce(self.sum_of, map(self.of, node.args)))
            return self.call("_pair_exp", self.call("_pair_negative", self.call("_pair_magnitude", total))), True
        if name not in _OWN:
            message = f"{name} has no form in pair arithmetic"
            raise ValueError(message)
        return self.call(f"_pair_{_OWN[name]}", *map(self.pair, node.args)), True

    def cases(self, node: sympy.Piecewise) -> Found:
        *cases, (last, _) = node.args
        values = [self.of(value) for value, _ in cases] + [self.of(last)]
        is_pair = any(found[1] for found in values)
        texts = [self.raised(found) if is_pair else found[0] for found in values]
        known = [text for _, condition in cases for text in self.ordered(condition)]
        text = texts[-1]
        if known:
            nothing = "(np.nan, 0.0)" if is_pair else "np.nan"
            text = f"({text} if {' and '.join(known)} else {nothing})"
        for value, (_, condition) in zip(reversed(texts[:-1]), reversed(cases), strict=True):
            text = f"({value} if {self.condition(condition)} else {text})"
        return text, is_pair

    def ordered(self, condition: sympy.Basic) -> list[str]:
        """Return what holds where a condition does not, unless a number is NaN, which takes no case."""
        if not isinstance(condition, sympy.core.relational.Relational) or self.is_whole(condition):
            return []
        texts = {f"{text}[0]" if is_pair else text for text, is_pair in map(self.of, condition.args)}
        return [f"{text} == {text}" for text in sorted(texts) if not text[0].isdigit()]

    def is_whole(self, condition: sympy.Basic) -> bool:
        """Tell whether indices or labels are compared."""

        def whole(node: sympy.Basic) -> bool:
            named = isinstance(node, Access) and (self.buffers.get(node.name) == "int64" or node.name in self.whole)
            return bool(node.is_integer) or isinstance(node, LabelAccess) or named or str(node) in self.whole

        return all(map(whole, condition.args))

    def condition(self, node: sympy.Basic) -> str:
        """Return a condition as source."""
        match node:
            case sympy.And() | sympy.Or():
                word = " or " if isinstance(node, sympy.Or) else " and "
                return f"({word.join(sorted((self.condition(a) for a in node.args), key=lambda t: (len(t), t)))})"
            case sympy.Not():
                return f"not {self.condition(node.args[0])}"
            case sympy.core.relational.Relational() if not self.is_whole(node):
                left, right = map(self.of, node.args)
                if left[1] and node.args[1] == 0:
                    return f"{left[0]}[0] {node.rel_op} 0.0"
                if left[1] or right[1]:
                    return f"{self.sum_of(left, self.negative(right))[0]}[0] {node.rel_op} 0.0"
                return f"{left[0]} {node.rel_op} {right[0]}"
            case _:
                return self.plain.condition(node)

    def lines(self, nodes: Iterable[Node], depth: int) -> list[str]:
        """Return nodes as lines of source."""
        pad, found = "    " * depth, []
        for node in nodes:
            found += [f"{pad}{line}" for line in self.node(node)]
        return found

    def node(self, node: Node) -> list[str]:
        match node:
            case Assign():
                text, is_pair = self.of(node.expression)
                self.set(node.name, is_pair)
                if self.is_whole(sympy.Eq(node.expression, 0, evaluate=False)):
                    self.whole.add(node.name)
                comment = f"  # {node.comment}" if node.comment and node.comment != node.name else ""
                return [f"{node.name} = {text}{comment}"]
            case Begin():
                return self.begin(node)
            case Finish():
                return []
            case Lanes() | Side() | Beside() | Lane():
                return lanes(node, self)
            case Buffer() if is_kept(node):
                return lanes(node, self)
            case Buffer():
                self.buffers[node.name] = node.dtype
                if node.shares:
                    return [f"{node.name} = {node.shares}"]
                if node.name == STRIP:
                    return [f"{STRIP} = np.empty(({node.axes[0]}, 2, {LENGTH}))"]
                axes = ", ".join(("block", *node.axes[1:]) if node.blocked else node.axes)
                if not self.is_layered(node.name):
                    return [f"{node.name} = np.empty(({axes},), np.{node.dtype})"]
                return [f"{node.name} = np.empty(({axes}, 2))"]
            case Loop():
                inner = self.lines(node.body, 1)
                row = (
                    [f"    {ROW} = {node.index.name} - start"]
                    if node.block and mentions("\n".join(inner), ROW.name)
                    else []
                )
                flat = all(isinstance(n, Assign | Store) for n in node.body)
                after = interleaving(inner, "", self.plain.used, least=IN_TURN) if flat else []
                return [f"for {node.index.name} in range({extent_of(node)}):", *row, *inner, *after]
            case Turn():
                self.plain.used.add("_turn")
                return [turn_line(node)]
            case When(otherwise=(), or_wide=False):
                return [f"if {node.condition}:", *self.lines(node.body, 1)]
            case Blocks():
                axis = node.index.axis.name
                head = [f"for start in range(0, {axis}, block):", f"    stop = min(start + block, {axis})"]
                return [*head, *self.lines(node.body, 1)]
            case Strips():
                return strip_lines(node, self)
            case Extreme():
                return extreme_lines(node, self)
            case Multiply():
                return [self.multiply(node)]
            case Inverse():
                return self.inverse(node)
            case Columns():
                block = f"{node.block}[: stop - start]"
                return [self.call("_pair_update_columns", block, "start", node.peak, node.winner, node.rest)]
            case Update():
                return self.guarded(node.where, self.update(node))
            case Store():
                return self.guarded(node.where, self.store(node))
            case Skip():
                return [f"if {self.condition(node.condition)}:", *self.lines(node.zeros, 1), "    continue"]
        message = f"{type(node).__name__} has no form in pair arithmetic"
        raise ValueError(message)

    def set(self, name: str, is_pair: bool) -> None:
        (self.pairs.add if is_pair else self.pairs.discard)(name)

    def guarded(self, where: sympy.Basic, lines: list[str]) -> list[str]:
        if where is sympy.true:
            return lines
        return [f"if {self.condition(where)}:", *(f"    {line}" for line in lines)]

    def begin(self, node: Begin) -> list[str]:
        operation, _, masked = node.op.partition("_")
        if operation in ("argmax", "argmin", "count"):
            self.whole.add(node.name)
        if operation in ("argmax", "argmin"):
            best = "-np.inf" if operation == "argmax" else "np.inf"
            return [f"{node.name} = {'-1' if masked else '0'}", f"{node.name}_best = ({best}, 0.0)"]
        if operation == "count":
            return [f"{node.name} = 0"]
        if node.scales:  # any number of about that size does
            self.set(node.name, is_pair=False)
            return [f"{node.name} = -np.inf"]
        self.set(node.name, is_pair=True)
        start = {"max": "-np.inf", "min": "np.inf"}.get(operation, "0.0")
        return [f"{node.name} = ({start}, 0.0)"]

    def update(self, node: Update) -> list[str]:
        name, found = node.name, self.of(node.expression)
        value = self.raised(found)
        match node.op:
            case "larger" | "max" if node.scales:
                return [f"{name} = {self.call('_larger', name, f'{value}[0]' if found[1] else found[0])}"]
            case "sum" | "compensated" | "lanes" | "lanewise" | "norm":
                return [f"{name} = {self.call('_pair_add', name, value)}"]
            case "larger" | "max":
                return [f"{name} = {self.call('_pair_larger', name, value)}"]
            case "min":
                less = self.call("_pair_larger", *(self.call("_pair_negative", x) for x in (name, value)))
                return [f"{name} = {self.call('_pair_negative', less)}"]
            case "argmax" | "argmin":
                relation = ">" if node.op == "argmax" else "<"
                gap = self.call("_pair_add", value, self.call("_pair_negative", f"{name}_best"))
                return [
                    f"if {gap}[0] {relation} 0.0:",
                    f"    {name}_best = {value}",
                    f"    {name} = {node.index}",
                ]
        message = f"the reduction {node.op!r} has no form in pair arithmetic"
        raise ValueError(message)

    def store(self, node: Store) -> list[str]:
        if node.array in self.kept.rests:
            return stored(node, self)
        if node.array == STRIP:  # all rests beside each other, so that loops over a strip stay vectors
            number, place = map(self.slot, node.slots)
            both = ", ".join(f"{STRIP}[{number}, {k}, {place}]" for k in (0, 1))
            return [f"{both} = {self.pair(node.expression)}"]
        slots = ", ".join(map(self.slot, node.slots)) or "()"
        if self.is_layered(node.array):
            entries = [f"{node.array}[{slots}, {k}]" for k in (0, 1)]
            value, at_loops = self.pair(node.expression), all(map(_is_loops, node.slots))
            if node.guard in ("add", "larger"):
                there = f"_pair_at({node.array}, ({slots},))" if at_loops else f"({', '.join(entries)})"
                value = self.call(f"_pair_{node.guard}", there, value)
            if at_loops:
                return [f"_pair_put({node.array}, ({slots},), {value})"]
            return [f"{', '.join(entries)} = {value}"]
        text, is_pair = self.of(node.expression)
        value = self.call("_pair_rounded", text) if is_pair else text
        match node.guard:
            case "" | "place":
                return [f"{node.array}[{slots}] = {value}"]
            case "add":
                return [f"{node.array}[{slots}] += {value}"]
            case guard:
                return [f"if {guard}:", f"    {node.array}[{slots}] = {value}"]

    def inverse(self, node: Inverse) -> list[str]:
        """Return what sets the power of two, and the pair, that stand for a divisor."""
        unit, inverse = node.names
        divisor = self.of(node.divisor)
        self.set(inverse, is_pair=True)
        first = f"{divisor[0]}[0]" if divisor[1] else divisor[0]
        scaled = self.call("_pair_scaled", self.raised(divisor), unit)
        over = self.call("_pair_ratio" if node.zero else "_pair_divide", "(1.0, 0.0)", scaled)
        return [f"{unit} = {self.call('_inverse', first)}[0]", f"{inverse} = {over}"]

    def multiply(self, node: Multiply) -> str:
        left, right, target = (self.matrix(m) for m in (node.left, node.right, node.target))
        self.plain.used.add("_multiply")
        flags = [f"np.bool_({flag})" for flag in (node.left_transposed, node.right_transposed, node.add)]
        return self.call("_pair_matrices", left, flags[0], right, flags[1], target, flags[2])

    def matrix(self, node: Matrix) -> str:
        """Return an array seen as a matrix whose entries are rows of a number and, where there is one, its rest."""
        part = {"block": "[: stop - start]", "rows": "[start:stop]", "": ""}[node.part]
        rows, columns = list(node.first), list(node.second)
        if node.part:
            rows[0] = "(stop - start)"
        layers = 2 if self.is_layered(node.name) else 1
        if layers == 2 and len(rows) == len(columns) == 1:
            return f"{node.name}{part}"
        return f"{node.name}{part}.reshape(({' * '.join(rows)}, {' * '.join(columns)}, {layers}))"


def _is_loops(slot: sympy.Expr) -> bool:
    """Tell whether a slot is never negative: the index of a loop, or a number."""
    return isinstance(slot, Index) or slot in (ROW, PLACE) or bool(slot.is_Integer and slot >= 0)


def _is_power_of_two(number: sympy.Rational) -> bool:
    return all(n & (n - 1) == 0 for n in (abs(int(number.p)), int(number.q)))


def format_pairs(
    kernel: Kernel, extents: dict[str, str], whole: frozenset[str], positive: frozenset[str] = frozenset()
) -> tuple[list[str], set[str]]:
    """Return the body of a kernel in pair arithmetic as source lines, and the primitives it calls.

    Parameters
    ----------
    kernel : Kernel
        The loop nest.
    extents : dict of str to str
        The source of each axis's extent.
    whole : frozenset of str
        Arguments that are integers.
    positive : frozenset of str
        Parameters that are above 0.

    Raises
    ------
    ValueError
        Where an operation has no form in pair arithmetic.
    """
    printer = _Pairs(NumbaPrinter(frozenset(), FLOAT64), whole=set(whole))
    nodes = shared(with_inverses(joined(kernel.body, positive, alike=True)), kernel.arguments)
    body = block_size(kernel) + printer.kept.memory(printer.lines(nodes, 0))
    text = "\n".join(body)
    head = [f"{axis} = {source}" for axis, source in extents.items() if mentions(text, axis)]
    if "if weighted" in text:
        head.append("weighted = sample_weights.size > 0")
    if "if wanted" in text:
        head.append("wanted = value_out.size > 0")
    tail = [f"return {printer.call('_pair_rounded', kernel.returns)}"] if kernel.returns else []
    return head + body + tail, printer.plain.used
