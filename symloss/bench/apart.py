"""Apart: what has to be measured in a process of its own, the first call of a contender and its peak of memory.

Run as a program it measures one contender of one case, told as JSON, and prints what it found.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from symloss.bench.cases import Case
from symloss.bench.contenders import OURS, contenders

PROCESS = Path("/proc/self")
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COMPILED = ("torch.compile", "torch.compile grad_and_value")


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process whose libraries use so many threads."""
    return {**os.environ, **dict.fromkeys(THREAD_COUNTS, str(threads))}


def pin(threads: int) -> None:
    """Let this process run on so many processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def measured_apart(case: Case, contender: str, threads: int) -> dict[str, float]:
    """Return the first call of a contender without what it kept on disk, ours with it too, and its peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        given = {
            **environment(threads), "NUMBA_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder,
            "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536",  # what is freed is given back
        }  # fmt: skip
        request = json.dumps({**asdict(case), "contender": contender, "threads": threads})
        command = [sys.executable, "-m", "symloss.bench.apart", request]
        times = 2 if contender in OURS else 1
        told = [subprocess.run(command, env=given, check=True, capture_output=True, text=True) for _ in range(times)]
    found = [json.loads(t.stdout.splitlines()[-1]) for t in told]  # libraries may print too
    result = {"cold": found[0]["first"]}
    if times == 2:
        result["cached"] = found[1]["first"]
    if found[-1]["peak"] is not None:
        result["peak"] = found[-1]["peak"]
    return result


def _memory(entry: str) -> int:
    """Return a number of bytes that the system tells of this process."""
    lines = (PROCESS / "status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def _measure(request: Mapping[str, Any]) -> dict[str, float | None]:
    case = Case(request["loss"], request["quantity"], tuple(request["shape"]), request["dtype"])
    pin(request["threads"])
    call = next(
        call for name, call in contenders(case, compiled=request["contender"] in COMPILED)
        if name == request["contender"]
    )  # fmt: skip
    start = time.perf_counter()
    result = call()
    first = time.perf_counter() - start
    del result
    gc.collect()
    try:
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts again from here
        before = _memory("VmRSS")
    except OSError:  # another system
        return {"first": first, "peak": None}
    call()
    return {"first": first, "peak": max(0, _memory("VmHWM") - before)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(json.loads(sys.argv[1]))))
