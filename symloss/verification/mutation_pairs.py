"""Double-double functions that modules carry along, checked on their own against 80 digits.

Each takes and gives pairs of floats that stand for their sum; what a function must give, and how near, is stated here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

DIGITS = 80
NEAR = 2.0**-98
"""Relative error that a function of pairs may have; sums and products of two floats are exact."""
LEAST = 1e-322
"""Below this, subnormal numbers have no more digits."""
X = (0.0, 1.0, -1.0, 0.3, -0.7, 1.0 / 3.0, 3.0, -17.1, 1e-9, -1e-20, 6e-31, 2.0**-30 + 2.0**-60)
NARROW = tuple(x for x in X if abs(x) <= 0.5)
WIDE = (*X, 40.0, -40.0, 300.3, -300.3)


def _pairs(numbers: tuple[float, ...]) -> list[tuple[float, float]]:
    return [(x, x * rest) for x, rest in zip(numbers, itertools.cycle((0.0, 3e-17, -5e-17)), strict=False)]


@dataclass(frozen=True)
class PairContract:
    """What a function gives at its points.

    Parameters
    ----------
    truth : callable
        Of exact numbers.
    points : list of tuples
        Arguments: floats or pairs.
    near : float
        The relative error that is allowed.
    """

    truth: Callable[..., Any]
    points: list[tuple[Any, ...]]
    near: float = NEAR

    def expected(self, point: tuple[Any, ...]) -> Any:
        """Return the true number at a point."""
        return self.truth(*(mpmath.mpf(a) if isinstance(a, float) else mpmath.mpf(a[0]) + a[1] for a in point))

    def accepts(self, found: np.ndarray[Any, Any]) -> bool:
        """Tell whether pairs are near enough to the truth, and the second small beside the first."""
        with mpmath.workdps(DIGITS):
            for (high, low), point in zip(found.tolist(), self.points, strict=True):
                truth = self.expected(point)
                off = abs(mpmath.mpf(high) + mpmath.mpf(low) - truth)
                right = off <= self.near * abs(truth) or (0 < off < LEAST and self.near > 0)
                if not (right and abs(low) <= 2.0**-52 * abs(high)):
                    return False
        return True

    @staticmethod
    def distance(found: np.ndarray[Any, Any], usual: np.ndarray[Any, Any]) -> float:
        """Return by how many units of the pairs' last place at most two results differ."""
        gap = np.abs((found - usual).sum(-1)) / np.maximum(np.abs(usual[:, 0]), np.finfo(np.float64).tiny)
        return float(np.nan_to_num(gap).max() * 2.0**106)


def _one(numbers: tuple[float, ...]) -> list[tuple[Any, ...]]:
    return [(x,) for x in _pairs(numbers)]


def _two(numbers: tuple[float, ...], others: tuple[float, ...]) -> list[tuple[Any, ...]]:
    return list(itertools.product(_pairs(numbers), reversed(_pairs(others))))


def _with_decay(numbers: tuple[float, ...]) -> list[tuple[Any, ...]]:
    """Return points with exp(-|x|) as a pair beside each."""
    found: list[tuple[Any, ...]] = []
    with mpmath.workdps(DIGITS):
        for x in _pairs(numbers):
            exact = mpmath.exp(-abs(mpmath.mpf(x[0]) + x[1]))
            high = float(exact)
            found.append((x, (high, float(exact - high))))
    return found


def _sums() -> list[tuple[Any, ...]]:
    return [(total, lost, x) for (total, lost), x in itertools.product(_pairs(X), (*X, 2.5e16)) if total != -x]


FLOATS = list(itertools.product((*X, 1.5e16, -1e300), (*X, 2.5e-17)))
PAIRS: dict[str, PairContract] = {
    "_plus": PairContract(lambda total, lost, x: total + lost + x, _sums()),
    "_dd_sum": PairContract(lambda a, b: a + b, FLOATS, 0.0),
    "_dd_product": PairContract(lambda a, b: a * b, list(itertools.product((*X, 1.5e16), X)), 0.0),
    "_dd_add": PairContract(lambda x, y: x + y, [p for p in _two(X, WIDE) if p[0][0] != -p[1][0]]),
    "_dd_multiply": PairContract(lambda x, y: x * y, _two(X, WIDE)),
    "_dd_divide": PairContract(lambda x, y: x / y, _two(X, tuple(x for x in WIDE if x))),
    "_dd_expm1": PairContract(mpmath.expm1, _one((*NARROW, 0.5, -0.5))),
    "_dd_exp": PairContract(
        lambda x: mpmath.exp(x) if x > -745.2 else mpmath.mpf(0), _one((*WIDE, 709.6, -740.0, -745.3))
    ),
    "_dd_log": PairContract(mpmath.log, _one(tuple(abs(x) + 1.5 for x in WIDE))),
    "_dd_log1p": PairContract(mpmath.log1p, _one(tuple(x for x in (*X, 0.9) if 0 <= x <= 1))),
    "_dd_decay": PairContract(lambda x: mpmath.exp(-abs(x)), _one(WIDE)),
    "_dd_sigmoid": PairContract(lambda x, _e: 1 / (1 + mpmath.exp(-x)), _with_decay(WIDE)),
    "_dd_half_tanh": PairContract(lambda x: mpmath.tanh(x / 2) / 2, _one((*NARROW, 0.5, -0.5))),
    "_dd_softplus": PairContract(lambda x, _e: mpmath.log1p(mpmath.exp(x)), _with_decay(WIDE)),
    "_dd_positive_part": PairContract(lambda x: max(x, mpmath.mpf(0)), _one(WIDE)),
    "_dd_magnitude": PairContract(abs, _one(WIDE)),
}
"""By the name of the function."""
