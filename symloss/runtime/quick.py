"""The quick way: the commonest call of an elementwise loss, in one or two microseconds.

Arrays of one shape and dtype that kernels take as they are, no weights, every derivative wanted: such a call needs
nothing laid out. Anything else, and anything wrong, is left to `symloss.runtime.evaluation`, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from symloss.runtime.arrays import F32, F64, Array
from symloss.runtime.cache import healed
from symloss.runtime.late import Late, SecondLook
from symloss.runtime.spec import Spec
from symloss.runtime.threads import ordered_sum, run_all

Kernel = Callable[..., Any]

_LARGEST = float(np.finfo(F32).max)
_NARROW, _WIDE = np.float32(1.0), np.float64(1.0)
_SIMPLE = frozenset((float, int, bool))
REMEMBERED = 64
"""How many settings of the parameters are remembered."""
ALONE = 1 << 18
"""Elements up to which one thread looks whether inputs are in their domains, which takes it 30 us."""

_ndarray, _empty_like = np.ndarray, np.empty_like


@dataclass(frozen=True, eq=False)
class Ways:
    """The kernels for arrays of one dtype.

    Parameters
    ----------
    kernels : mapping of str to callable
        As the module has them.
    known : dict of str to callable
        Compiled code of those that have run, which no longer looks at the kinds of its arguments: the same every time.
    """

    kernels: Mapping[str, Kernel]
    known: dict[str, Kernel] = field(default_factory=dict)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a kernel; from the second time on, its compiled code."""
        kernel = self.kernels[name]
        result = healed(kernel, lambda: kernel(*arguments))
        serves: Any = kernel.serving[0] if isinstance(kernel, Late) else kernel
        compiled = getattr(serves, "overloads", {})  # of a plain function none
        if compiled:
            found = compiled.get(tuple([serves.typeof_pyval(a) for a in arguments]))
            if found is not None:
                self.known[name] = found.entry_point
        return result


@dataclass(frozen=True, eq=False)
class Quick:
    """What quick calls of a loss share.

    Parameters
    ----------
    narrow, wide : Ways
        For float32 and float64.
    count : int
        Inputs.
    bounded : bool
        Whether an input has a domain, which a kernel of its own checks.
    defaults : tuple
        The kernel arguments where no parameter is given.
    grain : int
        Elements of a task.
    settled : callable
        Returns those for given parameters, checked.
    settings : dict
        Kernel arguments of the settings met so far.
    """

    narrow: Ways
    wide: Ways
    count: int
    bounded: bool
    defaults: tuple[Any, ...]
    grain: int
    settled: Callable[[Mapping[str, Any]], Any]
    settings: dict[Any, Any] = field(default_factory=dict)


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
    if len(inputs) != quick.count or type(inputs[0]) is not _ndarray:
        return None
    first = inputs[0]
    dtype, shape, wanted, views = first.dtype, first.shape, _WANTED[kernel], False
    if out is None:
        arrays = inputs
    else:
        arrays = (*inputs, out) if type(out) is _ndarray else (*inputs, *out) if type(out) in _PAIRS else ()
        if len(arrays) != quick.count + wanted:
            return None
    for x in arrays:
        if type(x) is not _ndarray or x.dtype is not dtype or x.shape != shape or not x.flags.carray:
            return None
        if x.base is not None:
            views = True
    ways = quick.narrow if dtype is F32 else quick.wide if dtype is F64 else None
    parameters = _settled(quick, settings) if settings else quick.defaults
    if ways is None or parameters is None or len(shape) != 1:
        return None
    size = shape[0]
    count = size if reduction == "mean" else 1 if reduction == "sum" else 0
    if size == 0 or count == 0:
        return None
    if out is None:
        if wanted:
            arrays = (*inputs, _empty_like(first)) if wanted == 1 else (*inputs, _empty_like(first), _empty_like(first))
    elif views:
        if _overlap(arrays, quick.count):
            return None
    else:  # arrays that are no views own their memory
        last = arrays[-1]
        for x in inputs:
            if x is last or (wanted == 2 and x is arrays[-2]):
                return None
        if wanted == 2 and arrays[-2] is last:
            return None
    known = ways.known
    if quick.bounded:
        outside = known.get("outside") if size <= ALONE else None
        if (outside(*inputs) if outside is not None else _run(ways, "outside", inputs, arrays[:0], ALONE)) > 0.0:
            return None
    fixed = parameters
    if kernel == "value_and_gradient":
        fixed = (*parameters, None, 1.0 / count, None)
    elif wanted:
        fixed = (*parameters, None, 1.0 / count)
    else:
        fixed = (*parameters, None, None)
    code = known.get(kernel) if size <= quick.grain else None
    try:
        if code is not None:
            total = code(*inputs, *fixed, *arrays[quick.count :])
        else:
            total = _run(ways, kernel, inputs, (*fixed, *arrays[quick.count :]), quick.grain)
    except SecondLook:  # from compiled code that goes without
        known.pop(kernel, None)
        total = _run(ways, kernel, inputs, (*fixed, *arrays[quick.count :]), quick.grain)
    if kernel == "value_and_gradient":
        return rounded(total / count, dtype), arrays[-1]
    return (arrays[quick.count :] if wanted == 2 else arrays[-1]) if wanted else rounded(total / count, dtype)


_PAIRS = (tuple, list)
_WANTED = {"value": 0, "gradient": 1, "value_and_gradient": 1, "hessian_diagonal": 1, "gradient_and_hessian": 2}
"""How many arrays each kernel writes."""


def _overlap(arrays: tuple[Array, ...], count: int) -> bool:
    """Tell whether an output may share memory with an input or another output."""
    return any(np.may_share_memory(arrays[k], x) for k in range(count, len(arrays)) for x in arrays[:k])


def _run(ways: Ways, name: str, inputs: tuple[Array, ...], rest: tuple[Any, ...], grain: int) -> float:
    """Run a kernel over chunks of the samples, as `symloss.runtime.execution` does, and return the total."""
    code = ways.known.get(name) or partial(ways.call, name)
    size = inputs[0].shape[0]
    if size <= grain:
        return code(*inputs, *rest) or 0.0
    whole = [isinstance(a, _ndarray) and a.shape == (size,) for a in rest]

    def one(k: int) -> float:
        own = slice(k * grain, (k + 1) * grain)
        return code(*[a[own] for a in inputs], *[a[own] if w else a for a, w in zip(rest, whole, strict=True)]) or 0.0

    return ordered_sum(run_all(one, -(-size // grain)))


def _settled(quick: Quick, settings: Mapping[str, Any]) -> Any:
    """Return the kernel arguments for plain numbers, checked when they are first met; None for anything else."""
    kinds = tuple(map(type, settings.values()))
    if not _SIMPLE.issuperset(kinds):
        return None
    key = (tuple(settings.items()), kinds)  # 1, 1.0 and True are the same key, but not the same argument
    found = quick.settings.get(key)
    if found is None:
        found = quick.settled(settings)
        if len(quick.settings) >= REMEMBERED:
            quick.settings.clear()
        quick.settings[key] = found
    return found


def rounded(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a reduced value as a NumPy scalar, rounded once; a product with 1 is the quickest way to make one."""
    if dtype is F64:
        return _WIDE * value
    if -_LARGEST <= value <= _LARGEST:
        return _NARROW * value
    with np.errstate(over="ignore"):
        return np.float32(value)
