"""SciPy: linear and multinomial models, dense and sparse, against scikit-learn's optima and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime, minimize
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from symloss.adapters import scipy as sp

RNG = np.random.default_rng(4)
X = np.where(RNG.random((60, 5)) < 0.5, 0.0, RNG.normal(size=(60, 5)))
Y, LABELS, WEIGHTS = RNG.integers(0, 2, 60).astype(float), RNG.integers(0, 3, 60), RNG.uniform(0.1, 2, 60)
SPARSE = [np.asarray, sparse.csr_array, sparse.csc_matrix]


@pytest.mark.parametrize("layout", SPARSE)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("name, target, classes", [
    ("binary_cross_entropy", Y, None), ("focal", Y, None), ("softmax_cross_entropy", LABELS, 3),
])  # fmt: skip
def test_derivatives(name: str, target: Any, classes: int | None, intercept: bool, layout: Any) -> None:
    model = sp.LinearModel(layout(X), target, WEIGHTS, classes, intercept, l2=0.3)
    problem = sp.fun_jac_hessp(name, model, reduction="sum")
    w, v = RNG.normal(size=problem.size), RNG.normal(size=problem.size)
    np.testing.assert_allclose(problem.jac(w), approx_fprime(w, problem.fun, 1e-7), rtol=1e-4, atol=1e-4)
    step = 1e-6
    expected = (problem.jac(w + step * v) - problem.jac(w - step * v)) / (2 * step)
    np.testing.assert_allclose(problem.hessp(w, v), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", SPARSE)
@pytest.mark.parametrize(
    "data, name", [(load_breast_cancer, "binary_cross_entropy"), (load_iris, "softmax_cross_entropy")]
)
def test_newton_reaches_scikit_learns_optimum(data: Any, name: str, layout: Any) -> None:
    features, target = data(return_X_y=True)
    features = StandardScaler().fit_transform(features)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, target)
    classes = None if name.startswith("binary") else len(theirs.classes_)
    problem = sp.fun_jac_hessp(name, sp.LinearModel(layout(features), target, classes=classes, l2=1.0), reduction="sum")
    fit = minimize(problem.fun, np.zeros(problem.size), jac=problem.jac, hessp=problem.hessp, method="trust-ncg",
                   options={"gtol": 1e-8})  # fmt: skip
    found = fit.x.reshape(features.shape[1] + 1, -1)
    np.testing.assert_allclose(found[:-1].T, theirs.coef_, atol=1e-5)


def test_coefficients_changed_in_place_are_seen() -> None:
    problem = sp.fun_jac_hessp("squared_error", sp.LinearModel(X, Y))
    w = np.zeros(problem.size)
    before = problem.fun(w)
    w[:] = 1.0
    assert problem.fun(w) == pytest.approx(np.mean((X @ w[:-1] + 1 - Y) ** 2), rel=1e-13)
    assert problem.fun(w) != before
    problem.jac(w)[:] = np.nan  # the caller's copy
    assert np.isfinite(problem.jac(w)).all()


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax_cross_entropy: the model must have classes, got None"):
        sp.fun_jac_hessp("softmax_cross_entropy", sp.LinearModel(X, LABELS))
    with pytest.raises(ValueError, match="huber: the model must not have classes, got 3"):
        sp.fun_jac_hessp("huber", sp.LinearModel(X, Y, classes=3))
    with pytest.raises(ValueError, match="huber: reduction must be 'mean' or 'sum', got 'none'"):
        sp.fun_jac_hessp("huber", sp.LinearModel(X, Y), reduction="none")
    with pytest.raises(ValueError, match="triplet: this adapter needs"):
        sp.fun_jac_hessp("triplet", sp.LinearModel(X, Y))
