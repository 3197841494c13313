"""Scalar expressions as Numba source, in the order in which they were lowered.

A comparison of floats with NaN takes neither branch, so NaN comes out wherever it came in.
"""

from __future__ import annotations

import sympy
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from symloss.elementary.formats import FLOAT64, Format
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.bounds import as_input, as_large_as, from_zero_to
from symloss.rendering.primitives import WIDTHS, narrowed
from symloss.stability.careful import Recipe

_REVERSED = {sympy.Lt: ">=", sympy.Ge: "<", sympy.Gt: "<=", sympy.Le: ">"}
_CALLS = {
    "exp": "_exp", "log": "_log", "log1p": "_log1p", "log1p_unit": "_log1p_unit", "cos": "math.cos", "sin": "math.sin",
    "acos": "math.acos", "atan2": "math.atan2", "tanh": "math.tanh", "magnitude": "abs",
    "positive_part": "_positive_part", "raised_decay": "_raised_decay", "exp_difference": "_exp_difference",
    "power": "_power", "ratio": "_ratio", "quotient": "_quotient", "over": "_over", "arctangent": "math.atan2",
    "sigmoid_power": "_sigmoid_power", "magnified": "_magnified", "step": "_step", "signum": "_signum",
    "clipped": "_clipped", "unless_zero": "_unless_zero",
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

    def entry(self, node: Access) -> str:
        """Return an entry of an array as it is there."""
        return f"{node.name}[{', '.join(self._integer(s) for s in node.slots) or '()'}]"

    def _print_Access(self, node: Access) -> str:
        entry = self.entry(node)
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
        whole = 2**24 if self.real is not FLOAT64 else 2**53  # up to which every integer is a number of the format
        plain = sympy.Rational(value) == node or max(abs(node.p), node.q) > whole
        return repr(value) if plain else f"({int(node.p)}.0 / {int(node.q)}.0)"

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
        return self.call("_power", [self._print(node.base), self._print(node.exp)])

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
        if isinstance(node, as_input):
            return f"own({self._print(node.args[0])})" if self.real is FLOAT64 else self._print(node.args[0])
        if type(node).__name__ == "wide_square":
            square = f"f64({self._print(node.args[0])})"  # not what is made float32 below
            return f"({square} * {square})"
        if type(node).__name__ == "root":
            return f"np.float64(math.sqrt({self._print(node.args[0])}))"
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
            case from_zero_to():
                self.used.add("_from_zero_to")
                return f"_from_zero_to({', '.join(map(self._print, node.args))})"
            case as_large_as():
                return f"abs({self._print(node.args[0])}) == {self._print(node.args[1])}"
            case sympy.core.relational.Relational():
                written = self._print if self.flat else self._integer  # beside an integer, float32 is made float64
                left, right = (written(a) for a in node.args)
                return f"{left} {node.rel_op} {right}"
            case _:
                return str(node)

    def _integer(self, node: sympy.Expr) -> str:
        return str(int(node)) if node.is_Integer else self._print(node)
