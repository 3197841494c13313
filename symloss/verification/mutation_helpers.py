"""The small functions that modules carry along, checked on their own: one loss uses only a part of what each does.

A module comes in; out come probes that quack like those of the losses. What must come back is stated here in other
arithmetic. A function that is not in the table is seen through the losses alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from symloss.verification.mutation_pairs import PAIRS
from symloss.verification.mutation_plain import Plain

LEAST = float(np.finfo(np.float64).tiny)
LARGEST = float(np.finfo(np.float64).max)
REALS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 40.0, 700.0, 1e-300, 5e-324)
SIGNED = (*REALS, *(-x for x in REALS), math.nan)
NARROW = 4
"""Units of the last place that a function may be off."""


def _power(x: float, exponent: float) -> float:
    if exponent < 0:
        return 0.0 if x == 0 else min(float(mpmath.power(x, exponent)), LARGEST)
    return 1.0 if exponent == 0 else float(mpmath.power(x, exponent))


def _difference(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    with mpmath.workdps(60):
        return float(mpmath.exp(mpmath.mpf(a) - mpmath.mpf(b)))


Points = list[tuple[float, ...]]


def _times(*grids: tuple[float, ...]) -> Points:
    return list(itertools.product(*grids))


DIFFERENCES: Points = [
    *((a, a + d) for a in (0.0, 1.0, -3.3, 1e3, 1e4 + 1 / 3)
      for d in (0.0, 1e-9, 0.1, 1.7, 36.6, 700.1, 745.05, 745.5, 747.0, 1e5)),
    (math.nan, 1.0), (1.0, math.nan),
]  # fmt: skip
CONTRACTS: dict[str, tuple[Callable[..., Any], Points]] = {
    "_positive_part": (lambda x: np.maximum(x, 0.0), _times(SIGNED)),
    "_step": (lambda x: np.heaviside(x, 0.0), _times(SIGNED)),
    "_signum": (np.sign, _times(SIGNED)),
    "_decay": (lambda x: np.exp(-np.hypot(x, 0.0)), _times(SIGNED)),
    "_ratio": (lambda a, b: np.divide(a, b) if b != 0 else 0.0, _times((1.0, -3.0, 0.0), SIGNED)),
    "_power": (
        _power, _times((0.0, 5e-324, 1e-300, 0.5, 1.0, 2.0), (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5)),
    ),
    "_exp_difference": (_difference, DIFFERENCES),
    "_completed": (
        lambda total, lost: np.nansum([lost]) + total, _times((1.0, math.inf, -3.5, math.nan), (0.25, math.nan)),
    ),
}  # fmt: skip


@dataclass(eq=False)
class PairProbe:
    """One function of pairs of floats on many points."""

    module: Plain
    name: str
    masked: int = 0
    usual: Any = field(default_factory=list)

    def call(self, loss: Any) -> list[NDArray[Any]]:
        """Return the pairs that the function gives on its points; the loss is not used."""
        del loss
        self.module.state["steps"] = 0
        function = self.module.namespace[self.name]
        with np.errstate(all="ignore"):
            return [np.asarray([function(*point) for point in PAIRS[self.name].points], np.float64)]

    def accepts(self, found: list[NDArray[Any]]) -> bool:
        """Tell whether the pairs are as near to the truth as they should be."""
        return PAIRS[self.name].accepts(found[0])

    def distance(self, found: list[NDArray[Any]]) -> float:
        """Return by how many units of the pairs' last place at most they differ from the unmutated function's."""
        gap = np.abs((found[0] - self.usual[0]).sum(-1)) / np.maximum(np.abs(self.usual[0][:, 0]), LEAST)
        return float(np.nan_to_num(gap).max() * 2.0**106)


@dataclass(eq=False)
class HelperProbe:
    """One function on many points."""

    module: Plain
    name: str
    masked: int = 0
    usual: Any = field(default_factory=list)

    def call(self, loss: Any) -> list[NDArray[Any]]:
        """Return what the function gives on its points; the loss is not used."""
        del loss
        self.module.state["steps"] = 0
        function, points = self.module.namespace[self.name], CONTRACTS[self.name][1]
        with np.errstate(all="ignore"):
            return [np.asarray([float(function(*map(np.float64, point))) for point in points])]

    def accepts(self, found: list[NDArray[Any]]) -> bool:
        """Tell whether the numbers are those of the contract; in units of the last place, NaN where NaN is meant."""
        reference, points = CONTRACTS[self.name]
        with np.errstate(all="ignore"):
            truth = np.asarray([float(reference(*point)) for point in points])
            unit = _unit(truth)
            near = (found[0] == truth) | (np.abs(found[0] - truth) <= NARROW * unit)
        return bool((near | (np.isnan(found[0]) & np.isnan(truth))).all())

    def distance(self, found: list[NDArray[Any]]) -> float:
        """Return by how many units of the last place at most numbers differ from the unmutated function's."""
        with np.errstate(all="ignore"):
            return float(np.nan_to_num(np.abs(found[0] - self.usual[0]) / _unit(self.usual[0]), posinf=0.0).max())


def _unit(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return units of the last place, finite for the largest number too."""
    found: NDArray[Any] = np.spacing(np.clip(np.abs(numbers), np.finfo(np.float64).tiny, LARGEST / 2))
    return found


def helper_probes(module: Plain) -> Iterator[HelperProbe | PairProbe]:
    """Yield a probe for each function of a module that has a contract."""
    for name in module.functions:
        if name in PAIRS:
            yield PairProbe(module, name)
        if name in CONTRACTS:
            yield HelperProbe(module, name)
