"""Functions of pairs that modules carry along, checked on their own against 80 digits.

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
LOOSE = 2.0**-90
"""The same of loose pairs."""
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
    second : float
        How large the second float may be beside the first.
    """

    truth: Callable[..., Any]
    points: list[tuple[Any, ...]]
    near: float = NEAR
    second: float = 2.0**-52

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
                if not (right and abs(low) <= self.second * abs(high)):
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


def _loosely(truth: Callable[..., Any], points: list[tuple[Any, ...]]) -> PairContract:
    return PairContract(truth, points, LOOSE, 2.0**-40)


def _steps() -> list[tuple[Any, ...]]:
    """Return points of c + x y, where c is the larger."""
    return [
        ((c, c * rest), x, y)
        for c, rest in ((1.0, 0.0), (-4.5, 3e-17), (3.25, -5e-17))
        for (x, y) in _two(NARROW, (1.0, -0.7, 1.0 / 3.0, 1e-9))
    ]


CHOICES = [(holds, x, y) for holds in (1.0, 0.0) for (x, y) in _two((0.3, -17.1), (3.0, -0.7))]
FLOATS = list(itertools.product((*X, 1.5e16, -1e300), (*X, 2.5e-17)))
PAIRS: dict[str, PairContract] = {
    "_plus": PairContract(lambda total, lost, x: total + lost + x, _sums()),
    "_dd_sum": PairContract(lambda a, b: a + b, FLOATS, 0.0),
    "_dd_product": PairContract(lambda a, b: a * b, list(itertools.product((*X, 1.5e16), X)), 0.0),
    "_loose_add": _loosely(lambda x, y: x + y, [p for p in _two(X, WIDE) if p[0][0] != -p[1][0]]),
    "_loose_multiply": _loosely(lambda x, y: x * y, _two(X, WIDE)),
    "_loose_scaled": _loosely(lambda c, x: c * x, [(c, x) for c in (-1.0, 0.5, 4.0) for (x,) in _one(X)]),
    "_loose_step": _loosely(lambda c, x, y: c + x * y, _steps()),
    "_loose_divide": _loosely(lambda x, y: x / y, _two(X, tuple(x for x in WIDE if x))),
    "_loose_where": _loosely(lambda holds, x, y: x if holds else y, CHOICES),
    "_loose_expm1": _loosely(mpmath.expm1, _one((*NARROW, 0.5, -0.5, 0.6931, -0.6931))),
    "_loose_exp": _loosely(mpmath.exp, _one((*WIDE, 709.6, -740.0))),
    "_loose_log": _loosely(mpmath.log, _one(tuple(abs(x) + 1.5 for x in WIDE))),
    "_loose_log1p": _loosely(mpmath.log1p, _one(tuple(x for x in (*X, 0.9) if 0 <= x <= 1))),
    "_loose_decay": _loosely(lambda x: mpmath.exp(-abs(x)), _one(WIDE)),
    "_loose_sigmoid": _loosely(lambda x, _e: 1 / (1 + mpmath.exp(-x)), _with_decay(WIDE)),
    "_loose_half_tanh": _loosely(lambda x: mpmath.tanh(x / 2) / 2, _one((*NARROW, 0.5, -0.5))),
    "_loose_softplus": _loosely(lambda x, _e: mpmath.log1p(mpmath.exp(x)), _with_decay(WIDE)),
    "_loose_positive_part": _loosely(lambda x: max(x, mpmath.mpf(0)), _one(WIDE)),
    "_loose_magnitude": _loosely(abs, _one(WIDE)),
}
"""By the name of the function."""
