"""The generated module: kernels, primitives and specification laid out in one self-contained file."""

from __future__ import annotations

import pprint
import re
from typing import Any

import jinja2

from symloss.language.declarations import Argument
from symloss.language.definition import Definition, axes_of
from symloss.lowering.nodes import Kernel
from symloss.rendering.numba_format import format_kernel
from symloss.rendering.primitives import source_of

VERSION = "0.1.0"

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("symloss.rendering"), undefined=jinja2.StrictUndefined, trim_blocks=True,
    lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
)  # fmt: skip


def render_module(definition: Definition, kernels: tuple[Kernel, ...], formula: str, digest: str) -> str:
    """Return the source of the generated module.

    Parameters
    ----------
    definition : Definition
        For names, axes and parameters.
    kernels : tuple of Kernel
        What the module holds.
    formula : str
        The loss as one line of text.
    digest : str
        The hash of the definition.
    """
    loads = frozenset(
        [a.name for a in definition.inputs if a.kind == "real"]
        + [f"direction_{a.name}" for a in definition.differentiable]
    )
    extents = _extents(definition)
    used: set[str] = set()
    rendered = []
    for kernel in kernels:
        lines, primitives = format_kernel(kernel, loads, extents)
        used |= primitives
        summary = kernel.summary[0].upper() + kernel.summary[1:]
        rendered.append(
            {"name": kernel.name, "arguments": ", ".join(kernel.arguments), "lines": lines, "summary": summary}
        )
    return ENVIRONMENT.get_template("module.py.jinja").render(
        title=definition.title, summary=_lower_first(definition.summary), formula=formula, hash=digest,
        version=VERSION, shapes=_shapes(definition), spec=_literal(specification(definition, formula, digest)),
        primitives=source_of(used), kernels=rendered,
    )  # fmt: skip


def specification(definition: Definition, formula: str, digest: str) -> dict[str, Any]:
    """Return what the runtime needs to know to call the kernels, as plain data."""
    return {
        "abi": 1, "name": definition.name, "title": definition.title, "formula": formula, "hash": digest,
        "accuracy": "exact", "elementwise": definition.elementwise, "separable": separable(definition),
        "masked": definition.where != True, "sample_axes": tuple(k.axis.name for k in definition.per),  # noqa: E712
        "inputs": tuple(_argument(a, definition) for a in definition.inputs),
        "parameters": tuple(_argument(a, definition) for a in definition.parameters),
    }  # fmt: skip


def separable(definition: Definition) -> bool:
    """Tell whether samples do not interact: every input starts with the sample's axis and is read there alone."""
    if definition.elementwise:
        return True
    first = definition.per[0].axis
    return all(a.axes[:1] == (first,) and first not in a.axes[1:] for a in definition.inputs)


def _argument(argument: Argument, definition: Definition) -> dict[str, Any]:
    axes = [a.name for a in argument.axes]
    if definition.elementwise and argument.role == "input":
        axes = [definition.per[0].axis.name]
    found: dict[str, Any] = {"name": argument.name, "axes": tuple(axes), "kind": argument.kind}
    found["differentiable"] = argument.differentiable
    real = argument.kind == "real"
    found["domain"] = argument.domain.specification() if real else None
    if argument.kind == "label" and argument.into is not None:
        found |= {"into": argument.into.name, "ignored_by": argument.ignored_by}
    if argument.role == "parameter":
        default = argument.default
        found |= {"default": float(default) if real and default is not None else default, "optional": argument.optional}
        if axes:
            found["fill"] = argument.fill
    return found


def _extents(definition: Definition) -> dict[str, str]:
    if definition.elementwise:
        return {definition.per[0].axis.name: f"{definition.inputs[0].name}.shape[0]"}
    return {
        axis.name: next(
            f"{a.name}.shape[{a.axes.index(axis)}]" for a in definition.inputs + definition.parameters if axis in a.axes
        )
        for axis in axes_of(definition.arguments)
    }


def _shapes(definition: Definition) -> str:
    own = definition.per[0].axis.name
    return ", ".join(f"{a.name}[{', '.join(x.name for x in a.axes) or own}]" for a in definition.inputs)


def _literal(data: Any) -> str:
    return re.sub(r"\binf\b", "math.inf", pprint.pformat(data, sort_dicts=False, width=110))


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:] if text[1:2].islower() else text
