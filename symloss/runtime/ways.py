"""Ways: what a quick call runs, a kernel's compiled code as soon as there is any, in one piece or in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symloss.runtime.arrays import Array
from symloss.runtime.cache import healed
from symloss.runtime.late import Late
from symloss.runtime.threads import ordered_sum, run_all, task_size, threads

Kernel = Callable[..., Any]

WANTED = {"value": 0, "gradient": 1, "value_and_gradient": 1, "hessian_diagonal": 1, "gradient_and_hessian": 2}
"""How many arrays each kernel of a quick call writes."""


@dataclass(eq=False, slots=True)
class Way:
    """How a kernel is called for arrays of one dtype.

    Parameters
    ----------
    kernel : callable
        As the module has it.
    wanted : int
        How many arrays it writes.
    valued : bool
        Whether it returns a total, that of the values.
    one : NumPy scalar
        1 in the dtype of the arrays: a product with it is the quickest way to round.
    outside : Way, optional
        Of the kernel that looks whether inputs are in their domains, where one has a domain.
    """

    kernel: Kernel
    wanted: int
    valued: bool
    one: Any
    outside: Way | None = None
    code: Kernel = field(init=False)
    """What is called: at first the kernel, then its compiled code, which no longer looks at what it is given."""
    compiled: Any = None
    """What Numba knows of that code."""
    calls: int = 0
    """Calls in one piece since the kernel was compiled."""
    last: tuple[tuple[Any, ...], int, tuple[Any, ...]] = ((), 0, ())
    """Parameters and count of the last call, and what `between` made of them: one tuple, for concurrent callers."""

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Call the kernel again, as it is."""
        self.code, self.compiled, self.calls = self._first, None, 0

    def _first(self, *arguments: Any) -> Any:
        kernel = self.kernel
        result = healed(kernel, lambda: kernel(*arguments))
        serves: Any = kernel.serving[0] if isinstance(kernel, Late) else kernel
        compiled = getattr(serves, "overloads", {})  # of a plain function none
        if compiled:
            found = compiled.get(tuple([serves.typeof_pyval(a) for a in arguments]))
            if found is not None:
                self.code, self.compiled = found.entry_point, found
        return result

    def between(self, parameters: tuple[Any, ...], count: int) -> tuple[Any, ...]:
        """Return what a kernel takes between inputs and outputs, and remember it.

        Parameters
        ----------
        parameters : tuple
            As kernels take them.
        count : int
            What the total is divided by.
        """
        scale = (1.0 / count,) if self.wanted else ()
        found = (*parameters, None, *scale, *((None,) if self.valued else ()))  # no weights, no value of each sample
        self.last = (parameters, count, found)
        return found

    def in_chunks(self, inputs: tuple[Array, ...], fixed: tuple[Any, ...], outputs: tuple[Array, ...],
                  grain: int) -> float:  # fmt: skip
        """Run the kernel over chunks of the samples, as `symloss.runtime.execution` does, and return the total.

        One thread needs no chunks where there is no total, whose bits depend on them.
        """
        code, size = self.code, len(inputs[0])
        if size <= grain or (outputs and not self.valued and threads() == 1):
            return code(*inputs + fixed + outputs) or 0.0

        step = task_size(size, grain)

        def one(k: int) -> float:
            own = slice(k * step, (k + 1) * step)
            arguments: list[Any] = []
            for x in inputs:
                arguments.append(x[own])
            arguments += fixed
            for x in outputs:
                arguments.append(x[own])
            return code(*arguments) or 0.0

        return ordered_sum(run_all(one, -(-size // step), code))


def ways(kernels: Mapping[str, Kernel], dtype: np.dtype[Any], *, bounded: bool) -> dict[str, Way]:
    """Return how the kernels of quick calls are called for arrays of a dtype.

    Parameters
    ----------
    kernels : mapping of str to callable
        By name.
    dtype : dtype
        float32 or float64.
    bounded : bool
        Whether an input has a domain, which a kernel of its own looks at.
    """
    one = dtype.type(1)
    outside = Way(kernels["outside"], 0, True, one) if bounded else None
    return {name: Way(kernels[name], wanted, "value" in name, one, outside) for name, wanted in WANTED.items()}
