"""Points to try: exponents over the whole format, plain random numbers, and clusters where formulas break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf
from symloss.language.nodes import Reduction

CLUSTERS = (0.0, 1.0, 36.0, 37.0, 88.0, 104.0, 709.0, 745.0)
"""Where exponentials round to 0 or 1, underflow or overflow, in float32 and float64."""
EXPONENTIAL_LIMIT = 1e4
"""How far inputs of an exponential go: beyond, the textbook formula needs more bits than the oracle has."""
CLASSES = (1, 2, 3, 10)


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
    """Return numbers of both signs that spread over the format up to `limit`, exact in `dtype`."""
    info = np.finfo(dtype)
    low, high = np.log2(float(info.smallest_subnormal)), min(np.log2(limit), np.log2(float(info.max)) - 1)
    spread = 2.0 ** rng.uniform(low, high, count // 3)
    plain = np.abs(rng.normal(0, 5, count // 3))
    near = rng.choice(CLUSTERS, count - len(spread) - len(plain)) * (1 + rng.normal(0, 1e-3, count - 2 * (count // 3)))
    values = np.concatenate([spread, plain, np.minimum(near, limit)]) * rng.choice([-1.0, 1.0], count)
    values[: min(3, count)] = [0.0, float(info.tiny), -1.0][: min(3, count)]
    return rng.permutation(values.astype(dtype))


def uses_exponentials(definition: Definition) -> bool:
    """Tell whether a formula has an exponential, a logarithm or a function made of them."""
    tree = list(sympy.preorder_traversal(definition.formula))
    return any(
        isinstance(n, sympy.exp | sympy.log) or type(n).__name__ in ("sigmoid", "softplus")
        or (isinstance(n, Reduction) and n.operation == "logsumexp")
        for n in tree
    )  # fmt: skip


def settings_of(definition: Definition) -> tuple[dict[str, Any], ...]:
    """Return settings of the scalar parameters: the defaults, and each parameter moved to other values."""
    found: list[dict[str, Any]] = [{}]
    for argument in definition.parameters:
        if argument.kind == "real" and not argument.axes:
            found += [{argument.name: value} for value in _other_values(argument)]
            if argument.optional:
                found.append({argument.name: None})
        elif argument.kind == "flag":
            found.append({argument.name: not argument.default})
    return tuple(found)


def _other_values(argument: Argument) -> list[float]:
    match argument.domain:
        case OneOf():
            values = list(argument.domain.values)
        case Interval():
            candidates = [0.0, 0.1, 0.5, 1.0, 2.0, 5.0]
            values = [v for v in candidates if argument.domain.contains(v)]
    return [v for v in values if v != argument.default][:4]


def batches(definition: Definition, seed: int, count: int, dtype: np.dtype[Any]) -> Iterator[Batch]:
    """Return batches of samples, one for each setting of the parameters (and number of classes)."""
    rng = np.random.default_rng(seed)
    limit = EXPONENTIAL_LIMIT if uses_exponentials(definition) else float(np.finfo(dtype).max) / 4
    settings = settings_of(definition)
    if definition.elementwise:
        for number, setting in enumerate(settings):
            size = count if number == 0 else max(30, count // 6)
            yield Batch({a.name: _elements(rng, a, size, dtype, limit) for a in definition.inputs}, dict(setting))
        return
    for number, setting in enumerate(settings):
        for classes in CLASSES:
            rows = max(4, count // (60 if number == 0 else 150))
            yield _rows(definition, rng, rows, classes, dtype, dict(setting))


def _elements(
    rng: np.random.Generator, argument: Argument, size: int, dtype: np.dtype[Any], limit: float
) -> NDArray[Any]:
    match argument.domain:
        case OneOf(values=values):
            return rng.permutation(np.resize(np.asarray(values, dtype), size))
        case Interval(low=0, high=1):
            inside = rng.uniform(0, 1, size)
            inside[: size // 2] = rng.choice([0.0, 1.0], size // 2)
            return rng.permutation(inside.astype(dtype))
    return numbers(rng, size, dtype, limit)


def _rows(
    definition: Definition, rng: np.random.Generator, rows: int, classes: int, dtype: np.dtype[Any],
    setting: dict[str, Any],
) -> Batch:  # fmt: skip
    """Return rows whose spread runs from tiny to far beyond the range of the exponential."""
    inputs: dict[str, NDArray[Any]] = {}
    for argument in definition.inputs:
        shape = (rows, *(classes for _ in argument.axes[1:]))
        if argument.kind == "label":
            inputs[argument.name] = rng.integers(0, classes, shape)
            continue
        spread = 10.0 ** rng.uniform(-3, 3.5, (rows, *(1 for _ in argument.axes[1:])))
        spread[: rows // 2] = 3.0
        inputs[argument.name] = (rng.normal(0, 1, shape) * spread).astype(dtype)
    for argument in definition.parameters:
        if argument.axes:
            setting[argument.name] = rng.uniform(0.25, 2, classes)
    return Batch(inputs, setting)
