"""Numba's cache on disk: broken files, and those of an older module, are removed; what they held is compiled again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")


def healed(kernel: Callable[..., Any], call: Callable[[], Result]) -> Result:
    """Return the result of a call of a kernel; where it fails for a broken cache, heal that and call again."""
    try:
        return call()
    except Exception as error:
        if not _is_from_cache(error.__traceback__):
            raise
        forget_cache(kernel)
        return call()


def _is_from_cache(trace: TracebackType | None) -> bool:
    """Tell whether an error rose out of Numba's cache on disk: truncated or unreadable files raise almost anything."""
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).parts[-3:] == ("numba", "core", "caching.py"):
            return True
        trace = trace.tb_next
    return False


def forget_cache(kernel: Callable[..., Any]) -> None:
    """Remove what Numba cached on disk for the module of a kernel; it is compiled and cached again on the next call."""
    for cached in _cached(kernel):
        cached.unlink(missing_ok=True)


def forget_older(kernel: Callable[..., Any]) -> None:
    """Remove what Numba cached before the module of a kernel was written.

    Numba writes the index first, then the code. A process that reads between the two, or after a process that ended
    there, takes a file of the same name for that code: one of the module's last version, if it is still there.
    """
    for cached in _cached(kernel):
        with suppress(OSError):  # another process removed it, or it may not be removed
            written = Path(_source(kernel)).stat().st_mtime_ns
            if cached.stat().st_mtime_ns < written <= time.time_ns():  # else a clock was wrong: keep all
                cached.unlink()


def _cached(kernel: Callable[..., Any]) -> list[Path]:
    """Return the files that Numba cached for the module of a kernel."""
    folder = getattr(getattr(kernel, "stats", None), "cache_path", None)
    return [] if folder is None else [*Path(folder).glob(f"{Path(_source(kernel)).stem}.*.nb[ic]")]


def _source(kernel: Callable[..., Any]) -> str:
    return str(getattr(kernel, "py_func", kernel).__code__.co_filename)
