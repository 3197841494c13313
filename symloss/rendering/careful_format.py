"""Recipes into functions that compute a sum from its leaves, in two steps of more digits each.

The first, in loose pairs, is taken for many elements side by side; what cancels there too goes on to a tape.
"""

from __future__ import annotations

import sympy

from symloss.language.atoms import magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Access, Flag
from symloss.rendering.intrinsics import INSIDE
from symloss.rendering.tape import tape_of
from symloss.stability.careful import Recipe, half_tanh
from symloss.stability.expansion import unsigned

_NAMES = {
    sigmoid: "sigmoid", softplus: "softplus", sympy.exp: "exp", sympy.log: "log", positive_part: "positive_part",
    magnitude: "magnitude", half_tanh: "half_tanh",
}  # fmt: skip


class _Lines:
    """A function in loose pairs under construction: one line for each operation, each result under a name.

    Nothing branches, and what only scales is no product.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.names: dict[object, str] = {}

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
                return self._set("divide", f"({node.p}.0, 0.0)", f"({node.q}.0, 0.0)")
            case sympy.Add():
                return self._fold("add", node.args)
            case sympy.Mul():
                return self._product(node.args)
            case sympy.Pow():
                return self._fold("multiply", (node.base,) * int(node.exp))
            case sympy.Piecewise():
                return self._cases(node)
        arguments = [self.of(node.args[0])]
        if isinstance(node, sigmoid | softplus):
            arguments.append(self._decay(node.args[0]))
        return self._set(_NAMES[type(node)], *arguments)

    def _decay(self, x: sympy.Expr) -> str:
        """Return exp(-|x|), which sigmoid and softplus of both signs share."""
        key = ("decay", unsigned(x))
        if key not in self.names:
            self.names[key] = self._set("decay", self.of(x))
        return self.names[key]

    def _fold(self, operation: str, parts: tuple[sympy.Basic, ...]) -> str:
        first, *rest = (self.of(p) for p in parts)
        for part in rest:
            first = self._set(operation, first, part)
        return first

    def _product(self, factors: tuple[sympy.Basic, ...]) -> str:
        number, *rest = factors
        if not (number.is_Rational and all(n & (n - 1) == 0 for n in (abs(number.p), number.q)) and rest):
            return self._fold("multiply", factors)
        return self._set("scaled", repr(float(number)), self.of(sympy.Mul(*rest, evaluate=False)))

    def _set(self, operation: str, *arguments: str) -> str:
        call = f"_loose_{operation}"
        self.used.add(call)
        self.lines.append(f"t{len(self.lines) + 1} = {call}({', '.join(arguments)})")
        return f"t{len(self.lines)}"

    def _cases(self, node: sympy.Piecewise) -> str:
        """Compute every case, and take one."""
        *cases, (last, _) = node.args
        found = self.of(last)
        for value, condition in reversed(cases):
            match condition:
                case Flag():
                    test = condition.name
                case sympy.Rel():
                    test = f"{self.of(condition.lhs)}[0] {condition.rel_op} {self.of(condition.rhs)}[0]"
            found = self._set("where", test, self.of(value), found)
        return found


def format_closer(recipe: Recipe) -> tuple[str, set[str]]:
    """Return the source of a recipe's function in loose pairs, and the operations it calls."""
    lines = _Lines()
    result = lines.of(recipe.expression)
    body = "\n".join(f"    {line}" for line in lines.lines)
    source = (
        f"@njit({INSIDE}, forceinline=True)\n"
        f"def {closer_name(recipe)}({', '.join(leaf.name for leaf in recipe.leaves)}):\n"
        f'    """Return a sum with some more digits, without a branch."""\n{body}\n'
        f"    return {result}[0] + {result}[1]"
    )
    return source, lines.used


def closer_name(recipe: Recipe) -> str:
    """Return the name of a recipe's function in loose pairs."""
    return recipe.name.replace("_careful", "_closer")


def format_recipe(recipe: Recipe) -> tuple[str, set[str]]:
    """Return the source of a recipe's tape and of the function that runs it, and the operations it calls."""
    names = ", ".join(leaf.name for leaf in recipe.leaves)
    leaves, rows = tape_of(recipe)
    tape = recipe.name.replace("_careful", "_tape").upper()
    table = ",\n    ".join(map(str, rows))
    given = "".join(f"    leaves[{k}] = {leaf}\n" for k, leaf in enumerate(leaves))
    source = (
        f"{tape} = np.array((\n    {table},\n))\n\n\n"
        f"@njit({INSIDE})\n"
        f"def {recipe.name}(value, size, near, {names}):\n"
        f'    """Return a sum as it is, or with more digits where it is small beside the size of its terms."""\n'
        f"    if not _cancels(value, size, near):\n"
        f"        return value\n"
        f"    leaves = np.empty(({len(leaves)},))\n{given}"
        f"    return _closely({tape}, leaves)"
    )
    return source, {"_cancels", "_closely"}
