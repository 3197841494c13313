"""Logistic and softmax regression by SciPy's trust-region Newton, with exact gradients and Hessian products.

Both reach the coefficients of scikit-learn's LogisticRegression on its bundled breast-cancer and digits data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import symloss

Array = NDArray[np.float64]
PENALTY = 1.0
"""scikit-learn's C: the loss is summed and the squared coefficients halved."""


def fit_logistic(x: Array, y: Array) -> Array:
    """Return coefficients and intercept of a penalised logistic regression."""
    columns = x.shape[1]
    loss = symloss.load("binary_cross_entropy")

    def split(theta: Array) -> Array:
        return x @ theta[:columns] + theta[columns]

    def join(gradient: Array, theta: Array) -> Array:
        return np.append(x.T @ gradient + theta[:columns] / PENALTY, gradient.sum())

    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = loss.value_and_gradient(split(theta), y, reduction="sum")
        return float(value) + theta[:columns] @ theta[:columns] / (2 * PENALTY), join(gradient, theta)

    def product(theta: Array, v: Array) -> Array:
        return join(loss.hessian_product(split(theta), y, direction=split(v), reduction="sum"), v)

    return _solve(objective, product, columns + 1)


def fit_softmax(x: Array, y: NDArray[np.int64], classes: int) -> Array:
    """Return the coefficients, a row a class with the intercept last, of a penalised softmax regression."""
    columns = x.shape[1]
    loss = symloss.load("softmax_cross_entropy")

    def scores(theta: Array) -> Array:
        w = theta.reshape(classes, columns + 1)
        return np.ascontiguousarray(x @ w[:, :columns].T + w[:, columns])

    def join(gradient: Array, theta: Array) -> Array:
        w = theta.reshape(classes, columns + 1)
        return np.column_stack([gradient.T @ x + w[:, :columns] / PENALTY, gradient.sum(axis=0)]).ravel()

    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = loss.value_and_gradient(scores(theta), y, reduction="sum")
        w = theta.reshape(classes, columns + 1)[:, :columns]
        return float(value) + float((w * w).sum()) / (2 * PENALTY), join(gradient, theta)

    def product(theta: Array, v: Array) -> Array:
        return join(loss.hessian_product(scores(theta), y, direction=scores(v), reduction="sum"), v)

    return _solve(objective, product, classes * (columns + 1)).reshape(classes, columns + 1)


def _solve(objective: Any, product: Any, size: int) -> Array:
    start = np.zeros(size)
    result = minimize(
        objective, start, jac=True, hessp=product, method="trust-ncg", options={"gtol": 1e-9, "maxiter": 500}
    )
    solution: Array = result.x
    return solution


def main() -> dict[str, float]:
    """Fit both models and return the largest difference from scikit-learn's coefficients."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    ours = fit_logistic(x, y.astype(float))
    theirs = LogisticRegression(C=PENALTY, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    logistic = float(np.abs(ours - np.append(theirs.coef_, theirs.intercept_)).max())

    x, y = load_digits(return_X_y=True)
    x = x / 16
    ours = fit_softmax(x, y, 10)
    theirs = LogisticRegression(C=PENALTY, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    centred = ours - np.column_stack([np.zeros_like(ours[:, :-1]), np.full(10, ours[:, -1].mean())])
    expected = np.column_stack([theirs.coef_, theirs.intercept_ - theirs.intercept_.mean()])
    return {"logistic": logistic, "softmax": float(np.abs(centred - expected).max())}


if __name__ == "__main__":
    for model, difference in main().items():
        print(f"{model}: largest difference from scikit-learn {difference:.1e}")
