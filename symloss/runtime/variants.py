"""Variants: which kernels a call means, where switches, optional inputs or special values choose among several."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from symloss.runtime.plan import Plan
from symloss.runtime.spec import ArgumentSpec, Spec

GENERAL = "general"
"""What a definition calls the case of a parameter that is none of its special values."""


def select(
    plan: Plan, inputs: tuple[Any, ...], wrt: Any, settings: Mapping[str, Any]
) -> tuple[Plan, tuple[Any, ...], Mapping[str, Any]]:
    """Return the plan of the variant that a call means, the inputs that are there, and the settings left to check.

    Raises
    ------
    TypeError, ValueError
        For a switch of a wrong kind or value.
    """
    if not plan.variants:
        return plan, inputs, settings
    spec = plan.spec
    parameters = {a.name: a for a in spec.parameters}
    names = (wrt,) if isinstance(wrt, str) else wrt if isinstance(wrt, tuple) else ()
    optional = [name for name in spec.choice if name not in parameters]
    required = min(len(v.spec.inputs) for v in (plan, *plan.variants))
    present = {name: len(inputs) > required + k and inputs[required + k] is not None for k, name in enumerate(optional)}
    wanted = {
        name: _alternative(spec, parameters[name], settings, names) if name in parameters else present[name]
        for name in spec.choice
    }
    chosen = next(p for p in (plan, *plan.variants) if p.spec.choice == wanted)
    last = required + len(optional)
    kept = tuple(x for k, x in enumerate(inputs) if k < required or k >= last or x is not None)
    rest = {name: v for name, v in settings.items() if name not in parameters or parameters[name].kind != "switch"}
    return chosen, kept, rest


def _alternative(spec: Spec, parameter: ArgumentSpec, settings: Mapping[str, Any], names: Collection[str]) -> Any:
    value = settings.get(parameter.name, parameter.default)
    if parameter.kind == "switch":
        return _switch(spec, parameter, value)
    if parameter.name in names or isinstance(value, bool | np.ndarray) or value not in parameter.special:
        return GENERAL
    return next(v for v in (spec.choice[parameter.name], *parameter.special) if v == value)


def _switch(spec: Spec, parameter: ArgumentSpec, value: Any) -> Any:
    kind = type(parameter.default)
    shown = " or ".join(map(repr, parameter.choices))
    if isinstance(value, np.bool_):
        value = bool(value)
    if type(value) is not kind:
        message = f"{spec.name}: {parameter.name} must be {shown}, got {value!r}"
        raise TypeError(message)
    if value not in parameter.choices:
        message = f"{spec.name}: {parameter.name} must be {shown}, got {value!r}"
        raise ValueError(message)
    return value
