"""Arrays in and out: kinds, promotion, broadcasting, layout, and the reverse of broadcasting for derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.spec import ArgumentSpec, Spec

Array = NDArray[Any]

F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)
I64 = np.dtype(np.int64)

_WEAK = (float, int, bool)
"""Python's own numbers: like NumPy, these do not raise float32."""


def real_array(label: str, value: Any) -> Array:
    """Return float32, float64, integer or bool numbers as an array, without a copy where it is one.

    Parameters
    ----------
    label : str
        What errors call it.
    value : array_like
        Of any shape.

    Raises
    ------
    TypeError
        For any other kind; masked arrays too, since dropping the mask would be silent.
    ValueError
        For nested lists of uneven length.
    """
    array = value if type(value) is np.ndarray else _coerced(label, value)
    dtype = array.dtype
    if dtype is F32 or dtype is F64 or dtype.char in "fd" or dtype.kind in "iub":
        return array
    message = f"{label} must be float32, float64, integer or bool, got an array of {dtype}"
    raise TypeError(message)


def label_array(label: str, value: Any) -> Array:
    """Return integer labels as an array, without a copy where it is one.

    Raises
    ------
    TypeError
        For any other kind. An empty list, which has no kind, is fine.
    """
    array = value if type(value) is np.ndarray else _coerced(label, value)
    if array.dtype.kind in "iu":
        return array
    if array.size == 0 and isinstance(value, list | tuple):
        return array.astype(I64)
    message = f"{label} must be integers, got an array of {array.dtype}"
    raise TypeError(message)


def _coerced(label: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        message = f"{label} must be an array without a mask, got a masked array"
        raise TypeError(message)
    try:
        return np.asarray(value)
    except ValueError as error:
        message = f"{label} must be an array of numbers, got {type(value).__name__} ({error})"
        raise ValueError(message) from None


def common_dtype(values: Iterable[Any], arrays: Iterable[Array]) -> np.dtype[Any]:
    """Return the dtype to compute for: float32 where every floating array is, else float64.

    Python numbers and integer arrays do not raise float32; alone they are float64.
    """
    narrow = False
    for value, array in zip(values, arrays, strict=True):
        dtype = array.dtype
        if dtype is F32 or dtype.char == "f":
            narrow = True
        elif dtype.char == "d" and type(value) not in _WEAK:
            return F64
    return F32 if narrow else F64


def as_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array in a dtype; what is too large becomes infinite without a warning."""
    if array.dtype is dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


def contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array of `dtype` that is C-contiguous, aligned and of writeable type; itself where it is that already.

    Numba compiles a kernel anew for a read-only array. Kernels never write to inputs, so those get a view that is not
    marked read-only.
    """
    if array.dtype is dtype and array.flags.carray:
        return array
    array = as_dtype(array, dtype)
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C")
    return array if array.flags.writeable else np.asarray(_Unlocked(array))


class _Unlocked:
    """The memory of a read-only array, offered as if it could be written."""

    def __init__(self, array: Array) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.owner = array


def broadcast_shape(spec: Spec, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the common shape of the inputs of an elementwise loss.

    Raises
    ------
    ValueError
        Where there is none.
    """
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        message = f"{spec.name}: inputs must have shapes that broadcast together, got {listed}"
        raise ValueError(message) from None


def unbroadcast(array: Array, shape: tuple[int, ...]) -> Array:
    """Sum an array over the axes along which an input of `shape` was repeated, in float64."""
    if array.shape == shape:
        return array
    added = array.ndim - len(shape)
    repeated = tuple(added + k for k, size in enumerate(shape) if size != array.shape[added + k])
    with np.errstate(over="ignore", invalid="ignore"):
        summed = array.sum(axis=tuple(range(added)) + repeated, dtype=F64)
        return np.asarray(summed).reshape(shape).astype(array.dtype)


def matched_sizes(spec: Spec, arrays: Iterable[Array]) -> dict[str, int]:
    """Return the extent of every axis of the inputs of a loss that is not elementwise.

    Raises
    ------
    ValueError
        Where inputs disagree or have the wrong number of axes.
    """
    sizes: dict[str, int] = {}
    for argument, array in zip(spec.inputs, arrays, strict=True):
        match_axes(spec, argument, array, sizes)
    for axis, least in spec.least.items():
        if sizes[axis] < least:
            argument = next(a for a in spec.inputs if axis in a.axes)
            message = f"{spec.name}: {argument.name} must have {axis} >= {least}, got {axis}={sizes[axis]}"
            raise ValueError(message)
    return sizes


def match_axes(spec: Spec, argument: ArgumentSpec, array: Array, sizes: dict[str, int]) -> None:
    """Check the shape of one argument against the sizes known so far, and add its own.

    Raises
    ------
    ValueError
        Where they disagree.
    """
    known = dict(sizes)
    if len(argument.axes) == array.ndim:
        for axis, size in zip(argument.axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                break
        else:
            return
    listed = [f"{axis}={known[axis]}" if axis in known else axis for axis in argument.axes]
    expected = ", ".join(listed) + ("," if len(listed) == 1 else "")
    message = f"{spec.name}: {argument.name} must have shape ({expected}), got {array.shape}"
    raise ValueError(message)
