"""Logistic regression over chunked rows: SciPy's Newton method, with value, gradient and Hessian product from Dask."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from symloss.adapters import dask as sd

Array = NDArray[Any]


def main() -> dict[str, float]:
    """Fit; return the largest difference from scikit-learn's coefficients."""
    features, target = load_breast_cancer(return_X_y=True)
    features = StandardScaler().fit_transform(features)
    design = da.from_array(np.column_stack([features, np.ones(len(target))]), chunks=(100, -1))
    labels = da.from_array(target.astype(float), chunks=100)
    penalty = np.append(np.ones(features.shape[1]), 0.0)  # the intercept is not shrunk

    def objective(w: Array) -> tuple[float, Array]:
        value, slopes = sd.value_and_gradient("binary_cross_entropy", design @ w, labels, reduction="sum")
        value, gradient = dask.compute(value, design.T @ slopes)
        return float(value) + 0.5 * float(penalty @ w**2), gradient + penalty * w

    def hessian_product(w: Array, v: Array) -> Array:
        product = sd.hessian_product("binary_cross_entropy", design @ w, labels, direction=design @ v, reduction="sum")
        found: Array = (design.T @ product).compute() + penalty * v
        return found

    start, options = np.zeros(design.shape[1]), {"gtol": 1e-7}
    fit = minimize(objective, start, jac=True, hessp=hessian_product, method="trust-ncg", options=options)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, target)
    expected = np.append(theirs.coef_[0], theirs.intercept_)
    return {"largest difference": float(np.abs(fit.x - expected).max())}


if __name__ == "__main__":
    for name, number in main().items():
        print(f"{name}: {number:.2e}")
