"""The record: everything derived that the documentation prints, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sympy
from sympy.logic.boolalg import Boolean

from symloss.language.atoms import Atom
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, lets_of
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program, Statement
from symloss.rendering.latex_format import latex, name_latex
from symloss.rendering.module import ENVIRONMENT
from symloss.stability.rules import RULES, Step


def make_record(
    definition: Definition, stable: Program, lifted: Program, trace: tuple[Step, ...], cost: dict[str, str], digest: str
) -> dict[str, Any]:
    """Return the record of a definition.

    Parameters
    ----------
    definition : Definition
        What the author wrote.
    stable : Program
        With the stabilised outputs.
    lifted : Program
        The program before differentiation.
    trace : tuple of Step
        The rules that led there.
    cost : dict of str to str
        Operations as polynomials of the axis sizes.
    digest : str
        The hash of the definition.
    """
    value = definition.formula
    where = None if definition.where is sympy.true else latex(definition.where, definition)
    return {
        "$schema": "../../docs/schema/record.schema.json",
        "id": f"symloss:{definition.name}", "name": definition.name, "title": definition.title, "version": 1,
        "summary": definition.summary, "description": definition.description, "family": definition.family,
        "hash": digest, "aliases": list(definition.aliases),
        "formula": {"latex": latex(value, definition), "text": str(value), "srepr": sympy.srepr(value)},
        "definitions": [
            {"name": let.name, "latex": f"{latex(let, definition)} = {latex(let.body, definition)}"}
            for let in lets_of(definition)
        ],
        "sample": {
            "indices": [k.name for k in definition.per], "axes": [k.axis.name for k in definition.per], "where": where
        },
        "inputs": [_argument(a) for a in definition.inputs],
        "parameters": [
            _argument(a) | {"default": a.default, "optional": a.optional} for a in definition.parameters
        ],
        "gradient": [_derivative(o, definition, stable) for o in stable.outputs if o.name.startswith("gradient_")],
        "hessian": [_derivative(o, definition, stable) for o in stable.outputs if o.name.startswith("hessian_")],
        "stable": {"text": _text(lifted.output("value").expression), "rules": _rules(definition, trace)},
        "kinks": _kinks(definition, lifted),
        "claims": [{"claim": c.text, "kind": c.kind} for c in definition.claims],
        "conventions": [{"topic": c.topic, "text": c.text} for c in definition.conventions],
        "cost": cost, "source": definition.source,
        "references": [
            {"key": r.key, "bibtex": r.bibtex, "citation": r.citation, "url": r.url} for r in definition.references
        ],
    }  # fmt: skip


def _argument(argument: Argument) -> dict[str, Any]:
    domain = {
        "real": argument.domain.latex(), "flag": r"\{\text{false}, \text{true}\}", "integer": r"\mathbb{Z}",
        "switch": r"\{" + ", ".join(rf"\text{{{v}}}".lower() for v in argument.choices) + r"\}",
        "label": rf"\{{0, \dots, {argument.into.name if argument.into else ''} - 1\}}",
    }[argument.kind]  # fmt: skip
    return {
        "name": argument.name, "symbol": argument.symbol, "axes": [a.name for a in argument.axes],
        "kind": argument.kind, "domain": domain, "differentiable": argument.differentiable,
        "description": argument.about,
    }  # fmt: skip


def _shown(expression: sympy.Expr, program: Program) -> tuple[sympy.Expr, list[tuple[str, sympy.Expr]]]:
    """Return an expression for one unweighted sample, in the author's names, and the names it uses."""
    weights = {a: sympy.S.One for a in expression.atoms(Access) if a.name == "seed"}
    shown = expression.xreplace(weights)
    used = []
    for body, name in program.names:
        if not body.is_Atom and shown.has(body):
            shown = shown.xreplace({body: sympy.Symbol(name, real=True)})
            used.append((name, body))
    return shown, used


LONG, WIDE = 18, 30
"""Operations from which a formula gets names for what it repeats, and from which it is cut into parts."""
NAMES = ("u", "v", "r", "h", *(f"t_{k}" for k in range(1, 60)))


def shortened(lines: dict[str, sympy.Expr]) -> tuple[dict[str, sympy.Expr], list[tuple[str, sympy.Expr]]]:
    """Return long expressions with names for parts of them, and these; a part uses names that come after its own."""
    taken = {a.name for e in lines.values() for a in e.atoms(sympy.Symbol, Access)} | set(lines)
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


def _derivative(output: Output, definition: Definition, program: Program) -> dict[str, Any]:
    expression = output.expression
    by_name = {s.name: s for s in program.statements}
    sign, inner = expression.as_coeff_Mul()
    if isinstance(inner, Access) and not inner.slots and inner.name in by_name:
        summed = by_name[inner.name]  # a derivative in a parameter: show what is summed over samples
        own = {k: p for k in summed.bound for p in definition.per if p.axis == k.axis}
        expression = sign * summed.body.xreplace(own)
    shown, used = _shown(expression, program)
    needed: dict[str, Statement] = {}
    lines, queue = {"": shown}, [shown]
    while queue:  # what a formula reads, and what that reads
        for access in sorted(queue.pop(0).atoms(Access), key=str):
            statement = by_name.get(access.name)
            if statement is not None and statement.name not in needed:
                body, names = _shown(statement.body, program)
                needed[statement.name], lines[statement.name] = statement, body
                used += [pair for pair in names if pair not in used]
                queue.append(body)
    lines, short = shortened(lines)
    shown = lines.pop("")
    used = [*short, *used]
    where = [{"name": name, "latex": f"{name_latex(name)} = {latex(body, definition)}"} for name, body in used]
    for name, statement in needed.items():
        where.append({"name": name, "latex": _statement(replace(statement, body=lines[name]), definition)})
    target = output.name.partition("_")[2]
    return {
        "wrt": target, "latex": latex(shown, definition), "text": _text(shown), "where": where,
        "srepr": sympy.srepr(output.expression),
    }  # fmt: skip


def _statement(statement: Any, definition: Definition) -> str:
    left, body = latex(statement.access, definition), latex(statement.body, definition)
    over = ", ".join(latex(k, definition) for k in statement.bound)
    match statement.op:
        case "softmax":
            return rf"{left} = \operatorname{{softmax}}\left({body}\right)"
        case "logsumexp":
            return rf"{left} = \log \sum_{{{over}}} e^{{{body}}}"
        case "let":
            return f"{left} = {body}"
        case "sum":
            return rf"{left} = \sum_{{{over}}} \left({body}\right)"
        case operation:
            return rf"{left} = \operatorname{{{operation}}}_{{{over}}} {body}"


def _text(expression: sympy.Expr) -> str:
    return str(expression.xreplace({a: sympy.Symbol(a.name) for a in expression.atoms(Access) if len(a.slots) < 2}))


def _rules(definition: Definition, trace: tuple[Step, ...]) -> list[dict[str, str]]:
    table = {rule.name: rule for rule in RULES}
    found = [
        {
            "rule": step.rule, "before": latex(step.before, definition), "after": latex(step.after, definition),
            "reason": table[step.rule].reason, "source": table[step.rule].source,
        }
        for step in trace
    ]  # fmt: skip
    return [f for n, f in enumerate(found) if f not in found[:n]]


def _kinks(definition: Definition, lifted: Program) -> list[dict[str, str]]:
    parts = [s.body for s in lifted.statements] + [lifted.output("value").expression]
    atoms = sorted({a for p in parts for a in p.atoms(Atom) if a.kink}, key=sympy.default_sort_key)
    return [{"where": f"{latex(a.args[0], definition)} = 0", "value": a.kink} for a in atoms]


def render_tex(definition: Definition, record: dict[str, Any]) -> str:
    """Return the formulas as commands that a LaTeX document can input."""
    command = "".join(part.capitalize() for part in definition.name.split("_"))
    command = command.replace("1", "One").replace("2", "Two")
    first = definition.differentiable[0].name
    gradient = next(g["latex"] for g in record["gradient"] if g["wrt"] == first)
    hessian = next(h["latex"] for h in record["hessian"] if h["wrt"] == first)
    return ENVIRONMENT.get_template("formulas.tex.jinja").render(
        title=definition.title, hash=record["hash"], command=command, formula=record["formula"]["latex"],
        gradient=gradient, hessian=hessian,
    )  # fmt: skip
