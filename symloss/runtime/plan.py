"""The call plan: what can be worked out once, when a loss is loaded, so that a call of 100 elements stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from symloss.runtime.arrays import F32, F64, Array
from symloss.runtime.late import put_off
from symloss.runtime.memory import keep_memory
from symloss.runtime.quick import Entry, Quick, can_be_quick, no_entry
from symloss.runtime.spec import ArgumentSpec, Spec, read_spec
from symloss.runtime.validation import is_bounded, scalar_parameter
from symloss.runtime.ways import WANTED, ways

Kernel = Callable[..., Any]

KERNELS = (
    "value", "gradient", "value_and_gradient", "hessian_diagonal", "gradient_and_hessian", "hessian_product",
    "parameter_gradient_and_hessian", "full_hessian_product", "count", "outside",
)  # fmt: skip
SUMS, REST = "_sums", "_rest"
"""How the names of the two phases of a kernel end."""
FEW = 48
"""Entries of a row of the first input up to which kernels for short rows are taken, where there are any."""


class Wanted(NamedTuple):
    """The names to differentiate in, and where each result comes from.

    Parameters
    ----------
    names : tuple of str
        In the order asked.
    bare : bool
        One array is wanted, not a tuple.
    slots : tuple of int
        For each differentiable input its place among the names, or -1.
    parameters : tuple of (int, int)
        Places among the names, and among the differentiable parameters.
    """

    names: tuple[str, ...]
    bare: bool
    slots: tuple[int, ...]
    parameters: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slot:
    """Where a parameter stands among the arguments of the kernels."""

    argument: ArgumentSpec
    position: int

    def arguments(self, value: Any) -> tuple[Any, ...]:
        """Return what kernels take for a scalar: the number, and for an optional one whether it is given."""
        if not self.argument.optional:
            return (value,)
        absent: Any = 0 if self.argument.kind == "integer" else 0.0
        return (absent, False) if value is None else (value, True)


@dataclass(frozen=True)
class Plan:
    """All that the calls of one loss share.

    Parameters
    ----------
    spec : Spec
        Its arguments.
    module : module
        Where its kernels are.
    kernels : mapping of str to callable
        Those that float64 arrays get: of the module, or in pair arithmetic.
    narrow : mapping of str to callable
        Those that float32 arrays get, in float64 arithmetic or in float32.
    single : bool
        Whether these compute in float32.
    few : pair of mappings
        Those for short rows, of either kind; empty where rows are not told apart.
    slots : mapping of str to Slot
        Its parameters.
    tensors : tuple of Slot
        Those with axes.
    defaults : tuple
        The kernel arguments where no parameter is given; None stands for a tensor.
    required : tuple of str
        Parameters without a default.
    bounded, labels : tuples of (int, ArgumentSpec)
        Inputs to check, by their place.
    at : tuple of int
        The places of the differentiable inputs.
    everything : Wanted
        Derivatives in every differentiable input.
    unwanted, unweighted : mappings of dtype to array
        What kernels take where the value of each sample is not wanted, and where there are no weights: None, or for
        rows an empty array.
    variants : tuple of Plan
        Those of the other combinations of alternatives.
    sums : mapping of dtype to mapping of str to int
        For the kernels that arrays of a dtype may get in two phases how many sums of each row the first hands on.
    quick : Quick, optional
        What quick calls take, where there are any.
    entries : mapping of str to callable
        By the names of kernels, what gets a call first, and takes it or returns None.
    """

    spec: Spec
    module: ModuleType
    kernels: Mapping[str, Kernel]
    narrow: Mapping[str, Kernel]
    single: bool
    few: tuple[Mapping[str, Kernel], Mapping[str, Kernel]]
    slots: Mapping[str, Slot]
    tensors: tuple[Slot, ...]
    defaults: tuple[Any, ...]
    required: tuple[str, ...]
    bounded: tuple[tuple[int, ArgumentSpec], ...]
    labels: tuple[tuple[int, ArgumentSpec], ...]
    at: tuple[int, ...]
    everything: Wanted
    unwanted: Mapping[np.dtype[Any], Array | None]
    unweighted: Mapping[np.dtype[Any], Array | None]
    variants: tuple[Plan, ...]
    sums: Mapping[np.dtype[Any], Mapping[str, int]]
    quick: Quick | None
    entries: Mapping[str, Entry]

    def weight_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype of weights, that of the arithmetic, for arrays of a dtype."""
        return F32 if self.single and dtype is not F64 else F64

    def kernels_for(self, dtype: np.dtype[Any], first: Array) -> Mapping[str, Kernel]:
        """Return the kernels for arrays of a dtype, given the first of them."""
        usual, short = (self.kernels, self.few[0]) if dtype is F64 else (self.narrow, self.few[1])
        return short if short and first.shape[-1] <= FEW else usual


def _kernels(module: ModuleType | None, suffix: str) -> Mapping[str, Kernel]:
    """Return the kernels of a variant that a module has."""
    names = (name + end for name in KERNELS for end in ("", SUMS, REST))
    return {n: getattr(module, n + suffix) for n in names if hasattr(module, n + suffix)}


def _other(kernels: Mapping[str, Kernel], preferred: Mapping[str, Kernel]) -> Mapping[str, Kernel]:
    """Return the kernels that none is preferred to, as a whole or in phases."""
    return {n: kernel for n, kernel in kernels.items() if n.removesuffix(SUMS).removesuffix(REST) not in preferred}


def _few(module: ModuleType, usual: Mapping[str, Kernel], suffix: str) -> Mapping[str, Kernel]:
    """Return the kernels that short rows get, those without a form of their own among them; none where none has."""
    short = {n: getattr(module, f"{n}_few{suffix}") for n in usual if hasattr(module, f"{n}_few{suffix}")}
    return {**_other(usual, short), **short} if short else {}


def checked_scalars(
    spec: Spec, slots: Mapping[str, Slot], defaults: tuple[Any, ...], settings: Mapping[str, Any]
) -> list[Any]:
    """Return the kernel arguments for the scalar parameters given; those of tensors stay as they are.

    Raises
    ------
    TypeError, ValueError
        For an unknown parameter, a wrong kind or a value outside its domain.
    """
    found = list(defaults)
    for name, value in settings.items():
        slot = slots.get(name)
        if slot is None:
            known = ", ".join(a.name for a in spec.parameters) or "none"
            message = f"{spec.name}: unknown parameter {name!r}; the parameters are {known}"
            raise TypeError(message)
        if not slot.argument.axes:
            given = slot.arguments(scalar_parameter(spec, slot.argument, value))
            found[slot.position : slot.position + len(given)] = given
    return found


def make_plan(module: ModuleType, fast: ModuleType | None = None, pairs: ModuleType | None = None) -> Plan:
    """Return the plan for the calls of a generated module.

    Parameters
    ----------
    module : module
        With kernels in float64 arithmetic, for arrays of either dtype.
    fast : module, optional
        With those for arrays of float32.
    pairs : module, optional
        With some of those for arrays of float64.

    Raises
    ------
    ValueError
        Where the module was not generated for this runtime.
    """
    spec = read_spec(module)
    return _plan(module, fast, pairs, spec, spec if fast is None else read_spec(fast))


def _plan(module: ModuleType, fast: ModuleType | None, pairs: ModuleType | None, spec: Spec, single_spec: Spec) -> Plan:
    slots: dict[str, Slot] = {}
    defaults: list[Any] = []
    required = []
    for argument in (a for a in spec.parameters if a.kind != "switch"):
        slot = slots[argument.name] = Slot(argument, len(defaults))
        missing = argument.default is None and not argument.optional
        if missing:
            required.append(argument.name)
        if argument.axes or missing:
            defaults.append(None)
        else:
            defaults += slot.arguments(scalar_parameter(spec, argument, argument.default))
    places = tuple(enumerate(spec.inputs))
    at = tuple(k for k, a in places if a.differentiable)
    nothing = (0,) * len(spec.sample_axes)
    plain, single, double = (_kernels(m, spec.suffix) for m in (module, fast, pairs))
    if spec.elementwise:
        plain, single = put_off(plain), put_off(single)
    kernels, narrow = {**_other(plain, double), **double}, single or plain
    shorter = pairs if pairs is not None and double else module
    few = _few(shorter, kernels, spec.suffix), _few(fast or module, narrow, spec.suffix)
    unwanted: dict[np.dtype[Any], Array | None] = dict.fromkeys((F32, F64))
    unweighted = dict(unwanted)
    if not spec.elementwise:
        keep_memory()
        unwanted = {dtype: np.empty(nothing, dtype) for dtype in (F32, F64)}
        unweighted = {F64: np.empty(nothing), F32: np.empty(nothing, F64 if fast is None else F32)}
    quick = None
    bounded = tuple((k, a) for k, a in places if a.kind == "real" and is_bounded(a.domain))
    if can_be_quick(spec) and not required and (not bounded or "outside" in kernels):
        settled = partial(checked_scalars, spec, slots, tuple(defaults))
        of32, of64 = (ways(each, dtype, bounded=bool(bounded)) for each, dtype in ((narrow, F32), (kernels, F64)))
        quick = Quick(of32, of64, len(spec.inputs), tuple(defaults), spec.grain, settled)
    return Plan(
        spec=spec,
        module=module,
        kernels=kernels,
        narrow=narrow,
        single=fast is not None,
        few=few,
        slots=slots,
        tensors=tuple(slot for slot in slots.values() if slot.argument.axes),
        defaults=tuple(defaults),
        required=tuple(required),
        bounded=bounded,
        labels=tuple((k, a) for k, a in places if a.kind == "label"),
        at=at,
        everything=Wanted(spec.differentiable, len(at) == 1, tuple(range(len(at))), ()),
        unwanted=unwanted,
        unweighted=unweighted,
        variants=tuple(
            _plan(module, fast, pairs, variant, other)
            for variant, other in zip(spec.variants, single_spec.variants, strict=True)
        ),
        sums={F64: spec.sums, F32: single_spec.sums},
        quick=quick,
        entries=quick.entries if quick is not None else dict.fromkeys(WANTED, no_entry),
    )
