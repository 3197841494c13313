"""XGBoost: our objectives grow the trees that its own grow; weights, layouts, interfaces, and what is refused."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone

from symloss.adapters import xgboost as sx
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

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
def test_absolute_error_trees(weight: Any) -> None:
    """XGBoost refits leaves to medians for its own objective only; our callback does so for ours."""
    start = sx.base_score("absolute_error", SIGNAL, weight)
    theirs = margins(SIGNAL, weight, {"objective": "reg:absoluteerror", "base_score": start})
    data = xgboost.DMatrix(FEATURES, SIGNAL, weight=weight)
    ours = xgboost.train(
        {**COMMON, "base_score": start}, data, num_boost_round=ROUNDS,
        obj=sx.objective("absolute_error", hessian="xgboost"), callbacks=[sx.RefitLeaves("absolute_error", data)],
    )  # fmt: skip
    scores = ours.predict(data, output_margin=True)
    np.testing.assert_allclose(scores, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def test_leaves_of_other_losses_are_left_alone() -> None:
    with pytest.raises(ValueError, match="focal: leaves are refitted for losses of prediction minus target only"):
        sx.RefitLeaves("focal", None)
    data = xgboost.DMatrix(FEATURES, SIGNAL)
    with pytest.raises(ValueError, match="huber: leaves are refitted for one tree a round, got 2 trees"):
        xgboost.train(
            {"num_parallel_tree": 2, "base_score": 0.0}, data, num_boost_round=1,
            obj=sx.objective("huber"), callbacks=[sx.RefitLeaves("huber", data)],
        )  # fmt: skip


def test_estimators_take_objective_and_metric() -> None:
    native = margins(BINARY, WEIGHTS, {"base_score": 0.0}, sx.objective("binary_cross_entropy"))
    model = xgboost.XGBRegressor(
        n_estimators=ROUNDS, max_depth=4, learning_rate=0.3, n_jobs=1, base_score=0.0,
        objective=sx.objective("binary_cross_entropy", sklearn_api=True),
        eval_metric=sx.metric("binary_cross_entropy", sklearn_api=True),
    )  # fmt: skip
    model = clone(model).fit(
        FEATURES, BINARY, sample_weight=WEIGHTS, eval_set=[(FEATURES, BINARY)], sample_weight_eval_set=[WEIGHTS],
        verbose=False,
    )  # fmt: skip
    scores = model.predict(FEATURES, output_margin=True)
    np.testing.assert_array_equal(scores, native)
    softplus = np.logaddexp(0, scores.astype(float)) - BINARY * scores
    reported = model.evals_result()["validation_0"]["binary_cross_entropy"][-1]
    assert reported == pytest.approx(np.average(softplus, weights=WEIGHTS), abs=1e-6)  # six digits


def test_a_classifier_of_many_classes() -> None:
    objective = sx.objective("softmax_focal", hessian="clipped", sklearn_api=True, gamma=1.0)
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=3, n_jobs=1, objective=objective).fit(FEATURES, LABELS)
    assert (model.predict(FEATURES) == LABELS).mean() > 0.6


def test_starting_scores_of_classes() -> None:
    start = sx.base_score("softmax_cross_entropy", LABELS, WEIGHTS)
    share = np.bincount(LABELS, WEIGHTS) / WEIGHTS.sum()
    np.testing.assert_allclose(start, np.log(share) - np.log(share).mean(), rtol=1e-12)
    settings = {"num_class": CLASSES, "base_score": start.tolist()}
    scores = margins(LABELS, WEIGHTS, {**settings, "eta": 0.0}, sx.objective("softmax_cross_entropy"), 1)
    np.testing.assert_allclose(scores, np.tile(start, (len(LABELS), 1)), rtol=1e-6)


def test_the_metric_is_the_weighted_mean() -> None:
    data = xgboost.DMatrix(FEATURES, SIGNAL, weight=WEIGHTS)
    name, value = sx.metric("absolute_error")(np.zeros(len(SIGNAL), np.float32), data)
    assert name == "absolute_error"
    assert value == pytest.approx(np.average(np.abs(SIGNAL), weights=WEIGHTS), rel=1e-6)


def test_objectives_are_pickled() -> None:
    data = xgboost.DMatrix(FEATURES, SIGNAL)
    objective = sx.objective("huber", delta=1.35)
    again = pickle.loads(pickle.dumps(objective))
    preds = np.linspace(-3, 3, len(SIGNAL), dtype=np.float32)
    for ours, theirs in zip(objective(preds, data), again(preds, data), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sklearn_api", [False, True])
def test_a_negative_hessian_is_refused_inside_training(sklearn_api: bool) -> None:
    objective = sx.objective("focal", sklearn_api=sklearn_api)
    model = xgboost.XGBRegressor(base_score=-3.0, n_jobs=1, objective=objective)
    train = partial(model.fit, FEATURES, BINARY) if sklearn_api else partial(
        margins, BINARY, None, {"base_score": -3.0}, objective
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"focal: the Hessian is -.* use hessian='clipped'"):
        train()


def test_what_xgboost_would_take_in_silence_is_refused() -> None:
    data = xgboost.DMatrix(FEATURES[:3], [0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"binary_cross_entropy: the gradient is nan at index \(1,\), .* score is nan"):
        sx.objective("binary_cross_entropy")(np.array([0, np.nan, 0], np.float32), data)
    with pytest.raises(ValueError, match="absolute_error: the Hessian is 0 for all 3 scores"):
        sx.objective("absolute_error")(np.zeros(3, np.float32), data)
    with pytest.raises(ValueError, match=r"hinge: target must be one of -1, 1, got 0.0"):
        sx.objective("hinge")(np.zeros(3, np.float32), data)
    with pytest.raises(ValueError, match=r"scores must have shape \(n, c\), got \(3,\); is num_class set"):
        sx.objective("softmax_cross_entropy")(np.zeros(3, np.float32), data)


@WEIGHTED
def test_interfaces_that_are_mixed_up(weight: Any) -> None:
    """An estimator is told to want ``sklearn_api=True``, and ``xgboost.train`` to do without."""
    objective, metric = (partial(make, "squared_error") for make in (sx.objective, sx.metric))
    message = "squared_error: expected the DMatrix that xgboost.train hands over, got ndarray; .* sklearn_api=True"
    settings: dict[str, Any] = {"n_estimators": 1, "n_jobs": 1}
    model = xgboost.XGBRegressor(objective=objective(), **settings)
    with pytest.raises(TypeError, match=message):
        model.fit(FEATURES, SIGNAL, sample_weight=weight)
    model = xgboost.XGBRegressor(eval_metric=metric(), **settings)
    some = None if weight is None else [weight]
    with pytest.raises(TypeError, match=message):
        model.fit(FEATURES, SIGNAL, eval_set=[(FEATURES, SIGNAL)], sample_weight_eval_set=some, verbose=False)
    message = "squared_error: expected predictions from an estimator, got DMatrix; .* without sklearn_api=True"
    data = xgboost.DMatrix(FEATURES, SIGNAL, weight=weight)
    with pytest.raises(TypeError, match=message):
        xgboost.train({"nthread": 1}, data, 1, obj=objective(sklearn_api=True))
    with pytest.raises(TypeError, match=message):
        xgboost.train({"nthread": 1}, data, 1, evals=[(data, "d")], custom_metric=metric(sklearn_api=True))
