"""Memory that kernels over pairs take for their own arrays: kept by the C library from one call to the next."""

from __future__ import annotations

from functools import cache

import numpy as np

MOST = 2**25 - 2**13
"""Bytes: just below 32 MB, the most that glibc learns from."""


@cache
def keep_memory() -> None:
    """Have glibc keep up to 64 MB of what is freed at the end of the heap, instead of giving it back after every call.

    It does so by itself in a program in which a block of this size was freed once: such a block then comes from the
    heap, which is cut only where twice as much is free. Without it the system gives each page anew, filled with
    zeros, in every call. Nothing is written to the block, so it takes no memory; where a user has set these limits,
    or with another C library, nothing changes.
    """
    np.empty(MOST, np.uint8)
