"""XGBoost: our objectives grow the trees that its own grow; weights, layouts, interfaces, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

from symloss.adapters import xgboost as sx

ROUNDS = 20
COMMON = {"max_depth": 4, "eta": 0.3, "nthread": 1, "seed": 0, "tree_method": "hist"}
WEIGHTED = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])


def margins(target: Any, weight: Any, settings: dict[str, Any], obj: Any = None, rounds: int = ROUNDS) -> Any:
    """Train and return raw scores."""
    data = xgboost.DMatrix(FEATURES, target, weight=weight)
    booster = xgboost.train({**COMMON, **settings}, data, num_boost_round=rounds, obj=obj)
    return booster.predict(data, output_margin=True)


@WEIGHTED
@pytest.mark.parametrize("rule", ["exact", "xgboost"])
def test_logistic_trees(weight: Any, rule: str) -> None:
    start = sx.base_score("binary_cross_entropy", BINARY, weight)
    share = 1 / (1 + np.exp(-start))
    theirs = margins(BINARY, weight, {"objective": "binary:logistic", "base_score": share})
    ours = margins(BINARY, weight, {"base_score": start}, sx.objective("binary_cross_entropy", hessian=rule))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    assert np.ptp(ours) > 1


@WEIGHTED
def test_squared_error_trees(weight: Any) -> None:
    """XGBoost halves the square; twice the weights are twice that, and twice the penalty is fair."""
    start = sx.base_score("squared_error", SIGNAL, weight)
    doubled = {"base_score": start, "lambda": 2.0, "min_child_weight": 2.0}
    theirs = margins(SIGNAL, weight, {"objective": "reg:squarederror", "base_score": start})
    ours = margins(SIGNAL, weight, doubled, sx.objective("squared_error"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@WEIGHTED
def test_softmax_trees(weight: Any) -> None:
    settings = {"num_class": CLASSES, "base_score": 0.0}
    theirs = margins(LABELS, weight, {**settings, "objective": "multi:softprob"})
    ours = margins(LABELS, weight, settings, sx.objective("softmax_cross_entropy", hessian="xgboost"))
    assert ours.shape == (len(LABELS), CLASSES)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@WEIGHTED
def test_absolute_error_splits(weight: Any) -> None:
    """XGBoost refits leaves to medians for its own objective only; the splits of a tree are the same."""
    settings = {"base_score": sx.base_score("absolute_error", SIGNAL, weight)}
    data = xgboost.DMatrix(FEATURES, SIGNAL, weight=weight)
    theirs = xgboost.train({**COMMON, **settings, "objective": "reg:absoluteerror"}, data, num_boost_round=1)
    objective = sx.objective("absolute_error", hessian="xgboost")
    ours = xgboost.train({**COMMON, **settings}, data, num_boost_round=1, obj=objective)
    columns = ["Node", "Feature", "Split"]
    split = [frame[frame.Feature != "Leaf"][columns] for frame in (ours.trees_to_dataframe(), theirs.trees_to_dataframe())]
    assert len(split[0]) > 5
    np.testing.assert_array_equal(split[0].to_numpy(), split[1].to_numpy())
    np.testing.assert_array_equal(ours.predict(data, pred_leaf=True), theirs.predict(data, pred_leaf=True))
