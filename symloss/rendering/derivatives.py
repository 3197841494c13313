"""Derivatives as a reader sees them: short lines, each in named parts, and the partial derivatives they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sympy
from sympy.logic.boolalg import Boolean

from symloss.calculus.partials import partials
from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program, Statement
from symloss.rendering.latex_format import name_latex
from symloss.rendering.shown import Names, needed

LONG, WIDE = 18, 30
"""Operations from which a formula gets names for what it repeats, and from which it is cut into parts."""
NAMES = ("u", "v", "r", "h", *(f"t_{k}" for k in range(1, 60)))


def shortened(
    lines: dict[str, sympy.Expr], taken: Iterable[str] = ()
) -> tuple[dict[str, sympy.Expr], list[tuple[str, sympy.Expr]]]:
    """Return long expressions with names for parts of them, and these; a part uses names that come after its own."""
    taken = {a.name for e in lines.values() for a in e.atoms(sympy.Symbol, Access)} | set(lines) | set(taken)
    own, found = set(lines), dict(lines)
    for name in (n for n in NAMES if n not in taken):
        part = _part(list(found.values()))
        if part is None:
            break
        found = {n: e.xreplace({part: sympy.Symbol(name, real=True)}) for n, e in found.items()} | {name: part}
    return {n: found[n] for n in lines}, [(n, e) for n, e in found.items() if n not in own]


def _part(lines: list[sympy.Expr]) -> sympy.Expr | None:
    """Return the part to name next: what repeats most of a long formula, else a large part of one too wide."""
    if sum(map(sympy.count_ops, lines)) <= LONG:
        return None
    nodes = Counter(
        n for line in lines for n in _readable(line)
        if isinstance(n, sympy.Expr) and not n.is_number and sympy.count_ops(n) > 2
    )  # fmt: skip
    weights = {n: sympy.count_ops(n) * count for n, count in nodes.items() if count > 1 and n not in lines}
    if not weights:
        wide = [line for line in lines if sympy.count_ops(line) > WIDE]
        parts = (n for line in wide for n in _readable(line) if isinstance(n, sympy.Expr))
        weights = {n: size for n in parts if 5 < (size := sympy.count_ops(n)) <= LONG}
    return max(weights, key=lambda n: (weights[n], sympy.default_sort_key(n))) if weights else None


def _readable(node: sympy.Basic) -> Iterator[sympy.Basic]:
    """Yield an expression and its parts, without those of reads and of conditions."""
    yield node
    if not isinstance(node, Access | Boolean):
        for argument in node.args:
            yield from _readable(argument)


@dataclass(frozen=True)
class Slope:
    """A partial derivative of one line of a program in one thing that it reads."""

    line: sympy.Expr
    read: sympy.Expr
    partial: sympy.Expr
    latex: str


def derivative(output: Output, program: Program, names: Names) -> dict[str, Any]:
    """Return one derivative of one unweighted sample: its formula, its parts, and the raw form."""
    definition, by_name = names.definition, names.statements
    expression, free = _summed(output, names)
    raw, used = author_named(expression, program)
    lines = {"": raw}
    read = needed(raw, by_name)
    for statement in read:
        lines[statement.name], more = author_named(statement.body, program)
        used += [pair for pair in more if pair not in used]
    symbols = {a.symbol for a in definition.arguments} | {n for own in names.letters.values() for n in own}
    lines, short = shortened({n: names.written(e) for n, e in lines.items()}, symbols)
    (shown,) = names.lettered(lines.pop(""), own=free)
    where = []
    for name, body in (*short, *used):
        (line,) = names.lettered(names.written(body), own=free)
        where.append({"name": name, "latex": f"{name_latex(name)} = {names.latex(line)}", "text": f"{name} = {line}"})
    for statement in read:
        if not names.inline(statement.name):
            line = names.line(statement, lines[statement.name])
            where.append({"name": statement.name, "latex": line, "text": _raw(statement)})
    (text,) = names.lettered(expression.xreplace(_weights(expression)), own=free)
    return {
        "wrt": output.name.partition("_")[2], "latex": names.latex(shown), "text": plain(text), "where": where,
        "srepr": sympy.srepr(output.expression),
    }  # fmt: skip


def read_by(outputs: Iterable[Output], names: Names) -> list[str]:
    """Return the statements that derivatives read, in the order they are shown."""
    found = (s.name for o in outputs for s in needed(_summed(o, names)[0], names.statements))
    return list(dict.fromkeys(found))


def slopes(lifted: Program, names: Names) -> list[Slope]:
    """Return the partial derivative of every line of a program in everything it reads that moves."""
    definition = names.definition
    moving = {a.name for a in (*definition.differentiable, *definition.continuous)} | set(names.statements)
    named = {expression: sympy.Symbol(name, real=True) for expression, name in lifted.names}
    found = []
    value = lifted.output("value")
    one = sympy.S.One
    lines = [(s.access, s.body, s.free, _weight(s)) for s in lifted.statements]
    for left, body, free, weight in (*lines, (None, value.expression, value.free, one)):
        for read, partial in partials(body, moving):
            slope = (weight * partial).xreplace(named)
            parts = map(names.written, (value.expression if left is None else left, read, slope))
            top, bottom, shown = names.lettered(*parts, own=free)
            head = r"\ell" if left is None else names.latex(top)
            text = rf"\frac{{\partial {head}}}{{\partial {names.latex(bottom)}}} = {names.latex(shown)}"
            found.append(Slope(body, read, partial, text))
    return found


def author_named(expression: sympy.Expr, program: Program) -> tuple[sympy.Expr, list[tuple[str, sympy.Expr]]]:
    """Return an expression for one unweighted sample, in the author's names, and the names it uses."""
    shown = expression.xreplace(_weights(expression))
    used = []
    for body, name in program.names:
        if not body.is_Atom and shown.has(body):
            shown = shown.xreplace({body: sympy.Symbol(name, real=True)})
            used.append((name, body))
    return shown, used


def plain(expression: sympy.Expr) -> str:
    """Return an expression as text, without the slots that every read has."""
    return str(expression.xreplace({a: sympy.Symbol(a.name) for a in expression.atoms(Access) if len(a.slots) < 2}))


def _weight(statement: Statement) -> sympy.Expr:
    """Return what a reduction multiplies the partial derivatives of its body by."""
    match statement.op:
        case "logsumexp":
            return sympy.exp(statement.body - statement.access)
        case "norm":
            return statement.body / statement.access
    return sympy.S.One


def _raw(statement: Statement) -> str:
    over = "" if not statement.bound else f" over {', '.join(map(str, statement.bound))}"
    mask = "" if statement.where is sympy.true else f" where {statement.where}"
    operation = "" if statement.op == "let" else f"{statement.op}{over}{mask} of "
    return f"{statement.access} = {operation}{statement.body}"


def _weights(expression: sympy.Expr) -> dict[sympy.Basic, sympy.Basic]:
    return {a: sympy.S.One for a in expression.atoms(Access) if a.name == "seed"}


def _summed(output: Output, names: Names) -> tuple[sympy.Expr, tuple[Index, ...]]:
    """Return what a derivative in a parameter sums over samples, and any other as it is."""
    sign, inner = output.expression.as_coeff_Mul()
    if isinstance(inner, Access) and not inner.slots and inner.name in names.statements:
        found, per = names.statements[inner.name], names.definition.per
        own = {k: p for k in found.bound for p in per if p.axis == k.axis}
        if len(own) == len(found.bound) and found.op == "sum":
            return sign * found.body.xreplace(own), per
    return output.expression, output.free
