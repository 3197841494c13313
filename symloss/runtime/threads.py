"""Threads: independent numbered tasks come in, their results in order go out, whatever the number of threads.

The pool is made when it is first needed and again after a fork. Kernels release the GIL, so threads are enough; and a
pool of our own never aborts or hangs when several Python threads call at once, as Numba's parallel layers do.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

Result = TypeVar("Result")

GRAIN = 32768
"""Elements that one task takes of arrays that are not long, so that partial sums do not depend on the threads."""
TASKS = 64
"""Tasks beyond which each takes twice as much, or four times: Python has a few microseconds to do for each."""
WORTH = 3.0
"""Work is shared that takes one thread so many times as long as it takes until a helper has come."""
USUAL_WAKE = 1e-4
SHORTEST_WAKE, LONGEST_WAKE = 1e-5, 3e-4
"""Seconds until a helper has come: taken at first, and the least and the most that is believed of a measurement."""


@dataclass
class _Pool:
    """The pool and the process it belongs to: a forked child has the object but not its threads."""

    chosen: int = 0
    executor: ThreadPoolExecutor | None = None
    size: int = 0
    process: int = 0
    wake: float = USUAL_WAKE
    """Seconds from asking for a helper until one works, as measured lately."""
    worth: float = WORTH
    """That of the name; 0 where whatever there is shall be shared."""
    paces: dict[Any, float] = field(default_factory=dict)
    """Seconds that one task takes, as measured lately, by what tasks run."""
    lock: Any = field(default_factory=threading.Lock)


_POOL = _Pool()


def _forked() -> None:
    _POOL.executor, _POOL.lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def set_threads(count: int) -> None:
    """Choose how many threads kernels may use.

    Parameters
    ----------
    count : int
        At least 1. Results do not depend on it.

    Raises
    ------
    TypeError
        Where `count` is no integer.
    ValueError
        Where it is below 1.
    """
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        message = f"set_threads: the number of threads must be an integer, got {count!r}"
        raise TypeError(message)
    number = count.__index__()
    if number < 1:
        message = f"set_threads: the number of threads must be at least 1, got {number}"
        raise ValueError(message)
    _POOL.chosen, _POOL.worth = number, WORTH


def share_always(count: int) -> None:
    """Choose how many threads kernels use for whatever has more than one task, until `set_threads` is called.

    For checks that results do not depend on threads: work that is done sooner alone is shared too.
    """
    set_threads(count)
    _POOL.worth = 0.0


def threads() -> int:
    """Return how many threads kernels may use: what was set, ``SYMLOSS_THREADS``, or the usable cores.

    Raises
    ------
    ValueError
        Where ``SYMLOSS_THREADS`` is no positive integer.
    """
    if _POOL.chosen:
        return _POOL.chosen
    wish = os.environ.get("SYMLOSS_THREADS", "").strip()
    if wish:
        if not (wish.isascii() and wish.isdigit()) or int(wish) < 1:
            message = f"SYMLOSS_THREADS must be a positive integer, got {wish!r}"
            raise ValueError(message)
        return int(wish)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(size: int) -> ThreadPoolExecutor:
    with _POOL.lock:
        if _POOL.executor is None or _POOL.size < size or _POOL.process != os.getpid():
            _POOL.executor = ThreadPoolExecutor(size, thread_name_prefix="symloss")
            _POOL.size, _POOL.process = size, os.getpid()
        return _POOL.executor


def run_all(task: Callable[[int], Result], count: int, kind: Any = None) -> list[Result]:
    """Run ``task(0) ... task(count - 1)`` and return the results in that order.

    The caller works too, so that a busy pool delays nothing, and a task that fails stops the rest. What is known to
    take less time than a helper takes to come, the caller does alone.

    Parameters
    ----------
    task : callable
        Must not call `run_all` itself.
    count : int
        How many there are.
    kind : hashable, optional
        What tasks run, such as a kernel: tasks of a kind take about as long as each other.
    """
    workers = _workers(count, kind)
    if workers <= 1:
        begun = perf_counter()
        alone = [task(k) for k in range(count)]
        _learn(kind, perf_counter() - begun, count)
        return alone
    todo = deque(range(count))
    results: dict[int, Result] = {}
    asked = perf_counter()

    def drain() -> None:
        begun, done = perf_counter(), 0
        while True:
            try:
                k = todo.popleft()
            except IndexError:
                _learn(kind, perf_counter() - begun, done)
                return
            try:
                results[k] = task(k)
            except BaseException:
                todo.clear()
                raise
            done += 1

    def help_out() -> None:
        came = min(max(perf_counter() - asked, SHORTEST_WAKE), LONGEST_WAKE)
        _POOL.wake += (came - _POOL.wake) / 8
        drain()

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # shutting down, or out of threads: the caller does what is left
        executor = _executor(workers - 1)
        for _ in range(workers - 1):
            helpers.append(executor.submit(help_out))  # one at a time: those before a failure are kept
    try:
        drain()
    finally:
        failures = [helper.exception() for helper in helpers if not helper.cancel()]
    for failure in failures:
        if failure is not None:
            raise failure
    return [results[k] for k in range(count)]


def _workers(count: int, kind: Any) -> int:
    """Return how many threads shall work on so many tasks."""
    most = min(threads(), count) if count > 1 else 1
    pace = _POOL.paces.get(kind)
    return 1 if pace is not None and pace * count < _POOL.worth * _POOL.wake else most


def _learn(kind: Any, seconds: float, done: int) -> None:
    """Remember how long tasks of a kind take; what takes longer than usual, as the first call does, counts less."""
    if kind is None or not done:
        return
    pace = seconds / done
    usual = _POOL.paces.get(kind, pace)
    _POOL.paces[kind] = min(pace, usual + (pace - usual) / 4)


def task_size(rows: int, grain: int) -> int:
    """Return how many rows each task takes: `grain`, and in long arrays more, whatever the number of threads.

    Parameters
    ----------
    rows : int
        How many there are.
    grain : int
        What a task takes where that makes at most `TASKS` of them.
    """
    return grain << (max(rows - 1, 0) // grain // TASKS).bit_length()


def ordered_sum(parts: list[float]) -> float:
    """Add exactly and round once; where there are infinities or NaN, as floats add them."""
    try:
        return math.fsum(parts)
    except (OverflowError, ValueError):  # a partial sum beyond the format; inf - inf
        return sum(parts)
