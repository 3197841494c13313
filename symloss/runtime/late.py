"""Late: what a kernel does to few of its elements is compiled when the first of them turns up.

A second look at sums that cancel, with more digits, takes most of the time that an elementwise kernel takes to compile,
and many calls have no element that needs one. So a kernel is first compiled without it, as code that stops where it
would look again; the call is then repeated with the whole kernel, which serves from there on. Numbers do not depend on
which of the two computed them: where nothing is looked at twice, they do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

Kernel = Callable[..., Any]

SECOND_LOOK = "_careful_"
"""How the functions that look again begin."""
FIRST_STEP = "_closer_"
"""How those begin that come before them, for many elements side by side."""


class SecondLook(Exception):
    """An element needs what has not been compiled yet."""


def _put_off(value: Any, _size: Any, near: Any, *_leaves: Any) -> Any:
    """Stand where a sum is computed with more digits; it is called only where that is needed."""
    if near > 0.0:  # always
        raise SecondLook
    return value


def _left_out(*_leaves: Any) -> float:
    """Stand for the first step of a second look, after which the code stops anyway."""
    return 0.0


@dataclass(frozen=True, eq=False)
class Late:
    """A kernel without its second look, until that is needed.

    Parameters
    ----------
    whole : callable
        The kernel as the module has it.
    serving : list of callable
        One entry: what computes, which is the kernel without a second look, later the whole.
    """

    whole: Any
    serving: list[Any]

    def __call__(self, *arguments: Any) -> Any:
        """Compute: what was written before a second look was called for is written again."""
        try:
            return self.serving[0](*arguments)
        except SecondLook:
            self.serving[0] = self.whole
        return self.whole(*arguments)

    def __getattr__(self, name: str) -> Any:
        """Return what is asked of a kernel, such as its source and where its cache is, as the whole has it."""
        return getattr(self.whole, name)


def put_off(kernels: Mapping[str, Kernel]) -> dict[str, Kernel]:
    """Return the kernels of an elementwise loss, those with a second look without it until it is needed."""
    return {name: _first(kernel) for name, kernel in kernels.items()}


def serve_whole(kernels: Mapping[str, Kernel]) -> None:
    """Let kernels look again from the first call on, where that is sure to be needed: each is then compiled once."""
    for kernel in kernels.values():
        if isinstance(kernel, Late):
            kernel.serving[0] = kernel.whole


def _first(kernel: Any) -> Kernel:
    function = getattr(kernel, "py_func", None)
    looks = [n for n in function.__code__.co_names if n.startswith(SECOND_LOOK)] if function is not None else []
    if function is None or not looks:
        return kernel  # type: ignore[no-any-return]
    njit = function.__globals__["njit"]
    options = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    stops, before = (njit(**options)(f) for f in (_put_off, _left_out))
    steps = [n for n in function.__code__.co_names if n.startswith(FIRST_STEP)]
    stand_ins = dict.fromkeys(looks, stops) | dict.fromkeys(steps, before)
    name = f"{function.__name__}_at_first"
    light = FunctionType(function.__code__, {**function.__globals__, **stand_ins}, name)
    light.__qualname__ = name  # by which Numba's cache on disk tells it from the whole
    light.__module__ = function.__module__
    return Late(kernel, [njit(nogil=True, cache=True, error_model="numpy")(light)])
