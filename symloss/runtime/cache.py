"""Numba's cache on disk: a truncated or unreadable file is removed, and what it held is compiled again."""

from __future__ import annotations

from collections.abc import Callable
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
    folder = getattr(getattr(kernel, "stats", None), "cache_path", None)
    source = getattr(kernel, "py_func", kernel).__code__.co_filename
    if folder is None:
        return
    for cached in Path(folder).glob(f"{Path(source).stem}.*.nb[ic]"):
        cached.unlink(missing_ok=True)
