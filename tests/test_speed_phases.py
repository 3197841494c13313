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
from symloss.language.errors import DefinitionError
from symloss.runtime import threads
from symloss.runtime.loss import Loss
from symloss.runtime.plan import REST, SUMS, Plan

PHASED = tuple(name for name in symloss.losses() if symloss.load(name).plan.sums[np.dtype(np.float32)])
CALLS = ("value", "gradient", "value_and_gradient", "hessian_diagonal", "gradient_and_hessian")
HEAD = r'''"""A loss of a user."""

from symloss.language import (
    Axis, Expr, Interval, Reference, Tensor, at_least, data, differs, exp, labels, log, loss, max_over, parameter,
    prediction, ratio, sum_over, weights,
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


@loss(title="A loss", family="segmentation", per=i, references=(SALEHI_2017,))
def own_loss(
    p: Tensor = prediction(n, m, symbol="p", domain=Interval(0, HIGH), about="What is found."),
ARGUMENTS
) -> Expr:
    """A loss of a user."""
'''
MASK = '    t: Tensor = data(n, m, symbol="t", domain=Interval(LOW, 1), about="What is there."),'
LABEL = '    y: Tensor = labels(n, into=m, symbol="y", about="The place that is right."),'
SHARE = '    *,\n    share: Expr = parameter(0.3, at_least(0), symbol="a", about="A weight."),'
TVERSKY = """    both = sum_over(q, p[i, q] * t[i, q])
    rest = share * sum_over(q, p[i, q]) + (1 - share) * sum_over(q, t[i, q])
    return 1 - ratio(both, both + rest)
"""


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


def _user_loss(where: Path, arguments: str, body: str, high: str = "1", low: str = "0") -> Loss:
    definitions = where / "definitions"
    definitions.mkdir()
    text = HEAD.replace("HIGH", high).replace("ARGUMENTS", arguments.replace("LOW", low)) + body
    (definitions / "own_loss.py").write_text(text, encoding="utf-8")
    pipeline.generate((), definitions, where / "out", check=False, progress=lambda *_: None)
    return symloss.load("own_loss", package=where / "out")


def test_a_loss_of_a_user_gets_phases(tmp_path: Path) -> None:
    loss = _user_loss(tmp_path, f"{MASK}\n{SHARE}", TVERSKY)
    assert loss.plan.sums[np.dtype(np.float32)]
    p, t = _masks(3, 700, np.float32)
    value, gradient = loss.value_and_gradient(p, t, reduction="sum")
    p, t = p.astype(np.float64), t.astype(np.float64)
    both, rest = (p * t).sum(1), 0.3 * p.sum(1) + 0.7 * t.sum(1)
    assert value == pytest.approx((1 - both / (both + rest)).sum(), rel=1e-6)
    slope = (both[:, None] * 0.3 - rest[:, None] * t) / ((both + rest) ** 2)[:, None]
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-9)


def test_domains_of_two_kinds_are_looked_at_before(tmp_path: Path) -> None:
    loss = _user_loss(tmp_path, f"{MASK}\n{SHARE}", TVERSKY, "2", "-1")
    assert not loss.plan.sums[np.dtype(np.float32)]
    p, t = _masks(3, 700, np.float32)
    p[1, 5] = 2.5
    with pytest.raises(ValueError, match=r"p must be in \[0, 2\], got 2.5 at index \(1, 5\)"):
        loss.value_and_gradient(p, t)


def _others(p: Any, y: Any) -> Any:
    rest = np.ones(p.shape, bool)
    rest[np.arange(len(p)), y] = False
    return rest


OWN: dict[str, tuple[str, str, Any, Any]] = {
    "labels": (
        f"{LABEL}\n{SHARE}", "    return log(sum_over(q, p[i, q]) + share) - log(p[i, y[i]] + share)\n",
        lambda p, y: np.log((p.sum(1) + 0.3) / (p[np.arange(3), y] + 0.3)),
        lambda p, y: 1 / (p.sum(1) + 0.3)[:, None] - np.where(_others(p, y), 0, 1 / (p + 0.3)),
    ),
    "one entry left out": (
        LABEL, "    return sum_over(q, p[i, q] ** 2, where=differs(q, y[i])) - p[i, y[i]]\n",
        lambda p, y: np.where(_others(p, y), p**2, -p).sum(1),
        lambda p, y: np.where(_others(p, y), 2 * p, -1.0),
    ),
    "the largest beside a sum": (
        LABEL, "    return sum_over(q, p[i, q]) - max_over(q, p[i, q]) - p[i, y[i]]\n",
        lambda p, y: p.sum(1) - p.max(1) - p[np.arange(3), y],
        lambda p, y: 1.0 - (p == p.max(1, keepdims=True)) - ~_others(p, y),
    ),
    "a sum that no sample changes": (
        LABEL + '\n    *,\n    w: Tensor = weights(m, symbol="w", domain=at_least(0), about="One weight per pixel."),',
        "    return (sum_over(q, p[i, q] ** 2) + p[i, y[i]]) / (sum_over(q, w[q]) + 1)\n",
        lambda p, y: ((p**2).sum(1) + p[np.arange(3), y]) / 701,
        lambda p, y: (2 * p + ~_others(p, y)) / 701,
    ),
    "exponentials": (
        f"{LABEL}\n{SHARE}", "    return log(sum_over(q, exp(share * p[i, q]))) - p[i, y[i]]\n",
        lambda p, y: np.log(np.exp(0.3 * p).sum(1)) - p[np.arange(3), y],
        lambda p, y: 0.3 * np.exp(0.3 * p) / np.exp(0.3 * p).sum(1, keepdims=True) - ~_others(p, y),
    ),
}  # fmt: skip
"""Arguments, the formula, and value and gradient worked out by hand."""


@pytest.mark.parametrize("case", OWN)
def test_losses_of_users_are_right_in_phases_or_without(tmp_path: Path, case: str) -> None:
    arguments, body, value_of, slope_of = OWN[case]
    loss = _user_loss(tmp_path, arguments, body)
    p, label = _masks(3, 700, np.float32)[0], np.array([0, 699, 31])
    wide = p.astype(np.float64)
    for fast in (loss, symloss.load("own_loss", package=tmp_path / "out", accuracy="fast")):
        value, gradient = fast.value_and_gradient(p, label, reduction="none")
        np.testing.assert_allclose(value, value_of(wide, label), rtol=3e-6)
        np.testing.assert_allclose(gradient, slope_of(wide, label), rtol=3e-6, atol=1e-7)
        np.testing.assert_array_equal(fast.gradient_and_hessian(p, label, reduction="sum")[0], gradient)
        assert fast.value(p, label, reduction="sum") == pytest.approx(value.sum(dtype=np.float64), rel=1e-6)
    p[2, 5] = -0.5
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\], got -0.5 at index \(2, 5\)"):
        loss.value_and_gradient(p, label)


@pytest.mark.parametrize("name", ["most", "sums", "own", "block", "length", "seed", "total"])
def test_names_that_kernels_need_are_no_arguments(tmp_path: Path, name: str) -> None:
    """They would be overwritten in silence."""
    with pytest.raises(DefinitionError, match=rf"own_loss: kernels or modules use the name {name} for themselves"):
        _user_loss(tmp_path, f"{MASK}\n{SHARE}".replace("share", name), TVERSKY.replace("share", name))
