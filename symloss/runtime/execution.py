"""Execution: a kernel runs over chunks of samples; totals of the chunks are added in order.

Their size follows from the arrays alone, so that results do not depend on how many threads run them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.arrays import Array
from symloss.runtime.cache import healed
from symloss.runtime.preparation import Prepared
from symloss.runtime.threads import ordered_sum, run_all

Sums = list[NDArray[np.float64]]


def execute(
    kernel: Callable[..., Any],
    ready: Prepared,
    scale: tuple[float, ...] = (),
    directions: Sequence[Array] = (),
    fixed: tuple[Any, ...] = (),
    values: tuple[Array | None, ...] = (),
    outputs: Sequence[Array] = (),
    sums: tuple[int, ...] = (),
) -> tuple[float, Sums]:
    """Run a kernel over every sample.

    Parameters
    ----------
    kernel : callable
        A kernel of a generated module.
    ready : Prepared
        Inputs, parameters and weights.
    scale : tuple of float
        One entry for kernels that compute derivatives: what weights are multiplied by.
    directions, outputs : sequences of arrays
        Laid out like the inputs.
    fixed : tuple
        Further arguments after the directions, the same for every chunk.
    values : tuple of arrays
        At most one: where the value of each sample goes, or what says that it is not wanted; before the outputs.
    sums : tuple of int
        Sizes of the outputs that a kernel adds into; they come after the others.

    Returns
    -------
    (float, list of arrays)
        The total, and the sums.
    """
    return healed(kernel, lambda: _execute(kernel, ready, scale, directions, fixed, values, outputs, sums))


def _execute(kernel: Callable[..., Any], ready: Prepared, scale: tuple[float, ...], directions: Sequence[Array],
             fixed: tuple[Any, ...], values: tuple[Array | None, ...], outputs: Sequence[Array],
             sums: tuple[int, ...]) -> tuple[float, Sums]:  # fmt: skip
    rows, step, weight = ready.rows, ready.step, ready.weight
    if rows <= step:
        added = [np.zeros(size) for size in sums]
        total = kernel(
            *ready.inputs, *ready.parameters, weight, *scale, *directions, *fixed, *values, *outputs, *added
        )  # fmt: skip
        return total or 0.0, added

    def one(k: int) -> tuple[float, Sums]:
        own = slice(k * step, min((k + 1) * step, rows))
        added = [np.zeros(size) for size in sums]
        total = kernel(
            *[a[own] for a in ready.inputs], *ready.parameters, _part(weight, own), *scale,
            *[a[own] for a in directions], *fixed, *[_part(a, own) for a in values],
            *[a[own] for a in outputs], *added,
        )  # fmt: skip
        return total or 0.0, added

    parts = run_all(one, -(-rows // step), kernel)
    total = ordered_sum([part[0] for part in parts])
    with np.errstate(over="ignore", invalid="ignore"):
        return total, [np.sum([part[1][k] for part in parts], axis=0) for k in range(len(sums))]


def _part(array: Array | None, own: slice) -> Array | None:
    """Return the part of an array that belongs to a chunk; what stands for none stays as it is."""
    return array if array is None or not array.size else array[own]
