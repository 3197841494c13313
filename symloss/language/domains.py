"""Domains: where an input or a parameter may lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """An interval of the reals, closed unless said otherwise.

    Parameters
    ----------
    low, high : float
        The ends; infinite ends are always open.
    low_open, high_open : bool
        Whether an end is left out.
    """

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def contains(self, value: float) -> bool:
        """Tell whether `value` lies in the interval; NaN never does."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def specification(self) -> dict[str, Any]:
        """Return the interval as plain data."""
        return {
            "kind": "interval",
            "low": float(self.low),
            "high": float(self.high),
            "low_open": self.low_open or math.isinf(self.low),
            "high_open": self.high_open or math.isinf(self.high),
        }

    def latex(self) -> str:
        """Return the interval as LaTeX."""
        if math.isinf(self.low) and math.isinf(self.high):
            return r"\mathbb{R}"
        if math.isinf(self.high):
            relation = ">" if self.low_open else r"\ge"
            return f"{relation} {self.low:g}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class OneOf:
    """A finite set of numbers.

    Parameters
    ----------
    values : tuple of float
        The members.
    """

    values: tuple[float, ...]

    def contains(self, value: float) -> bool:
        """Tell whether `value` is a member."""
        return value in self.values

    def specification(self) -> dict[str, Any]:
        """Return the set as plain data."""
        return {"kind": "set", "values": tuple(float(v) for v in self.values)}

    def latex(self) -> str:
        """Return the set as LaTeX."""
        return r"\{" + ", ".join(f"{v:g}" for v in self.values) + r"\}"


Domain = Interval | OneOf


def is_bounded(domain: Domain) -> bool:
    """Tell whether a domain rules out any finite number."""
    return isinstance(domain, OneOf) or not (math.isinf(domain.low) and math.isinf(domain.high))


REALS = Interval(-math.inf, math.inf, low_open=True, high_open=True)
UNIT = Interval(0, 1)


def at_least(low: float) -> Interval:
    """Return the domain of numbers not below `low`."""
    return Interval(low, math.inf, high_open=True)


def above(low: float) -> Interval:
    """Return the domain of numbers above `low`."""
    return Interval(low, math.inf, low_open=True, high_open=True)


def one_of(*values: float) -> OneOf:
    """Return the finite domain of `values`."""
    return OneOf(tuple(values))
