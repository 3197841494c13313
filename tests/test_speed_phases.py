"""Kernels in two phases: what one adds up, the other makes results of; inputs are looked at on the way."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import pipeline
from symloss.runtime import threads
from symloss.runtime.loss import Loss
from symloss.runtime.plan import REST, SUMS, Plan

PHASED = tuple(name for name in symloss.losses() if symloss.load(name).plan.sums[np.dtype(np.float32)])
CALLS = ("value", "gradient", "value_and_gradient", "hessian_diagonal", "gradient_and_hessian")
TVERSKY = r'''"""One minus the share of the overlap in both masks, with what only one of them has weighed."""

from symloss.language import (
    Axis, Expr, Interval, Reference, Tensor, at_least, data, loss, parameter, prediction, ratio, sum_over,
)

n, m = Axis("n", "samples"), Axis("m", "pixels")
i, q = n.index("i"), m.index("q")
SALEHI_2017 = Reference(
    """@inproceedings{salehi2017tversky,
  author = {Salehi, Seyed Sadegh Mohseni and Erdogmus, Deniz and Gholipour, Ali},
  title = {Tversky Loss Function for Image Segmentation Using {3D} Fully Convolutional Deep Networks},
  booktitle = {Machine Learning in Medical Imaging},
  year = {2017},
  doi = {10.1007/978-3-319-67389-9_44},
}""",
    url="https://arxiv.org/abs/1706.05721",
)


@loss(title="Tversky loss", family="segmentation", per=i, references=(SALEHI_2017,))
def tversky(
    probability: Tensor = prediction(n, m, symbol="p", domain=Interval(0, {high}), about="What is found."),
    target: Tensor = data(n, m, symbol="t", domain=Interval({low}, 1), about="What is there."),
    *,
    share: Expr = parameter(0.3, at_least(0), symbol="a", about="The weight of what is found alone."),
) -> Expr:
    """One minus the share of the overlap in both masks, with what only one of them has weighed."""
    p, t = probability, target
    both = sum_over(q, p[i, q] * t[i, q])
    rest = share * sum_over(q, p[i, q]) + (1 - share) * sum_over(q, t[i, q])
    return 1 - ratio(both, both + rest)
'''


def _masks(n: int, m: int, dtype: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.random((n, m)).astype(dtype), rng.integers(0, 2, (n, m)).astype(dtype)]


def _leaves(found: Any) -> list[Any]:
    return [np.asarray(x) for x in (found if isinstance(found, tuple) else (found,))]


def _in_one(plan: Plan) -> Plan:
    """Return a plan without kernels in phases."""
    narrow, kernels = (
        {n: k for n, k in known.items() if not n.endswith((SUMS, REST))} for known in (plan.narrow, plan.kernels)
    )
    return replace(plan, narrow=narrow, kernels=kernels, variants=tuple(map(_in_one, plan.variants)))


def test_losses_whose_domains_have_one_bound_are_in_phases() -> None:
    assert PHASED == ("dice",)
    for accuracy in ("exact", "fast"):
        plan = symloss.load("dice", accuracy=accuracy).plan
        assert {n for n in plan.narrow if n.endswith(SUMS)} == {k + SUMS for k in plan.sums[np.dtype(np.float32)]}
        assert all(len(variant.sums[np.dtype(np.float32)]) == 3 for variant in plan.variants)
    exact = symloss.load("dice").plan
    assert not any(n.endswith(SUMS) for n in exact.kernels), "exact float64 is computed in pairs, in one"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", PHASED)
def test_two_phases_give_the_bits_of_one(name: str, accuracy: str, dtype: Any) -> None:
    loss = symloss.load(name, accuracy=accuracy)
    whole = replace(loss, plan=_in_one(loss.plan))
    for n, m in ((1, 1), (3, 31), (2, 33), (5, 512), (4, 1500), (0, 7), (3, 0), (40, 9000)):
        inputs = _masks(n, m, dtype)
        if m > 31:
            inputs[0][0, :2] = -0.0, 1.0
        weight = np.linspace(0.0, 2.0, n)
        for call in CALLS:
            for options in ({}, {"sample_weight": weight, "reduction": "none"}, {"reduction": "sum", "smooth": 0.0}):
                found = _leaves(getattr(loss, call)(*inputs, **options))
                for a, b in zip(found, _leaves(getattr(whole, call)(*inputs, **options)), strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=f"{call} {n} x {m} {options}")


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", PHASED)
def test_nothing_is_written_where_an_input_is_outside(name: str, accuracy: str) -> None:
    """Not even rows before it, which other tasks are through with long before."""
    loss = symloss.load(name, accuracy=accuracy)
    for place in ((0, 0), (3, 40_000), (7, 65_535)):
        for which, argument in enumerate(loss.inputs):
            for bad in (1.0 + 2.0**-23, -1e-30, math.inf, -math.inf):
                inputs = _masks(8, 65_536, np.float32)
                inputs[which][place] = bad
                out = np.full((8, 65_536), 7.0, np.float32)
                with pytest.raises(ValueError, match=rf"{name}: {argument} must be in \[0, 1\], got .*{place[1]}\)"):
                    loss.value_and_gradient(*inputs, out=out)
                with pytest.raises(ValueError, match=argument):
                    loss.gradient_and_hessian(*inputs, out=(out, np.empty_like(out)))
                assert (out == 7.0).all()
                with pytest.raises(ValueError, match=argument):
                    loss.value(*inputs)
                with pytest.raises(ValueError, match=argument):
                    loss.gradient(*inputs, wrt=("probability", "smooth"))


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", PHASED)
def test_nan_passes_through_both_phases(name: str, accuracy: str) -> None:
    loss = symloss.load(name, accuracy=accuracy)
    inputs = _masks(4, 2000, np.float32)
    inputs[0][2, 1999] = math.nan
    value, gradient = loss.value_and_gradient(*inputs, reduction="none")
    assert np.isnan(value).tolist() == [False, False, True, False]
    assert np.isnan(gradient).all(axis=1).tolist() == [False, False, True, False]


def test_phases_give_the_same_bits_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("chosen", "worth"):
        monkeypatch.setattr(threads._POOL, name, getattr(threads._POOL, name))  # as it is now, afterwards
    loss, inputs, expected = symloss.load("dice"), _masks(12, 70_000, np.float32), None
    for count in (1, 2, 3):
        threads.share_always(count)
        found = [x.tobytes() for x in _leaves(loss.value_and_gradient(*inputs))]
        expected = expected or found
        assert found == expected


def _user_loss(where: Path, high: str, low: str) -> Loss:
    definitions = where / "definitions"
    definitions.mkdir()
    text = TVERSKY.replace("{high}", high).replace("{low}", low)
    (definitions / "tversky.py").write_text(text, encoding="utf-8")
    pipeline.generate((), definitions, where / "out", check=False, progress=lambda *_: None)
    return symloss.load("tversky", package=where / "out")


def test_a_loss_of_a_user_gets_phases(tmp_path: Path) -> None:
    loss = _user_loss(tmp_path, "1", "0")
    assert loss.plan.sums[np.dtype(np.float32)]
    p, t = _masks(3, 700, np.float32)
    value, gradient = loss.value_and_gradient(p, t, reduction="sum")
    p, t = p.astype(np.float64), t.astype(np.float64)
    both, rest = (p * t).sum(1), 0.3 * p.sum(1) + 0.7 * t.sum(1)
    assert value == pytest.approx((1 - both / (both + rest)).sum(), rel=1e-6)
    slope = (both[:, None] * 0.3 - rest[:, None] * t) / ((both + rest) ** 2)[:, None]
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-9)


def test_domains_of_two_kinds_are_looked_at_before(tmp_path: Path) -> None:
    loss = _user_loss(tmp_path, "2", "-1")
    assert not loss.plan.sums[np.dtype(np.float32)]
    p, t = _masks(3, 700, np.float32)
    p[1, 5] = 2.5
    with pytest.raises(ValueError, match=r"probability must be in \[0, 2\], got 2.5 at index \(1, 5\)"):
        loss.value_and_gradient(p, t)


LABELLED = """    p = probability
    whole = sum_over(q, p[i, q])
    return log(whole + share) - log(p[i, target[i]] + share)
"""


def test_a_loss_with_labels_gets_phases_too(tmp_path: Path) -> None:
    """What is written at the label is written by the second, which reads it again."""
    head, _, _ = TVERSKY.replace("{high}", "1").partition("    p, t = ")
    head = head.replace(
        'target: Tensor = data(n, m, symbol="t", domain=Interval({low}, 1)',
        'target: Tensor = labels(n, into=m, symbol="y"',
    )
    head = head.replace(" data, loss", " labels, log, loss").replace(", ratio, sum_over", ", sum_over")
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "tversky.py").write_text(head + LABELLED, encoding="utf-8")
    pipeline.generate((), definitions, tmp_path / "out", check=False, progress=lambda *_: None)
    loss = symloss.load("tversky", package=tmp_path / "out")
    assert loss.plan.sums[np.dtype(np.float32)]
    p = _masks(3, 700, np.float32)[0]
    label = np.array([0, 699, 31])
    value, gradient = loss.value_and_gradient(p, label, reduction="sum")
    wide = p.astype(np.float64)
    at, whole = wide[np.arange(3), label] + 0.3, wide.sum(1) + 0.3
    assert value == pytest.approx(np.log(whole / at).sum(), rel=1e-6)
    slope = np.repeat(1 / whole, 700).reshape(3, 700)
    slope[np.arange(3), label] -= 1 / at
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)
    p[2, 5] = -0.5
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got -0.5 at index \(2, 5\)"):
        loss.value_and_gradient(p, label)
