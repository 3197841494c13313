"""Validation: every kind of bad input is an error before anything is written.

Each message names the loss, the argument, what was expected and what came.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.arrays import F32, F64, I64, Array, contiguous, match_axes, real_array
from symloss.runtime.bounds import all_between
from symloss.runtime.spec import ArgumentSpec, Spec
from symloss.runtime.threads import GRAIN, run_all

REDUCTIONS = ("none", "sum", "mean")

CHECKED = 16 * GRAIN
"""Numbers that one task compares with bounds."""
_INTEGERS = np.iinfo(I64)

_NON_NEGATIVE = {"kind": "interval", "low": 0.0, "high": math.inf, "low_open": False, "high_open": True}


def describe(domain: Mapping[str, Any]) -> str:
    """Return a domain as text."""
    if domain["kind"] == "set":
        return "one of " + ", ".join(f"{v:g}" for v in domain["values"])
    left, right = "(" if domain["low_open"] else "[", ")" if domain["high_open"] else "]"
    return f"in {left}{domain['low']:g}, {domain['high']:g}{right}"


def is_bounded(domain: Mapping[str, Any] | None) -> bool:
    """Tell whether a domain rules anything out; an infinite end lets infinities pass."""
    if domain is None:
        return False
    return domain["kind"] == "set" or not (math.isinf(domain["low"]) and math.isinf(domain["high"]))


def inside(values: Array, domain: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Tell which values lie in a domain or are NaN."""
    if domain["kind"] == "set":
        known = values != values
        for value in domain["values"]:
            known = known | (values == value)
        return np.asarray(known)
    low, high = domain["low"], domain["high"]
    bad = np.zeros(values.shape, np.bool_)
    if not math.isinf(low):
        bad |= (values <= low) if domain["low_open"] else (values < low)
    if not math.isinf(high):
        bad |= (values >= high) if domain["high_open"] else (values > high)
    return ~bad


def _all_inside(values: Array, domain: Mapping[str, Any]) -> bool:
    """Tell whether all values lie in a domain and none is NaN, at the speed of counting."""
    count, size = np.count_nonzero, values.size
    if domain["kind"] == "set":
        return bool(sum([count(values == value) for value in domain["values"]]) == size)
    low, high = domain["low"], domain["high"]
    if not math.isinf(low) and count(values > low if domain["low_open"] else values >= low) != size:
        return False
    return math.isinf(high) or bool(count(values < high if domain["high_open"] else values <= high) == size)


def check_domain(spec: Spec, name: str, values: Array, domain: Mapping[str, Any], expected: str = "") -> None:
    """Fail where an entry lies outside a domain; NaN passes.

    Large arrays are checked in blocks that stay in the cache, on the threads that kernels may use.

    Raises
    ------
    ValueError
        Naming the first such entry.
    """
    size = values.size
    if size <= GRAIN or not values.flags.c_contiguous:
        good = _all_inside(values, domain)
    else:
        line = values.reshape(-1)
        fits = all_between if domain["kind"] == "interval" and values.dtype in (F32, F64) else _all_inside
        blocks = -(-size // CHECKED)
        good = all(run_all(lambda k: fits(line[k * CHECKED : (k + 1) * CHECKED], domain), blocks, fits))
    if good:
        return
    known = inside(values, domain)  # again, since a NaN is not outside
    if not known.all():
        where = tuple(int(k) for k in np.argwhere(~known)[0])
        came = f"{values[where].item()!r} at index {where}" if where else repr(values.item())
        message = f"{spec.name}: {name} must be {expected or describe(domain)}, got {came}"
        raise ValueError(message)


def check_weights(spec: Spec, weight: Array) -> None:
    """Fail on a negative sample weight; NaN passes."""
    check_domain(spec, "sample_weight", weight, _NON_NEGATIVE, "non-negative")


def check_reduction(spec: Spec, reduction: object) -> None:
    """Fail on an unknown reduction."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        message = f"{spec.name}: reduction must be one of 'none', 'sum', 'mean', got {reduction!r}"
        raise ValueError(message)


def check_labels(spec: Spec, argument: ArgumentSpec, labels: Array, classes: int, ignored: int | None) -> None:
    """Fail where a label points outside its axis and is not the one to ignore."""
    if labels.dtype == I64:  # read without a sign, negative ones are the largest
        good = np.maximum.reduce(labels.view(np.uint64), axis=None, initial=0) < classes
    else:
        good = np.count_nonzero(labels >= 0) == np.count_nonzero(labels < classes) == labels.size
    if good:
        return
    bad = (labels < 0) | (labels >= classes)
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        rest = "" if ignored is None else f" or {argument.ignored_by}={ignored}"
        expected = f"in [0, {classes}){rest}"
        message = f"{spec.name}: {argument.name} must be {expected}, got {int(labels[where])} at index {where}"
        raise ValueError(message)


def scalar_parameter(spec: Spec, argument: ArgumentSpec, value: Any) -> Any:
    """Return a scalar parameter as a Python number, or None where it is optional and left out.

    Raises
    ------
    TypeError
        For a wrong kind, or None where a value is needed.
    ValueError
        For NaN, an infinity, or a value outside the domain.
    """
    label = f"{spec.name}: {argument.name}"
    if value is None and argument.optional:
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    truth = isinstance(value, bool | np.bool_)
    match argument.kind:
        case "flag":
            wanted, fits = "True or False", truth
        case "integer":
            wanted, fits = "an integer", isinstance(value, numbers.Integral) and not truth
        case _:
            wanted, fits = "a real number", isinstance(value, numbers.Real) and not truth
    if not fits:
        message = f"{label} must be {wanted}{' or None' if argument.optional else ''}, got {value!r}"
        raise TypeError(message)
    if argument.kind == "flag":
        return bool(value)
    number: float = int(value) if argument.kind == "integer" else _as_float(value)
    if argument.kind == "integer" and not _INTEGERS.min <= number <= _INTEGERS.max:
        message = f"{label} must fit 64 bits, got {number}"
        raise ValueError(message)
    domain = argument.domain
    if domain is not None and (number != number or not inside(np.asarray(number), domain)):
        message = f"{label} must be {describe(domain)}, got {number!r}"
        raise ValueError(message)
    if not math.isfinite(number):
        message = f"{label} must be finite, got {number!r}"
        raise ValueError(message)
    return number


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer or fraction beyond the format
        return math.inf if value > 0 else -math.inf


def tensor_parameter(spec: Spec, argument: ArgumentSpec, value: Any, sizes: dict[str, int]) -> NDArray[np.float64]:
    """Return a tensor parameter as float64, filled where it was left out.

    Raises
    ------
    TypeError, ValueError
        For a wrong kind or shape, NaN, an infinity, or a value outside the domain.
    """
    if value is None and argument.optional:
        return np.full(tuple([sizes[axis] for axis in argument.axes]), argument.fill)
    array = real_array(f"{spec.name}: {argument.name}", value)
    match_axes(spec, argument, array, sizes)
    found = contiguous(array, F64)
    if argument.domain is not None:
        check_domain(spec, argument.name, found, argument.domain)
    if not np.isfinite(found).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(found))[0])
        message = f"{spec.name}: {argument.name} must be finite, got {found[where].item()!r} at index {where}"
        raise ValueError(message)
    return found
