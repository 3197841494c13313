"""Preparation: what a caller passes, checked and laid out as the kernels take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime import arrays as layout
from symloss.runtime.execution import EMPTY, Call
from symloss.runtime.spec import ArgumentSpec, Spec
from symloss.runtime.validation import check_array_domain, check_labels, inside, parameter_value


@dataclass(frozen=True)
class Prepared:
    """One call, ready for the kernels.

    Parameters
    ----------
    call : Call
        Inputs, parameters, weights.
    shapes : mapping of str to tuple
        The shape in which each input came.
    full : mapping of str to tuple
        The shape in which the kernels see each input.
    sample_shape : tuple of int
        The shape of the value of each sample.
    dtype : dtype
        What comes out.
    parameters : mapping of str to object
        The scalar parameters by name.
    """

    call: Call
    shapes: Mapping[str, tuple[int, ...]]
    full: Mapping[str, tuple[int, ...]]
    sample_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parameters: Mapping[str, Any]


def prepare(spec: Spec, values: tuple[Any, ...], sample_weight: Any, settings: Mapping[str, Any]) -> Prepared:
    """Check the arguments of a call and lay them out.

    Raises
    ------
    TypeError
        For a wrong number or kind of arguments.
    ValueError
        For wrong shapes, labels out of range, values outside their domain.
    """
    if len(values) != len(spec.inputs):
        names = ", ".join(a.name for a in spec.inputs)
        message = f"{spec.name}: expected {len(spec.inputs)} inputs ({names}), got {len(values)}"
        raise TypeError(message)
    unknown = [name for name in settings if name not in {a.name for a in spec.parameters}]
    if unknown:
        known = ", ".join(a.name for a in spec.parameters) or "none"
        message = f"{spec.name}: unknown parameter {unknown[0]!r}; the parameters are {known}"
        raise TypeError(message)
    found = {a.name: layout.as_array(spec, a, v) for a, v in zip(spec.inputs, values, strict=True)}
    real = [(v, found[a.name]) for a, v in zip(spec.inputs, values, strict=True) if a.kind == "real"]
    dtype = layout.common_dtype(tuple(v for v, _ in real), tuple(a for _, a in real))
    scalars = {a.name: parameter_value(spec, a, settings.get(a.name, a.default)) for a in spec.parameters if not a.axes}
    shapes = {name: array.shape for name, array in found.items()}
    if spec.elementwise:
        shape = layout.broadcast_shape(spec, shapes)
        sizes, sample_shape, row = {spec.sample_axes[0]: int(np.prod(shape))}, shape, 1
        full = dict.fromkeys(shapes, shape)
        inputs = [layout.flat(found[a.name], shape, dtype) for a in spec.inputs]
    else:
        sizes = layout.matched_sizes(spec, found)
        sample_shape = tuple(sizes[axis] for axis in spec.sample_axes)
        full = shapes
        kinds = {a.name: np.dtype(np.int64) if a.kind == "label" else dtype for a in spec.inputs}
        inputs = [np.ascontiguousarray(found[a.name], dtype=kinds[a.name]) for a in spec.inputs]
        row = max((a.size // max(1, sizes[spec.sample_axes[0]]) for a in inputs), default=1)
    for argument in spec.inputs:
        if argument.kind == "label":
            check_labels(spec, argument, found[argument.name], sizes[argument.into], scalars.get(argument.ignored_by))
        else:
            check_array_domain(spec, argument, found[argument.name])
    weight = _weights(spec, sample_weight, sample_shape)
    parameters: list[Any] = []
    for argument in spec.parameters:
        if argument.axes:
            parameters.append(_tensor(spec, argument, settings.get(argument.name), sizes))
        elif argument.optional:
            value = scalars[argument.name]
            absent: Any = 0 if argument.kind == "integer" else 0.0
            parameters += [absent if value is None else value, value is not None]
        else:
            parameters.append(scalars[argument.name])
    samples = inputs[0].shape[0]
    call = Call(inputs, parameters, weight, samples, row, spec.separable)
    return Prepared(call, shapes, full, sample_shape, dtype, scalars)


def _weights(spec: Spec, sample_weight: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return one weight for each sample, or an empty array where there are none."""
    if sample_weight is None:
        return EMPTY
    array = np.asarray(sample_weight)
    if array.dtype.kind not in "iubf":
        message = f"{spec.name}: sample_weight must be real numbers, got an array of {array.dtype}"
        raise TypeError(message)
    try:
        weight = np.ascontiguousarray(np.broadcast_to(array, shape), dtype=np.float64).reshape(-1)
    except ValueError:
        message = f"{spec.name}: sample_weight must broadcast to shape {shape}, got {array.shape}"
        raise ValueError(message) from None
    if (weight < 0).any():
        where = int(np.argmax(weight < 0))
        message = f"{spec.name}: sample_weight must not be negative, got {weight[where]!r} at sample {where}"
        raise ValueError(message)
    return weight


def _tensor(spec: Spec, argument: ArgumentSpec, value: Any, sizes: Mapping[str, int]) -> NDArray[np.float64]:
    """Return a tensor parameter, filled where it was left out."""
    shape = tuple(sizes[axis] for axis in argument.axes)
    if value is None:
        return np.full(shape, argument.fill)
    array = np.asarray(value)
    if array.dtype.kind not in "iubf":
        message = f"{spec.name}: {argument.name} must be real numbers, got an array of {array.dtype}"
        raise TypeError(message)
    if array.shape != shape:
        expected = ", ".join(f"{axis}={sizes[axis]}" for axis in argument.axes)
        message = f"{spec.name}: {argument.name} must have shape ({expected}), got {array.shape}"
        raise ValueError(message)
    if argument.domain is not None and not inside(array, argument.domain).all():
        check_array_domain(spec, argument, array)
    return np.ascontiguousarray(array, dtype=np.float64)
