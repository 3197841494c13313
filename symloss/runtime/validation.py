"""Validation: every kind of bad input is an error before any kernel runs.

Each message names the loss, the argument, what was expected and what came.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime.spec import ArgumentSpec, Spec

REDUCTIONS = ("none", "sum", "mean")


def describe(domain: Mapping[str, Any]) -> str:
    """Return a domain as text."""
    if domain["kind"] == "set":
        return "one of " + ", ".join(f"{v:g}" for v in domain["values"])
    left, right = "(" if domain["low_open"] else "[", ")" if domain["high_open"] else "]"
    return f"in {left}{domain['low']:g}, {domain['high']:g}{right}"


def _unbounded(domain: Mapping[str, Any]) -> bool:
    return bool(domain["kind"] == "interval" and np.isneginf(domain["low"]) and np.isposinf(domain["high"]))


def inside(values: NDArray[Any], domain: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Tell which values lie in the domain or are NaN."""
    if domain["kind"] == "set":
        known = values != values
        for value in domain["values"]:
            known = known | (values == value)
        return np.asarray(known)
    below = values <= domain["low"] if domain["low_open"] and np.isfinite(domain["low"]) else values < domain["low"]
    above = values >= domain["high"] if domain["high_open"] and np.isfinite(domain["high"]) else values > domain["high"]
    return np.asarray(~(below | above))


def check_reduction(spec: Spec, reduction: object) -> None:
    """Fail on an unknown reduction."""
    if reduction not in REDUCTIONS:
        message = f"{spec.name}: reduction must be one of 'none', 'sum', 'mean', got {reduction!r}"
        raise ValueError(message)


def check_array_domain(spec: Spec, argument: ArgumentSpec, array: NDArray[Any]) -> None:
    """Fail where an entry of an input lies outside its domain."""
    domain = argument.domain
    if domain is None or _unbounded(domain) or array.size == 0:
        return
    good = inside(array, domain)
    if not good.all():
        where = tuple(int(k) for k in np.argwhere(~good)[0])
        came = array[where]
        message = f"{spec.name}: {argument.name} must be {describe(domain)}, got {came!r} at index {where}"
        raise ValueError(message)


def check_labels(spec: Spec, argument: ArgumentSpec, labels: NDArray[Any], classes: int, ignored: int | None) -> None:
    """Fail where a label points outside its axis and is not the one to ignore."""
    if labels.size == 0:
        return
    bad = (labels < 0) | (labels >= classes)
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        rest = "" if ignored is None else f" or {argument.ignored_by} = {ignored}"
        expected = f"in [0, {classes}){rest}"
        message = f"{spec.name}: {argument.name} must be {expected}, got {int(labels[where])} at index {where}"
        raise ValueError(message)


def parameter_value(spec: Spec, argument: ArgumentSpec, value: Any) -> Any:
    """Return a scalar parameter as a number, or None where it is optional and left out."""
    label = f"{spec.name}: {argument.name}"
    if value is None:
        if argument.optional:
            return None
        message = f"{label} must be a number, got None"
        raise TypeError(message)
    match argument.kind:
        case "flag":
            if not isinstance(value, bool | np.bool_):
                message = f"{label} must be True or False, got {value!r}"
                raise TypeError(message)
            return bool(value)
        case "integer":
            if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
                message = f"{label} must be an integer, got {value!r}"
                raise TypeError(message)
            return int(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        message = f"{label} must be a real number, got {value!r} of type {type(value).__name__}"
        raise TypeError(message)
    number = float(value)
    domain = argument.domain
    if domain is not None and (number != number or not bool(inside(np.asarray(number), domain))):
        message = f"{label} must be {describe(domain)}, got {number!r}"
        raise ValueError(message)
    if not np.isfinite(number):
        message = f"{label} must be finite, got {number!r}"
        raise ValueError(message)
    return number
