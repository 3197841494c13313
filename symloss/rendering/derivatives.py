"""Derivatives as a reader sees them: short lines, each in named parts, and the partial derivatives they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sympy
from sympy import Piecewise, S
from sympy.logic.boolalg import Boolean

from symloss.calculus.partials import partials
from symloss.language.axes import Index
from symloss.language.nodes import Access, Reduction
from symloss.program.statement import Output, Program, Statement
from symloss.rendering.latex_format import SHORT, Head, name_latex
from symloss.rendering.shown import Names, indices_of, needed

LONG, WIDE = 18, 30
"""Operations from which a formula gets names for what it repeats, and from which it is cut into parts."""
NAMES = ("u", "v", "r", "h", *(f"t_{k}" for k in range(1, 60)))


def shortened(
    lines: dict[str, sympy.Expr], taken: Iterable[str] = (), first: Iterable[str] = ()
) -> tuple[dict[str, sympy.Expr], list[tuple[Access, sympy.Expr]]]:
    """Return long expressions with names for parts of them, and these, which use names of parts too.

    A name has the indices of its part, `first` before others: lines come with the author's letters.
    """
    taken = {a.name for e in lines.values() for a in e.atoms(sympy.Symbol, Access)} | set(lines) | set(taken)
    found, parts = dict(lines), dict[Access, sympy.Expr]()
    for name in (n for n in NAMES if n not in taken):
        part = _part([*found.values(), *parts.values()])
        if part is None:
            break
        bound = {k for r in part.atoms(Reduction) for k in r.bound}
        named = Access(name, *sorted(indices_of(part) - bound, key=lambda k: (k.name not in first, k.name)))
        found = {n: e.xreplace({part: named}) for n, e in found.items()}
        parts = {n: e.xreplace({part: named}) for n, e in parts.items()} | {named: part}
    return found, list(parts.items())


def _part(lines: list[sympy.Expr]) -> sympy.Expr | None:
    """Return the part to name next: what repeats most of a long formula, cases within it, else a large part of it."""
    if sum(map(sympy.count_ops, lines)) <= LONG:
        return None
    nodes = Counter(
        n for line in lines for n in _readable(line)
        if isinstance(n, sympy.Expr) and not n.is_number and sympy.count_ops(n) > 2
    )  # fmt: skip
    weights = {n: sympy.count_ops(n) * count for n, count in nodes.items() if count > 1 and n not in lines}
    if not weights:
        weights = {n: sympy.count_ops(n) for n in nodes if isinstance(n, Piecewise) and n not in lines}
        weights = {n: size for n, size in weights.items() if size > SHORT or S.Zero not in [v for v, _ in n.args]}
    if not weights:
        wide = [line for line in lines if sympy.count_ops(line) > WIDE]
        parts = (n for line in wide for n in _readable(line) if isinstance(n, sympy.Expr))
        weights = {n: size for n in parts if 5 < (size := sympy.count_ops(n)) <= LONG}
    return max(weights, key=lambda n: (weights[n], sympy.default_sort_key(n))) if weights else None


def _readable(node: sympy.Basic) -> Iterator[sympy.Basic]:
    """Yield an expression and its parts, without those of reads, norms and conditions."""
    yield node
    if not isinstance(node, Access | Boolean | Reduction):
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
    definition = names.definition
    expression, free, names = _summed(output, names)
    by_name = names.statements
    raw, used = author_named(expression, program)
    read = needed(raw, by_name)
    (top,) = names.lettered(names.written(raw), own=free)
    own = {}
    for statement in read:
        body, more = author_named(statement.body, program)
        used += [pair for pair in more if pair not in used]
        own[statement.name] = names.owned(replace(statement, body=body))
    symbols = {a.symbol for a in definition.arguments} | {n for own in names.letters.values() for n in own}
    lines, short = shortened({"": top} | {n: s.body for n, s in own.items()}, symbols, [k.name for k in definition.per])
    names = replace(names, heads=names.heads | {a.name: Head.of(a.name) for a, _ in short})
    where = [
        {"name": a.name, "latex": f"{names.latex(a)} = {names.latex(part)}", "text": f"{a} = {part}"}
        for a, part in short
    ]
    for name, body in used:
        (line,) = names.lettered(names.written(body), own=free)
        where.append({"name": name, "latex": f"{name_latex(name)} = {names.latex(line)}", "text": f"{name} = {line}"})
    for statement in read:
        if not names.inline(statement.name):
            line = names.line(own[statement.name], lines[statement.name])
            where.append({"name": statement.name, "latex": line, "text": _raw(statement)})
    (text,) = names.lettered(expression.xreplace(_weights(expression)), own=free)
    return {
        "wrt": output.name.partition("_")[2], "latex": names.latex(lines[""]), "text": plain(text), "where": where,
        "srepr": sympy.srepr(output.expression),
    }  # fmt: skip


def read_by(outputs: Iterable[Output], names: Names) -> list[str]:
    """Return the statements that derivatives read, in the order they are shown."""
    each = (_summed(output, names) for output in outputs)
    found = (s.name for expression, _, own in each for s in needed(expression, own.statements))
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


def _summed(output: Output, names: Names) -> tuple[sympy.Expr, tuple[Index, ...], Names]:
    """Return what a derivative in a parameter sums over samples, and any other as it is.

    A sum that weights its terms by a sample's weight has that sample's indices among those it sums over; what it sums
    over besides stays a sum. The derivative of one sample is what is left where every such sum occurs to the power 1.
    """
    per = names.definition.per
    found: dict[sympy.Basic, sympy.Expr] = {}
    own: dict[str, Statement] = {}
    for access in sorted(output.expression.atoms(Access), key=str):
        statement = names.statements.get(access.name)
        if statement is None or access.slots or statement.op != "sum":
            continue
        weights = {a.slots for a in statement.body.atoms(Access) if a.name == "seed"}
        if len(weights) != 1 or not set(sample := weights.pop()) <= set(statement.bound):
            continue
        rest = tuple(k for k in statement.bound if k not in sample)
        if rest or statement.where is not sympy.true:
            own[access.name] = replace(statement, free=sample, bound=rest)
            found[access] = Access(access.name, *per)
        else:
            found[access] = statement.body.xreplace(dict(zip(sample, per, strict=True)))
    marks = {access: sympy.Dummy() for access in found}
    linear = output.expression.xreplace(marks)
    slope = [linear.diff(mark) for mark in marks.values()]
    once = not any(s.has(mark) for s in slope for mark in marks.values())
    if found and once and linear.xreplace(dict.fromkeys(marks.values(), S.Zero)) == 0:
        return output.expression.xreplace(found), per, replace(names, statements=names.statements | own)
    return output.expression, output.free, names
