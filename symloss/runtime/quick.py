"""The quick way: the commonest call of an elementwise loss, in a few microseconds.

Arrays of one shape and dtype that kernels take as they are, no weights, every derivative wanted: such a call needs
nothing laid out. Anything else, and anything wrong, is left to `symloss.runtime.evaluation`, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symloss.runtime.arrays import F32, F64, Array
from symloss.runtime.cache import healed
from symloss.runtime.spec import Spec
from symloss.runtime.threads import GRAIN, ordered_sum, run_all

_LARGEST = float(np.finfo(F32).max)
_SIMPLE = frozenset((float, int, bool))
REMEMBERED = 64
"""How many settings of the parameters are remembered."""


@dataclass(frozen=True, eq=False)
class Quick:
    """What quick calls of a loss share.

    Parameters
    ----------
    kernels : mapping of dtype to mapping of str to callable
        Those for arrays of either dtype.
    count : int
        Inputs.
    unwanted : mapping of dtype to array
        What kernels take where the value of each sample is not wanted.
    unweighted : mapping of dtype to array
        What they take where there are no weights.
    defaults : tuple
        The kernel arguments where no parameter is given.
    settled : callable
        Returns those for given parameters, checked.
    known : dict
        Kernel arguments of the settings met so far.
    """

    kernels: Mapping[np.dtype[Any], Mapping[str, Callable[..., Any]]]
    count: int
    unwanted: Mapping[np.dtype[Any], Array]
    unweighted: Mapping[np.dtype[Any], Array]
    defaults: tuple[Any, ...]
    settled: Callable[[Mapping[str, Any]], Any]
    known: dict[Any, Any] = field(default_factory=dict)


def can_be_quick(spec: Spec) -> bool:
    """Tell whether there are quick calls: of an elementwise loss in one input, without alternatives or tensors."""
    plain = spec.elementwise and not spec.masked and not spec.variants
    return plain and len(spec.differentiable) == 1 and not any(a.axes for a in spec.parameters)


def quickly(quick: Quick, kernel: str, inputs: tuple[Any, ...], reduction: str, out: Any,
            settings: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return the result of a call, or None where it is not of the commonest kind.

    Parameters
    ----------
    quick : Quick
        Of the loss.
    kernel : str
        Which is called.
    inputs : tuple
        As the caller gave them; the first is the one that derivatives are taken in.
    reduction : str
        As the caller gave it.
    out : array or tuple of arrays, optional
        As the caller gave it.
    settings : mapping
        The parameters given.
    """
    first = inputs[0] if len(inputs) == quick.count else None
    if type(first) is not np.ndarray:
        return None
    dtype, shape = first.dtype, first.shape
    if len(shape) != 1 or shape[0] == 0 or (dtype is not F32 and dtype is not F64):
        return None
    for x in inputs:
        if type(x) is not np.ndarray or x.dtype is not dtype or x.shape != shape or not x.flags.carray:
            return None
    parameters = _settled(quick, settings) if settings else quick.defaults
    kernels = quick.kernels[dtype]
    outside = kernels.get("outside")
    if parameters is None or (outside is not None and _run(outside, inputs, (), ()) > 0.0):
        return None
    count = shape[0] if reduction == "mean" else 1 if reduction == "sum" else 0
    if count == 0:
        return None
    weights, unwanted = quick.unweighted[dtype], quick.unwanted[dtype]
    if kernel == "value":
        return rounded(_run(kernels[kernel], inputs, (*parameters, weights, unwanted), ()) / count, dtype)
    wanted = 2 if kernel == "gradient_and_hessian" else 1
    outputs = _outputs(first, inputs, out, wanted)
    if outputs is None:
        return None
    if kernel != "value_and_gradient":
        _run(kernels[kernel], inputs, (*parameters, weights, 1.0 / count), outputs)
        return outputs if wanted == 2 else outputs[0]
    total = _run(kernels[kernel], inputs, (*parameters, weights, 1.0 / count, unwanted), outputs)
    return rounded(total / count, dtype), outputs[0]


def _run(kernel: Callable[..., Any], inputs: tuple[Array, ...], between: tuple[Any, ...],
         outputs: tuple[Array, ...]) -> float:  # fmt: skip
    """Run a kernel over chunks of the samples, as `symloss.runtime.execution` does, and return the total."""
    size = inputs[0].shape[0]
    if size <= GRAIN:
        return healed(kernel, lambda: kernel(*inputs, *between, *outputs) or 0.0)

    def one(k: int) -> float:
        own = slice(k * GRAIN, (k + 1) * GRAIN)
        return kernel(*[a[own] for a in inputs], *between, *[a[own] for a in outputs]) or 0.0

    return healed(kernel, lambda: ordered_sum(run_all(one, -(-size // GRAIN))))


def _settled(quick: Quick, settings: Mapping[str, Any]) -> Any:
    """Return the kernel arguments for plain numbers, checked when they are first met; None for anything else."""
    kinds = tuple(map(type, settings.values()))
    if not _SIMPLE.issuperset(kinds):
        return None
    key = (tuple(settings.items()), kinds)  # 1, 1.0 and True are the same key, but not the same argument
    found = quick.known.get(key)
    if found is None:
        found = quick.settled(settings)
        if len(quick.known) >= REMEMBERED:
            quick.known.clear()
        quick.known[key] = found
    return found


def _outputs(first: Array, inputs: tuple[Array, ...], out: Any, wanted: int) -> tuple[Array, ...] | None:
    """Return the arrays to write, fresh or the caller's own; None where those need a closer look."""
    if out is None:
        return tuple([np.empty_like(first) for _ in range(wanted)])
    arrays = (out,) if wanted == 1 else tuple(out) if type(out) in (tuple, list) else ()
    if len(arrays) != wanted:
        return None
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype is not first.dtype or array.shape != first.shape:
            return None
        if not array.flags.carray or any(_may_overlap(array, x) for x in inputs):
            return None
    return None if wanted == 2 and _may_overlap(*arrays) else arrays


def _may_overlap(one: Array, other: Array) -> bool:
    """Tell whether two arrays may share memory; two that own theirs do not."""
    return one is other or ((one.base is not None or other.base is not None) and np.may_share_memory(one, other))


def rounded(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a reduced value as a NumPy scalar, rounded once."""
    if dtype is F64:
        return np.float64(value)
    if abs(value) > _LARGEST:
        with np.errstate(over="ignore"):
            return np.float32(value)
    return np.float32(value)
