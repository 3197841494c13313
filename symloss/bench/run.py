"""One run of the benchmark: which cases, on how many threads, on what machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata

import symloss
from symloss.bench.cases import GRID, Case
from symloss.bench.timing import Timing, time_case

LIBRARIES = ("numpy", "numba", "torch", "jax", "scikit-learn")


def chosen(names: Sequence[str], *, grid: bool) -> tuple[Case, ...]:
    """Return the cases of the losses named, or of all; without `grid`, of these only float32 up to 100 000 elements."""
    known = {case.loss for case in GRID}
    for name in names:
        if name not in known:
            message = f"no benchmark of {name!r}; there are {', '.join(sorted(known))}"
            raise ValueError(message)
    return tuple(
        case for case in GRID
        if (case.loss in names or not names) and (grid or names or _is_short(case))
    )  # fmt: skip


def _is_short(case: Case) -> bool:
    return case.dtype == "float32" and len(case.shape) == 1 and case.shape[0] <= 100_000


def run(
    cases: Sequence[Case], threads: int, *, compiled: bool, progress: Callable[[str, int, int], None]
) -> tuple[Timing, ...]:
    """Time the cases on a number of threads, to which the process and every library in it is pinned.

    Libraries count the processors that they may run on when they are imported, which happens after this.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    symloss.set_threads(threads)
    found = []
    for number, case in enumerate(cases):
        progress(case.title, number, len(cases))
        found.append(time_case(case, compiled=compiled))
    progress("", len(cases), len(cases))
    return tuple(found)


def machine(threads: int) -> str:
    """Return on what it was measured, as one line."""
    versions = ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name)))
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}; {versions}."


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
