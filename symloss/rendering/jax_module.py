"""The jax.numpy module: values, slopes, gradients and products as array expressions, and what JAX is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy

from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.nodes import given_flag
from symloss.lowering.arrays import array_items
from symloss.lowering.items import Item
from symloss.program.statement import Program
from symloss.rendering.jax_format import format_items
from symloss.rendering.jax_primitives import sources
from symloss.rendering.module import ENVIRONMENT, VERSION, extents_of, literal, lower_first, specification


@dataclass(frozen=True)
class _Function:
    """One function of a module: its name and summary, and the outputs it returns."""

    name: str
    summary: str
    outputs: tuple[str, ...]
    seed: bool = False
    directions: bool = False


def render_jax(
    definition: Definition, variants: tuple[tuple[Definition, Program, Program], ...], formula: str, digest: str
) -> str:
    """Return the source of the generated module.

    Parameters
    ----------
    definition : Definition
        For names, axes and parameters.
    variants : tuple of (Definition, Program, Program) triples
        The definition as it is written for each combination of alternatives, the stable program with its derivatives,
        and the one with the slope of the value; the default first.
    formula : str
        The loss as one line of text.
    digest : str
        The hash of the definition.
    """
    used: set[str] = set()
    kernels: list[dict[str, Any]] = []
    table = []
    for variant, derived, sloped in variants:
        names = []
        for function in _functions(variant):
            program = sloped if function.name in ("value", "slope") else derived
            lines, primitives = _body(variant, program, function)
            used |= primitives
            names.append(function.name + variant.suffix)
            kernels.append(
                {"name": names[-1], "arguments": ", ".join(_arguments(variant, function)), "lines": lines,
                 "summary": function.summary}
            )  # fmt: skip
        counted = "None"
        if variant.where is not sympy.true:
            counted = f"counted{variant.suffix}"
            item = Item("counted", "store", variant.per, (), variant.where)
            lines, primitives = format_items([item], extents_of(variant))
            kernels.append(
                {"name": counted, "arguments": ", ".join(_arguments(variant, _Function("", "", ()))),
                 "lines": [*lines, "return counted"], "summary": "Which samples count"}
            )  # fmt: skip
        table.append({"key": f'"{variant.suffix}"', "counted": counted, "kernels": ", ".join(names)})
    every = [*definition.inputs, *_optional_inputs(definition), *definition.parameters]
    return ENVIRONMENT.get_template("jax_module.py.jinja").render(
        title=definition.title, summary=lower_first(definition.summary), formula=formula, hash=digest,
        version=VERSION, name=definition.name, spec=literal(specification(definition, formula, digest, "jax")),
        primitives=sources(used), kernels=kernels, variants=table, signature=_signature(definition, every),
        arguments=[{"head": _head(a, definition), "about": a.about or "See the record."} for a in every],
        values=_mapping(a.name for a in every if a.role == "input"),
        settings=_mapping(a.name for a in every if a.role == "parameter"),
    )  # fmt: skip


def _functions(definition: Definition) -> tuple[_Function, ...]:
    names = [a.name for a in (*definition.differentiable, *definition.continuous)]
    gradients, products = (tuple(f"{kind}_{n}" for n in names) for kind in ("gradient", "product"))
    return (
        _Function("value", "Return the loss of each sample", ("value",)),
        _Function("slope", "Return how the loss of each sample moves along a direction", ("slope",), directions=True),
        _Function("gradient", "Return the gradient of the sum of seed times loss", gradients, seed=True),
        _Function("product", "Return how that gradient moves along a direction", products, seed=True, directions=True),
    )


def _arguments(definition: Definition, function: _Function) -> list[str]:
    found = [a.name for a in definition.inputs]
    for a in definition.parameters:
        if a.kind == "switch":
            continue
        found.append(a.name)
        if a.optional and not a.axes:
            found.append(given_flag(a.name).name)
    if function.seed:
        found.append("seed")
    if function.directions:
        found += [f"direction_{a.name}" for a in (*definition.differentiable, *definition.continuous)]
    return found


def _body(definition: Definition, program: Program, function: _Function) -> tuple[list[str], set[str]]:
    items = array_items(program, function.outputs)
    lines, used = format_items(items, extents_of(definition))
    if len(function.outputs) == 1 and not function.seed:
        return [*lines, f"return {function.outputs[0]}"], used
    entries = ", ".join(f'"{name.partition("_")[2]}": {name}' for name in function.outputs)
    return [*lines, f"return {{{entries}}}"], used


def _optional_inputs(definition: Definition) -> tuple[Argument, ...]:
    """Return the inputs that the default case goes without."""
    known = {a.name for a in definition.inputs}
    return tuple({a.name: a for v in definition.variants for a in v.inputs if a.name not in known}.values())


def _signature(definition: Definition, every: list[Argument]) -> str:
    own = {a.name for a in definition.inputs}
    positional = [a.name if a.name in own else f"{a.name}=None" for a in every if a.role == "input"]
    keywords = [f"{a.name}={a.default!r}" for a in every if a.role == "parameter"]
    return ", ".join([*positional, "*", *keywords, 'reduction="mean"', "sample_weight=None"])


def _head(argument: Argument, definition: Definition) -> str:
    if argument.kind in ("flag", "switch"):
        return f"{argument.name} : {'bool' if argument.kind == 'flag' else 'object'}"
    axes = ", ".join(a.name for a in argument.axes)
    if not axes:
        spread = definition.elementwise and argument.role == "input"
        return f"{argument.name} : {'array of any shape' if spread else 'number'}"
    return f"{argument.name} : array of shape ({axes}{',' if len(argument.axes) == 1 else ''})"


def _mapping(names: Any) -> str:
    return "{" + ", ".join(f'"{n}": {n}' for n in names) + "}"
