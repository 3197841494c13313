"""CatBoost: our objectives grow the trees that its own grow; weights, classes, metrics, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catboost import CatBoost, CatBoostError, Pool

from symloss.adapters import catboost as sc
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

COMMON = {
    "iterations": 10, "depth": 4, "learning_rate": 0.3, "thread_count": 1, "random_seed": 0, "verbose": False,
    "allow_writing_files": False, "bootstrap_type": "No", "leaf_estimation_iterations": 1,
}  # fmt: skip
WEIGHTED = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])


def scores(target: Any, weight: Any, loss: Any, metric: Any, method: str = "Newton", **settings: Any) -> Any:
    """Train and return raw scores."""
    changed = {**COMMON, "loss_function": loss, "eval_metric": metric, "leaf_estimation_method": method, **settings}
    model = CatBoost(changed).fit(Pool(FEATURES, target, weight=weight))
    return model.predict(FEATURES, prediction_type="RawFormulaVal")


@WEIGHTED
def test_logistic_trees(weight: Any) -> None:
    settings = {"boost_from_average": False}
    theirs = scores(BINARY, weight, "Logloss", "Logloss", **settings)
    ours = scores(BINARY, weight, sc.Objective("binary_cross_entropy"), "Logloss", **settings)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.ptp(ours) > 1


@WEIGHTED
def test_squared_error_trees(weight: Any) -> None:
    """CatBoost halves the square, which without a penalty makes no difference."""
    settings = {"boost_from_average": False, "l2_leaf_reg": 0}
    theirs = scores(SIGNAL, weight, "RMSE", "RMSE", **settings)
    ours = scores(SIGNAL, weight, sc.Objective("squared_error"), "RMSE", **settings)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@WEIGHTED
@pytest.mark.parametrize("method", ["Newton", "Gradient"])
def test_huber_trees(weight: Any, method: str) -> None:
    settings = {"boost_from_average": False}
    theirs = scores(SIGNAL, weight, "Huber:delta=1.35", "RMSE", method, **settings)
    ours = scores(SIGNAL, weight, sc.Objective("huber", delta=1.35), "RMSE", method, **settings)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@WEIGHTED
def test_absolute_error_trees(weight: Any) -> None:
    """CatBoost halves it, so that half the learning rate is fair."""
    settings = {"boost_from_average": False}
    theirs = scores(SIGNAL, weight, "MAE", "RMSE", "Gradient", **settings)
    ours = scores(SIGNAL, weight, sc.Objective("absolute_error"), "RMSE", "Gradient", learning_rate=0.15, **settings)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@WEIGHTED
def test_softmax_trees(weight: Any) -> None:
    """The whole Hessian of each row, as CatBoost's own has it."""
    settings = {"classes_count": CLASSES, "iterations": 5}
    theirs = scores(LABELS, weight, "MultiClass", "MultiClass", **settings)
    ours = scores(LABELS, weight, sc.Objective("softmax_cross_entropy"), "MultiClass", **settings)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["clipped", "gauss_newton"])
def test_softmax_focal_learns(rule: str) -> None:
    found = scores(LABELS, WEIGHTS, sc.Objective("softmax_focal", hessian=rule), sc.Metric("softmax_focal"),
                   classes_count=CLASSES, iterations=4)  # fmt: skip
    assert (found.argmax(axis=1) == LABELS).mean() > 0.5


def test_metric_and_baseline() -> None:
    start = sc.base_score("huber", SIGNAL, WEIGHTS, delta=2.0)
    pool = Pool(FEATURES, SIGNAL, weight=WEIGHTS, baseline=sc.baseline(start, len(SIGNAL)))
    settings = {**COMMON, "loss_function": sc.Objective("huber", delta=2.0), "leaf_estimation_method": "Newton"}
    model = CatBoost({**settings, "eval_metric": sc.Metric("huber", delta=2.0)}).fit(pool, eval_set=pool)
    (reported,) = (v for v in model.get_evals_result()["validation"].values())
    residual = np.abs(model.predict(FEATURES) + start - SIGNAL)
    expected = np.where(residual <= 2, residual**2 / 2, 2 * residual - 2)
    assert reported[-1] == pytest.approx(np.average(expected, weights=WEIGHTS), rel=1e-6)
    assert reported[-1] < reported[0]
    assert sc.baseline(np.zeros(3), 4).shape == (4, 3)


def test_what_is_refused() -> None:
    pool = Pool(FEATURES, BINARY, baseline=sc.baseline(-3.0, len(BINARY)))
    with pytest.raises(CatBoostError, match="use hessian='clipped'"):
        CatBoost({**COMMON, "loss_function": sc.Objective("focal"), "eval_metric": "RMSE"}).fit(pool)
    with pytest.raises(ValueError, match=r"softmax_focal: the Hessian has the eigenvalue -.* where the scores are"):
        sc.Objective("softmax_focal").calc_ders_multi([5.0, 0.0, 0.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="is not for CatBoost"):
        sc.Objective("binary_cross_entropy", hessian="xgboost")
    with pytest.raises(ValueError, match="binary_cross_entropy: the gradient is nan"):
        sc.Objective("binary_cross_entropy").calc_ders_range(np.array([np.nan]), np.array([1.0]), None)
