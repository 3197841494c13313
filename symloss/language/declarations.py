"""Declarations: what the arguments of a loss are.

An author writes them as the defaults of the function's arguments; `symloss.language.definition` reads them and calls
the function with tensors and symbols in their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy
from sympy.core.symbol import Str

from symloss.language.axes import ELEMENT, Axis, Index
from symloss.language.domains import REALS, Domain
from symloss.language.errors import fail
from symloss.language.nodes import Access, Flag, LabelAccess
from symloss.language.reductions import check_slots


@dataclass(frozen=True)
class Argument:
    """One argument of a loss.

    Parameters
    ----------
    kind : str
        ``"real"``, ``"label"``, ``"integer"``, ``"flag"`` or ``"switch"``.
    role : str
        ``"input"`` (positional) or ``"parameter"`` (keyword).
    symbol : str
        The symbol in formulas, as LaTeX.
    axes : tuple of Axis
        One for each dimension; empty for a scalar or for one number per element.
    domain : Interval or OneOf
        Where the values may lie.
    differentiable : bool
        Whether derivatives in it exist.
    default : object
        The default of a parameter.
    optional : bool
        Whether None is allowed.
    into : Axis, optional
        The axis a label points into.
    fill : float
        What stands in a tensor parameter that is None.
    ignored_by : str
        The parameter whose value marks labels that do not count.
    choices : tuple
        For a switch: its values. For a parameter: values that get formulas and kernels of their own.
    about : str
        One sentence for the documentation.
    name : str
        The name, taken from the function.
    """

    kind: str
    role: str
    symbol: str
    axes: tuple[Axis, ...] = ()
    domain: Domain = REALS
    differentiable: bool = False
    default: Any = None
    optional: bool = False
    into: Axis | None = None
    fill: float = 1.0
    ignored_by: str = ""
    choices: tuple[Any, ...] = ()
    about: str = ""
    name: str = field(default="")

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """What the formula is written for, one after the other, the default first; empty where there is one formula.

        A switch's values; for an optional input whether it is there; for a parameter its special values and `GENERAL`.
        """
        if self.role == "input":
            return (False, True) if self.optional else ()
        if not self.choices:
            return ()
        every = self.choices if self.kind == "switch" else (*self.choices, GENERAL)
        first = self.default if self.default in every else GENERAL
        return (first, *(v for v in every if v != first))


GENERAL = "general"
"""The case of a parameter that is none of its special values."""


def prediction(*axes: Axis, symbol: str, domain: Domain = REALS, optional: bool = False, about: str = "") -> Any:
    """Declare a differentiable input; without axes it is one number per element, or one for the whole call.

    An optional one is None in the formula where it is left out.
    """
    return Argument("real", "input", symbol, axes, domain, differentiable=True, optional=optional, about=about)


def data(*axes: Axis, symbol: str, domain: Domain = REALS, about: str = "") -> Any:
    """Declare an input that is not differentiated: a target, a weight, a mask."""
    return Argument("real", "input", symbol, axes, domain, about=about)


def labels(*axes: Axis, into: Axis, symbol: str, ignored_by: str = "", about: str = "") -> Any:
    """Declare integer labels that point into an axis."""
    return Argument("label", "input", symbol, axes, into=into, ignored_by=ignored_by, about=about)


def parameter(
    default: float | None, domain: Domain = REALS, *, symbol: str, optional: bool = False,
    special: tuple[float, ...] = (), about: str = "",
) -> Any:  # fmt: skip
    """Declare a continuous parameter; derivatives in it are derived like those in an input.

    For each of its `special` values the formula is written and compiled with the number in its place.
    """
    if default is not None and not domain.contains(default):
        fail(f"the default {default} of {symbol} lies outside its domain, {domain.latex()}")
    return Argument(
        "real", "parameter", symbol, (), domain, differentiable=True, default=default, optional=optional,
        choices=special, about=about,
    )  # fmt: skip


def weights(*axes: Axis, symbol: str, domain: Domain = REALS, fill: float = 1.0, about: str = "") -> Any:
    """Declare a tensor parameter that is `fill` everywhere unless it is given."""
    return Argument("real", "parameter", symbol, axes, domain, optional=True, fill=fill, about=about)


def integer(default: int | None = None, *, symbol: str, about: str = "") -> Any:
    """Declare an integer parameter, optional where its default is None."""
    return Argument("integer", "parameter", symbol, default=default, optional=default is None, about=about)


def option(default: bool = False, *, symbol: str, about: str = "") -> Any:
    """Declare a switch."""
    return Argument("flag", "parameter", symbol, default=default, about=about)


def switch(default: Any, *others: Any, symbol: str, about: str = "") -> Any:
    """Declare a choice that changes the formula: the function is called with each value, a plain Python object."""
    return Argument("switch", "parameter", symbol, default=default, choices=(default, *others), about=about)


class _Label(LabelAccess):
    """A label entry that knows the axis it points into."""

    __slots__ = ("into",)
    into: Axis

    def __new__(cls, name: Any, into: Any, *slots: Any) -> _Label:
        """Return the label at `slots`."""
        node: _Label = super().__new__(cls, name, *slots)
        node.into = into
        return node

    @property
    def func(self) -> Any:
        """Rebuild with the axis kept: SymPy calls ``func(*args)``."""
        return lambda name, *slots: _Label(name, self.into, *slots)


@dataclass(frozen=True)
class Tensor:
    """A tensor argument inside a formula: index it with one slot for each axis."""

    argument: Argument

    def __getitem__(self, slots: Any) -> Any:
        """Return the entry at `slots`, each checked against its axis."""
        entry = slots if isinstance(slots, tuple) else (slots,)
        argument = self.argument
        check_slots(argument.name, tuple(axis.name for axis in argument.axes), entry)
        if argument.kind == "label":
            return _Label(Str(argument.name), argument.into, *entry)
        return Access(argument.name, *entry)


def symbolic(argument: Argument, per: tuple[Index, ...], choice: Any = GENERAL) -> Any:
    """Return what stands for an argument inside the formula, where `choice` is the alternative it is written for."""
    match argument:
        case Argument(kind="switch"):
            return choice
        case Argument(role="input", optional=True) if choice is False:
            return None
        case Argument(role="parameter") if choice != GENERAL:
            return sympy.Rational(choice)
        case Argument(kind="flag"):
            return Flag(argument.name)
        case Argument(kind="integer"):
            return sympy.Symbol(argument.name, integer=True)
        case Argument(role="parameter", axes=()):
            return sympy.Symbol(argument.name, real=True)
        case Argument(role="input", axes=()) if per == (ELEMENT,):
            return Access(argument.name, ELEMENT)
        case Argument(axes=()):
            return Access(argument.name)
        case Argument():
            return Tensor(argument)
