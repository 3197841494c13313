"""Axes and indices: what a slot of a tensor ranges over.

An index carries its axis, so that a tensor can check every slot when it is indexed, and a reduction knows its extent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy


@dataclass(frozen=True)
class Axis:
    """A named extent: samples, classes, features.

    Parameters
    ----------
    name : str
        The letter the documentation uses for the extent, such as ``"n"``.
    noun : str
        What the axis counts, in the plural, such as ``"samples"``.
    least : int
        The smallest extent for which the formula makes sense.
    """

    name: str
    noun: str
    least: int = 0

    def index(self, name: str) -> Index:
        """Return an index over this axis."""
        return Index(name, self)

    @property
    def size(self) -> Size:
        """The extent of the axis, as a symbol for formulas."""
        return Size(self.name)


class Size(sympy.Symbol):
    """The extent of an axis: a positive integer known when the kernel is called."""

    def __new__(cls, name: str) -> Size:
        """Return the extent of the axis called `name`."""
        symbol: Size = sympy.Symbol.__xnew__(cls, name, integer=True, positive=True)
        return symbol


class Index(sympy.Symbol):
    """An integer that ranges over an axis."""

    __slots__ = ("axis",)
    axis: Axis

    def __new__(cls, name: str, axis: Axis) -> Index:
        """Return the index called `name` over `axis`."""
        symbol: Index = sympy.Symbol.__xnew__(cls, name, integer=True, nonnegative=True)
        symbol.axis = axis
        return symbol

    def _hashable_content(self) -> tuple[Any, ...]:
        return (*super()._hashable_content(), "axis", self.axis.name, self.axis.noun)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Rebuild from the name and the axis."""
        return (self.name, self.axis), {}


ELEMENTS = Axis("n", "elements")
ELEMENT = ELEMENTS.index("i")
