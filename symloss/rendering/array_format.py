"""Items into lines of array code: each index is a dimension, and a read is transposed, widened or gathered to fit.

A part that is not chosen by its case is computed all the same, so every case gets operands it can digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import sympy

from symloss.elementary.formats import FLOAT64
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, Flag
from symloss.lowering.items import Item, Operand
from symloss.program import extremes
from symloss.rendering.dialect import Dialect
from symloss.rendering.expression_format import NumbaPrinter

_RELATIONS = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class ArrayPrinter(NumbaPrinter):
    """One expression as source whose value has, or spreads over, the dimensions `dims`."""

    def __init__(self, dialect: Dialect, like: str) -> None:
        super().__init__(frozenset(), FLOAT64)
        self.dialect = dialect
        self.like = like
        self.dims: tuple[Index, ...] = ()
        self.counted: dict[str, str] = {}

    def _print_Index(self, node: Index) -> str:
        self.counted[f"{node.axis.name}_range"] = node.axis.name
        return f"{node.axis.name}_range{self._spread((self.dims.index(node),))}"

    def _spread(self, places: tuple[int, ...]) -> str:
        """Return the subscript that puts dimensions, in rising order, where they belong."""
        parts = [":" if k in places else "None" for k in range(len(self.dims))]
        return "" if "None" not in parts else f"[{', '.join(parts)}]"

    def _print_Access(self, node: Access) -> str:
        slots = node.slots
        if not slots:
            return node.name
        if all(isinstance(s, Index) for s in slots) and len(set(slots)) == len(slots):
            places = [self.dims.index(s) for s in slots]
            order = sorted(range(len(places)), key=places.__getitem__)
            turned = order != list(range(len(places)))
            name = f"{self.dialect.turn}({node.name}, {tuple(order)})" if turned else node.name
            return name + self._spread(tuple(places))
        return f"{node.name}[{', '.join(self._integer(s) for s in slots)}]"

    _print__Label = _print_Access
    _print_LabelAccess = _print_Access

    def _print_Size(self, node: Size) -> str:
        return str(node.name)

    def _print_Infinity(self, _node: sympy.Expr) -> str:
        return self.dialect.infinity

    def _print_NegativeInfinity(self, _node: sympy.Expr) -> str:
        return f"-{self.dialect.infinity}"

    def _print_NaN(self, _node: sympy.Expr) -> str:
        return self.dialect.nan

    def _print_Pow(self, node: sympy.Pow, rational: bool = False) -> str:
        if node.exp == sympy.S.Half:
            return f"{self.dialect.root}({self._argument(node.base)})"
        return str(super()._print_Pow(node, rational))

    def _print_Function(self, node: sympy.Function) -> str:
        kind = type(node).__name__
        if kind in ("difference", "shrunk"):
            return str(super()._print_Function(node))
        call = self.dialect.calls[kind]
        arguments = ", ".join(self._argument(a) for a in node.args)
        return f"{call}(({arguments}))" if kind == "decay_of_sum" else f"{call}({arguments})"

    def _argument(self, node: sympy.Expr) -> str:
        """Return an argument of a function; a number made of sizes alone may need to become an array."""
        text = str(self._print(node))
        plain = not node.has(Access) and all(isinstance(s, Size) for s in node.free_symbols)
        return self.dialect.number.format(body=text, like=self.like) if plain else text

    def _print_Piecewise(self, node: sympy.Piecewise) -> str:
        value, condition = node.args[0]
        if condition is sympy.true:
            return str(self._print(value))
        rest = node.func(*node.args[1:]) if len(node.args) > 1 else sympy.nan
        if _is_fixed(condition):
            return f"({self._print(value)} if {self.condition(condition)} else {self._print(rest)})"
        text = str(self._print(rest))
        if isinstance(node, extremes.Piecewise):  # NaN compares as neither
            text = self._choice(condition.negated, text, self.dialect.nan)
        return self._choice(condition, self._print(value), text)

    def _choice(self, condition: sympy.Basic, value: str, rest: str) -> str:
        """Return a choice that is made entry by entry."""
        parts = {"condition": self.condition(condition), "value": value, "rest": rest}
        return self.dialect.choice.format(**parts, like=self.like)

    def spread(self, body: str, indices: Iterable[Index]) -> str:
        """Return a value widened to the dimensions of some indices."""
        return self.dialect.spread.format(body=body, shape=_shape(indices), like=self.like)

    def _print_And(self, node: sympy.Basic) -> str:
        return self.condition(node)

    _print_Or = _print_Not = _print_Relational = _print_And

    def condition(self, node: sympy.Basic) -> str:
        """Return a condition as source."""
        match node:
            case sympy.And() | sympy.Or():
                parts = sorted((self.condition(a) for a in node.args), key=lambda t: (len(t), t))
                fixed = _is_fixed(node)
                joined = {True: (" and ", " or "), False: (" & ", " | ")}[fixed][isinstance(node, sympy.Or)]
                return "(" + joined.join(parts) + ")"
            case sympy.Not():
                inner = self.condition(node.args[0])
                return f"(not {inner})" if _is_fixed(node) else f"~{inner}"
            case sympy.core.relational.Relational():
                left, right = (self._integer(a) for a in node.args)
                return f"({left} {_RELATIONS[node.rel_op]} {right})"
            case _:
                return str(node)


def _is_fixed(condition: sympy.Basic) -> bool:
    """Tell whether a condition is known before anything is traced."""
    return all(isinstance(s, Flag) for s in condition.free_symbols)


def format_items(
    items: Iterable[Item], extents: dict[str, str], dialect: Dialect, like: str
) -> tuple[list[str], set[str]]:
    """Return the lines of a function, and the primitives they call.

    Parameters
    ----------
    items : iterable of Item
        In order.
    extents : dict of str to str
        The source of each axis's extent.
    dialect : Dialect
        The library.
    like : str
        An array argument of the function, whose type and place others share.
    """
    printer = ArrayPrinter(dialect, like)
    body = [line for item in items for line in _item(item, printer)]
    text = "\n".join(body)
    counted = [
        f"{name} = {dialect.count.format(axis=axis, like=like)}" for name, axis in sorted(printer.counted.items())
    ]
    used = "\n".join((text, *counted))
    sizes = [f"{axis} = {source}" for axis, source in extents.items() if _mentions(used, axis)]
    return [*sizes, *counted, *body], set(re.findall(r"\b_\w+(?=\()", text))


def _mentions(text: str, name: str) -> bool:
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
    return name in words


def _shape(indices: Iterable[Index]) -> str:
    names = [k.axis.name for k in indices]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _item(item: Item, printer: ArrayPrinter) -> list[str]:
    printer.dims, dialect = item.loops, printer.dialect
    if item.product is not None:
        product = item.product
        letters = {k: chr(ord("a") + n) for n, k in enumerate(dict.fromkeys((*item.free, *item.bound)))}

        def spelled(operand: Operand) -> str:
            return "".join(letters[k] for k in operand.first + operand.second)

        pattern = f"{spelled(product.left)},{spelled(product.right)}->{''.join(letters[k] for k in item.free)}"
        parts = {"pattern": pattern, "left": product.left.name, "right": product.right.name}
        return [f"{item.name} = {dialect.product.format(**parts)}"]
    body = printer.doprint(item.body)
    whole = _spreads(item)
    if item.op in ("let", "store"):
        return [f"{item.name} = {body if whole or not item.free else printer.spread(body, item.free)}"]
    most = dialect.infinity
    empty = {"sum": "0.0", "max": f"-{most}", "argmax": f"-{most}", "min": most, "argmin": most}[item.op]
    mask = "" if item.where is sympy.true else printer.condition(item.where)
    masked = {"condition": mask, "value": body, "rest": empty}
    entries = dialect.choice.format(**masked, like=printer.like) if mask else body
    if not whole or mask:
        entries = printer.spread(entries, item.loops)
    if item.target:
        part = f"{item.name}_parts"
        slots = ", ".join(printer._integer(t) for t in item.target)
        places = {"shape": _shape(item.free), "slots": slots, "parts": part}
        return [f"{part} = {entries}", f"{item.name} = {dialect.scatter.format(**places)}"]
    axes = tuple(item.loops.index(k) for k in item.bound)
    axis = f"{dialect.axis}={axes[0] if len(axes) == 1 else axes}"
    function = dialect.reductions[item.op]
    if item.op in ("argmax", "argmin") and mask:
        present = f"{dialect.reductions['any']}({printer.spread(mask, item.loops)}, {axis})"
        chosen = {"condition": present, "value": f"{function}({entries}, {axis})", "rest": "-1"}
        return [f"{item.name} = {dialect.choice.format(**chosen, like=printer.like)}"]
    done = [f"{item.name} = {function}({entries}, {axis})"]
    left = tuple(k for k in item.loops if k not in item.bound)
    if left != item.free:
        done.append(f"{item.name} = {dialect.turn}({item.name}, {tuple(left.index(k) for k in item.free)})")
    return done


def _spreads(item: Item) -> bool:
    """Tell whether the value of the body has every dimension, whatever its cases are."""
    free = item.body.free_symbols
    return set(item.loops) <= free and not any(isinstance(s, Flag) for s in free)
