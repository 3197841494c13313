"""Floating-point formats, and what argument reductions need of them."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary format.

    Parameters
    ----------
    name, integer : str
        NumPy's names of the format and of the integers of its width.
    digits : int
        Bits of the significand without the leading one.
    bias : int
        What is added to exponents.
    """

    name: str
    integer: str
    digits: int
    bias: int

    @property
    def shift(self) -> float:
        """A number so large that what is added to it is rounded to an integer, in the last bits."""
        return 1.5 * 2.0**self.digits

    @property
    def largest(self) -> float:
        """The largest number that is not infinite."""
        return (2.0 - 2.0**-self.digits) * 2.0**self.bias

    def bits(self, x: float) -> int:
        """Return the bits of a number as an integer."""
        return int(np.dtype(self.name).type(x).view(self.integer))

    def rounded(self, x: mpmath.mpf) -> float:
        """Return the nearest number of the format, as a Python float, which holds every one of either format."""
        with mpmath.workprec(self.digits + 1):
            return float(+x)

    def split(self, x: mpmath.mpf, spare: int) -> tuple[float, float]:
        """Return a number as a sum of two, the first with `spare` last bits 0: its small multiples are exact."""
        with mpmath.workprec(self.digits + 1 - spare):
            high = float(+x)
        return high, self.rounded(x - mpmath.mpf(high))


FLOAT64 = Format("float64", "int64", 52, 1023)
FLOAT32 = Format("float32", "int32", 23, 127)
