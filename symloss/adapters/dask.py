"""Dask: losses over arrays that are chunked by rows, larger than memory or spread over a cluster.

Rows go to kernels chunk by chunk; totals of chunks are added with one rounding, so that results depend on the chunks
but not on the scheduler. Columns may not be chunked: a row's loss needs its whole row. A loss whose samples see each
other (in-batch negatives, centroids) is refused over several chunks, since by chunk it would be another loss. Tested
with Dask 2026.8.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symloss import Loss, load
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array
from symloss.runtime.spec import Spec
from symloss.runtime.validation import check_reduction

_dask = require("dask", "dask")
_array = require("dask.array", "dask")

__all__ = ["gradient", "hessian_product", "value", "value_and_gradient"]


def value(loss: str | Loss, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, **parameters: Any) -> Any:
    """Return the loss, lazily.

    Parameters
    ----------
    loss : str or Loss
        A name, or a loss loaded from one's own definitions.
    *inputs : dask array
        In the order of the loss, of equal length; others are rechunked to the rows of the first.
    reduction : str
        ``"mean"``, ``"sum"`` or ``"none"``.
    sample_weight : dask array, optional
        One for each sample, chunked like the inputs.
    **parameters
        Those of the loss.

    Returns
    -------
    dask array
        0-d, float64; with ``"none"`` one entry for each sample.

    Raises
    ------
    ValueError
        For chunked columns, or row chunks of a loss whose samples interact.
    """
    rows = _Rows(loss, inputs, sample_weight, None, reduction, parameters)
    return rows.value(rows.parts("value"))


def value_and_gradient(
    loss: str | Loss, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, **parameters: Any
) -> tuple[Any, Any]:
    """Return the loss and its gradient, lazily, from one pass.

    Parameters
    ----------
    loss, *inputs, reduction, sample_weight, **parameters
        As in `value`; with ``"none"`` derivatives are those of the sum. A mean with weights needs their sum before any
        gradient is final, so for arrays larger than memory take ``"sum"`` and divide.

    Returns
    -------
    (dask array, dask array)
        The value and the gradient, chunked like the input: a named tuple where several inputs are differentiable.

    Raises
    ------
    ValueError
        As `value` does.
    """
    rows = _Rows(loss, inputs, sample_weight, None, reduction, parameters)
    parts = rows.parts("value_and_gradient")
    return rows.value(parts), rows.derivative(parts)


def gradient(
    loss: str | Loss, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, **parameters: Any
) -> Any:
    """Return the gradient, lazily; see `value_and_gradient`."""
    rows = _Rows(loss, inputs, sample_weight, None, reduction, parameters)
    return rows.derivative(rows.parts("gradient"))


def hessian_product(
    loss: str | Loss,
    *inputs: Any,
    direction: Any,
    reduction: str = "mean",
    sample_weight: Any = None,
    **parameters: Any,
) -> Any:
    """Return the exact product of the Hessian with a direction, lazily.

    Parameters
    ----------
    loss, *inputs, reduction, sample_weight, **parameters
        As in `value_and_gradient`.
    direction : dask array or tuple of dask arrays
        Shaped like the differentiable input, one for each where there are several.

    Returns
    -------
    dask array or named tuple of them
        Chunked like the input.

    Raises
    ------
    ValueError
        As `value` does.
    """
    rows = _Rows(loss, inputs, sample_weight, direction, reduction, parameters)
    return rows.derivative(rows.parts("hessian_product"))


class _Rows:
    """One call: arrays with aligned rows, and what is made of their chunks."""

    def __init__(self, loss: str | Loss, inputs: Sequence[Any], weight: Any, direction: Any, reduction: str,
                 parameters: Mapping[str, Any]) -> None:  # fmt: skip
        self.loss = loss if isinstance(loss, Loss) else load(loss)
        self.spec = spec = self.loss.spec
        self.reduction, self.parameters = reduction, dict(parameters)
        check_reduction(spec, reduction)
        names = [argument.name for argument in spec.inputs]
        if len(inputs) != len(names):
            message = f"{spec.name}: expected {len(names)} inputs ({', '.join(names)}), got {len(inputs)}"
            raise TypeError(message)
        directions = direction if isinstance(direction, tuple | list) else () if direction is None else (direction,)
        if direction is not None and len(directions) != len(spec.differentiable):
            message = f"{spec.name}: direction must be {len(spec.differentiable)} arrays, got {len(directions)}"
            raise ValueError(message)
        labels = [*names, *(f"direction in {name}" for name in spec.differentiable[: len(directions)]), "sample_weight"]
        weights = () if weight is None else (weight,)
        arrays = (*inputs, *directions, *weights)
        labels = labels if weights else labels[:-1]
        self.arrays = [_checked(spec, label, a) for label, a in zip(labels, arrays, strict=True)]
        self.arrays = _aligned(spec, labels, self.arrays)
        if not spec.separable and max(a.numblocks[0] for a in self.arrays if a.ndim) > 1:
            message = (
                f"{spec.name}: its samples interact, so that chunks of rows would give another loss; it needs one "
                "chunk, rechunk(-1), or to be called on each batch"
            )
            raise ValueError(message)
        self.directions, self.weighted = len(directions), bool(weights)

    @property
    def address(self) -> tuple[str, str | None]:
        """Name and folder of the loss: what tasks carry, since Dask hashes every argument of a task."""
        return self.loss.name, self.loss.package

    def parts(self, what: str) -> list[Any]:
        """Return, for each chunk of rows, the delayed value (or None) and derivatives (or None)."""
        # Graphs stay as they are: an optimised copy would compute shared chunks, such as a design, twice.
        blocks = [a.to_delayed(optimize_graph=False).ravel() for a in self.arrays]
        work = _dask.delayed(_block, pure=True, nout=2)
        reduction = "none" if self.reduction == "none" else "sum"
        return [
            work(what, self.address, self.parameters, reduction, self.directions, self.weighted, *chunk)
            for chunk in zip(*blocks, strict=True)
        ]

    def value(self, parts: Sequence[Any]) -> Any:
        """Return the value, reduced or of each sample."""
        if self.reduction == "none":
            return self.joined([part[0] for part in parts], _sample_shape(self.spec, self.arrays))
        count = self.count()
        found = _dask.delayed(_sum_up, pure=True)([part[0] for part in parts], count)
        return _array.from_delayed(found, (), np.float64)

    def count(self) -> Any:
        """Return what a mean divides by: a number, or a delayed one where weights or labels decide."""
        if self.reduction != "mean":
            return 1.0
        ignored = [
            (k, self.parameters[a.ignored_by])
            for k, a in enumerate(self.spec.inputs)
            if a.ignored_by is not None and self.parameters.get(a.ignored_by) is not None
        ]
        by_labels = any(a.ignored_by is not None for a in self.spec.inputs)
        if self.spec.masked and not by_labels:
            message = f"{self.spec.name}: a mean over chunks cannot tell which samples count; use reduction='sum'"
            raise ValueError(message)
        samples = math.prod(_sample_shape(self.spec, self.arrays))
        if not ignored and not self.weighted and not math.isnan(samples):
            return float(samples)
        blocks = [a.to_delayed(optimize_graph=False).ravel() for a in self.arrays]
        each = _dask.delayed(_count, pure=True)
        counts = [each(self.address, ignored, self.weighted, *chunk) for chunk in zip(*blocks, strict=True)]
        return _dask.delayed(math.fsum, pure=True)(counts)

    def derivative(self, parts: Sequence[Any]) -> Any:
        """Return the derivatives as arrays chunked like their inputs."""
        count, found = self.count(), []
        names = self.spec.differentiable
        scaled = _dask.delayed(_scaled, pure=True)
        for k, name in enumerate(names):
            source = next(a for a, s in zip(self.arrays, self.spec.inputs, strict=False) if s.name == name)
            found.append(self.joined([scaled(part[1], k, count) for part in parts], source.shape))
        return found[0] if len(names) == 1 else namedtuple("Derivatives", names)(*found)

    def joined(self, chunks: Sequence[Any], shape: Sequence[Any]) -> Any:
        """Return delayed chunks as one array of a shape, with rows chunked like those of the first input."""
        real = [a.dtype for a in self.arrays[: len(self.spec.inputs)] if a.dtype.kind == "f"]
        dtype = np.dtype(np.float32 if real and all(d == np.float32 for d in real) else np.float64)
        if not shape:
            return _array.from_delayed(chunks[0], (), dtype)
        lengths = self.arrays[0].chunks[0] if self.spec.separable else (shape[0],)
        parts = zip(chunks, lengths, strict=True)
        return _array.concatenate([_array.from_delayed(c, (rows, *shape[1:]), dtype) for c, rows in parts])


def _sample_shape(spec: Spec, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Return the shape of the value of each sample."""
    if spec.elementwise:
        return tuple(arrays[0].shape)
    pairs = zip(spec.inputs, arrays, strict=False)
    sizes = {axis: size for argument, a in pairs for axis, size in zip(argument.axes, a.shape, strict=True)}
    return tuple(sizes[axis] for axis in spec.sample_axes)


def _checked(spec: Spec, label: str, array: Any) -> Any:
    """Return a Dask array whose columns are in one chunk."""
    if not isinstance(array, _array.Array):
        message = f"{spec.name}: {label} must be a dask array, got {type(array).__name__}"
        raise TypeError(message)
    if any(n > 1 for n in array.numblocks[1:]):
        message = (
            f"{spec.name}: {label} must be chunked by rows only, since a row's loss needs its whole row; "
            f"got chunks {tuple(len(c) for c in array.chunks)} along its axes: rechunk({{1: -1}})"
        )
        raise ValueError(message)
    return array


def _aligned(spec: Spec, labels: Sequence[str], arrays: Sequence[Any]) -> list[Any]:
    """Return arrays with the row chunks of the first."""
    first, found = arrays[0], []
    for label, array in zip(labels, arrays, strict=True):
        known = not any(math.isnan(n) for n in (*first.shape, *array.shape))
        shared = array.ndim and first.ndim
        if spec.separable and (not shared or (known and array.shape[0] != first.shape[0])):
            message = f"{spec.name}: {label} must have as many rows as {labels[0]}, {first.shape}, got {array.shape}"
            raise ValueError(message)
        moved = shared and known and spec.separable and array.chunks[0] != first.chunks[0]
        found.append(array.rechunk({0: first.chunks[0]}) if moved else array)
    return found


def _block(what: str, address: tuple[str, str | None], parameters: Mapping[str, Any], reduction: str,
           directions: int, weighted: bool, *arrays: Array) -> tuple[Any, Any]:  # fmt: skip
    """Return value and derivatives of one chunk of rows."""
    loss = load(*address)
    weight = arrays[-1] if weighted else None
    inputs, tangent = arrays[: len(loss.spec.inputs)], arrays[len(loss.spec.inputs) :][:directions]
    arguments = {**parameters, "reduction": reduction, "sample_weight": weight}
    several = len(loss.spec.differentiable) > 1
    match what:
        case "value":
            found, derivative = loss.value(*inputs, **arguments), None
        case "value_and_gradient":
            found, derivative = loss.value_and_gradient(*inputs, **arguments)
        case "gradient":
            found, derivative = None, loss.gradient(*inputs, **arguments)
        case _:
            along = tangent if several else tangent[0]
            found, derivative = None, loss.hessian_product(*inputs, direction=along, **arguments)
    if derivative is None:
        return found, None
    return found, tuple(derivative) if several else (derivative,)


def _scaled(derivatives: tuple[Array, ...], place: int, count: float) -> Array:
    """Return one derivative of a sum as that of the mean."""
    if count == 1.0:
        return derivatives[place]
    scale = 1.0 / count if count else math.nan
    scaled: Array = derivatives[place] * derivatives[place].dtype.type(scale)
    return scaled


def _sum_up(totals: Sequence[float], count: float) -> np.float64:
    """Return the total of all chunks over a count, added with one rounding so that no order matters."""
    try:
        total = math.fsum(totals)
    except (OverflowError, ValueError):  # infinities of both signs, or beyond the format
        total = float(np.sum(totals))
    return np.float64(total / count if count else math.nan)


def _count(
    address: tuple[str, str | None], ignored: Sequence[tuple[int, int]], weighted: bool, *arrays: Array
) -> float:
    """Return the weights, or the number, of the samples of a chunk that count."""
    shape = _sample_shape(load(*address).spec, arrays)
    weight = np.broadcast_to(arrays[-1] if weighted else np.float64(1.0), shape)
    counts = np.ones(shape, np.bool_)
    for place, label in ignored:
        counts &= arrays[place] != label
    return float(np.sum(weight, where=counts, dtype=np.float64))
