"""LightGBM: our objectives grow the trees that its own grow; weights, layouts, interfaces, and what is refused."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import lightgbm
import numpy as np
import pytest

from symloss.adapters import lightgbm as sl
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

ROUNDS = 20
COMMON = {
    "num_leaves": 15, "learning_rate": 0.2, "num_threads": 1, "seed": 0, "deterministic": True, "force_row_wise": True,
    "verbosity": -1, "boost_from_average": False,
}  # fmt: skip
WEIGHTED = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])


def scores(target: Any, weight: Any, objective: Any, start: Any = None, **settings: Any) -> Any:
    """Train and return raw scores, without the starting score."""
    initial = None if start is None else sl.init_score(start, len(target))
    data = lightgbm.Dataset(FEATURES, target, weight=weight, init_score=initial)
    booster = lightgbm.train({**COMMON, "objective": objective, **settings}, data, num_boost_round=ROUNDS)
    return booster.predict(FEATURES, raw_score=True)


@WEIGHTED
@pytest.mark.parametrize("rule", ["exact", "lightgbm"])
def test_logistic_trees(weight: Any, rule: str) -> None:
    start = sl.base_score("binary_cross_entropy", BINARY, weight)
    theirs = scores(BINARY, weight, "binary", start)
    ours = scores(BINARY, weight, sl.objective("binary_cross_entropy", hessian=rule), start)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert np.ptp(ours) > 1


@WEIGHTED
def test_squared_error_trees(weight: Any) -> None:
    """LightGBM halves the square; twice the bound on the Hessians in a leaf is fair."""
    theirs = scores(SIGNAL, weight, "regression")
    ours = scores(SIGNAL, weight, sl.objective("squared_error", hessian="lightgbm"), min_sum_hessian_in_leaf=2e-3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    exact = scores(SIGNAL, weight, sl.objective("squared_error"), min_sum_hessian_in_leaf=2e-3)
    np.testing.assert_allclose(exact, theirs, rtol=0, atol=1e-9 if weight is None else 1e-7)  # one rounding, not two


@WEIGHTED
def test_huber_trees(weight: Any) -> None:
    theirs = scores(SIGNAL, weight, "huber", alpha=1.35)
    ours = scores(SIGNAL, weight, sl.objective("huber", hessian="lightgbm", delta=1.35))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@WEIGHTED
def test_softmax_trees(weight: Any) -> None:
    theirs = scores(LABELS, weight, "multiclass", num_class=CLASSES)
    ours = scores(LABELS, weight, sl.objective("softmax_cross_entropy", hessian="lightgbm"), num_class=CLASSES)
    assert ours.shape == (len(LABELS), CLASSES)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@WEIGHTED
@pytest.mark.parametrize("start", [None, 0.3])
def test_absolute_error_trees(weight: Any, start: float | None) -> None:
    """LightGBM refits leaves to medians for its own objective only; our callback does so for ours."""
    theirs = scores(SIGNAL, weight, "regression_l1", start)
    initial = None if start is None else sl.init_score(start, len(SIGNAL))
    data = lightgbm.Dataset(FEATURES, SIGNAL, weight=weight, init_score=initial)
    refit = sl.RefitLeaves("absolute_error", FEATURES, hessian="lightgbm", centre="lightgbm")
    booster = lightgbm.train({**COMMON, "objective": refit.objective}, data, num_boost_round=ROUNDS, callbacks=[refit])
    np.testing.assert_allclose(booster.predict(FEATURES), theirs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(refit.scores, booster.predict(FEATURES) + (start or 0.0), rtol=0, atol=1e-12)


def test_leaves_are_the_best_constants() -> None:
    """One tree at full rate: each leaf is the median of its samples."""
    refit = sl.RefitLeaves("absolute_error", FEATURES, hessian="clipped", floor=1.0)
    settings = {**COMMON, "learning_rate": 1.0, "objective": refit.objective}
    booster = lightgbm.train(settings, lightgbm.Dataset(FEATURES, SIGNAL), num_boost_round=1, callbacks=[refit])
    leaves = booster.predict(FEATURES, pred_leaf=True).ravel()
    target = SIGNAL.astype(np.float32).astype(float)
    medians = {leaf: np.median(target[leaves == leaf]) for leaf in np.unique(leaves)}
    np.testing.assert_allclose(booster.predict(FEATURES), [medians[k] for k in leaves], rtol=1e-12)


def test_leaves_that_are_not_refitted() -> None:
    with pytest.raises(ValueError, match="focal: leaves are refitted for losses of prediction minus target only"):
        sl.RefitLeaves("focal", FEATURES)
    with pytest.raises(ValueError, match="huber: centre must be 'best', or 'lightgbm' for absolute_error, got 'light"):
        sl.RefitLeaves("huber", FEATURES, centre="lightgbm")
    refit = sl.RefitLeaves("huber", FEATURES)
    data = lightgbm.Dataset(FEATURES, SIGNAL)
    with pytest.raises(ValueError, match="huber: sets to evaluate on would keep the scores"):
        lightgbm.train({**COMMON, "objective": refit.objective}, data, num_boost_round=2, callbacks=[refit],
                       valid_sets=[data], feval=sl.metric("huber"))  # fmt: skip


def test_estimators_use_the_weights() -> None:
    """With two arguments LightGBM would ignore them."""
    settings = {"n_estimators": ROUNDS, "num_leaves": 15, "learning_rate": 0.2, "n_jobs": 1, "verbosity": -1,
                "random_state": 0, "deterministic": True, "force_row_wise": True}  # fmt: skip
    model = lightgbm.LGBMRegressor(objective=sl.objective("binary_cross_entropy", sklearn_api=True), **settings)
    model.fit(
        FEATURES, BINARY, sample_weight=WEIGHTS, eval_X=FEATURES, eval_y=BINARY, eval_sample_weight=[WEIGHTS],
        eval_metric=sl.metric("binary_cross_entropy", sklearn_api=True),
    )  # fmt: skip
    native = scores(BINARY, WEIGHTS, sl.objective("binary_cross_entropy"))
    np.testing.assert_allclose(model.predict(FEATURES), native, rtol=0, atol=1e-12)
    (evaluated,) = model.evals_result_.values()
    reported = evaluated["binary_cross_entropy"][-1]
    softplus = np.logaddexp(0, native) - BINARY * native
    assert reported == pytest.approx(np.average(softplus, weights=WEIGHTS), rel=1e-6)


def test_a_classifier_of_many_classes() -> None:
    objective = sl.objective("softmax_focal", hessian="gauss_newton", sklearn_api=True, gamma=1.0)
    model = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbosity=-1, objective=objective).fit(FEATURES, LABELS)
    assert (model.predict(FEATURES, raw_score=True).argmax(axis=1) == LABELS).mean() > 0.6


def test_starting_scores_are_laid_out() -> None:
    start = sl.base_score("softmax_cross_entropy", LABELS)
    objective = sl.objective("softmax_cross_entropy", hessian="lightgbm")
    theirs = scores(LABELS, None, "multiclass", start, num_class=CLASSES)
    np.testing.assert_allclose(scores(LABELS, None, objective, start, num_class=CLASSES), theirs, rtol=0, atol=1e-9)
    assert sl.init_score(start, 5).shape == (5, CLASSES)
    assert sl.init_score(0.5, 5).tolist() == [0.5] * 5


def test_the_metric_is_the_weighted_mean() -> None:
    data = lightgbm.Dataset(FEATURES, SIGNAL, weight=WEIGHTS).construct()
    name, value, more_is_better = sl.metric("huber", delta=2.0)(np.zeros(len(SIGNAL)), data)
    residual = np.abs(SIGNAL)
    expected = np.where(residual <= 2, residual**2 / 2, 2 * residual - 2)
    assert (name, more_is_better) == ("huber", False)
    assert value == pytest.approx(np.average(expected, weights=WEIGHTS), rel=1e-6)


def test_objectives_are_pickled() -> None:
    objective = pickle.loads(pickle.dumps(sl.objective("huber", delta=1.35, sklearn_api=True)))
    gradient, hessian = objective(np.zeros(3), np.array([-2.0, 1.0, 5.0]), None)
    np.testing.assert_array_equal(gradient, [-1.35, 1.0, 1.35])
    np.testing.assert_array_equal(hessian, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("sklearn_api", [False, True])
def test_a_negative_hessian_is_refused_inside_training(sklearn_api: bool) -> None:
    objective = sl.objective("focal", sklearn_api=sklearn_api)
    start = sl.init_score(-3.0, len(BINARY))
    model = lightgbm.LGBMRegressor(objective=objective, verbosity=-1)
    train = partial(model.fit, FEATURES, BINARY, init_score=start) if sklearn_api else partial(
        scores, BINARY, None, objective, -3.0
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"focal: the Hessian is -.* use hessian='clipped'"):
        train()


@pytest.mark.parametrize("rule", ["xgboost", "lightgbm"])
def test_a_library_without_this_loss_has_no_hessian_for_it(rule: str) -> None:
    with pytest.raises(ValueError, match=f"focal: hessian='{rule}' exists for .* only"):
        sl.objective("focal", hessian=rule)


@WEIGHTED
def test_interfaces_that_are_mixed_up(weight: Any) -> None:
    """An estimator is told to want ``sklearn_api=True``, and ``lightgbm.train`` to do without."""
    objective, metric = (partial(make, "squared_error") for make in (sl.objective, sl.metric))
    message = "squared_error: expected the Dataset that lightgbm.train hands over, got ndarray; .* sklearn_api=True"
    settings = {"n_estimators": 1, "n_jobs": 1, "verbosity": -1}
    model = lightgbm.LGBMRegressor(objective=objective(), **settings)
    with pytest.raises(TypeError, match=message):
        model.fit(FEATURES, SIGNAL, sample_weight=weight)
    model = lightgbm.LGBMRegressor(**settings)
    with pytest.raises(TypeError, match=message):
        model.fit(FEATURES, SIGNAL, sample_weight=weight, eval_X=FEATURES, eval_y=SIGNAL, eval_metric=metric())
    message = "squared_error: expected predictions from an estimator, got Dataset; .* without sklearn_api=True"
    data = lightgbm.Dataset(FEATURES, SIGNAL, weight=weight)
    with pytest.raises(TypeError, match=message):
        lightgbm.train({**COMMON, "objective": objective(sklearn_api=True)}, data, 1)
    with pytest.raises(TypeError, match=message):
        lightgbm.train(COMMON, data, 1, valid_sets=[data], feval=metric(sklearn_api=True))
