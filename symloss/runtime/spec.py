"""The typed view of a generated module's ``SPEC``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class ArgumentSpec:
    """One argument of a loss, as the runtime sees it.

    Parameters
    ----------
    name, kind : str
        Its name, and ``"real"``, ``"label"``, ``"integer"`` or ``"flag"``.
    axes : tuple of str
        The names of its axes.
    differentiable, optional : bool
        Whether derivatives in it exist, and whether None is allowed.
    domain : mapping or None
        Where the values may lie.
    default : object
        The default of a parameter.
    fill : float
        What stands in a tensor parameter that is None.
    into, ignored_by : str
        For labels: the axis they point into, and the parameter that marks labels that do not count.
    """

    name: str
    kind: str
    axes: tuple[str, ...]
    differentiable: bool = False
    domain: Mapping[str, Any] | None = None
    default: Any = None
    optional: bool = False
    fill: float = 1.0
    into: str = ""
    ignored_by: str = ""


@dataclass(frozen=True)
class Spec:
    """What the runtime needs to know of a loss to call its kernels."""

    name: str
    title: str
    formula: str
    elementwise: bool
    separable: bool
    masked: bool
    sample_axes: tuple[str, ...]
    inputs: tuple[ArgumentSpec, ...]
    parameters: tuple[ArgumentSpec, ...]

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The differentiable inputs, in order."""
        return tuple(a.name for a in self.inputs if a.differentiable)

    @property
    def continuous(self) -> tuple[str, ...]:
        """The differentiable parameters, in order."""
        return tuple(a.name for a in self.parameters if a.differentiable)


def read_spec(module: ModuleType) -> Spec:
    """Return the typed view of a module's ``SPEC``."""
    raw = module.SPEC
    names = ("name", "title", "formula", "elementwise", "separable", "masked", "sample_axes")
    arguments: Callable[[str], tuple[ArgumentSpec, ...]] = lambda role: tuple(ArgumentSpec(**a) for a in raw[role])  # noqa: E731
    return Spec(**{n: raw[n] for n in names}, inputs=arguments("inputs"), parameters=arguments("parameters"))
