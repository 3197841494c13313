"""Points to try: exponents over the whole format, plain random numbers, and clusters where formulas break.

A definition comes in, batches of inputs with settings of the parameters come out: seeded, the same on every machine,
and exact in the dtype that is asked for. A test holds the sampler to its spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symloss.language.atoms import ratio
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, axes_of
from symloss.language.domains import REALS, Interval, OneOf
from symloss.language.nodes import Reduction

CLUSTERS = (0.0, 1.0, 36.0, 37.0, 88.0, 104.0, 709.0, 745.0)
"""Where exponentials round to 0 or 1, underflow or overflow, in float32 and float64."""
EXPONENTIAL_LIMIT = 1e4
"""How far inputs of an exponential go: beyond, the textbook formula needs more bits than the oracle has."""
SIZES = (1, 2, 3, 10)
"""Extents of the axes that are not the sample's."""
MANY_CLASSES = 1000
VALUES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""What continuous parameters are moved to, where their domain has it, besides its ends."""


@dataclass(frozen=True)
class Batch:
    """Samples for one setting of the parameters.

    Parameters
    ----------
    inputs : dict of str to array
        In the order of the definition.
    settings : dict of str to object
        Parameters as a caller passes them.
    """

    inputs: dict[str, NDArray[Any]]
    settings: dict[str, Any]


def numbers(rng: np.random.Generator, count: int, dtype: np.dtype[Any], limit: float) -> NDArray[Any]:
    """Return numbers of both signs that spread over the format up to `limit`, exact in `dtype`.

    A third has its exponent drawn evenly, a third is plain, a third lies on the clusters or a thousandth from them.
    """
    info = np.finfo(dtype)
    low, high = np.log2(float(info.smallest_subnormal)), min(np.log2(limit), np.log2(float(info.max)) - 1)
    spread = 2.0 ** rng.uniform(low, high, count // 3)
    plain = np.abs(rng.normal(0, 5, count // 3))
    rest = count - 2 * (count // 3)
    near = rng.permutation(np.resize(CLUSTERS, rest)) * (1 + rng.normal(0, 1e-3, rest) * rng.integers(0, 2, rest))
    values = np.concatenate([spread, plain, np.minimum(near, limit)]) * rng.choice([-1.0, 1.0], count)
    values[: min(3, count)] = [0.0, float(info.tiny), -1.0][: min(3, count)]
    return rng.permutation(values.astype(dtype))


def uses_exponentials(definition: Definition) -> bool:
    """Tell whether a formula has an exponential, a logarithm or a function made of them."""
    tree = list(sympy.preorder_traversal(definition.formula))
    return any(
        isinstance(n, sympy.exp | sympy.log | sympy.tanh) or type(n).__name__ in ("sigmoid", "softplus")
        or (isinstance(n, Reduction) and n.operation == "logsumexp")
        for n in tree
    )  # fmt: skip


def geometric(definition: Definition) -> bool:
    """Tell whether a formula has norms or quotients of sums, whose errors grow with the condition of the input."""
    tree = list(sympy.preorder_traversal(definition.formula))
    return any(isinstance(n, ratio) or (isinstance(n, Reduction) and n.operation == "norm") for n in tree)


def settings_of(definition: Definition) -> tuple[dict[str, Any], ...]:
    """Return settings of the scalar parameters: the defaults, and each parameter moved to other values."""
    found: list[dict[str, Any]] = [{}]
    for argument in definition.parameters:
        if argument.kind == "real" and not argument.axes:
            found += [{argument.name: value} for value in _other_values(argument)]
            if argument.optional and argument.default is not None:
                found.append({argument.name: None})
        elif argument.kind == "flag":
            found.append({argument.name: not argument.default})
        elif argument.kind == "switch":
            found += [{argument.name: choice} for choice in argument.choices if choice != argument.default]
        elif argument.kind == "integer" and any(a.ignored_by == argument.name for a in definition.inputs):
            found.append({argument.name: 0})
    return tuple(found)


def _other_values(argument: Argument) -> list[float]:
    match argument.domain:
        case OneOf(values=values):
            candidates = list(values)
        case Interval(low=low, high=high):
            candidates = [low, high, *VALUES]
    allowed = [float(v) for v in candidates if np.isfinite(v) and argument.domain.contains(v)]
    return [v for v in dict.fromkeys(allowed) if v != argument.default]


def batches(definition: Definition, seed: int, count: int, dtype: np.dtype[Any]) -> Iterator[Batch]:
    """Return batches of samples, one for each setting of the parameters (and extent of the other axes)."""
    rng = np.random.default_rng(seed)
    limit = EXPONENTIAL_LIMIT if uses_exponentials(definition) else float(np.finfo(dtype).max) / 4
    settings = settings_of(definition)
    if definition.elementwise:
        for number, setting in enumerate(settings):
            size = count if number == 0 else max(30, count // 8)
            yield Batch(_elements(rng, definition, size, dtype, limit, setting), dict(setting))
        return
    for number, setting in enumerate(settings):
        for extent in SIZES if number == 0 else SIZES[1:3]:
            rows = max(4, count // (60 if number == 0 else 150))
            yield _arrays(definition.chosen(setting), rng, rows, extent, dtype, dict(setting))
    for name in [name for name, given in definition.choice if given is False]:
        if name not in (a.name for a in definition.parameters):
            yield _arrays(definition.chosen({}, (name,)), rng, 4, SIZES[2], dtype, {})
    if any(a.kind == "label" for a in definition.inputs) and len(axes_of(definition.inputs)) == 2 and count >= 100:
        yield _arrays(definition, rng, 2, MANY_CLASSES, dtype, {})


def _elements(
    rng: np.random.Generator, definition: Definition, size: int, dtype: np.dtype[Any], limit: float,
    setting: dict[str, Any],
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Return elementwise inputs; where two run over all reals, some are equal, next to equal, or a parameter apart."""
    found = {a.name: _drawn(rng, a, size, dtype, limit) for a in definition.inputs}
    reals = [a.name for a in definition.inputs if a.domain == REALS]
    if len(reals) >= 2:
        first, second = found[reals[0]], found[reals[1]]
        levels = [setting.get(a.name, a.default) for a in definition.parameters if a.kind == "real" and not a.axes]
        levels = [level for level in levels if level is not None] or [1.0]
        equal, beside, apart = np.array_split(rng.permutation(size)[: size // 4], 3)
        second[equal] = first[equal]
        second[beside] = np.nextafter(first[beside], rng.choice([-np.inf, np.inf], len(beside)).astype(dtype))
        second[apart] = first[apart] - (rng.choice(levels, len(apart)) * rng.choice([-1, 1], len(apart))).astype(dtype)
    return found


def _drawn(rng: np.random.Generator, argument: Argument, size: int, dtype: np.dtype[Any], limit: float) -> NDArray[Any]:
    """Return numbers of an argument's domain: every member of a finite one, the ends of an interval."""
    match argument.domain:
        case OneOf(values=values):
            return rng.permutation(np.resize(np.asarray(values, dtype), size))
        case Interval(low=low, high=high) if np.isfinite(low) and np.isfinite(high):
            inside = rng.uniform(low, high, size)
            special = [v for v in (low, high, (low + high) / 2) if argument.domain.contains(v)]
            inside[: size // 2] = rng.choice(special, size // 2)
            return rng.permutation(inside.astype(dtype))
        case Interval(low=low, low_open=low_open) if np.isfinite(low):
            above: NDArray[Any] = (low + np.abs(numbers(rng, size, dtype, limit))).astype(dtype)
            above[(above == low) & low_open] = low + 1
            return above
        case Interval(high=high, high_open=high_open) if np.isfinite(high):
            below: NDArray[Any] = (high - np.abs(numbers(rng, size, dtype, limit))).astype(dtype)
            below[(below == high) & high_open] = high - 1
            return below
    return numbers(rng, size, dtype, limit)


def sizes_for(definition: Definition, samples: int, extent: int) -> dict[str, int]:
    """Return the extent of each axis: the leading sample axis has `samples`, the others `extent` and just above."""
    own = definition.per[0].axis.name
    others = [a for a in axes_of(definition.arguments) if a.name != own]
    # In one dimension the direction of a vector has no derivative: what kernels give there is rounding alone.
    least = {axis.name: max(axis.least, 2 if axis.name in _normed(definition) else 0) for axis in others}
    # two axes of the same extent would hide that they were mixed up
    return {own: samples} | {axis.name: max(least[axis.name], extent + n) for n, axis in enumerate(others)}


def _normed(definition: Definition) -> set[str]:
    """Return the axes that a norm is taken over."""
    tree = sympy.preorder_traversal(definition.formula)
    return {k.axis.name for n in tree if isinstance(n, Reduction) and n.operation == "norm" for k in n.bound}


def _arrays(
    definition: Definition, rng: np.random.Generator, samples: int, extent: int, dtype: np.dtype[Any],
    setting: dict[str, Any],
) -> Batch:  # fmt: skip
    """Return arrays whose spread runs, sample by sample, from tiny to far beyond the range of the exponential."""
    sizes = sizes_for(definition, samples, extent)
    inputs: dict[str, NDArray[Any]] = {}
    for argument in definition.inputs:
        shape = tuple(sizes[a.name] for a in argument.axes)
        if argument.kind == "label":
            into = sizes[argument.into.name] if argument.into is not None else 1
            inputs[argument.name] = rng.integers(0, into, shape)
        elif argument.domain == REALS:
            spread = 10.0 ** rng.uniform(-3, 3.5, (*shape[:1], *(1 for _ in shape[1:])))
            spread = np.asarray(spread)
            spread.reshape(-1)[: (spread.size + 1) // 2] = 3.0
            inputs[argument.name] = (rng.normal(0, 1, shape) * spread).astype(dtype)
        else:
            drawn = _drawn(rng, argument, int(np.prod(shape)), dtype, 100.0)
            inputs[argument.name] = drawn.reshape(shape)
    for argument in definition.parameters:
        if argument.axes:
            setting[argument.name] = rng.uniform(0.25, 2, tuple(sizes[a.name] for a in argument.axes))
    return Batch(inputs, setting)
