"""Results: where derivatives are written, and how they are handed back."""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.spec import Spec


@lru_cache(maxsize=256)
def _bundle(names: tuple[str, ...]) -> Any:
    return namedtuple("Results", names)


def pack(names: tuple[str, ...], results: dict[str, Any], bare: bool) -> Any:
    """Return one array where one was asked for, else a named tuple in the order asked."""
    return results[names[0]] if bare else _bundle(names)(*(results[name] for name in names))


def resolve_wrt(spec: Spec, wrt: Any, parameters: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names to differentiate in, and whether one bare array is wanted.

    Raises
    ------
    ValueError
        Where a name is not differentiable, or is that of a parameter left out.
    """
    if wrt is None:
        return spec.differentiable, len(spec.differentiable) == 1
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    known = spec.differentiable + spec.continuous
    for name in names:
        if name not in known:
            message = f"{spec.name}: wrt must be among {', '.join(known)}, got {name!r}"
            raise ValueError(message)
        if name in spec.continuous and parameters.get(name) is None:
            message = f"{spec.name}: wrt={name!r} needs a value of {name}, which is None"
            raise ValueError(message)
    if not names or len(set(names)) != len(names):
        message = f"{spec.name}: wrt must name each input or parameter once, got {wrt!r}"
        raise ValueError(message)
    return names, isinstance(wrt, str)


def flatten(value: Any) -> list[Any]:
    """Return the arrays in nested tuples, in order."""
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in flatten(part)]
    return [value]


def deliver(spec: Spec, result: Any, out: Any) -> Any:
    """Copy results into the arrays a caller gave, and hand those back; checked before any kernel by `check_out`."""
    if out is None:
        return result
    for target, source in zip(flatten(out), flatten(result), strict=True):
        target[...] = source
    return out


def check_out(spec: Spec, out: Any, shapes: list[tuple[int, ...]], dtype: np.dtype[Any]) -> None:
    """Fail where `out` cannot take the results.

    Raises
    ------
    TypeError
        Where it is not made of arrays.
    ValueError
        Where the number, a shape, a dtype or a flag is wrong.
    """
    if out is None:
        return
    given: list[NDArray[Any]] = flatten(out)
    if len(given) != len(shapes):
        message = f"{spec.name}: out must hold {len(shapes)} arrays, got {len(given)}"
        raise ValueError(message)
    for array, shape in zip(given, shapes, strict=True):
        if not isinstance(array, np.ndarray):
            message = f"{spec.name}: out must be a NumPy array, got {type(array).__name__}"
            raise TypeError(message)
        if array.shape != shape or array.dtype != dtype:
            message = f"{spec.name}: out must have shape {shape} and dtype {dtype}, got {array.shape} and {array.dtype}"
            raise ValueError(message)
        if not array.flags.writeable:
            message = f"{spec.name}: out must be writeable, got a read-only array"
            raise ValueError(message)
