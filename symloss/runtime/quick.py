"""The quick way: the commonest call of an elementwise loss, in a microsecond and a half besides its kernels.

Arrays of one axis, length and dtype that kernels take as they are, no weights, every derivative wanted: such a call
needs nothing laid out. Anything else, and anything wrong, is left to `symloss.runtime.evaluation`, which says what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from symloss.runtime.arrays import F32, F64, Array
from symloss.runtime.late import SecondLook
from symloss.runtime.spec import Spec
from symloss.runtime.ways import WANTED, Way

Entry = Callable[[tuple[Any, ...], Any, str, Any, Any, Any], Any]
"""Takes inputs, `wrt`, `reduction`, `sample_weight`, `out` and parameters, and returns a result or None.

Parameters are a dictionary with none in it, or a tuple of them as kernels take them.
"""

_SIMPLE = frozenset((float, int, bool))
OFTEN = 8
"""Calls of a kernel in one piece after which it gets an entry, which takes some 40 ms to make."""
REMEMBERED = 64
"""How many settings of the parameters are remembered."""
ALONE = 1 << 18
"""Elements up to which one thread looks whether inputs are in their domains, which takes it 30 us."""

_LEAST, _MOST = -float(np.finfo(F32).max), float(np.finfo(F32).max)
"""Values between these are rounded to float32 without a word about overflow."""
_NARROW, _WIDE = np.float32(1.0), np.float64(1.0)
_ndarray, _empty, _may_share_memory = np.ndarray, np.empty, np.may_share_memory
_OWN = np.empty(2).flags.num
"""The flags of an array of one axis that owns its memory and that kernels can read and write."""
_FIT = (_OWN, np.empty(2)[:].flags.num)
"""Those and the flags of a view, which may share its memory with another array."""


def no_entry(_inputs: Any, _wrt: Any, _reduction: Any, _weight: Any, _out: Any, _parameters: Any) -> Any:
    """Stand where there is no entry yet: it takes no call."""
    return None


@dataclass(frozen=True, eq=False)
class Quick:
    """What quick calls of a loss share.

    Parameters
    ----------
    narrow, wide : mappings of str to Way
        The kernels for float32 and float64.
    count : int
        Inputs.
    defaults : tuple
        The kernel arguments where no parameter is given.
    grain : int
        Elements of a task.
    settled : callable
        Returns those for given parameters, checked.
    settings : dict
        Kernel arguments of the settings met so far.
    latest : list
        One entry: the settings of the last call and what they are as kernel arguments.
    entries : dict
        By the names of kernels, what takes the commonest calls whole, once there have been several.
    """

    narrow: Mapping[str, Way]
    wide: Mapping[str, Way]
    count: int
    defaults: tuple[Any, ...]
    grain: int
    settled: Callable[[Mapping[str, Any]], Iterable[Any]]
    settings: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    latest: list[tuple[Any, Any, tuple[Any, ...]]] = field(default_factory=lambda: [(None, None, ())])
    entries: dict[str, Entry] = field(default_factory=lambda: dict.fromkeys(WANTED, no_entry))


def can_be_quick(spec: Spec) -> bool:
    """Tell whether there are quick calls: of an elementwise loss in one input, without alternatives or tensors."""
    plain = spec.elementwise and not spec.masked and not spec.variants
    return plain and len(spec.differentiable) == 1 and not any(a.axes for a in spec.parameters)


def quickly(quick: Quick | None, kernel: str, inputs: tuple[Any, ...], wrt: Any, reduction: str, sample_weight: Any,
            out: Any, settings: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return the result of a call, or None where it is not of the commonest kind.

    Every look-up counts here: what most calls fail by comes first, and arrays are looked at one by one.

    Parameters
    ----------
    quick : Quick, optional
        Of the loss, where it has quick calls.
    kernel : str
        Which is called.
    inputs, wrt, reduction, sample_weight, out, settings
        As the caller gave them; settings are the parameters.
    """
    if quick is None or wrt is not None or sample_weight is not None or len(inputs) != quick.count:
        return None
    first = inputs[0]
    if type(first) is not _ndarray:
        return None
    dtype = first.dtype
    ways = quick.narrow if dtype is F32 else quick.wide if dtype is F64 else None
    if ways is None:
        return None
    way = ways[kernel]
    if settings and way.calls == OFTEN:  # the entry did not take them as they are
        parameters = _settled(quick, settings)
        found = quick.entries[kernel](inputs, None, reduction, None, out, parameters)
        if found is not None:
            return found
    last, size = inputs[-1], len(first) if first.ndim == 1 else 0
    if type(last) is not _ndarray or last.ndim != 1 or last.dtype is not dtype or len(last) != size:
        return None
    flags, others = first.flags.num, last.flags.num
    views = flags != _OWN or others != _OWN
    if views and not (flags in _FIT and others in _FIT):
        return None
    wanted = way.wanted
    outputs: tuple[Any, ...] = ()
    if out is not None:
        if wanted == 1:
            outputs = (out,)
        elif wanted == 2 and type(out) is tuple and len(out) == 2 and out[0] is not out[1]:
            outputs = out
        else:
            return None
    rest = outputs
    if quick.count > 2:
        rest, views = inputs[1:-1] + outputs, True
    for x in rest:
        if type(x) is not _ndarray or x.dtype is not dtype or x.ndim != 1 or len(x) != size:
            return None
        if x is first or x is last:
            return None
        flags = x.flags.num
        if flags != _OWN:
            views = True
            if flags not in _FIT:
                return None
    if views and _overlap(inputs, outputs):
        return None
    parameters = _settled(quick, settings) if settings else quick.defaults
    count = size if reduction == "mean" else 1 if reduction == "sum" else 0
    if parameters is None or not size or not count:
        return None
    outside = way.outside
    if outside is not None:
        code = outside.code
        total = code(*inputs) if size <= ALONE else outside.in_chunks(inputs, (), (), ALONE)
        if total != 0.0:  # or NaN, beside which others may lie outside
            return None
    if out is None and wanted:
        outputs = (_empty(size, dtype),) if wanted == 1 else (_empty(size, dtype), _empty(size, dtype))
    settled, divisor, fixed = way.last
    if settled is not parameters or divisor != count:
        fixed = way.between(parameters, count)
    code, grain = way.code, quick.grain
    try:
        total = code(*inputs + fixed + outputs) if size <= grain else way.in_chunks(inputs, fixed, outputs, grain)
    except SecondLook:  # from compiled code that goes without
        way.forget()
        total = way.in_chunks(inputs, fixed, outputs, grain)
    if way.calls < OFTEN and size <= grain:
        way.calls += 1
        if way.calls == OFTEN:
            _enter(quick, kernel, way, dtype)
    if not way.valued:
        return outputs[0] if wanted == 1 else outputs
    value = total / count
    value = way.one * value if _LEAST <= value <= _MOST else rounded(value, dtype)
    return (value, outputs[0]) if wanted else value


def _enter(quick: Quick, kernel: str, way: Way, dtype: np.dtype[Any]) -> None:
    """Make an entry for a kernel that is called again and again, where what it needs has been compiled."""
    outside = way.outside
    known = way.compiled, outside and outside.compiled
    if known[0] is not None and (outside is None or known[1] is not None):
        entry = import_module("symloss.runtime.entry")  # which brings Numba: not before there are kernels
        request = entry.Request(
            *known, dtype, quick.count, way.wanted, way.valued, quick.grain, _FIT, quick.defaults
        )  # fmt: skip
        made = entry.make_entry(request, quick.entries[kernel])
        if made is not None:
            quick.entries[kernel] = made


def _overlap(inputs: tuple[Array, ...], outputs: tuple[Array, ...]) -> bool:
    """Tell whether an output may share memory with an input or another output."""
    for k, x in enumerate(outputs):
        for other in inputs + outputs[:k]:
            if _may_share_memory(x, other):
                return True
    return False


def _settled(quick: Quick, settings: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return the kernel arguments for plain numbers, checked when they are first met; None for anything else."""
    kinds, items = [*map(type, settings.values())], [*settings.items()]
    last = quick.latest[0]
    if items == last[0] and kinds == last[1]:  # 1, 1.0 and True are equal, but not the same argument
        return last[2]
    if not _SIMPLE.issuperset(kinds):
        return None
    key = (*items, *kinds)
    found = quick.settings.get(key)
    if found is None:
        found = tuple(quick.settled(settings))
        if len(quick.settings) >= REMEMBERED:
            quick.settings.clear()
        quick.settings[key] = found
    quick.latest[0] = (items, kinds, found)
    return found


def rounded(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a reduced value as a NumPy scalar, rounded once; a product with 1 is the quickest way to make one."""
    if _LEAST <= value <= _MOST:
        return (_NARROW if dtype is F32 else _WIDE) * value
    with np.errstate(over="ignore"):
        return dtype.type(value)
