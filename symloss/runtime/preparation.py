"""Preparation: what a caller passes comes in, checked and laid out as the kernels take it goes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from symloss.runtime import arrays as layout
from symloss.runtime.arrays import F32, F64, I64, Array
from symloss.runtime.plan import SUMS, Plan, checked_scalars
from symloss.runtime.threads import task_size
from symloss.runtime.validation import check_domain, check_labels, check_weights, tensor_parameter

Shape = tuple[int, ...]


class Prepared(NamedTuple):
    """One call, ready for the kernels.

    Parameters
    ----------
    inputs : list of arrays
        Contiguous; raveled for an elementwise loss, else with the samples along the first axis where it is separable.
    parameters : sequence
        What kernels take for them, the same for every chunk.
    weight : array
        In the dtype of the arithmetic, one for each sample; what `Plan.unweighted` has where there are none.
    shapes, full : list of tuple
        The shape in which each input came, and that in which its derivatives are computed.
    sample_shape : tuple of int
        The shape of the value of each sample.
    dtype : dtype
        What comes out.
    rows, step, per : int
        The extent of the leading axis, how much of it makes a chunk, and the samples in one row of it.
    sums : int
        Where it is left to the first phase of a kernel to look whether inputs are in their domains, how many sums of
        each row that hands on; 0 where they are known to be.
    """

    inputs: list[Array]
    parameters: Sequence[Any]
    weight: Array | None
    shapes: list[Shape]
    full: list[Shape]
    sample_shape: Shape
    dtype: np.dtype[Any]
    rows: int
    step: int
    per: int
    sums: int = 0


def prepare(
    plan: Plan, values: tuple[Any, ...], sample_weight: Any, settings: Mapping[str, Any], kernel: str = ""
) -> Prepared:
    """Check the arguments of a call and lay them out.

    Parameters
    ----------
    plan : Plan
        Of the loss.
    values, sample_weight, settings
        As the caller gave them; settings are the parameters.
    kernel : str
        The one that will run before any other, where that is known.

    Raises
    ------
    TypeError
        For a wrong number or kind of arguments.
    ValueError
        For wrong shapes, labels out of range, values outside their domain.
    """
    spec = plan.spec
    if len(values) != len(spec.inputs):
        names = ", ".join(a.name for a in spec.inputs)
        message = f"{spec.name}: expected {len(spec.inputs)} inputs ({names}), got {len(values)}"
        raise TypeError(message)
    parameters = _scalars(plan, settings) if settings or plan.required else plan.defaults
    if spec.elementwise and sample_weight is None and not plan.tensors and _is_alike(values):
        return _alike(plan, values, parameters)
    arrays = [
        layout.label_array(f"{spec.name}: {a.name}", v) if a.kind == "label"
        else v if type(v) is np.ndarray and (v.dtype is F32 or v.dtype is F64)
        else layout.real_array(f"{spec.name}: {a.name}", v)
        for a, v in zip(spec.inputs, values, strict=True)
    ]  # fmt: skip
    dtype = layout.common_dtype(values, arrays)
    weight = None if sample_weight is None else layout.real_array(f"{spec.name}: sample_weight", sample_weight)
    if spec.elementwise:
        return _elementwise(plan, arrays, dtype, weight, parameters, settings)
    return _rows(plan, arrays, dtype, weight, parameters, settings, kernel)


def check_domains(plan: Plan, inputs: Sequence[Array]) -> None:
    """Fail where an input lies outside its domain.

    Raises
    ------
    ValueError
        Naming the input and the first such entry.
    """
    for k, argument in plan.bounded:
        if argument.domain is not None:
            check_domain(plan.spec, argument.name, inputs[k], argument.domain)


def _is_alike(values: tuple[Any, ...]) -> bool:
    """Tell whether all inputs are arrays that kernels take as they are, of one shape and dtype."""
    first = values[0]
    if type(first) is not np.ndarray:
        return False
    dtype, shape = first.dtype, first.shape
    if dtype is not F32 and dtype is not F64:
        return False
    for value in values:
        if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
            return False
        if not value.flags.carray:
            return False
    return True


def _alike(plan: Plan, values: tuple[Array, ...], parameters: Sequence[Any]) -> Prepared:
    """Lay out the commonest call, which has nothing to promote, broadcast or copy."""
    first = values[0]
    check_domains(plan, values)
    shape = first.shape
    inputs = list(values) if first.ndim == 1 else [value.reshape(-1) for value in values]
    shapes = [shape] * len(inputs)
    return Prepared(
        inputs,
        parameters,
        plan.unweighted[first.dtype],
        shapes,
        shapes,
        shape,
        first.dtype,
        first.size,
        task_size(first.size, plan.spec.grain),
        1,
    )


def _elementwise(plan: Plan, arrays: list[Array], dtype: np.dtype[Any], weight: Array | None,
                 parameters: Sequence[Any], settings: Mapping[str, Any]) -> Prepared:  # fmt: skip
    """Broadcast inputs and weights against each other, and ravel them."""
    spec = plan.spec
    shapes = [a.shape for a in arrays]
    shape = shapes[0]
    if shapes.count(shape) != len(shapes) or (weight is not None and weight.shape != shape):
        named = {a.name: s for a, s in zip(spec.inputs, shapes, strict=True)}
        shape = layout.broadcast_shape(spec, named if weight is None else {**named, "sample_weight": weight.shape})
    arrays = [layout.as_dtype(a, dtype) for a in arrays]
    check_domains(plan, arrays)
    if plan.tensors:
        parameters = _with_tensors(plan, parameters, settings, {})
    size = math.prod(shape)
    inputs = [_flat(a, shape, dtype) for a in arrays]
    flat_weight = plan.unweighted[dtype] if weight is None else _weights(plan, weight, shape, dtype)
    return Prepared(inputs, parameters, flat_weight, shapes, [shape] * len(shapes), shape, dtype, size,
                    task_size(size, spec.grain), 1)  # fmt: skip


def _rows(plan: Plan, arrays: list[Array], dtype: np.dtype[Any], weight: Array | None,
          parameters: Sequence[Any], settings: Mapping[str, Any], kernel: str) -> Prepared:  # fmt: skip
    """Match the axes of inputs and parameters by name."""
    spec = plan.spec
    shapes = [a.shape for a in arrays]
    sizes = layout.matched_sizes(spec, arrays)
    for k, argument in plan.labels:
        slot = plan.slots.get(argument.ignored_by or "")
        given = slot is not None and parameters[slot.position + 1]
        ignored = parameters[slot.position] if slot is not None and given else None
        check_labels(spec, argument, arrays[k], sizes[argument.into or ""], ignored)
    inputs = [
        layout.contiguous(array, I64 if a.kind == "label" else dtype)
        for a, array in zip(spec.inputs, arrays, strict=True)
    ]
    sums = plan.sums[dtype].get(kernel, 0) if kernel + SUMS in plan.kernels_for(dtype, inputs[0]) else 0
    if not sums:
        check_domains(plan, inputs)
    if plan.tensors:
        parameters = _with_tensors(plan, parameters, settings, sizes)
    sample_shape = tuple([sizes[axis] for axis in spec.sample_axes])
    rows = sample_shape[0] if sample_shape else 1
    largest = max([a.size for a in inputs])
    step = task_size(rows, max(1, spec.grain * rows // max(1, largest))) if spec.separable else max(1, rows)
    if weight is not None and weight.shape != sample_shape and weight.ndim:
        expected = ", ".join(f"{axis}={sizes[axis]}" for axis in spec.sample_axes)
        message = f"{spec.name}: sample_weight must have shape ({expected}), got {weight.shape}"
        raise ValueError(message)
    flat_weight = plan.unweighted[dtype]
    if weight is not None:
        flat_weight = _weights(plan, weight, sample_shape, dtype).reshape(sample_shape)
    return Prepared(inputs, parameters, flat_weight, shapes, shapes, sample_shape, dtype, rows, step,
                    math.prod(sample_shape[1:]), sums)  # fmt: skip


def _flat(array: Array, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return an array broadcast to `shape`, contiguous and raveled; a view where it is all that already."""
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    array = layout.contiguous(array, dtype)
    return array if array.ndim == 1 else array.reshape(-1)


def _weights(plan: Plan, weight: Array, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return one weight for each sample, in the arithmetic of the kernels for arrays of `dtype`."""
    found = _flat(weight, shape, plan.weight_dtype(dtype))
    check_weights(plan.spec, found)
    return found


def _scalars(plan: Plan, settings: Mapping[str, Any]) -> Sequence[Any]:
    """Return the kernel arguments of the parameters, with None in the place of each tensor."""
    spec = plan.spec
    found = checked_scalars(spec, plan.slots, plan.defaults, settings)
    for name in plan.required:
        if settings.get(name) is None:
            message = f"{spec.name}: {name} has no default and must be given"
            raise TypeError(message)
    return found


def _with_tensors(
    plan: Plan, parameters: Sequence[Any], settings: Mapping[str, Any], sizes: dict[str, int]
) -> list[Any]:
    found = list(parameters)
    for slot in plan.tensors:
        argument = slot.argument
        found[slot.position] = tensor_parameter(plan.spec, argument, settings.get(argument.name), sizes)
    return found
