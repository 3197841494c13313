"""What the adapters share: which losses fit, Hessian rules, what is refused, best constants, and missing libraries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

import symloss
from symloss.adapters.constants import TOLERANCE, optimal_constant
from symloss.adapters.curvature import check_rule, derivatives, trainable
from symloss.adapters.scores import scored

RNG = np.random.default_rng(8)
Z, Y, W = RNG.normal(0, 3, 200), RNG.integers(0, 2, 200).astype(float), RNG.uniform(0.1, 3, 200)
LOGITS, LABELS = RNG.normal(0, 2, (200, 3)), RNG.choice(3, 200, p=[0.1, 0.3, 0.6])

SCALAR = {"absolute_error", "bias_error", "binary_cross_entropy", "focal", "hinge", "huber", "poly_focal", "smooth_l1",
          "squared_error", "squared_hinge"}  # fmt: skip
LABELLED = {"softmax_cross_entropy", "softmax_focal", "poly_cross_entropy"}


LIBRARIES = ("xgboost", "lightgbm", "catboost", "sklearn", "dask", "torch", "jax")
REMAINS = ("xgboost", "sklearn", "scipy")
"""Libraries of the development environment; the others come with the peers: `tests/adapters/test_alone.py`."""


BLOCK = """
from importlib.machinery import PathFinder
plain = PathFinder.find_spec
def found(name, path=None, target=None):
    return None if name.partition(".")[0] in {libraries!r} else plain(name, path, target)
PathFinder.find_spec = found
import sys
"""


def blocking(libraries: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run a line where some libraries cannot be imported, as if they were not there."""
    program = BLOCK.replace("{libraries!r}", repr(libraries)) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_names_the_extra(library: str) -> None:
    done = blocking(LIBRARIES, f"import symloss.adapters.{library}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"pip install symloss[{library}]" in last


@pytest.mark.parametrize("library", REMAINS)
def test_each_adapter_needs_no_other_library(library: str) -> None:
    others = tuple(other for other in LIBRARIES if other != library)
    done = blocking(others, f"import symloss.adapters.{library}")
    assert done.returncode == 0, done.stderr


def test_symloss_brings_no_library() -> None:
    code = "import symloss; symloss.load('focal').value(0.0, 1.0); print(*sorted(sys.modules))"
    done = blocking((), code)
    assert done.returncode == 0, done.stderr
    assert not set(LIBRARIES) & {name.split(".")[0] for name in done.stdout.split()}


def test_the_rooms_shared_bring_no_library() -> None:
    code = "import sys, symloss.adapters.constants, symloss.adapters.curvature; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"xgboost", "lightgbm", "catboost", "sklearn", "dask", "sympy"} & set(done.stdout.split())


@pytest.mark.parametrize("name", sorted(SCALAR | LABELLED))
def test_which_losses_fit(name: str) -> None:
    assert scored(name, {}).rowwise == (name in LABELLED)


@pytest.mark.parametrize("name", ["contrastive", "dice", "margin_ranking", "nce", "softmax_dice", "triplet"])
def test_which_losses_do_not_fit(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: this adapter needs a loss of one prediction and one target"):
        scored(name, {})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no loss 'nothing'"):
        scored("nothing", {})
    with pytest.raises(TypeError, match="huber: unknown parameter 'gamma'; the parameters are delta"):
        scored("huber", {"gamma": 2.0})
    with pytest.raises(ValueError, match=r"hessian must be one of 'exact', .* got 'newton'"):
        check_rule(scored("huber", {}), "newton", 1e-6)
    with pytest.raises(ValueError, match="floor must be positive and finite, got 0"):
        check_rule(scored("huber", {}), "clipped", 0.0)


def test_labels_are_whole() -> None:
    bound = scored("softmax_cross_entropy", {})
    assert bound.arrange(LOGITS, LABELS.astype(np.float32))[1].tolist() == LABELS.tolist()
    with pytest.raises(ValueError, match=r"whole labels, got 0.5 at index 1"):
        bound.arrange(LOGITS[:2], [1.0, 0.5])
    with pytest.raises(ValueError, match=r"whole labels, got nan at index 0"):
        bound.arrange(LOGITS[:1], [np.nan])


def curved(name: str, rule: str, scores: Any, target: Any, weight: Any = None, floor: float = 1e-6) -> Any:
    """Return the Hessian under a rule."""
    return derivatives(scored(name, {}), rule, floor, scores, target, weight)[1]


@pytest.mark.parametrize("weight", [None, W], ids=["plain", "weighted"])
def test_rules_against_their_formulas(weight: Any) -> None:
    w = 1.0 if weight is None else W
    p, q = expit(Z), np.exp(LOGITS - np.logaddexp.reduce(LOGITS, axis=1)[:, None])
    each = w if weight is None else W[:, None]
    loss = np.logaddexp(0, Z) - Y * Z
    expected = {
        ("binary_cross_entropy", "exact"): w * p * (1 - p),
        ("binary_cross_entropy", "xgboost"): w * np.maximum(p * (1 - p), 1e-16),
        ("binary_cross_entropy", "lightgbm"): w * p * (1 - p),
        ("binary_cross_entropy", "sklearn"): w * p * (1 - p),
        ("binary_cross_entropy", "clipped"): w * np.maximum(p * (1 - p), 0.1),
        ("binary_cross_entropy", "gauss_newton"): w * (p - Y) ** 2 / (2 * loss),
        ("huber", "exact"): w * (np.abs(Z - Y) <= 1),
        ("huber", "lightgbm"): w * np.ones(200),
        ("absolute_error", "exact"): 0 * Z,
        ("absolute_error", "xgboost"): w * np.ones(200),
        ("squared_error", "gauss_newton"): w * np.full(200, 2.0),
    }
    for (name, rule), hessian in expected.items():
        found = curved(name, rule, Z, Y, weight, 0.1)
        np.testing.assert_allclose(found, hessian, rtol=1e-12, err_msg=f"{name} {rule}")
    softmax = {
        "exact": each * q * (1 - q),
        "xgboost": np.maximum(2 * each * q * (1 - q), 1e-16),
        "lightgbm": 1.5 * each * q * (1 - q),
        "clipped": each * np.maximum(q * (1 - q), 0.1),
    }
    for rule, hessian in softmax.items():
        found = curved("softmax_cross_entropy", rule, LOGITS, LABELS, weight, 0.1)
        np.testing.assert_allclose(found, hessian, rtol=1e-11, atol=1e-16, err_msg=rule)


def test_class_weights_are_weights() -> None:
    bound, each = scored("softmax_cross_entropy", {"class_weight": np.array([1.0, 2.0, 0.5])}), np.array([1, 2, 0.5])
    weighted = derivatives(bound, "exact", 1e-6, LOGITS, LABELS, W)
    plain = derivatives(scored("softmax_cross_entropy", {}), "exact", 1e-6, LOGITS, LABELS, W * each[LABELS])
    for found, expected in zip(weighted, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert hash(bound) != hash(scored("softmax_cross_entropy", {}))  # an array inside does no harm


def test_gauss_newton_meets_the_exact_one_at_a_minimum() -> None:
    assert curved("squared_error", "gauss_newton", np.zeros(1), np.zeros(1)) == 2.0
    assert curved("hinge", "gauss_newton", np.full(1, 3.0), np.ones(1)) == 0.0
    assert (curved("focal", "gauss_newton", np.linspace(-9, 9, 50), np.ones(50)) >= 0).all()
    with pytest.raises(ValueError, match="bias_error: hessian='gauss_newton' needs a loss that is never negative"):
        curved("bias_error", "gauss_newton", np.zeros(1), np.ones(1))


def test_float32_stays_float32() -> None:
    for rule in ("exact", "clipped", "gauss_newton", "xgboost", "lightgbm", "sklearn"):
        gradient, hessian = derivatives(
            scored("binary_cross_entropy", {}), rule, 1e-6, Z.astype(np.float32), Y.astype(np.float32), W
        )
        assert {gradient.dtype.name, hessian.dtype.name} == {"float32"}, rule


@pytest.mark.parametrize(
    "gradient, hessian, message",
    [
        ([0.0, np.nan], [1.0, 1.0], r"the gradient is nan at index \(1,\), where the score is 7.0 \(1 such of 2\)"),
        ([0.0, np.inf], [1.0, 1.0], "the gradient is inf"),
        ([0.0, 0.0], [np.nan, 1.0], r"the Hessian is nan at index \(0,\)"),
        ([0.0, 0.0], [1.0, -2.0], r"the Hessian is -2.0 at index \(1,\), .*use hessian='clipped' or 'gauss_newton'"),
        ([0.0, 1.0], [0.0, 0.0], "the Hessian is 0 for all 2 scores"),
    ],
)
def test_what_cannot_be_trained_on(gradient: Any, hessian: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"focal: {message}"):
        trainable(scored("focal", {}), "exact", np.array([6.0, 7.0]), np.array(gradient), np.array(hessian))


def test_nothing_is_trainable() -> None:
    empty = np.empty(0)
    assert trainable(scored("focal", {}), "exact", empty, empty, empty) == (empty, empty)


@pytest.mark.parametrize("weight", [None, W], ids=["plain", "weighted"])
def test_constants_known_in_closed_form(weight: Any) -> None:
    target = RNG.normal(50, 9, 200)
    found = {n: optimal_constant(scored(n, {}), t, weight) for n, t in [
        ("squared_error", target), ("binary_cross_entropy", Y), ("softmax_cross_entropy", LABELS),
    ]}  # fmt: skip
    share = np.bincount(LABELS, weight) / (200 if weight is None else W.sum())
    assert found["squared_error"].score == pytest.approx(np.average(target, weights=weight), rel=1e-13)
    odds = logit(np.average(Y, weights=weight))
    assert found["binary_cross_entropy"].score == pytest.approx(odds, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found["softmax_cross_entropy"].score, np.log(share) - np.log(share).mean(), rtol=1e-12)
    assert all(f.certified and f.slope <= TOLERANCE for f in found.values())


@pytest.mark.parametrize("count", [1, 2, 7, 8, 100])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_medians(count: int, scale: float) -> None:
    target = scale * RNG.normal(3, 1, count)
    assert optimal_constant(scored("absolute_error", {}), target).score == pytest.approx(np.median(target), rel=1e-12)


@pytest.mark.parametrize("name, parameters, target", [
    ("huber", {"delta": 0.3}, Z), ("smooth_l1", {"beta": 2.0}, Z), ("focal", {}, Y),
    ("poly_focal", {"epsilon": 2.0}, Y), ("squared_hinge", {}, 2 * Y - 1),
    ("focal", {"gamma": 5.0, "alpha": None}, (Z > 4).astype(float)),
    ("binary_cross_entropy", {"label_smoothing": 0.1}, np.ones(5)),
])  # fmt: skip
def test_constants_beside_a_search(name: str, parameters: dict[str, Any], target: Any) -> None:
    loss = symloss.load(name)
    found = optimal_constant(scored(name, parameters), target)
    search = minimize_scalar(lambda c: loss.value(c, target, **parameters), bounds=(-12, 12), method="bounded",
                             options={"xatol": 1e-9})  # fmt: skip
    assert found.certified
    assert found.score == pytest.approx(search.x, abs=1e-5)
    assert loss.value(found.score, target, **parameters) <= search.fun + 1e-13


@pytest.mark.parametrize("name", ["softmax_focal", "poly_cross_entropy"])
def test_constants_of_classes_beside_a_search(name: str) -> None:
    loss = symloss.load(name)
    found = optimal_constant(scored(name, {}), LABELS, W)

    def mean(z: Any) -> Any:
        return loss.value(np.tile(z, (200, 1)), LABELS, sample_weight=W)

    search = minimize(mean, np.zeros(3), tol=1e-12)
    assert found.certified
    assert found.score.sum() == pytest.approx(0, abs=1e-13)
    assert mean(found.score) <= search.fun + 1e-14
    np.testing.assert_allclose(found.score, search.x - search.x.mean(), atol=1e-4)


def test_the_better_of_two_valleys() -> None:
    """Hinge-like kinks, and a margin: everything on one side ends at the margin."""
    assert optimal_constant(scored("hinge", {"margin": 2.0}), np.ones(4)).score == pytest.approx(2.0, rel=1e-12)
    assert optimal_constant(scored("hinge", {}), -np.ones(4)).score == pytest.approx(-1.0, rel=1e-12)
    assert optimal_constant(scored("hinge", {}), np.array([1, 1, -1.0])).score == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("name, target, message", [
    ("binary_cross_entropy", np.zeros(4), "falls toward minus infinity"),
    ("binary_cross_entropy", np.ones(4), "falls toward infinity"),
    ("focal", np.ones(4), "falls toward infinity"),
    ("poly_focal", np.zeros(4), "falls toward minus infinity"),
    ("bias_error", Z, "falls toward minus infinity"),
    ("softmax_cross_entropy", np.array([0, 2, 2]), "classes without samples: 1"),
    ("squared_error", np.array([0.0, np.nan]), "needs finite targets, got nan"),
    ("squared_error", np.empty(0), "needs samples with a positive weight, got 0 samples"),
])  # fmt: skip
def test_constants_that_do_not_exist(name: str, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        optimal_constant(scored(name, {}), target)


def test_ignored_labels_do_not_count() -> None:
    some = np.concatenate([LABELS, [255, 255]])
    found = optimal_constant(scored("softmax_cross_entropy", {"ignore_index": 255}), some)
    np.testing.assert_array_equal(found.score, optimal_constant(scored("softmax_cross_entropy", {}), LABELS).score)


def test_scores_and_targets_go_together() -> None:
    with pytest.raises(ValueError, match=r"huber: 200 scores need as many targets, got \(1,\)"):
        scored("huber", {}).arrange(Z, Y[:1])
    with pytest.raises(ValueError, match=r"huber: scores of shape \(200, 3\) need as many targets, got \(200,\)"):
        scored("huber", {}).arrange(LOGITS, Y)


def test_weights_of_constants_are_checked() -> None:
    with pytest.raises(ValueError, match="sample_weight must be 200 numbers that are not negative"):
        optimal_constant(scored("squared_error", {}), Z, -W)
    with pytest.raises(ValueError, match="sample_weight must be 200 numbers"):
        optimal_constant(scored("squared_error", {}), Z, W[:5])
