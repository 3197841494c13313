"""The module of kernels in pair arithmetic, laid out in one self-contained file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

from symloss.language.definition import Definition, positive_parameters
from symloss.lowering.kernels import SHORT
from symloss.lowering.nodes import Kernel
from symloss.lowering.phases import REST, SUMS
from symloss.rendering import tracing
from symloss.rendering.module import (
    ENVIRONMENT,
    Variant,
    described,
    extents_of,
    literal,
    specification,
)
from symloss.rendering.pair_arithmetic import CALLED, TRACED
from symloss.rendering.pair_format import format_pairs
from symloss.rendering.pair_matrices import ARRAYS
from symloss.rendering.primitives import GEMM, decorator, source_of, untyped, with_called


def render_pairs(definition: Definition, variants: tuple[Variant, ...], formula: str, digest: str) -> str:
    """Return the source of the module of kernels in pair arithmetic, for arrays of float64.

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
    """
    used: set[str] = set()
    kernels = []
    for variant, found in variants:
        whole = frozenset(a.name for a in variant.arguments if a.kind in ("label", "integer"))
        for kernel, lines, primitives in _formatted(variant, found, whole):
            used |= primitives
            name = kernel.name + variant.suffix
            summary = kernel.summary[0].upper() + kernel.summary[1:]
            arguments = ", ".join(kernel.arguments)
            kernels.append({"name": name, "arguments": arguments, "lines": lines, "summary": summary})
    known = {f.__name__: inspect.getsource(f).rstrip() for f in (*TRACED, *CALLED, *ARRAYS)}
    wanted = with_called(used, known)
    traced = [untyped(known[f.__name__]) for f in TRACED if f.__name__ in wanted]
    called = [untyped(known[f.__name__]) for f in (*CALLED, *ARRAYS) if f.__name__ in wanted]
    carried = source_of(wanted)
    spec = specification(definition, formula, digest, "exact")
    return ENVIRONMENT.get_template("pairs.py.jinja").render(
        **described(definition, formula, digest), spec=literal(spec), tracing=_carried(tracing), primitives=carried,
        traced=traced, called=[f"{decorator(text)}\n{text}" for text in called], kernels=kernels,
        products=GEMM if "_multiply" in wanted else "", vectors=any("cgutils." in text for text in carried),
        intrinsics=any("@intrinsic" in text for text in carried),
    )  # fmt: skip


def _formatted(
    definition: Definition, kernels: tuple[Kernel, ...], whole: frozenset[str]
) -> Iterator[tuple[Kernel, list[str], set[str]]]:
    """Yield kernels with their bodies and the primitives they call; those for short rows all, or none of them.

    Those in two phases have no form: an input is read for a small part of the time that arithmetic takes.
    """
    extents, positive = extents_of(definition), positive_parameters(definition)
    short = [k for k in kernels if k.name.endswith(SHORT)]
    for kernel in kernels:
        if kernel not in short and not kernel.name.endswith((SUMS, REST)):
            yield kernel, *format_pairs(kernel, extents, whole, positive)
    with suppress(ValueError):  # something in them has no form
        yield from [(kernel, *format_pairs(kernel, extents, whole, positive)) for kernel in short]


def _carried(module: ModuleType) -> str:
    """Return the text of a module from its first constant on, without what only type checkers read."""
    text = inspect.getsource(module)
    return re.sub(r"  # type: ignore\S*", "", untyped(text[text.index("\nPAIR = ") :].strip()))
