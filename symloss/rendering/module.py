"""The generated module: kernels, primitives and specification laid out in one self-contained file."""

from __future__ import annotations

import pprint
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jinja2
import sympy

from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.elementary.power import FUNCTIONS
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, axes_of, positive_parameters
from symloss.language.nodes import given_flag
from symloss.lowering.nodes import Kernel
from symloss.lowering.phases import SUMS
from symloss.rendering.careful_format import format_closer, format_recipe
from symloss.rendering.numba_format import format_kernel
from symloss.rendering.primitives import GEMM, source_of
from symloss.stability.careful import Recipe

VERSION = "0.1.0"
ACCURACIES = {FLOAT64: "exact", FLOAT32: "fast"}
"""What users call the arithmetic."""
ROWS = 131072
"""The numbers that one task takes where samples are rows of them: there is less to do for each than for an element."""
CHEAP = 1 << 17
"""Elements that one thread takes where there is no exponential or logarithm to compute: 30 us of work."""

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("symloss.rendering"), undefined=jinja2.StrictUndefined, trim_blocks=True,
    lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
)  # fmt: skip


Variant = tuple[Definition, tuple[Kernel, ...]]
NO_SUMS: Mapping[str, Mapping[str, int]] = MappingProxyType({})
_Rendered = tuple[list[dict[str, Any]], set[str], set[Recipe]]


def render_module(
    definition: Definition, variants: tuple[Variant, ...], formula: str, digest: str, real: Format = FLOAT64
) -> str:
    """Return the source of the generated module.

    Parameters
    ----------
    definition : Definition
        For names, axes and parameters.
    variants : tuple of (Definition, tuple of Kernel) pairs
        The definition as it is written for each combination of alternatives, and its kernels; the default first.
    formula : str
        The loss as one line of text.
    digest : str
        The hash of the definition.
    real : Format
        The arithmetic of its kernels: float64, or float32 for arrays of float32 alone.
    """
    used: set[str] = set()
    recipes: dict[str, str] = {}
    rendered: list[dict[str, Any]] = []
    for variant, kernels in variants:
        found, primitives, careful = _rendered(variant, kernels, real)
        rendered += found
        used |= primitives
        for recipe in careful:
            closer, first = format_closer(recipe)
            careful_text, second = format_recipe(recipe)
            recipes[recipe.name] = f"{closer}\n\n\n{careful_text}"
            used |= first | second
    # rows in float64 are computed in pairs where results are to be exact: here float64 gives float32, or is plain
    carried = source_of(used, real, close=definition.elementwise and real is FLOAT64)
    sums = {v.suffix: {k.name.removesuffix(SUMS): k.sums for k in kernels if k.sums} for v, kernels in variants}
    spec = specification(definition, formula, digest, ACCURACIES[real], sums)
    if definition.elementwise and not any(f"def {name}(" in text for text in carried for name in FUNCTIONS):
        spec["grain"] = CHEAP
    elif not definition.elementwise and definition.separable:
        spec["grain"] = ROWS
    return ENVIRONMENT.get_template("module.py.jinja").render(
        **described(definition, formula, digest), spec=literal(spec),
        narrow=real is not FLOAT64, widening=any("f64(" in line for kernel in rendered for line in kernel["lines"]),
        nothing="None" if definition.elementwise else "an empty array",
        primitives=carried, recipes=[recipes[name] for name in sorted(recipes)],
        kernels=rendered, phases=any(sums.values()), products=GEMM if "_multiply" in used else "",
        vectors=any("cgutils." in text for text in carried),
        intrinsics=any("@intrinsic" in text for text in carried), typed=any("types." in text for text in carried),
    )  # fmt: skip


def described(definition: Definition, formula: str, digest: str) -> dict[str, str]:
    """Return what every module says of its definition."""
    return {
        "title": definition.title, "summary": lower_first(definition.summary), "formula": formula, "hash": digest,
        "version": VERSION, "shapes": _shapes(definition),
    }  # fmt: skip


def _rendered(definition: Definition, kernels: tuple[Kernel, ...], real: Format) -> _Rendered:
    """Return what the template needs of each kernel of one variant, and the primitives and recipes they call."""
    loads = frozenset(
        [a.name for a in definition.inputs if a.kind == "real"]
        + [f"direction_{a.name}" for a in definition.differentiable]
    )
    scalars = frozenset(a.name for a in definition.parameters if a.kind == "real" and not a.axes) | {"loss_scale"}
    positive = positive_parameters(definition)
    if real is not FLOAT64:
        loads |= {"sample_weights", "direction_parameters", "sums"}
        loads |= {a.name for a in definition.parameters if a.kind == "real" and a.axes}
    used: set[str] = set()
    recipes: set[Recipe] = set()
    rendered = []
    case = ", ".join(f"{name} = {value}" for name, value in definition.choice) if definition.suffix else ""
    for kernel in kernels:
        lines, primitives, careful = format_kernel(
            kernel, loads, extents_of(definition), definition.differentiable[0].name, real, scalars,
            flat=definition.elementwise, positive=positive,
        )  # fmt: skip
        used |= primitives
        recipes |= careful
        summary = kernel.summary[0].upper() + kernel.summary[1:] + (f" ({case})" if case else "")
        name = kernel.name + definition.suffix
        rendered.append({"name": name, "arguments": ", ".join(kernel.arguments), "lines": lines, "summary": summary})
    return rendered, used, recipes


def specification(
    definition: Definition, formula: str, digest: str, accuracy: str, sums: Mapping[str, Mapping[str, int]] = NO_SUMS
) -> dict[str, Any]:
    """Return what the runtime needs to know to call the kernels, as plain data.

    Parameters
    ----------
    definition : Definition
        For names, axes and parameters.
    formula, digest, accuracy : str
        The loss as one line of text, the hash of the definition, what users call the arithmetic.
    sums : mapping of str to mapping of str to int
        For the suffix of each variant its kernels in two phases, and how many sums of each row are between these.
    """
    masked = definition.where is not sympy.true
    own = sums.get(definition.suffix)
    return {
        "abi": 3, "name": definition.name, "title": definition.title, "formula": formula, "hash": digest,
        "accuracy": accuracy, "elementwise": definition.elementwise, "separable": definition.separable,
        "masked": masked, **({"masked_by": _masked_by(definition)} if masked else {}),
        "sample_axes": tuple(k.axis.name for k in definition.per),
        "inputs": tuple(_argument(a, definition) for a in definition.inputs),
        "parameters": tuple(_argument(a, definition) for a in definition.parameters),
        "least": {x.name: x.least for x in axes_of(definition.arguments) if x.least},
        "choice": dict(definition.choice), "suffix": definition.suffix, **({"sums": own} if own else {}),
        "variants": tuple(specification(v, formula, digest, accuracy, sums) for v in definition.variants),
    }  # fmt: skip


def _masked_by(definition: Definition) -> tuple[str, ...]:
    """Return the optional parameters without which every sample counts; none where the mask has other reasons too."""
    flags = {a.name: given_flag(a.name) for a in definition.parameters if a.optional}
    whole = definition.where.xreplace(dict.fromkeys(flags.values(), sympy.false))
    return tuple(n for n, flag in flags.items() if whole is sympy.true and definition.where.has(flag))


def _argument(argument: Argument, definition: Definition) -> dict[str, Any]:
    axes = [a.name for a in argument.axes]
    if definition.elementwise and argument.role == "input":
        axes = [definition.per[0].axis.name]
    found: dict[str, Any] = {"name": argument.name, "axes": tuple(axes), "kind": argument.kind}
    found["differentiable"] = argument.differentiable
    real = argument.kind == "real"
    if argument.kind == "switch":
        found |= {"choices": argument.choices}
    if argument.choices and real:
        found |= {"special": tuple(float(v) for v in argument.choices)}
    found["domain"] = argument.domain.specification() if real else None
    if argument.kind == "label" and argument.into is not None:
        found |= {"into": argument.into.name, "ignored_by": argument.ignored_by}
    if argument.role == "parameter":
        default = argument.default
        found |= {"default": float(default) if real and default is not None else default, "optional": argument.optional}
        if axes:
            found["fill"] = argument.fill
    return found


def extents_of(definition: Definition) -> dict[str, str]:
    """Return the source of the extent of each axis, by its name."""
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


def literal(data: Any) -> str:
    """Return plain data as source."""
    return re.sub(r"\binf\b", "math.inf", pprint.pformat(data, sort_dicts=False, width=110))


def lower_first(text: str) -> str:
    """Return a sentence as it stands after a colon."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text
