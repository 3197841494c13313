"""The record: everything derived that the documentation prints, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import sympy

from symloss.language.atoms import Atom
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, lets_of
from symloss.program.statement import Program, Statement, accesses
from symloss.rendering.derivatives import author_named, derivative, plain, read_by, slopes
from symloss.rendering.latex_format import latex
from symloss.rendering.module import ENVIRONMENT
from symloss.rendering.shown import Names, names_of
from symloss.stability.rules import RULES, Step


@dataclass(frozen=True)
class Derivation:
    """The steps from a definition to its derivatives, and how each is checked.

    Parameters
    ----------
    lifted : Program
        The program before differentiation.
    trace : tuple of Step
        The rules that were applied.
    lifting : int
        How many of them before differentiation.
    rule_holds, slope_holds : callable
        Return at how many points both sides of a rule agree, and a partial derivative with a difference quotient.
    """

    lifted: Program
    trace: tuple[Step, ...]
    lifting: int
    rule_holds: Callable[[sympy.Expr, sympy.Expr], int]
    slope_holds: Callable[[sympy.Expr, sympy.Expr, sympy.Expr], int]


def make_record(
    definition: Definition, stable: Program, derivation: Derivation, cost: dict[str, str], digest: str
) -> dict[str, Any]:
    """Return the record of a definition.

    Parameters
    ----------
    definition : Definition
        What the author wrote.
    stable : Program
        With the stabilised outputs.
    derivation : Derivation
        The steps that led there.
    cost : dict of str to str
        Operations as polynomials of the axis sizes.
    digest : str
        The hash of the definition.
    """
    value, lifted = definition.formula, derivation.lifted
    outputs = {kind: [o for o in stable.outputs if o.name.startswith(f"{kind}_")] for kind in ("gradient", "hessian")}
    early = [s.name for s in lifted.statements]
    names = names_of(definition, stable, early)
    later = read_by((o for found in outputs.values() for o in found), names)
    names = names_of(definition, replace(stable, statements=_joined(lifted, stable)), [*early, *later])
    form = derivative(lifted.output("value"), lifted, names)
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
        **{kind: [derivative(o, stable, names) for o in found] for kind, found in outputs.items()},
        "stable": {
            "text": plain(lifted.output("value").expression), "latex": form["latex"], "where": form["where"],
            "rules": _rules(names, stable, derivation),
            "partials": _partials(names, derivation),
        },
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


def _joined(lifted: Program, stable: Program) -> tuple[Statement, ...]:
    own = {s.name for s in stable.statements}
    return (*stable.statements, *(s for s in lifted.statements if s.name not in own))


def _rules(names: Names, program: Program, derivation: Derivation) -> list[dict[str, Any]]:
    """Return the steps by rules whose parts are on the page: those of the Hessian product alone are not."""
    table = {rule.name: rule for rule in RULES}
    known = {a.name for a in names.definition.arguments} | set(names.heads) | {"seed"}
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for number, step in enumerate(derivation.trace):
        sides = [author_named(side, program)[0] for side in (step.before, step.after)]
        if number < derivation.lifting:  # the author's names stand for what is being rewritten
            sides = [step.before, step.after]
        if any(a.name not in known and not names.inline(a.name) for side in sides for a in accesses(side)):
            continue
        before, after = map(names.latex, names.lettered(*map(names.written, sides)))
        if before != after:
            found.setdefault(
                (step.rule, before, after),
                {
                    "rule": step.rule,
                    "before": before,
                    "after": after,
                    "reason": table[step.rule].reason,
                    "source": table[step.rule].source,
                    "stage": "formula" if number < derivation.lifting else "derivatives",
                    "checked": derivation.rule_holds(step.before, step.after),
                },
            )
    return list(found.values())


def _partials(names: Names, derivation: Derivation) -> list[dict[str, Any]]:
    return [
        {"latex": s.latex, "checked": derivation.slope_holds(s.line, s.read, s.partial)}
        for s in slopes(derivation.lifted, names)
    ]


def _kinks(definition: Definition, lifted: Program) -> list[dict[str, str]]:
    parts = [s.body for s in lifted.statements] + [lifted.output("value").expression]
    atoms = sorted({a for p in parts for a in p.atoms(Atom) if a.kink}, key=sympy.default_sort_key)
    pairs = [
        pair
        for node in sorted(definition.formula.atoms(sympy.Max, sympy.Min), key=sympy.default_sort_key)
        for pair in combinations(sorted((a for a in node.args if a != 0), key=sympy.default_sort_key), 2)
    ]
    ties = dict.fromkeys(" = ".join(latex(a, definition) for a in pair) for pair in pairs)
    kinks = [{"where": f"{latex(a.args[0], definition)} = 0", "value": a.kink} for a in atoms]
    return kinks + [{"where": tie, "value": "derivative of one of the two"} for tie in ties]


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
