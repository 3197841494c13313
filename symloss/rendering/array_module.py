"""Modules of arrays: values, slopes, gradients and products as expressions of a library, and what it is told of them.

JAX and torch are dialects of one module; the items that they spell are made once.
"""

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
from symloss.rendering.array_format import format_items
from symloss.rendering.dialect import Dialect
from symloss.rendering.jax_primitives import JAX
from symloss.rendering.module import ENVIRONMENT, VERSION, extents_of, literal, lower_first, specification
from symloss.rendering.torch_primitives import TORCH

DIALECTS = (JAX, TORCH)


@dataclass(frozen=True)
class _Function:
    """One function of a module: its name and summary, its arguments, the outputs it returns, and what computes them."""

    name: str
    summary: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    items: tuple[Item, ...]
    total: bool = False


def render_arrays(
    definition: Definition, variants: tuple[tuple[Definition, Program, Program], ...], formula: str, digest: str
) -> dict[str, str]:
    """Return the source of the generated module for each library.

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

    Returns
    -------
    dict of str to str
        By the name of the dialect.
    """
    made = tuple((variant, _functions(variant, derived, sloped)) for variant, derived, sloped in variants)
    return {d.name: _render(d, definition, made, formula, digest) for d in DIALECTS}


def _render(
    dialect: Dialect, definition: Definition, variants: tuple[tuple[Definition, tuple[_Function, ...]], ...],
    formula: str, digest: str,
) -> str:  # fmt: skip
    used: set[str] = set()
    kernels: list[dict[str, Any]] = []
    table = []
    for variant, functions in variants:
        like = variant.differentiable[0].name
        for function in functions:
            lines, primitives = format_items(function.items, extents_of(variant), dialect, like)
            used |= primitives
            kernels.append(
                {"name": function.name + variant.suffix, "arguments": ", ".join(function.arguments),
                 "lines": [*lines, _returned(function)], "summary": function.summary}
            )  # fmt: skip
        names = [f.name + variant.suffix for f in functions]
        counted = names.pop() if variant.where is not sympy.true else "None"
        table.append({"key": f'"{variant.suffix}"', "counted": counted, "kernels": ", ".join(names)})
    every = [*definition.inputs, *_optional_inputs(definition), *definition.parameters]
    return ENVIRONMENT.get_template("array_module.py.jinja").render(
        title=definition.title, summary=lower_first(definition.summary), formula=formula, hash=digest,
        version=VERSION, name=definition.name, spec=literal(specification(definition, formula, digest, dialect.name)),
        header=dialect.header, imports=dialect.imports, primitives=dialect.sources(used), kernels=kernels,
        variants=table, signature=_signature(definition, every),
        arguments=[{"head": _head(a, definition), "about": a.about or "See the record."} for a in every],
        values=_mapping(a.name for a in every if a.role == "input"),
        settings=_mapping(a.name for a in every if a.role == "parameter"),
    )  # fmt: skip


def _functions(definition: Definition, derived: Program, sloped: Program) -> tuple[_Function, ...]:
    """Return the functions of a variant: four, and one that says which samples count where not all do."""
    moving = [a.name for a in (*definition.differentiable, *definition.continuous)]
    gradients, products = (tuple(f"{kind}_{n}" for n in moving) for kind in ("gradient", "product"))
    given = _arguments(definition)
    along = tuple(f"direction_{name}" for name in moving)
    slope, product = (
        "Return how the loss of each sample moves along a direction",
        "Return how that gradient moves along a direction",
    )
    found = (
        _Function("value", "Return the loss of each sample", given, ("value",), array_items(sloped, ("value",))),
        _Function("slope", slope, (*given, *along), ("slope",), array_items(sloped, ("slope",))),
        _Function("gradient", "Return the gradient of the sum of seed times loss", (*given, "seed"), gradients,
                  array_items(derived, gradients), total=True),
        _Function("product", product, (*given, "seed", *along), products, array_items(derived, products), total=True),
    )  # fmt: skip
    if definition.where is sympy.true:
        return found
    mask = Item("counted", "store", definition.per, (), definition.where)
    return (*found, _Function("counted", "Which samples count", given, ("counted",), (mask,)))


def _arguments(definition: Definition) -> tuple[str, ...]:
    found = [a.name for a in definition.inputs]
    for a in definition.parameters:
        if a.kind == "switch":
            continue
        found.append(a.name)
        if a.optional and not a.axes:
            found.append(given_flag(a.name).name)
    return tuple(found)


def _returned(function: _Function) -> str:
    if not function.total:
        return f"return {function.outputs[0]}"
    entries = ", ".join(f'"{name.partition("_")[2]}": {name}' for name in function.outputs)
    return f"return {{{entries}}}"


def _optional_inputs(definition: Definition) -> tuple[Argument, ...]:
    """Return the inputs that the default case goes without."""
    known = {a.name for a in definition.inputs}
    return tuple({a.name: a for v in definition.variants for a in v.inputs if a.name not in known}.values())


def _signature(definition: Definition, every: list[Argument]) -> str:
    own = {a.name for a in definition.inputs}
    positional = [a.name if a.name in own else f"{a.name}=None" for a in every if a.role == "input"]
    keywords = [f"{a.name}={a.default!r}" for a in every if a.role == "parameter"]
    return ", ".join([*positional, "*", *keywords, 'reduction="mean"', "sample_weight=None", 'accuracy="exact"'])


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
