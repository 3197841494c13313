"""Threads: a pool for kernels that release the GIL, made when it is first needed and made again after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass
class _Pool:
    """The pool and the process it belongs to: a forked child has the object but not its threads."""

    count: int = 0
    executor: ThreadPoolExecutor | None = None
    workers: int = 0
    process: int = 0
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
    ValueError
        Where `count` is no positive integer.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        message = f"set_threads: the number of threads must be a positive integer, got {count!r}"
        raise ValueError(message)
    _POOL.count = count


def threads() -> int:
    """Return how many threads kernels may use: what was set, ``SYMLOSS_THREADS``, or the usable cores."""
    if _POOL.count:
        return _POOL.count
    chosen = os.environ.get("SYMLOSS_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(tasks: list[Callable[[], Any]]) -> list[Any]:
    """Run independent tasks and return their results in order."""
    workers = min(threads(), len(tasks))
    if workers <= 1:
        return [task() for task in tasks]
    with _POOL.lock:
        if _POOL.executor is None or _POOL.workers < workers or _POOL.process != os.getpid():
            _POOL.executor = ThreadPoolExecutor(workers, thread_name_prefix="symloss")
            _POOL.workers, _POOL.process = workers, os.getpid()
        executor = _POOL.executor
    return list(executor.map(lambda task: task(), tasks))
