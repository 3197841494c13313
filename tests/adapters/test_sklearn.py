"""scikit-learn's own tests of loss instances, on our losses; and HistGradientBoosting trained with them."""

from __future__ import annotations

import functools
import pickle
import types
from typing import Any

import numpy as np
import pytest
from sklearn._loss.tests import test_loss as theirs
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from symloss.adapters import sklearn as sk
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

MAKERS: dict[str, functools.partial[Any]] = {
    "squared_error": functools.partial(sk.loss, "squared_error"),
    "absolute_error": functools.partial(sk.loss, "absolute_error", hessian="sklearn"),
    "huber": functools.partial(sk.loss, "huber", delta=2.0),
    "smooth_l1": functools.partial(sk.loss, "smooth_l1", beta=0.5),
    "binary_cross_entropy": functools.partial(sk.loss, "binary_cross_entropy"),
    "softmax_cross_entropy": functools.partial(sk.loss, "softmax_cross_entropy", n_classes=3),
    "softmax_focal": functools.partial(sk.loss, "softmax_focal", n_classes=3, hessian="clipped"),
    "poly_cross_entropy": functools.partial(sk.loss, "poly_cross_entropy", n_classes=3, hessian="clipped"),
}
OURS = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS.keys())
WEIGHTED = pytest.mark.parametrize("weight", [None, "range"])
SEED = 3


@OURS
def test_boundaries(maker: Any) -> None:
    theirs.test_loss_boundary(maker())


@OURS
@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("dtype_in", [np.float32, np.float64])
@pytest.mark.parametrize("dtype_out", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, 1])
@pytest.mark.parametrize("out1", [None, 1])
@pytest.mark.parametrize("out2", [None, 1])
def test_dtypes(maker: Any, memory_map: bool, dtype_in: Any, dtype_out: Any, weight: Any, out1: Any, out2: Any) -> None:
    theirs.test_loss_dtype(maker, memory_map, dtype_in, dtype_out, weight, out1, out2, n_threads=1)


@OURS
@WEIGHTED
def test_gradients_are_the_same(maker: Any, weight: Any) -> None:
    theirs.test_loss_gradients_are_the_same(maker(), weight, SEED)


@OURS
@pytest.mark.parametrize("weight", ["ones", "random"])
def test_weights_multiply(maker: Any, weight: Any) -> None:
    theirs.test_sample_weight_multiplies(maker(), weight, SEED)


@OURS
def test_squeezing(maker: Any) -> None:
    theirs.test_graceful_squeezing(maker())


@OURS
@WEIGHTED
def test_perfect_predictions(maker: Any, weight: Any) -> None:
    theirs.test_loss_of_perfect_prediction(maker(), weight)


@OURS
@WEIGHTED
def test_numerical_derivatives(maker: Any, weight: Any) -> None:
    theirs.test_gradients_hessians_numerically(maker(), weight, SEED)


@OURS
@WEIGHTED
def test_intercept_only(maker: Any, weight: Any) -> None:
    theirs.test_loss_intercept_only(maker(), weight)


@OURS
def test_probabilities(maker: Any) -> None:
    loss = maker()
    assert hasattr(loss, "predict_proba") != isinstance(loss.link, theirs.IdentityLink)
    theirs.test_predict_proba(loss, SEED)


@OURS
@WEIGHTED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_initial_arrays(maker: Any, weight: Any, dtype: Any, order: str) -> None:
    theirs.test_init_gradient_and_hessians(lambda sample_weight: maker(), weight, dtype, order)


@OURS
def test_a_wrong_dtype_is_refused(maker: Any) -> None:
    theirs.test_init_gradient_and_hessian_raises(maker, {"dtype": np.int64}, "Valid options for 'dtype'")


@OURS
def test_pickling(maker: Any) -> None:
    theirs.test_loss_pickle(maker())


@pytest.mark.parametrize(
    "name, functional, distribution",
    [
        ("squared_error", np.mean, "normal"),
        ("absolute_error", np.median, "normal"),
        ("binary_cross_entropy", np.mean, "binomial"),
    ],
)
def test_intercepts_are_functionals(name: str, functional: Any, distribution: str) -> None:
    theirs.test_specific_fit_intercept_only(MAKERS[name](), functional, distribution, SEED)


@pytest.mark.parametrize(
    "name, twin, scale",
    [
        ("squared_error", theirs.HalfSquaredError(), 0.5),
        ("absolute_error", theirs.AbsoluteError(), 1.0),
        ("binary_cross_entropy", theirs.HalfBinomialLoss(), 1.0),
        ("softmax_cross_entropy", theirs.HalfMultinomialLoss(n_classes=3), 1.0),
    ],
)
@WEIGHTED
def test_values_beside_their_twins(name: str, twin: Any, scale: float, weight: Any) -> None:
    ours = MAKERS[name]()
    target, raw = theirs.random_y_true_raw_prediction(twin, 30, y_bound=(-100, 100), raw_bound=(-20, 20), seed=SEED)
    weight = None if weight is None else np.linspace(1, 3, 30)
    expected = (*twin.loss_gradient(target, raw, weight), *twin.gradient_hessian(target, raw, weight))
    found = (*ours.loss_gradient(target, raw, weight), *ours.gradient_hessian(target, raw, weight))
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(scale * mine, np.broadcast_to(other, mine.shape), rtol=1e-10, atol=1e-15)


SETTINGS: dict[str, Any] = {"max_iter": 10, "random_state": 0, "early_stopping": False}


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", ["absolute_error", "squared_error"])
def test_regressors_predict_the_same(name: str, weight: Any) -> None:
    ours = clone(HistGradientBoostingRegressor(loss=MAKERS[name](), **SETTINGS))
    theirs_ = HistGradientBoostingRegressor(loss=name, **SETTINGS)
    found, expected = (m.fit(FEATURES, SIGNAL, sample_weight=weight).predict(FEATURES) for m in (ours, theirs_))
    # Gradients are stored as float32, and a weighted median falls on one side of an interval or the other.
    if name == "squared_error" or weight is None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(found - SIGNAL).mean() < 1.05 * np.abs(expected - SIGNAL).mean()


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("name, target", [("binary_cross_entropy", BINARY), ("softmax_cross_entropy", LABELS)])
def test_classifiers_predict_the_same(name: str, target: Any, weight: Any) -> None:
    loss = sk.loss(name) if name.startswith("binary") else sk.loss(name, n_classes=CLASSES)
    ours = HistGradientBoostingClassifier(loss=loss, **SETTINGS)
    theirs_ = HistGradientBoostingClassifier(**SETTINGS)
    found, expected = (m.fit(FEATURES, target, sample_weight=weight).predict_proba(FEATURES) for m in (ours, theirs_))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_huber_shrugs_off_outliers() -> None:
    rng = np.random.default_rng(5)
    spoiled = np.where(rng.random(len(SIGNAL)) < 0.05, SIGNAL + 100, SIGNAL)
    errors = {}
    for loss in (sk.loss("huber", delta=1.35), "squared_error"):
        model = HistGradientBoostingRegressor(loss=loss, **SETTINGS).fit(FEATURES, spoiled)
        errors[str(type(loss).__name__)] = np.median(np.abs(model.predict(FEATURES) - SIGNAL))
    assert errors["HistLoss"] < 0.5 * errors["str"]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax_focal: n_classes must be given"):
        sk.loss("softmax_focal")
    with pytest.raises(ValueError, match="huber: n_classes must be left out"):
        sk.loss("huber", n_classes=3)
    with pytest.raises(ValueError, match="refit=True needs a loss of prediction minus target"):
        sk.loss("focal", refit=True)
    with pytest.raises(ValueError, match="focal: the Hessian is -"):
        sk.loss("focal").gradient_hessian(np.array([1.0]), np.array([-4.0]))


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(
    "estimator, name, classes, target, message",
    [
        ("Classifier", "softmax_cross_entropy", 2, LABELS, "n_classes=4 for 4 classes, got n_classes=2"),
        ("Classifier", "softmax_focal", 9, LABELS, "n_classes=4 for 4 classes, got n_classes=9"),
        ("Classifier", "softmax_cross_entropy", 2, BINARY, "a single logit for two classes, .* got one of 2 scores"),
        ("Classifier", "focal", None, LABELS, "a loss of 4 scores for 4 classes, .* got one of a single logit"),
        ("Classifier", "squared_error", None, BINARY, "a loss of logits, .* got one without predict_proba"),
        ("Classifier", "squared_hinge", None, 2 * BINARY - 1, "a loss of logits, .* got one without predict_proba"),
        ("Regressor", "softmax_cross_entropy", 4, LABELS, "a loss of one score a sample, got one of 4 scores"),
    ],
)
def test_an_estimator_and_a_loss_that_do_not_go_together(
    estimator: str, name: str, classes: int | None, target: Any, message: str, early: bool
) -> None:
    kind = {"Classifier": HistGradientBoostingClassifier, "Regressor": HistGradientBoostingRegressor}[estimator]
    model = kind(loss=sk.loss(name, n_classes=classes), **SETTINGS | {"early_stopping": early, "max_iter": 1})
    with pytest.raises(ValueError, match=f"{name}: HistGradientBoosting{estimator} needs .*{message}"):
        model.fit(FEATURES, target)


def test_losses_of_two_values_may_be_fitted_either_way() -> None:
    probability = sk.loss("focal", hessian="clipped")
    regressor = HistGradientBoostingRegressor(loss=probability, **SETTINGS).fit(FEATURES, BINARY)
    classifier = HistGradientBoostingClassifier(loss=probability, **SETTINGS).fit(FEATURES, BINARY)
    np.testing.assert_array_equal(classifier.predict_proba(FEATURES)[:, 1], regressor.predict(FEATURES))
    HistGradientBoostingRegressor(loss=sk.loss("squared_hinge"), **SETTINGS).fit(FEATURES, 2 * BINARY - 1)


def test_leaves_are_refitted_only_for_losses_of_residuals_with_flat_parts() -> None:
    assert [not maker().differentiable for maker in MAKERS.values()] == [False, True, True, True, *[False] * 4]
    assert isinstance(pickle.loads(pickle.dumps(MAKERS["huber"]())), sk.HistLoss)


APPLIED = {
    "test_loss_boundary", "test_loss_dtype", "test_loss_gradients_are_the_same", "test_sample_weight_multiplies",
    "test_graceful_squeezing", "test_loss_of_perfect_prediction", "test_gradients_hessians_numerically",
    "test_loss_intercept_only", "test_predict_proba", "test_init_gradient_and_hessians",
    "test_init_gradient_and_hessian_raises", "test_loss_pickle", "test_specific_fit_intercept_only",
}  # fmt: skip
NOT_APPLICABLE = {
    "test_loss_boundary_y_true": "a table of their own losses; ranges are those of test_loss_boundary",
    "test_loss_boundary_y_pred": "a table of their own losses",
    "test_loss_on_specific_values": "a table of their own losses",
    "test_loss_same_as_C_functions": "compares with the compiled object, which ours have not",
    "test_derivatives": "looks losses up by scikit-learn's names",
    "test_multinomial_loss_fit_intercept_only": "builds its own loss",
    "test_multinomial_cy_gradient": "tests the compiled object",
    "test_binomial_and_multinomial_loss": "compares two of their own",
    "test_binomial_vs_alternative_formulation": "tests one of their own",
    "test_loss_init_parameter_validation": "tests their constructors",
    "test_tweedie_log_identity_consistency": "tests two of their own",
    "test_loss_array_api": "tests their array-API twins",
    "test_log1pexp": "tests a helper function",
    "test_cy_loss_classes_module": "tests the compiled module",
}


def test_every_test_of_theirs_is_applied_or_accounted_for() -> None:
    known = {n for n, f in vars(theirs).items() if n.startswith("test_") and isinstance(f, types.FunctionType)}
    assert known == APPLIED | set(NOT_APPLICABLE)
