"""Execution: a kernel over chunks of samples, totals added in order.

The grain is fixed, so that results do not depend on how many threads run the chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.threads import run_all

GRAIN = 16384
"""Elements a chunk holds; below it everything stays on the caller's thread."""

EMPTY: NDArray[np.float64] = np.empty(0)


@dataclass(frozen=True)
class Call:
    """The arguments of one kernel call.

    Parameters
    ----------
    inputs : list of arrays
        With the samples along the first axis.
    parameters : list
        The same for every chunk.
    weight : array
        One for each sample, or empty.
    samples : int
        How many there are.
    row : int
        Elements in one sample.
    separable : bool
        Whether samples may be split into chunks.
    """

    inputs: list[NDArray[Any]]
    parameters: list[Any]
    weight: NDArray[np.float64]
    samples: int
    row: int
    separable: bool

    def chunks(self) -> list[slice]:
        """Return the chunks of samples."""
        step = max(1, GRAIN // max(1, self.row)) if self.separable else max(1, self.samples)
        return [slice(k, min(k + step, self.samples)) for k in range(0, self.samples, step)] or [slice(0, 0)]


def _cut(array: NDArray[Any], part: slice) -> NDArray[Any]:
    return array[part] if array.size else array


def run(
    kernel: Callable[..., Any],
    call: Call,
    scale: float | None = None,
    directions: list[NDArray[Any]] | None = None,
    fixed: tuple[Any, ...] = (),
    outputs: list[NDArray[Any]] | None = None,
    sums: tuple[int, ...] = (),
    value_out: NDArray[Any] | None = None,
) -> tuple[float, list[NDArray[np.float64]]]:
    """Run a kernel over every chunk.

    Parameters
    ----------
    kernel : callable
        A kernel of a generated module.
    call : Call
        Inputs, parameters and weights.
    scale : float, optional
        What weights are multiplied by, for kernels that compute derivatives.
    directions, outputs : lists of arrays
        With the samples along the first axis.
    fixed : tuple
        Further arguments, the same for every chunk, after the directions.
    sums : tuple of int
        Sizes of the outputs that a kernel adds into; they come after the others.
    value_out : array, optional
        Where the value of each sample goes; comes first among the outputs.

    Returns
    -------
    (float, list of arrays)
        The total, and the summed outputs.
    """

    def one(part: slice) -> tuple[float, list[NDArray[np.float64]]]:
        partial_sums = [np.zeros(size) for size in sums]
        scales = () if scale is None else (scale,)
        values = () if value_out is None else (_cut(value_out, part),)
        result = kernel(
            *(a[part] for a in call.inputs) if call.separable else call.inputs,
            *call.parameters, _cut(call.weight, part), *scales,
            *(_cut(d, part) if call.separable else d for d in directions or ()), *fixed, *values,
            *(_cut(o, part) if call.separable else o for o in outputs or ()), *partial_sums,
        )  # fmt: skip
        return (0.0 if result is None else result), partial_sums

    parts = call.chunks()
    if len(parts) == 1:
        return one(parts[0])
    results = run_all([partial(one, part) for part in parts])
    total = _ordered_sum([r[0] for r in results])
    return total, [np.sum([r[1][k] for r in results], axis=0) for k in range(len(sums))]


def _ordered_sum(parts: list[float]) -> float:
    """Add exactly and round once; infinities and NaN as floats add them."""
    return math.fsum(parts) if all(map(math.isfinite, parts)) else float(np.sum(parts))
