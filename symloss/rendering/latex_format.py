r"""Formulas as LaTeX: the author's symbols, cases for conditions, ``\sigma`` for the sigmoid, ``p`` for the softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy
from sympy.printing.latex import LatexPrinter

from symloss.language.atoms import (
    arctangent,
    complement,
    difference,
    held,
    magnitude,
    positive_part,
    ratio,
    sigmoid,
    signum,
    softplus,
    step,
)
from symloss.language.axes import Index, Size
from symloss.language.definition import Definition
from symloss.language.nodes import Access, Flag, Let, Reduction

_GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "theta", "sigma", "tau", "lambda"}


SHORT = 8
"""Operations up to which a part that is there under a condition only is written beside it."""


class bracket(sympy.Function):  # noqa: N801
    """Iverson's bracket: 1 where a condition holds, else 0."""

    nargs = 1
    is_commutative = True


@dataclass(frozen=True)
class Head:
    """A letter and what stands below it, before any slots."""

    base: str
    below: str

    @classmethod
    def of(cls, name: str) -> Head:
        """Return the head of an author's name such as ``p_t`` or ``alpha_t``."""
        base, _, rest = name.partition("_")
        letter = f"\\{base}" if base in _GREEK else base if len(base) == 1 else rf"\,\mathrm{{{base}}}"
        plain = len(rest) <= 1 or rest.isdigit()
        return cls(letter, rest if plain else rf"\mathrm{{{rest.replace('_', chr(92) + '_')}}}")

    def at(self, slots: str = "") -> str:
        """Return the LaTeX of the name, with the slots it is read at."""
        below = ", ".join(part for part in (self.below, slots) if part)
        return f"{self.base}_{{{below}}}" if below else self.base


def name_latex(name: str, slots: str = "") -> str:
    """Return the LaTeX of an author's name such as ``p_t`` or ``alpha_t``, with the slots it is read at."""
    return Head.of(name).at(slots)


class LossPrinter(LatexPrinter):
    """SymPy's LaTeX with the nodes and atoms of this project."""

    printmethod = "_symloss_latex"

    def __init__(self, definition: Definition, heads: Mapping[str, Head]) -> None:
        super().__init__({"order": "none"})
        self.heads = heads
        self.symbols = {a.name: a.symbol for a in definition.arguments}
        self.elementwise = definition.elementwise
        self.dropped: frozenset[Index] = frozenset()

    def _as_ordered_terms(self, expr: sympy.Expr, order: str | None = None) -> list[sympy.Expr]:
        """Positive terms first, numbers after what is not a number: ``2 y - 1`` and ``1 - y``."""
        terms = super()._as_ordered_terms(expr, order=order)
        return sorted(terms, key=lambda t: (t.could_extract_minus_sign(), t.is_Number))

    def _listed(self, slots: tuple[Any, ...]) -> str:
        return "" if self.elementwise else ", ".join(self._print(s) for s in slots if s not in self.dropped)

    def _slots(self, slots: tuple[Any, ...]) -> str:
        listed = self._listed(slots)
        return f"_{{{listed}}}" if listed else ""

    def _print_Access(self, node: Access) -> str:
        if node.name in self.symbols:
            return self.symbols[node.name] + self._slots(node.slots)
        if node.name in self.heads:
            return self.heads[node.name].at(self._listed(node.slots))
        if node.name.startswith("softmax"):
            return "p" + self._slots(node.slots)
        head, _, _ = node.name.partition("_")
        return rf"\operatorname{{{head}}}" + self._slots(node.slots)

    _print__Label = _print_Access
    _print_LabelAccess = _print_Access

    def _print_Index(self, node: Index) -> str:
        return str(node.name.split("_")[0].replace("'", "") + "'" * node.name.count("'"))

    def _print_Size(self, node: Size) -> str:
        return str(node.name)

    def _print_Symbol(self, node: sympy.Symbol, style: str = "plain") -> str:
        del style
        return self.symbols.get(node.name) or name_latex(node.name)

    def _print_Pi(self, node: sympy.NumberSymbol) -> str:
        del node
        return r"\pi"

    def _print_Flag(self, node: Flag) -> str:
        name = node.name.removesuffix("_given")
        symbol = self.symbols.get(name, name)
        return rf"{symbol} \text{{ given}}" if node.name.endswith("_given") else rf"\text{{{name.replace('_', ' ')}}}"

    def _print_Let(self, node: Let) -> str:
        return name_latex(node.name, self._listed(node.actuals))

    def _print_Reduction(self, node: Reduction) -> str:
        over = ", ".join(self._print(k) for k in node.bound)
        mask = "" if node.where is sympy.true else r",\, " + self._print(node.where)
        body = self.parenthesize(node.body, sympy.printing.precedence.PRECEDENCE["Mul"])
        if node.body.could_extract_minus_sign() and not isinstance(node.body, sympy.Add):
            body = rf"\left({body}\right)"
        match node.operation:
            case "logsumexp":
                return rf"\log \sum_{{{over}{mask}}} e^{{{self._print(node.body)}}}"
            case "sum":
                return rf"\sum_{{{over}{mask}}} {body}"
            case "norm":
                return self._norm(node, over)
            case operation:
                return rf"\{operation}_{{{over}{mask}}} {body}"

    def _norm(self, node: Reduction, over: str) -> str:
        """Return a norm; that of a vector, each term of which has the index once, is written without the index."""
        index, *others = node.bound
        along = all(_along(term, index) for term in sympy.Add.make_args(node.body))
        if others or node.where is not sympy.true or not along:
            return rf"\left\| {self._print(node.body)} \right\|_{{{over}}}"
        kept, self.dropped = self.dropped, self.dropped | {index}
        text = rf"\left\| {self._print(node.body)} \right\|"
        self.dropped = kept
        return text

    def _print_bracket(self, node: bracket, exp: str | None = None) -> str:
        text = rf"\left[{self._print(node.args[0])}\right]"
        return f"{text}^{{{exp}}}" if exp else text

    def _print_Function(self, node: sympy.Function, exp: str | None = None) -> str:
        text = self._atom(node)
        if text is None:
            return str(super()._print_Function(node, exp))
        return f"{{{text}}}^{{{exp}}}" if exp else text

    def _atom(self, node: sympy.Function) -> str | None:
        inside = [self._print(a) for a in node.args]
        match node:
            case sigmoid():
                return rf"\sigma\left({inside[0]}\right)"
            case softplus():
                return rf"\operatorname{{softplus}}\left({inside[0]}\right)"
            case positive_part():
                return rf"\max\left(0, {inside[0]}\right)"
            case step():
                return rf"\left[{inside[0]} > 0\right]"
            case magnitude():
                return rf"\left|{inside[0]}\right|"
            case signum():
                return rf"\operatorname{{sgn}}\left({inside[0]}\right)"
            case complement():
                return rf"\left(1 - {inside[0]}\right)"
            case difference():
                return rf"\left({inside[0]} - {inside[1]}\right)"
            case held():
                return str(inside[0])
            case arctangent():
                return rf"\operatorname{{atan}}_{{2}}\left({inside[0]}, {inside[1]}\right)"
            case ratio():
                return rf"\frac{{{inside[0]}}}{{{inside[1]}}}"
        return None

    def _print_Piecewise(self, node: sympy.Piecewise) -> str:
        rows = [
            rf"{self._print(value)} & \text{{{'otherwise' if condition is sympy.true else 'if '}}}"
            + ("" if condition is sympy.true else f" {self._print(condition)}")
            for value, condition in node.args
        ]
        return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def latex(expression: sympy.Basic, definition: Definition, heads: Mapping[str, Head] | None = None) -> str:
    """Return an expression as LaTeX in the definition's symbols, and statements by their heads."""
    return str(LossPrinter(definition, heads or {}).doprint(plainly(expression, top=True)))


def _along(term: sympy.Expr, index: Index) -> bool:
    """Tell whether one factor of a product has an index, as a slot of its own."""
    found = [factor for factor in sympy.Mul.make_args(term) if factor.has(index)]
    match found:
        case [Access(slots=slots)] | [Let(actuals=slots)]:
            return index in slots
    return False


def plainly(node: sympy.Basic, *, top: bool = False) -> sympy.Basic:
    """Return an expression as people write it: guards left out, a part that may vanish beside its condition."""
    if isinstance(node, Access) or not node.args:
        return node
    args = [plainly(a) for a in node.args]
    match node:
        case ratio():
            return args[0] / args[1]
        case sympy.Mul():
            parts = [part for a in args for part in (a.primitive() if isinstance(a, sympy.Add) else (a,))]
            kept = {p.args[0] for p in parts if isinstance(p, positive_part)}
            return sympy.Mul(*(p for p in parts if not (isinstance(p, step) and p.args[0] in kept)))
        case sympy.Pow() if isinstance(args[0], step) and args[1].is_positive:
            return args[0]
        case sympy.Piecewise() if not top and len(node.args) == 2 and node.args[1][1] is sympy.true:
            (first, condition), (second, _) = args
            if second == 0 and sympy.count_ops(first) <= SHORT:
                return first * bracket(condition)
            if first == 0 and sympy.count_ops(second) <= SHORT:
                return second * bracket(sympy.Not(condition))
    return node.func(*args)
