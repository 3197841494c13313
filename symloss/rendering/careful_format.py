"""Recipes into functions of double-double arithmetic, which hand on to a tape where half of its digits cancel."""

from __future__ import annotations

import sympy

from symloss.language.atoms import magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Access, Flag
from symloss.rendering.tape import tape_of
from symloss.stability.careful import Recipe, half_tanh
from symloss.stability.expansion import unsigned

_CALLS = {
    sigmoid: "_dd_sigmoid", softplus: "_dd_softplus", sympy.exp: "_dd_exp", sympy.log: "_dd_log",
    positive_part: "_dd_positive_part", magnitude: "_dd_magnitude", half_tanh: "_dd_half_tanh",
}  # fmt: skip
CLOSE = 2.0**-40
"""The part of its terms' size below which a sum in double-double is computed once more, in triple-double."""


class _Lines:
    """A function under construction: one line for each operation, each result under a name."""

    def __init__(self, outer: _Lines | None = None) -> None:
        self.lines: list[str] = []
        self.used: set[str] = outer.used if outer else set()
        self.names: dict[object, str] = dict(outer.names) if outer else {}
        self.count: list[int] = outer.count if outer else [0]

    def of(self, node: sympy.Basic) -> str:
        """Return the text of a pair that holds the value of a node."""
        if node not in self.names:
            self.names[node] = self._text(node)
        return self.names[node]

    def _text(self, node: sympy.Basic) -> str:
        match node:
            case Access() | sympy.Symbol():
                return f"({node.name}, 0.0)"
            case sympy.Rational() if node.q & (node.q - 1) == 0:
                return f"({float(node)!r}, 0.0)"
            case sympy.Rational():
                return self._set("_dd_divide", f"({node.p}.0, 0.0)", f"({node.q}.0, 0.0)")
            case sympy.Add():
                return self._fold("_dd_add", node.args)
            case sympy.Mul():
                return self._fold("_dd_multiply", node.args)
            case sympy.Pow():
                return self._fold("_dd_multiply", (node.base,) * int(node.exp))
            case sympy.Piecewise():
                return self._cases(node)
        arguments = [self.of(node.args[0])]
        if isinstance(node, sigmoid | softplus):
            arguments.append(self._decay(node.args[0]))
        return self._set(_CALLS[type(node)], *arguments)

    def _decay(self, x: sympy.Expr) -> str:
        """Return exp(-|x|), which sigmoid and softplus of both signs share."""
        key = ("decay", unsigned(x))
        if key not in self.names:
            self.names[key] = self._set("_dd_decay", self.of(x))
        return self.names[key]

    def _fold(self, call: str, parts: tuple[sympy.Basic, ...]) -> str:
        first, *rest = (self.of(p) for p in parts)
        for part in rest:
            first = self._set(call, first, part)
        return first

    def _set(self, call: str, *arguments: str) -> str:
        self.used.add(call)
        return self._assign(f"{call}({', '.join(arguments)})")

    def _assign(self, text: str) -> str:
        name = self._fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def _fresh(self) -> str:
        self.count[0] += 1
        return f"t{self.count[0]}"

    def _cases(self, node: sympy.Piecewise) -> str:
        """Compute each case under its condition; return what holds the result."""
        result, word = self._fresh(), "if"
        for value, condition in node.args:
            match condition:
                case Flag():
                    head = f"{word} {condition.name}:"
                case sympy.Rel():
                    left, right = self.of(condition.lhs), self.of(condition.rhs)
                    head = f"{word} {left}[0] {condition.rel_op} {right}[0]:"
                case _:
                    head = "else:"
            inner = _Lines(self)
            text = inner.of(value)
            self.lines += [head, *(f"    {line}" for line in inner.lines), f"    {result} = {text}"]
            word = "elif"
        return result


def format_recipe(recipe: Recipe) -> tuple[str, set[str]]:
    """Return the source of a recipe's tape and function, and the operations it calls."""
    lines = _Lines()
    result = lines.of(recipe.expression)
    names = ", ".join(leaf.name for leaf in recipe.leaves)
    body = "\n".join(f"    {line}" for line in lines.lines)
    leaves, rows = tape_of(recipe)
    tape = recipe.name.replace("_careful", "_tape").upper()
    table = ",\n    ".join(map(str, rows))
    given = "".join(f"    leaves[{k}] = {leaf}\n" for k, leaf in enumerate(leaves))
    source = (
        f"{tape} = np.array((\n    {table},\n))\n\n\n"
        f'@njit(nogil=True, error_model="numpy")\n'
        f"def {recipe.name}(value, size, near, {names}):\n"
        f'    """Return a sum as it is, or with more digits where it is small beside the size of its terms."""\n'
        f"    if not _cancels(value, size, near):\n"
        f"        return value\n{body}\n"
        f"    if not _cancels({result}[0], size, {CLOSE!r}):\n"
        f"        return {result}[0]\n"
        f"    leaves = np.empty(({len(leaves)},))\n{given}"
        f"    return _closely({tape}, leaves)"
    )
    return source, lines.used | {"_cancels", "_closely"}
