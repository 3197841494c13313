"""The record: everything derived that the documentation prints, as plain data."""

from __future__ import annotations

from typing import Any

import sympy

from symloss.language.atoms import Atom
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, lets_of
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program
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
        "cost": cost,
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


def _derivative(output: Output, definition: Definition, program: Program) -> dict[str, Any]:
    expression = output.expression
    by_name = {s.name: s for s in program.statements}
    if isinstance(expression, Access) and expression.name in by_name:
        expression = by_name[expression.name].body  # a derivative in a parameter: show what is summed over samples
    shown, used = _shown(expression, program)
    where = [{"name": name, "latex": f"{name_latex(name)} = {latex(body, definition)}"} for name, body in used]
    for access in sorted(shown.atoms(Access), key=str):
        statement = by_name.get(access.name)
        if statement is not None and not any(w["name"] == statement.name for w in where):
            where.append({"name": statement.name, "latex": _statement(statement, definition)})
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
