"""Results: which derivatives are wanted, the arrays a caller gives for them, and how they are handed back."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from symloss.runtime.arrays import Array
from symloss.runtime.plan import Plan, Wanted
from symloss.runtime.preparation import Prepared, Shape
from symloss.runtime.spec import Spec


@cache
def _bundle(names: tuple[str, ...]) -> Any:
    """Return a named tuple for these names, one that can be pickled although it is made at run time."""
    base = namedtuple("Derivatives", names)  # type: ignore[misc] # known at run time only
    return type("Derivatives", (base,), {"__slots__": (), "__reduce__": _reduce})


def _reduce(bundle: Any) -> tuple[Any, ...]:
    return _restore, (bundle._fields, tuple(bundle))


def _restore(names: tuple[str, ...], arrays: tuple[Any, ...]) -> Any:
    return _bundle(names)(*arrays)


def pack(wanted: Wanted, results: Sequence[Array]) -> Any:
    """Return one array where one was asked for, else a named tuple in the order asked."""
    return results[0] if wanted.bare else _bundle(wanted.names)(*results)


def resolve_wrt(plan: Plan, wrt: Any, settings: Mapping[str, Any]) -> Wanted:
    """Return what a `wrt` asks for.

    Raises
    ------
    TypeError
        Where it is neither a name nor names.
    ValueError
        Where a name is not differentiable, comes twice, or is that of a parameter left out.
    """
    spec = plan.spec
    names = (wrt,) if isinstance(wrt, str) else wrt
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        message = f"{spec.name}: wrt must be a name or a tuple of names, got {wrt!r}"
        raise TypeError(message)
    inputs, parameters = spec.differentiable, spec.continuous
    for name in names:
        if name not in inputs and name not in parameters:
            message = f"{spec.name}: wrt must be among {', '.join(inputs + parameters)}, got {name!r}"
            raise ValueError(message)
        if name in parameters and settings.get(name, plan.slots[name].argument.default) is None:
            message = f"{spec.name}: wrt={name!r} needs a value for {name}, got None"
            raise ValueError(message)
    if not names or len(set(names)) != len(names):
        message = f"{spec.name}: wrt must name each input or parameter at most once and one at least, got {wrt!r}"
        raise ValueError(message)
    return Wanted(
        names=tuple(names),
        bare=isinstance(wrt, str),
        slots=tuple(names.index(name) if name in names else -1 for name in inputs),
        parameters=tuple((j, parameters.index(name)) for j, name in enumerate(names) if name in parameters),
    )


def shapes_of(plan: Plan, ready: Prepared, wanted: Wanted) -> list[Shape]:
    """Return the shape of the derivative in each name."""
    found: list[Shape] = [()] * len(wanted.names)
    for place, slot in zip(plan.at, wanted.slots, strict=True):
        if slot >= 0:
            found[slot] = ready.shapes[place]
    return found


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _overlaps_itself(array: Array) -> bool:
    """Tell whether entries of an array share memory, as those of broadcast arrays and sliding windows do."""
    if not array.size:
        return False
    axes = sorted((abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True) if size > 1)
    span, apart = array.itemsize, True
    for stride, size in axes:
        apart = apart and stride >= span  # a step is longer than all that the axes before it reach over
        span += (size - 1) * stride
    if apart or span < array.nbytes:
        return not apart
    # Axes that are woven into one another, with strides such as 2 and 3: rare enough to look at each entry.
    starts = np.zeros(1, np.int64)
    for stride, size in axes:
        starts = np.add.outer(starts, stride * np.arange(size, dtype=np.int64)).reshape(-1)
    return bool(np.diff(np.sort(starts)).min() < array.itemsize)


def take_out(spec: Spec, out: Any, shapes: Sequence[Shape], dtype: np.dtype[Any]) -> list[Array]:
    """Return the arrays in `out`, one for each result.

    Raises
    ------
    TypeError
        Where it is not made of arrays.
    ValueError
        Where the number, a shape, a dtype or a flag is wrong, or entries share memory, of two or of one.
    """
    found = _leaves(out)
    if len(found) != len(shapes):
        message = f"{spec.name}: out must hold {len(shapes)} arrays, got {len(found)}"
        raise ValueError(message)
    for array, shape in zip(found, shapes, strict=True):
        if not isinstance(array, np.ndarray):
            message = f"{spec.name}: out must be a NumPy array, got {type(array).__name__}"
            raise TypeError(message)
        if array.shape != shape or array.dtype != dtype:
            message = f"{spec.name}: out must have shape {shape} and dtype {dtype}, got {array.shape} and {array.dtype}"
            raise ValueError(message)
        if not array.flags.writeable:
            message = f"{spec.name}: out must be writeable, got a read-only array"
            raise ValueError(message)
        if not array.flags.forc and _overlaps_itself(array):
            message = (
                f"{spec.name}: out must have memory of its own for each entry, got an array of shape {array.shape} and "
                f"strides {array.strides}, whose entries share memory"
            )
            raise ValueError(message)
    for first, second in combinations(found, 2):
        if np.may_share_memory(first, second) and np.shares_memory(first, second):
            message = f"{spec.name}: out must hold separate arrays, got two that share memory"
            raise ValueError(message)
    return found


def usable(target: Array, full: Shape, read: Sequence[Any]) -> bool:
    """Tell whether a kernel may write into an array that the caller gave.

    Parameters
    ----------
    target : array
        As `take_out` returned it.
    full : tuple of int
        The shape that the kernel fills.
    read : sequence
        What the kernel reads; where the target shares memory with any of it, a copy must be written.
    """
    if target.shape != full or not target.flags.carray:
        return False
    return not any(np.may_share_memory(target, array) for array in read if isinstance(array, np.ndarray))
