"""Logistic regression over more rows than memory may hold: SciPy's optimiser, value and gradient from Dask.

The rows of the breast cancer set are repeated chunk by chunk on a worker process of limited memory, and never stored.
So many copies have the optimum of one, which scikit-learn finds in memory. ``python dask_logistic.py 4000`` takes 4000
copies, 564 MB, on a worker of 500 MB.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from symloss.adapters import dask as sd

Array = NDArray[Any]
LIMIT = 500
"""Megabytes that the worker may use."""
TOGETHER = 100
"""Copies in a chunk."""


def peak(dask_worker: Any) -> float:
    """Return the most memory that a worker ever held, in MB, as the system counts it."""
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def repeated(array: Array, copies: int) -> Any:
    """Return copies below each other, made when they are needed."""
    sizes = [min(TOGETHER, copies - start) for start in range(0, copies, TOGETHER)]
    make = dask.delayed(partial(np.tile, array), pure=True)
    parts = [
        da.from_delayed(make((k, *(1 for _ in array.shape[1:]))), (k * len(array), *array.shape[1:]), array.dtype)
        for k in sizes
    ]
    return da.concatenate(parts)


def main(copies: int = 200) -> dict[str, float]:
    """Fit; return the largest difference from scikit-learn's coefficients, the sizes and the time."""
    features, target = load_breast_cancer(return_X_y=True)
    features = StandardScaler().fit_transform(features)
    rows = np.column_stack([features, np.ones(len(target))])
    design, labels = repeated(rows, copies), repeated(target.astype(float), copies)
    penalty = np.append(np.ones(features.shape[1]), 0.0)  # the intercept is not shrunk
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, memory_limit=f"{LIMIT}MB", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):

        def objective(w: Array) -> tuple[float, Array]:
            value, slopes = sd.value_and_gradient("binary_cross_entropy", design @ w, labels, reduction="sum")
            value, gradient = client.gather(client.compute([value, design.T @ slopes]))
            return float(value) / copies + 0.5 * float(penalty @ w**2), gradient / copies + penalty * w

        begun = time.perf_counter()
        fit = minimize(objective, np.zeros(design.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-7})
        seconds = time.perf_counter() - begun
        memory = max(client.run(peak).values()) if sys.platform == "linux" else float("nan")
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, target)
    expected = np.append(theirs.coef_[0], theirs.intercept_)
    return {
        "largest difference": float(np.abs(fit.x - expected).max()), "MB of data": design.nbytes / 1e6,
        "MB allowed": float(LIMIT), "peak MB of the worker": memory, "passes": float(fit.nfev), "seconds": seconds,
    }  # fmt: skip


if __name__ == "__main__":
    for name, number in main(*(int(a) for a in sys.argv[1:])).items():
        print(f"{name}: {number:.6g}")
