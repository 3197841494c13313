"""The typed view of a generated module's ``SPEC``: a plain dictionary comes in, frozen dataclasses go out.

Everything else in the runtime reads these, so that a wrong key fails here and nowhere later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from symloss.runtime.threads import GRAIN

ABI = 3
"""The version of the agreement between generated modules and this runtime."""


@dataclass(frozen=True)
class ArgumentSpec:
    """One argument of a loss, as the runtime sees it.

    Parameters
    ----------
    name, kind : str
        Its name, and ``"real"``, ``"label"``, ``"integer"``, ``"flag"`` or ``"switch"``.
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
    into, ignored_by : str or None
        For labels: the axis they point into, and the parameter that marks labels that do not count.
    choices, special : tuple
        The values of a switch, and those values of a parameter that have kernels of their own.
    """

    name: str
    kind: str
    axes: tuple[str, ...]
    differentiable: bool = False
    domain: Mapping[str, Any] | None = None
    default: Any = None
    optional: bool = False
    fill: float = 1.0
    into: str | None = None
    ignored_by: str | None = None
    choices: tuple[Any, ...] = ()
    special: tuple[float, ...] = ()


@dataclass(frozen=True)
class Spec:
    """What the runtime needs to know of a loss to call its kernels.

    Parameters
    ----------
    name, title, formula, accuracy : str
        What it is called, its formula as one line of text, and the arithmetic of its kernels.
    elementwise : bool
        Inputs broadcast like NumPy's, and kernels take them raveled.
    separable : bool
        Samples do not interact, so that kernels may run on chunks of the leading axis.
    masked : bool
        Some samples may not count; the kernel ``count`` says how many do.
    masked_by : tuple of str
        The optional parameters without which all do; empty where there are other reasons not to count.
    sample_axes : tuple of str
        The axes of the value with ``reduction="none"``.
    inputs, parameters : tuple of ArgumentSpec
        In the order in which kernels take them.
    least : mapping of str to int
        The smallest extent of an axis, where not any will do.
    choice : mapping of str to object
        The alternative of each switch, optional input and parameter with special values that the kernels are for.
    suffix : str
        What their names end in.
    variants : tuple of Spec
        The same loss for every other combination of alternatives.
    grain : int
        How many elements one task takes of arrays that are not long; of others see `symloss.runtime.threads.task_size`.
    sums : mapping of str to int
        For the kernels that are there in two phases too, how many sums of each row the first hands to the second.
    """

    name: str
    title: str
    formula: str
    accuracy: str
    elementwise: bool
    separable: bool
    masked: bool
    sample_axes: tuple[str, ...]
    inputs: tuple[ArgumentSpec, ...]
    parameters: tuple[ArgumentSpec, ...]
    least: Mapping[str, int]
    choice: Mapping[str, Any]
    suffix: str
    variants: tuple[Spec, ...]
    grain: int = GRAIN
    masked_by: tuple[str, ...] = ()
    sums: Mapping[str, int] = field(default_factory=dict)

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The differentiable inputs, in order."""
        return tuple(a.name for a in self.inputs if a.differentiable)

    @property
    def continuous(self) -> tuple[str, ...]:
        """The differentiable parameters, in order."""
        return tuple(a.name for a in self.parameters if a.differentiable)


_PLAIN = (
    "name", "title", "formula", "accuracy", "elementwise", "separable", "masked", "sample_axes", "least",
    "choice", "suffix",
)  # fmt: skip


def _arguments(raw: Mapping[str, Any], role: str) -> tuple[ArgumentSpec, ...]:
    return tuple(ArgumentSpec(**argument) for argument in raw[role])


def read_spec(module: ModuleType) -> Spec:
    """Return the typed view of a module's ``SPEC``.

    Raises
    ------
    ValueError
        Where the module has none, or was generated for another runtime.
    """
    raw = getattr(module, "SPEC", None)
    if not isinstance(raw, dict) or raw.get("abi") != ABI:
        came = f"abi {raw.get('abi')!r}" if isinstance(raw, dict) else "no SPEC"
        message = f"{module.__file__}: expected a module generated for abi {ABI}, got {came}"
        raise ValueError(message)
    return _spec(raw)


def _spec(raw: Mapping[str, Any]) -> Spec:
    return Spec(
        **{key: raw[key] for key in _PLAIN},
        inputs=_arguments(raw, "inputs"),
        parameters=_arguments(raw, "parameters"),
        variants=tuple(map(_spec, raw["variants"])),
        grain=raw.get("grain", GRAIN),
        masked_by=raw.get("masked_by", ()),
        sums=raw.get("sums", {}),
    )
