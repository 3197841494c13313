"""The names of a definition: which are free, and that no two things have the same one.

What a formula names becomes a variable of the kernels, beside those that they have for themselves. Two things of one
name would overwrite each other in silence.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator

import sympy

from symloss.language.axes import Axis, Index
from symloss.language.declarations import Argument
from symloss.language.nodes import given_flag

RESERVED = frozenset((
    "np", "math", "njit", "weighted", "wanted", "start", "stop", "block", "row", "strip", "strips", "place", "length",
    "apart", "ahead", "own", "doubtful", "many", "near", "nearer", "wide", "sums", "most", "outside",
    "f32", "f64", "types", "intrinsic", "cgutils", "total", "loss", "seed", "sample_weight", "sample_weights",
    "loss_scale", "value_out", "direction_parameters", "value", "parameter_gradient", "parameter_hessian",
    "parameter_product", "jax", "jnp", "torch", "partial", "reduce",
))  # fmt: skip
"""Names that nothing in a definition can have: kernels and modules would overwrite them."""
BUILTINS = frozenset(("abs", "bool", "float", "int", "len", "max", "min", "range", "slice", "sum", "tuple", "type"))
"""What kernels and modules call."""
KEYWORDS = frozenset(("self", "reduction", "wrt", "out", "direction", "accuracy"))
"""What calls are told by keyword beside the parameters of a loss."""
_MADE = ("gradient", "hessian", "product", "direction")
"""What is computed of an argument, or given for it, is named after it."""


def names_of(arguments: Iterable[Argument], per: Iterable[Index], *formulas: sympy.Basic) -> set[str]:
    """Return the names that a definition gives to arguments, axes and indices, and those that kernels have."""
    axes, indices = _axes_and_indices(arguments, per, formulas)
    return {a.name for a in arguments} | {axis.name for axis in axes} | {k.name for k in indices} | RESERVED


def unusable(arguments: tuple[Argument, ...], per: tuple[Index, ...], *formulas: sympy.Basic) -> Iterator[str]:
    """Yield what is wrong with the names of a definition.

    Parameters
    ----------
    arguments : tuple of Argument
        With their axes.
    per : tuple of Index
        The indices of a sample.
    *formulas : sympy.Basic
        With further indices. What they name themselves gets another name in kernels where one is taken.
    """
    axes, indices = _axes_and_indices(arguments, per, formulas)
    own = [a.name for a in arguments]
    made = {f"{kind}_{name}": name for kind in _MADE for name in own}
    made |= {given_flag(a.name).name: a.name for a in arguments if a.optional}
    for name in own:
        if name in KEYWORDS:
            yield f"calls have a keyword {name} of their own; choose another name for the argument"
        if name in made:
            yield f"what kernels make of {made[name]} is called {name}; choose another name for the argument"
    for name in sorted({*own, *(axis.name for axis in axes), *(k.name for k in indices)}):
        if name in RESERVED | BUILTINS:
            yield f"kernels or modules use the name {name} for themselves; choose another"
        if keyword.iskeyword(name) or not name.isidentifier():
            yield f"{name!r} is no name in Python; choose another"
    seen: dict[str, str] = {}
    found = [(name, f"the argument {name}") for name in own]
    found += sorted((axis.name, f"Axis({axis.name}, {axis.noun})") for axis in axes)
    found += sorted((k.name, f"the index {k.name} over Axis({k.axis.name}, {k.axis.noun})") for k in indices)
    for name, what in found:
        if name in seen:
            yield f"{seen[name]} and {what} have the same name; choose another for one of them"
        seen.setdefault(name, what)


def _axes_and_indices(
    arguments: Iterable[Argument], per: Iterable[Index], formulas: Iterable[sympy.Basic]
) -> tuple[set[Axis], set[Index]]:
    indices = {k for part in (*formulas, sympy.Tuple(*per)) for k in part.atoms(Index)}
    return {k.axis for k in indices} | {axis for a in arguments for axis in a.axes}, indices
