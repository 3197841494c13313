"""Softmax regression over rows that are made chunk by chunk and never all in memory, on worker processes.

``python dask_softmax.py 50_000_000`` runs the full size on 2 processes of 1 GB and prints what it took.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from numpy.typing import NDArray

import symloss
from symloss.adapters import dask as sd

Array = NDArray[Any]
FEATURES, CLASSES, CHUNK = 20, 10, 250_000
WEIGHTS: Array = np.random.default_rng(0).normal(size=(FEATURES, CLASSES))


def rows(block: int, count: int) -> tuple[Array, Array]:
    """Return design and labels of a chunk: the same numbers whoever makes them."""
    rng = np.random.default_rng([7, block])
    design = rng.normal(size=(count, FEATURES))
    noise = rng.gumbel(size=(count, CLASSES))
    return design, np.argmax(design @ WEIGHTS + noise, axis=1)


def data(total: int) -> tuple[Any, Any]:
    """Return design and labels as lazy arrays chunked by rows."""
    sizes = [min(CHUNK, total - start) for start in range(0, total, CHUNK)]
    pairs = [dask.delayed(rows, nout=2, pure=True)(k, size) for k, size in enumerate(sizes)]
    design = [da.from_delayed(x, (size, FEATURES), np.float64) for (x, _), size in zip(pairs, sizes, strict=True)]
    labels = [da.from_delayed(y, (size,), np.int64) for (_, y), size in zip(pairs, sizes, strict=True)]
    return da.concatenate(design), da.concatenate(labels)


def coefficients_gradient(total: int, at: Array) -> tuple[Any, Any]:
    """Return, lazily, the mean loss of ``total`` rows and its gradient in the coefficients."""
    design, labels = data(total)
    value, slopes = sd.value_and_gradient("softmax_cross_entropy", design @ at, labels)
    return value, design.T @ slopes


def peak(dask_worker: Any) -> float:
    """Return the most memory that a worker ever held, in MB, as the system counts it."""
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(total: int = 1_000_000, subset: int = 500_000) -> dict[str, float]:
    """Compute loss and gradient on 2 processes of 1 GB; compare a subset with one array in memory."""
    at = 0.5 * WEIGHTS
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit="1GB", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        start = time.perf_counter()
        done = client.compute(list(coefficients_gradient(total, at)))
        wait(done)
        value, gradient = client.gather(done)
        seconds = time.perf_counter() - start
        chunked = client.gather(client.compute(coefficients_gradient(subset, at)[1]))
        memory = max(client.run(peak).values()) if sys.platform == "linux" else float("nan")
    parts = [rows(k, min(CHUNK, subset - k * CHUNK)) for k in range(-(-subset // CHUNK))]
    design, labels = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    expected = design.T @ symloss.softmax_cross_entropy.gradient(design @ at, labels)
    return {
        "mean loss": float(value),
        "gradient norm": float(np.linalg.norm(gradient)),
        "difference on the subset": float(np.abs(chunked - expected).max()),
        "peak MB of a worker": memory,
        "seconds": seconds,
    }


if __name__ == "__main__":
    for name, number in main(*(int(a) for a in sys.argv[1:])).items():
        print(f"{name}: {number:.6g}")
