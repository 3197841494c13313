"""Gentle points: small arrays of moderate numbers, where nothing saturates, ties or leaves a term without effect.

A definition, written for one choice of its alternatives, comes in; out comes a batch of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.declarations import GENERAL, Argument
from symloss.language.definition import Definition
from symloss.language.domains import REALS, Interval, OneOf
from symloss.verification.sampling import Batch, sizes_for

SAMPLES, EXTENT = 5, 3
"""Samples, of which neither blocks nor strips are full, and the least extent of the other axes."""
SMALL = -1000.0
"""A number whose exponential is 0."""
OTHER = (3.0, 0.125, 1.5, -1.5)
"""What a parameter with special values is set to in the general case."""


def gentle(
    definition: Definition, seed: int, samples: int = SAMPLES, extent: int = EXTENT, *, edge: bool = False,
    spread: float = 1.0, opposite: bool = False, absent: bool = False, ignored: bool = False,
) -> Batch:  # fmt: skip
    """Return a batch of the variant that a definition is written for.

    Parameters
    ----------
    definition : Definition
        The variant.
    seed : int
        Of the numbers.
    samples, extent : int
        How many samples, and the least extent of the other axes.
    edge : bool
        Whether parameters lie near the ends of their domains.
    spread : float
        Of the numbers that may be any.
    opposite : bool
        Whether parameters that may be any number have the other sign.
    absent : bool
        Whether parameters that may be absent are, and flags are set the other way.
    ignored : bool
        Whether the label of the first sample is one that does not count, where labels may be left out.
    """
    rng = np.random.default_rng(seed)
    sizes = sizes_for(definition, samples, extent)
    own = (samples,) if definition.elementwise else ()
    inputs = {a.name: _drawn(rng, a, own or tuple(sizes[x.name] for x in a.axes), sizes) for a in definition.inputs}
    for argument in definition.inputs:
        if argument.kind == "real" and argument.domain == REALS:
            inputs[argument.name] = spread * inputs[argument.name]
    settings: dict[str, Any] = {}
    named = {a.name: a for a in definition.parameters}
    for name, value in definition.choice:
        if name in named:
            settings[name] = _other(named[name]) if value == GENERAL else value
    for argument in definition.parameters:
        if argument.kind == "real" and not argument.axes and argument.name not in settings:
            settings[argument.name] = _setting(rng, argument, edge)
            if opposite and argument.domain == REALS:
                settings[argument.name] = -settings[argument.name]
            if absent and argument.optional:
                settings[argument.name] = None
        if argument.kind == "flag" and absent:
            settings[argument.name] = not argument.default
        if argument.axes:
            settings[argument.name] = rng.uniform(0.25, 2, tuple(sizes[a.name] for a in argument.axes))
    if ignored:
        settings |= {a.ignored_by: int(inputs[a.name].flat[0]) for a in definition.inputs if a.ignored_by}
    return Batch(inputs, settings)


def lowest(definition: Definition, seed: int) -> Batch | None:
    """Return gentle points of which the first sample, and what parameters may be, lie at the low ends of their domains.

    Where nothing is less than 0, what is divided by may be 0 there. None if no input has such an end.
    """
    batch = gentle(definition, seed)
    own = {a.name for a in definition.inputs if a.axes and a.axes[0] == definition.per[0].axis and _low(a) is not None}
    if not own:
        return None
    inputs = dict(batch.inputs)
    for argument in definition.inputs:
        if argument.name in own:
            inputs[argument.name] = inputs[argument.name].copy()
            inputs[argument.name][0] = _low(argument)
    chosen = {name for name, _ in definition.choice}
    low = {a.name: _low(a) for a in definition.parameters if not a.axes and a.name not in chosen}
    return Batch(inputs, batch.settings | {name: end for name, end in low.items() if end is not None})


def level(definition: Definition, seed: int) -> Batch | None:
    """Return gentle points at which numbers are equal that are compared.

    A row's label has half of it, and another entry the rest. Where nothing is labelled, all that may be any number is
    0, and axes without a sample are as short as can be. None where nothing may be any number.
    """
    labels = [a for a in definition.inputs if a.kind == "label" and a.into is not None]
    free = [a for a in definition.inputs if a.kind == "real" and a.domain == REALS]
    batch = gentle(definition, seed) if labels else gentle(definition, seed, extent=1)
    inputs = dict(batch.inputs)
    for argument in free if not labels else ():
        inputs[argument.name] = np.zeros_like(inputs[argument.name])
    for label in labels:
        for argument in (a for a in free if label.into in a.axes):
            x = np.full_like(inputs[argument.name], SMALL)
            rows = np.moveaxis(x, argument.axes.index(label.into), -1)
            own = np.asarray(inputs[label.name])[..., None]
            if rows.shape[:-1] == own.shape[:-1]:
                np.put_along_axis(rows, own, 0.0, -1)
                np.put_along_axis(rows, (own + 1) % rows.shape[-1], 0.0, -1)
                inputs[argument.name] = x
    return Batch(inputs, batch.settings) if free else None


def _low(argument: Argument) -> float | None:
    """Return the least number that an argument may be, where there is one."""
    domain = argument.domain
    if argument.kind != "real" or not isinstance(domain, Interval) or domain.low_open or not np.isfinite(domain.low):
        return None
    return float(domain.low)


def moves(definition: Definition) -> tuple[dict[str, bool], ...]:
    """Return how else the parameters of gentle points may be set, as options of `gentle`."""
    scalars = [a for a in definition.parameters if not a.axes]
    any_number = any(a.kind == "real" and a.domain == REALS for a in scalars)
    removable = any(a.kind == "flag" or (a.optional and a.default is not None) for a in scalars)
    one = ({"opposite": True},) if any_number else ()
    return one + (({"opposite": any_number, "absent": True},) if removable else ())


def _setting(rng: np.random.Generator, argument: Argument, edge: bool) -> float:
    """Return a value of a parameter: far enough from 0 that it matters, or near an end of its domain."""
    if argument.domain == REALS:
        return float(rng.normal(0, 3))
    match argument.domain:
        case Interval(low=low) if edge and np.isfinite(low):
            return float(low + rng.uniform(0.02, 0.2))
    return float(_drawn(rng, argument, (), {}))


def _other(argument: Argument) -> float:
    return next(v for v in OTHER if argument.domain.contains(v) and v not in argument.choices)


def _drawn(rng: np.random.Generator, argument: Argument, shape: tuple[int, ...], sizes: dict[str, int]) -> NDArray[Any]:
    if argument.kind == "label":
        return rng.integers(0, sizes[argument.into.name] if argument.into is not None else 1, shape)
    match argument.domain:
        case OneOf(values=values):
            return np.asarray(rng.choice(np.asarray(values, np.float64), shape))
        case Interval(low=low, high=high) if np.isfinite(low) and np.isfinite(high):
            return np.asarray(rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), shape))
        case Interval(low=low) if np.isfinite(low):
            return np.asarray(low + rng.uniform(0.5, 2, shape))
        case Interval(high=high) if np.isfinite(high):
            return np.asarray(high - rng.uniform(0.5, 2, shape))
    return np.asarray(rng.normal(0, 1, shape))
