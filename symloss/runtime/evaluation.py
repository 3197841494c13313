"""Evaluation: from one call to kernels and back, for the value, the derivatives and the Hessian product."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symloss.runtime.arrays import F32, F64, Array, as_dtype, contiguous, real_array, unbroadcast
from symloss.runtime.execution import execute
from symloss.runtime.plan import REST, SUMS, Plan, Wanted
from symloss.runtime.preparation import Prepared, check_domains, prepare
from symloss.runtime.quick import quickly, rounded
from symloss.runtime.results import pack, resolve_wrt, shapes_of, take_out, usable
from symloss.runtime.validation import check_reduction
from symloss.runtime.variants import select

_ORDERS = {"gradient": 1, "hessian_diagonal": 1, "value_and_gradient": 1, "gradient_and_hessian": 2}
"""How many derivatives each kernel gives in an input."""

_INSTEAD = {"gradient": "value_and_gradient", "hessian_diagonal": "gradient_and_hessian"}
"""The kernel that gives more than is asked, in modules that have no kernel for just that."""


def evaluate(plan: Plan, inputs: tuple[Any, ...], reduction: str, sample_weight: Any, out: Any,
             settings: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return the loss, as `Loss.value` does."""
    found = quickly(plan.quick, "value", inputs, None, reduction, sample_weight, out, settings)
    if found is not None:
        return found
    check_reduction(plan.spec, reduction)
    plan, inputs, settings = select(plan, inputs, None, settings)
    ready = prepare(plan, inputs, sample_weight, settings, "value")
    each = reduction == "none"
    targets = None
    if out is not None:
        targets = take_out(plan.spec, out, [ready.sample_shape] if each else [], ready.dtype)
    values = _values(plan, ready, each, targets)
    total = _through(plan, "value", ready, (), (_flat(plan, values),), ())
    if values is not None and each:
        return _deliver(values, targets, 0)
    return _number(total, _count(plan, ready) if reduction == "mean" else 1.0, ready.dtype)


def differentiate(plan: Plan, kernel: str, inputs: tuple[Any, ...], wrt: Any, reduction: str, sample_weight: Any,
                  out: Any, settings: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return what a kernel gives: one derivative, or a pair of them, or the value and one."""
    found = quickly(plan.quick, kernel, inputs, wrt, reduction, sample_weight, out, settings)
    if found is not None:
        return found
    plan, inputs, settings = select(plan, inputs, wrt, settings)
    spec = plan.spec
    check_reduction(spec, reduction)
    wanted = plan.everything if wrt is None else resolve_wrt(plan, wrt, settings)
    orders, with_value, in_inputs = _ORDERS[kernel], kernel == "value_and_gradient", max(wanted.slots) >= 0
    served = kernel if kernel in plan.narrow else _INSTEAD[kernel]
    ready = prepare(plan, inputs, sample_weight, settings, served if in_inputs else "")
    each = with_value and reduction == "none"
    targets, offset = None, int(each)
    if out is not None:
        shapes = shapes_of(plan, ready, wanted) * orders
        targets = take_out(spec, out, [ready.sample_shape, *shapes] if each else shapes, ready.dtype)
    count = _count(plan, ready) if reduction == "mean" else 1.0
    scale = (1.0 / count if count else math.nan,)
    values = _values(plan, ready, each, targets) if with_value else None
    flat = (_flat(plan, values),) if with_value else ()
    total, outputs = 0.0, None
    if in_inputs:
        outputs = _outputs(plan, ready, wanted, orders, targets, offset, ())
        total = _run(plan, kernel, served, ready, scale, flat, _as_kernel(plan, outputs))
    elif with_value:
        total, _ = execute(plan.kernels_for(ready.dtype, ready.inputs[0])["value"], ready, values=flat)
    sums: list[Any] = []
    if wanted.parameters:
        size = len(spec.continuous)
        _, both = execute(
            plan.kernels_for(ready.dtype, ready.inputs[0])["parameter_gradient_and_hessian"],
            ready,
            scale,
            sums=(size, size),
        )
        sums = {"hessian_diagonal": both[1:], "gradient_and_hessian": both}.get(kernel, both[:1])
    found = _finish(plan, ready, wanted, orders, outputs, sums)
    width = len(wanted.names)
    found = [_deliver(array, targets, offset + k) for k, array in enumerate(found)]
    packed = [pack(wanted, found[k * width : (k + 1) * width]) for k in range(orders)]
    if not with_value:
        return packed[0] if orders == 1 else tuple(packed)
    first = _number(total, count, ready.dtype) if values is None or not each else _deliver(values, targets, 0)
    return first, packed[0]


def _run(plan: Plan, kernel: str, served: str, ready: Prepared, scale: tuple[float, ...],
         values: tuple[Array | None, ...], outputs: list[Array]) -> float:  # fmt: skip
    """Run the kernel that computes derivatives, or the one that computes them too; return its total."""
    if served == "value_and_gradient" and not values:
        values = (plan.unwanted[F32 if ready.dtype is F32 else F64],)
    if served == "gradient_and_hessian" and served != kernel:
        outputs = [*map(np.empty_like, outputs), *outputs]
    return _through(plan, served, ready, scale, values, outputs)


def _through(plan: Plan, name: str, ready: Prepared, scale: tuple[float, ...], values: tuple[Array | None, ...],
             outputs: Sequence[Array]) -> float:  # fmt: skip
    """Run a kernel, in two phases where the first is to look at the inputs, and return its total.

    Raises
    ------
    ValueError
        Where an input lies outside its domain; nothing is written then.
    """
    kernels = plan.kernels_for(ready.dtype, ready.inputs[0])
    if not ready.sums:
        return execute(kernels[name], ready, scale, values=values, outputs=outputs)[0]
    sums = np.empty((ready.rows, ready.sums))
    outside, _ = execute(kernels[name + SUMS], ready, outputs=(sums,))
    if outside:  # or NaN, or -0, which are not
        check_domains(plan, ready.inputs)
    return execute(kernels[name + REST], ready, scale, (sums,), values=values, outputs=outputs)[0]


def multiply(plan: Plan, inputs: tuple[Any, ...], direction: Any, wrt: Any, reduction: str, sample_weight: Any,
             out: Any, settings: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return the product of the Hessian with a direction, as `Loss.hessian_product` does."""
    plan, inputs, settings = select(plan, inputs, wrt, settings)
    spec = plan.spec
    check_reduction(spec, reduction)
    ready = prepare(plan, inputs, sample_weight, settings)
    wanted = plan.everything if wrt is None else resolve_wrt(plan, wrt, settings)
    shapes = shapes_of(plan, ready, wanted)
    targets = None if out is None else take_out(spec, out, shapes, ready.dtype)
    along = _directions(plan, wanted, shapes, (direction,) if wanted.bare else direction)
    directions = [
        _spread(along[slot] if slot >= 0 else np.zeros((), ready.dtype), ready, place)
        for place, slot in zip(plan.at, wanted.slots, strict=True)
    ]
    count = _count(plan, ready) if reduction == "mean" else 1.0
    scale = (1.0 / count if count else math.nan,)
    outputs = _outputs(plan, ready, wanted, 1, targets, 0, directions)
    flat_directions, flat_outputs = _as_kernel(plan, directions), _as_kernel(plan, outputs)
    sums: list[Any] = []
    if wanted.parameters or "hessian_product" not in plan.kernels:
        vector = np.zeros(len(spec.continuous))
        for slot, place in wanted.parameters:
            vector[place] = along[slot]
        kernel = plan.kernels_for(ready.dtype, ready.inputs[0])["full_hessian_product"]
        _, sums = execute(kernel, ready, scale, flat_directions, (vector,), (), flat_outputs, (len(vector),))
    else:
        execute(
            plan.kernels_for(ready.dtype, ready.inputs[0])["hessian_product"],
            ready,
            scale,
            flat_directions,
            outputs=flat_outputs,
        )
    found = _finish(plan, ready, wanted, 1, outputs, sums)
    return pack(wanted, [_deliver(array, targets, k) for k, array in enumerate(found)])


def _count(plan: Plan, ready: Prepared) -> float:
    """Return what a mean divides by: the weights, or the number, of the samples that count."""
    weight, mask = ready.weight, plan.spec.masked_by
    weighted = weight is not None and weight.size > 0
    given = any(ready.parameters[plan.slots[name].position + 1] for name in mask)
    if plan.spec.masked and (weighted or given or not mask):
        return execute(plan.kernels_for(ready.dtype, ready.inputs[0])["count"], ready)[0]
    if weight is not None and weighted:
        with np.errstate(over="ignore"):
            return float(weight.sum(dtype=F64))
    return float(ready.rows * ready.per)


def _number(total: float, count: float, dtype: np.dtype[Any]) -> Any:
    """Return a reduced value as a NumPy scalar, rounded once."""
    return rounded(total / count if count else math.nan, dtype)


def _flat(plan: Plan, values: Array | None) -> Array | None:
    """Return the value of each sample as kernels take it: raveled for an elementwise loss."""
    return values.reshape(-1) if values is not None and plan.spec.elementwise and values.ndim != 1 else values


def _values(plan: Plan, ready: Prepared, wanted: bool, targets: list[Array] | None) -> Array | None:
    """Return where the value of each sample goes, in the caller's array if kernels can write there."""
    if not wanted:
        return plan.unwanted[F32 if ready.dtype is F32 else F64]
    if targets is not None and usable(targets[0], ready.sample_shape, (*ready.inputs, ready.weight, *ready.parameters)):
        return targets[0]
    return np.empty(ready.sample_shape, ready.dtype)


def _outputs(plan: Plan, ready: Prepared, wanted: Wanted, orders: int, targets: list[Array] | None, offset: int,
             directions: Sequence[Array]) -> list[Array]:  # fmt: skip
    """Return arrays for the derivatives in every differentiable input, the caller's own if kernels can write there."""
    full, dtype = ready.full, ready.dtype
    if targets is None:
        return [np.empty(full[place], dtype) for _ in range(orders) for place in plan.at]
    read = (*ready.inputs, ready.weight, *ready.parameters, *directions)
    found = []
    for order in range(orders):
        for place, slot in zip(plan.at, wanted.slots, strict=True):
            target = targets[offset + order * len(wanted.names) + slot] if slot >= 0 else None
            direct = target is not None and usable(target, full[place], read)
            found.append(target if target is not None and direct else np.empty(full[place], dtype))
    return found


def _as_kernel(plan: Plan, arrays: list[Array]) -> list[Array]:
    """Return the arrays as kernels take them: raveled for an elementwise loss."""
    return [a if a.ndim == 1 else a.reshape(-1) for a in arrays] if plan.spec.elementwise else arrays


def _finish(plan: Plan, ready: Prepared, wanted: Wanted, orders: int, outputs: list[Array] | None,
            sums: Sequence[Array]) -> list[Array]:  # fmt: skip
    """Return the derivatives in the names asked for, each in the shape of its input, one order after the other."""
    width, inputs = len(wanted.names), len(plan.at)
    found: list[Any] = [None] * (orders * width)
    for order in range(orders):
        for k, slot in enumerate(wanted.slots):
            if slot >= 0 and outputs is not None:
                found[order * width + slot] = unbroadcast(outputs[order * inputs + k], ready.shapes[plan.at[k]])
        for slot, place in wanted.parameters:
            found[order * width + slot] = as_dtype(np.asarray(sums[order][place]), ready.dtype)
    return found


def _deliver(array: Array, targets: list[Array] | None, place: int) -> Array:
    """Return a result in the array that the caller gave for it, if any."""
    if targets is None:
        return array
    if targets[place] is not array:
        targets[place][...] = array
    return targets[place]


def _directions(plan: Plan, wanted: Wanted, shapes: list[tuple[int, ...]], direction: Any) -> list[Array]:
    """Return the direction in each name, checked."""
    spec, names = plan.spec, wanted.names
    if not isinstance(direction, tuple | list) or len(direction) != len(names):
        came = f"{len(direction)} entries" if isinstance(direction, tuple | list) else type(direction).__name__
        message = f"{spec.name}: direction must be a tuple of {len(names)} arrays ({', '.join(names)}), got {came}"
        raise ValueError(message)
    found = []
    for name, shape, entry in zip(names, shapes, direction, strict=True):
        array = real_array(f"{spec.name}: direction in {name}", entry)
        if array.shape != shape:
            message = f"{spec.name}: direction in {name} must have shape {shape}, got {array.shape}"
            raise ValueError(message)
        found.append(array)
    return found


def _spread(direction: Array, ready: Prepared, place: int) -> Array:
    """Return a direction in the dtype of the call, broadcast as its input was."""
    return contiguous(np.broadcast_to(direction, ready.full[place]), ready.dtype)
