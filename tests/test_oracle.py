"""The oracle against independent arithmetic, its independence of the compiler, and the spread of the sampler."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import flint
import mpmath
import numpy as np
import pytest

from symloss import catalogue, load
from symloss.runtime.loss import Loss
from symloss.verification import claims, oracle
from symloss.verification.ladder import accuracy, taylor, variants
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.sampling import CLUSTERS, numbers
from symloss.verification.ulp import ulp_error

DEFINITIONS = catalogue.find()
PLAIN = {"pos_weight": 1.0, "label_smoothing": 0.0}


@pytest.mark.parametrize("z", [-800.0, -40.0, -1e-300, 0.0, 1e-5, 37.0, 745.0, 5000.0])
def test_binary_cross_entropy_against_mpmath(z: float) -> None:
    tensors, unit = {"logit": np.array([z]), "target": np.array([1.0])}, {"logit": np.array([1.0])}
    balls = oracle_of(DEFINITIONS["binary_cross_entropy"]).along(tensors, PLAIN, unit, 2)
    with mpmath.workdps(2600):
        x = mpmath.mpf(z)
        p = 1 / (1 + mpmath.exp(-x))
        truths = (-mpmath.log(p), p - 1, p * (1 - p))
        for ball, truth in zip(balls, truths, strict=True):
            got = mpmath.mpf(ball.mid().str(40, radius=False))
            assert abs(got - truth) <= abs(truth) * mpmath.mpf(10) ** -20


def test_softmax_cross_entropy_against_mpmath() -> None:
    z, label = np.array([[3.0, -700.0, 40.5, 1e-3]]), np.array([2])
    tensors = {"logits": z, "label": label, "class_weight": np.ones(4)}
    scalars: dict[str, Any] = {"label_smoothing": 0.0, "ignore_index": None}
    unit = np.zeros((1, 4))
    unit[0, 1] = 1.0
    value, slope, bend = oracle_of(DEFINITIONS["softmax_cross_entropy"]).along(tensors, scalars, {"logits": unit}, 2)
    with mpmath.workdps(900):
        e = [mpmath.exp(mpmath.mpf(x)) for x in z[0]]
        p = e[1] / sum(e)
        for ball, truth in ((value, mpmath.log(sum(e)) - mpmath.mpf(40.5)), (slope, p), (bend, p * (1 - p))):
            got = mpmath.mpf(ball.mid().str(40, radius=False))
            assert abs(got - truth) <= abs(truth) * mpmath.mpf(10) ** -20


def test_what_cannot_be_decided_is_not_passed() -> None:
    tensors = {"logit": np.array([1e300]), "target": np.array([0.0])}
    with pytest.raises(Undecided):
        oracle_of(DEFINITIONS["binary_cross_entropy"]).along(tensors, PLAIN, {}, 0)


def test_the_oracle_shares_nothing_with_the_compiler() -> None:
    for module in (oracle, claims):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        names = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
        rooms = {name.split(".")[1] for name in names if name.startswith("symloss.")}
        assert rooms <= {"language", "verification"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sampler_spreads(dtype: type) -> None:
    drawn = numbers(np.random.default_rng(0), 600, np.dtype(dtype), 1e4)
    exponents = np.unique(np.frexp(drawn[drawn != 0])[1])
    assert drawn.dtype == dtype
    assert len(exponents) > 80
    assert (drawn > 0).sum() > 200
    assert (drawn < 0).sum() > 200
    assert (np.abs(drawn[drawn != 0]) < np.finfo(dtype).tiny).any()
    for cluster in CLUSTERS[1:]:
        assert (np.abs(np.abs(drawn) / cluster - 1) < 0.01).any(), cluster


def test_errors_in_units_of_the_last_place() -> None:
    flint.ctx.prec = 128
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert ulp_error(1.0, flint.arb(1), double).ulp == 0
    assert ulp_error(1.0 + 2**-52, flint.arb(1), double).ulp == pytest.approx(1)
    assert ulp_error(0.0, flint.arb("1e-200"), double).kind == "false zero"
    assert ulp_error(0.0, flint.arb("1e-400"), double).kind == ""
    assert ulp_error(np.nan, flint.arb(1), double).kind == "nan"
    assert ulp_error(-1e-3, flint.arb("1e-3"), double).kind == "sign"
    assert ulp_error(np.inf, flint.arb("1e39"), single).kind == ""
    assert ulp_error(np.inf, flint.arb("1e38"), single).kind == "inf"


class Spoiled:
    """A loss with one method replaced: the ladder must notice."""

    def __init__(self, loss: Loss, **replaced: Any) -> None:
        self._loss, self._replaced = loss, replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name, getattr(self._loss, name))


def test_the_ladder_rejects_a_wrong_sign_and_a_false_zero() -> None:
    definition, loss = DEFINITIONS["binary_cross_entropy"], load("binary_cross_entropy")

    def flipped(*inputs: Any, **options: Any) -> Any:
        gradient, hessian = loss.gradient_and_hessian(*inputs, **options)
        return -gradient, hessian

    def clipped(*inputs: Any, **options: Any) -> Any:
        value = loss.value(*inputs, **options)
        return np.where(value < 1e-12, 0.0, value).astype(value.dtype)

    rows = accuracy(definition, Spoiled(loss, gradient_and_hessian=flipped), 1, 60)
    assert sum(r.wrong_signs for r in rows if r.quantity == "gradient") > 0
    assert sum(r.wrong for r in rows if r.quantity == "gradient") > 0
    rows = accuracy(definition, Spoiled(loss, value=clipped), 1, 200)
    assert sum(r.false_zeros for r in rows if r.quantity == "value") > 0
    halved = Spoiled(loss, gradient=lambda *a, **k: tuple(g / 2 for g in loss.gradient(*a, **k)))
    assert taylor(definition, halved, 1).status == "failed"
    assert (
        variants(definition, Spoiled(loss, hessian_diagonal=lambda *a, **k: loss.gradient(*a, **k)), 1, None).status
        == "failed"
    )
