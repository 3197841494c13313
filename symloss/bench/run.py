"""The benchmark: which cases, on how many threads, how often, on what machine.

Each run on a number of threads is a process of its own, to which the processors and the threads of every library are
given before anything is imported; this module starts them, and is what they run.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

import symloss
from symloss.bench.apart import environment, measured_apart, pin
from symloss.bench.cases import GRID, Case
from symloss.bench.contenders import LIMITS, OURS
from symloss.bench.timing import Timing, medians, of_row, time_case

LIBRARIES = ("numpy", "numba", "torch", "jax", "scikit-learn")
Progress = Callable[[str, int, int], None]


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
    cases: Sequence[Case], threads: int, *, compiled: bool, runs: int, apart: bool, progress: Progress
) -> tuple[Timing, ...]:
    """Time the cases on a number of threads, several times if asked; return the medians over the runs.

    Parameters
    ----------
    cases : sequence of Case
        What to time.
    threads : int
        Processors and threads for everyone.
    compiled : bool
        Whether torch compiles too; of the whole grid only what is long, for it takes some seconds a case.
    runs : int
        How many processes time everything anew.
    apart : bool
        Whether first calls and peaks of memory are measured too.
    progress : callable
        Told the case, how many are done and how many there are.
    """
    total = len(cases) * (runs + apart)
    found: list[tuple[Timing, ...]] = []
    for number in range(runs):
        timings = []
        for k, timing in enumerate(_timed(cases, threads, compiled=compiled)):
            timings.append(timing)
            progress(timing.case.title, number * len(cases) + k, total)
        found.append(tuple(timings))
    result = medians(found)
    if apart:
        whole = []
        for k, timing in enumerate(result):
            progress(f"{timing.case.title}, apart", runs * len(cases) + k, total)
            whole.append(_with_apart(timing, threads))
        result = tuple(whole)
    progress("", total, total)
    return result


def _timed(cases: Sequence[Case], threads: int, *, compiled: bool) -> Iterator[Timing]:
    """Yield the timings of a process of its own, as they come."""
    asked = [{"case": asdict(case), "compiled": compiled and (case.long or len(cases) < len(GRID))} for case in cases]
    request = json.dumps({"cases": asked, "threads": threads})
    command = [sys.executable, "-m", "symloss.bench.run"]
    with subprocess.Popen(
        command, env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        process.stdin.write(request)
        process.stdin.close()
        for line in process.stdout:
            if line.startswith("{"):  # libraries may print too
                yield of_row(json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _with_apart(timing: Timing, threads: int) -> Timing:
    """Return a timing with first calls of ours, and with everyone's peak of memory where there are matrices."""
    case = timing.case
    if case.dtype != "float32" or (len(case.shape) == 1 and case.shape[0] != 100_000):
        return timing
    everyone = [n for n in timing.seconds if "," not in n and n not in LIMITS]
    names = everyone if case.products is not None else OURS
    return replace(timing, apart={name: measured_apart(case, name, threads) for name in names})


def machine(threads: int) -> str:
    """Return on what it was measured, as one line."""
    versions = ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name)))
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}; {versions}."


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _serve(request: dict[str, Any]) -> None:
    """Time cases in this process, and print a line for each."""
    pin(request["threads"])
    symloss.set_threads(request["threads"])
    for asked in request["cases"]:
        case = Case(**{**asked["case"], "shape": tuple(asked["case"]["shape"])})
        timing = time_case(case, compiled=asked["compiled"])
        sys.stdout.write(json.dumps(timing.row()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(json.load(sys.stdin))
