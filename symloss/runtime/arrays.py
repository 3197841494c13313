"""Arrays in and out: kinds, promotion, broadcasting, and its reverse for derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.spec import ArgumentSpec, Spec

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _kind_error(spec: Spec, name: str, expected: str, came: str) -> TypeError:
    return TypeError(f"{spec.name}: {name} must be {expected}, got {came}")


def as_array(spec: Spec, argument: ArgumentSpec, value: Any) -> NDArray[Any]:
    """Return an input as an array of an allowed kind, without a copy where it is one."""
    array = value if type(value) is np.ndarray else np.asarray(value)
    kind = array.dtype.kind
    if argument.kind == "label":
        if kind not in "iu" and array.size:
            raise _kind_error(spec, argument.name, "integer labels", f"an array of {array.dtype}")
        return array
    if kind in "iub" or array.dtype in FLOATS:
        return array
    raise _kind_error(spec, argument.name, "float32, float64, integer or bool", f"an array of {array.dtype}")


def common_dtype(values: tuple[Any, ...], arrays: tuple[NDArray[Any], ...]) -> np.dtype[Any]:
    """Return the dtype to compute for: float32 where every floating array is, else float64.

    Python numbers and integer arrays do not raise float32; alone they are float64.
    """
    floats = [
        a.dtype for v, a in zip(values, arrays, strict=True) if a.dtype.kind == "f" and not isinstance(v, float | int)
    ]
    return FLOATS[0] if floats and all(d == FLOATS[0] for d in floats) else FLOATS[1]


def broadcast_shape(spec: Spec, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the common shape of elementwise inputs."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        message = f"{spec.name}: inputs must have shapes that broadcast together, got {listed}"
        raise ValueError(message) from None


def flat(array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array broadcast to `shape`, contiguous, raveled and of a dtype; a view where it is all that already."""
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array, dtype=dtype).reshape(-1)


def unbroadcast(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Sum an array over the axes along which an input of `shape` was repeated."""
    if array.shape == shape:
        return array
    added = array.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        k + added for k, size in enumerate(shape) if size == 1 and array.shape[k + added] != 1
    )
    return np.asarray(array.sum(axis=axes, dtype=np.float64).reshape(shape).astype(array.dtype))


def matched_sizes(spec: Spec, arrays: dict[str, NDArray[Any]]) -> dict[str, int]:
    """Return the extent of every axis; fail where inputs disagree or have the wrong number of axes."""
    sizes: dict[str, int] = {}
    for argument in spec.inputs:
        array = arrays[argument.name]
        expected = ", ".join(f"{a}={sizes[a]}" if a in sizes else a for a in argument.axes)
        fits = array.ndim == len(argument.axes)
        if fits:
            fits = all(
                sizes.setdefault(axis, size) == size for axis, size in zip(argument.axes, array.shape, strict=True)
            )
        if not fits:
            message = f"{spec.name}: {argument.name} must have shape ({expected}), got {array.shape}"
            raise ValueError(message)
    return sizes
