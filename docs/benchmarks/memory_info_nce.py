"""Peak memory of InfoNCE with 16384 queries and keys of 256 features, float32. Run it as a process of its own.

``python docs/benchmarks/memory_info_nce.py [SAMPLES]`` prints the peak before and after one call of value and gradient.
A call with 8 samples comes first, so that loading and compiling the kernels do not count as the call's.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

import symloss

SAMPLES, FEATURES, SMALL = 16384, 256, 8


def peak() -> float:
    """Return the peak resident memory of this process in MB.

    Linux's ru_maxrss starts from the peak of the process that started this one; VmHWM, the same count, does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(text for text in status.read_text(encoding="ascii").splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found / 1e6 if sys.platform == "darwin" else found * 1024 / 1e6


def main() -> None:
    """Print both peaks, and what the call added."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    rng = np.random.default_rng(0)
    query, key = (rng.standard_normal((samples, FEATURES), dtype=np.float32) for _ in range(2))
    loss = symloss.load("info_nce")
    loss.value_and_gradient(query[:SMALL], key[:SMALL])
    before = peak()
    value, _ = loss.value_and_gradient(query, key)
    after = peak()
    square = 4 * samples**2 / 1e6
    sys.stdout.write(
        f"value {float(value):.6f}  before {before:.0f} MB  after {after:.0f} MB  call {after - before:.0f} MB"
        f"  (one {samples} x {samples} float32 matrix: {square:.0f} MB)\n"
    )


if __name__ == "__main__":
    main()
