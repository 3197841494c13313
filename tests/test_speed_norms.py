"""Norms in float32 arithmetic: squares in float64 need no look at the largest entry, and leave no format."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import pipeline

NORMED = (
    "arcface",
    "contrastive",
    "ge2e_contrast",
    "ge2e_softmax",
    "info_nce",
    "multiple_negatives_ranking",
    "triplet",
)
DEFINITION = r'''"""A loss of a user."""

from symloss.language import (
    Axis, Expr, Interval, Reference, Tensor, data, differs, exp, labels, log, loss, norm_over, prediction, softplus,
    sum_over,
)

n, c, g = Axis("n", "samples"), Axis("c", "classes", least=2), Axis("g", "groups")
i, k, l = n.index("i"), c.index("k"), g.index("l")
WANG_2017 = Reference(
    """@inproceedings{wang2017normface,
  author = {Wang, Feng and Xiang, Xiang and Cheng, Jian and Yuille, Alan L.},
  title = {NormFace: L2 Hypersphere Embedding for Face Verification},
  booktitle = {ACM Multimedia},
  year = {2017},
  doi = {10.1145/3123266.3123359},
}""",
    url="https://arxiv.org/abs/1704.06369",
)


@loss(title="A loss", family="classification", per=i, references=(WANG_2017,))
def own_loss(
    x: Tensor = prediction(n, AXES, symbol="x", about="What is found."),
    y: Tensor = OTHER,
) -> Expr:
    """A loss of a user."""
    return BODY
'''
LABEL = 'labels(n, into=c, symbol="y", about="The class.")'
SHARE = 'data(n, c, symbol="y", domain=Interval(0, 1), about="The share of each class.")'
BODIES: dict[str, tuple[str, Any, Any]] = {
    "plain": ("norm_over(k, x[i, k])", lambda x, _: x, lambda x: x),
    "of exponentials": ("norm_over(k, exp(x[i, k] / 8))", lambda x, _: np.exp(x / 8), lambda x: np.exp(x / 4) / 8),
    "of softplus": (
        "norm_over(k, softplus(x[i, k]))", lambda x, _: np.logaddexp(0, x),
        lambda x: np.logaddexp(0, x) * np.exp(-np.logaddexp(0, -x)),
    ),
    "of all but one": (
        "norm_over(k, x[i, k], where=differs(k, y[i]))",
        lambda x, y: np.where(np.arange(x.shape[1]) == y[:, None], 0, x), lambda x: x,
    ),
}  # fmt: skip
"""The formula, the vector that it is the norm of, and half the slope of that vector's square."""


def _own(where: Path, body: str, accuracy: str, axes: str = "c", other: str = LABEL) -> Any:
    definitions = where / "definitions"
    definitions.mkdir(exist_ok=True)
    text = DEFINITION.replace("BODY", body).replace("AXES", axes).replace("OTHER", other)
    (definitions / "own_loss.py").write_text(text, encoding="utf-8")
    pipeline.generate((), definitions, where / "out", check=False, progress=lambda *_: None)
    return symloss.load("own_loss", package=where / "out", accuracy=accuracy)


@pytest.mark.parametrize("name", NORMED)
def test_no_largest_entry_is_looked_for_in_rows(name: str) -> None:
    """Where inputs may be float64 it is, and where products take the time, which a pass over the rows does not."""
    rows = symloss.load(name).spec.separable
    assert rows == (name in ("contrastive", "triplet"))
    for accuracy, peak, wide in (("fast", not rows, rows), ("exact", True, False)):
        kernel: Any = symloss.load(name, accuracy=accuracy).plan.narrow["value_and_gradient"]
        source = inspect.getsource(kernel.py_func)
        assert ("peak_" in source) == peak
        assert ("f64(" in source) == wide


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("size", [1e-42, 1e-25, 1.0, 100.0, 1e25, 1e37])
def test_norms_of_users_are_right_for_all_sizes(tmp_path: Path, case: str, size: float) -> None:
    """Squares of functions, and beside what is left out, go through memory that is float32: those are relative."""
    body, of, slope = BODIES[case]
    size = min(size, 600.0) if case == "of exponentials" else size
    loss = _own(tmp_path, body, "fast")
    rng = np.random.default_rng(4)
    x, y = (rng.uniform(-0.5, 0.5, (4, 700)) * size).astype(np.float32), rng.integers(0, 700, 4)
    wide = x.astype(np.float64)
    norm = np.sqrt((of(wide, y) ** 2).sum(1))
    value, gradient = loss.value_and_gradient(x, y, reduction="none")
    small = size < 1e-40 and case in ("plain", "of all but one")  # subnormal numbers have few digits
    np.testing.assert_allclose(value, norm, rtol=2e-4 if small else 2e-6)
    expected = slope(wide) / norm[:, None]
    if case == "of all but one":
        expected[np.arange(4), y] = 0
    np.testing.assert_allclose(gradient, expected, rtol=2e-3 if small else 1e-5, atol=1e-7)
    kernel: Any = loss.plan.narrow["value_and_gradient"]
    assert ("f64(" in inspect.getsource(kernel.py_func)) == (case == "plain")


def test_norms_along_two_axes(tmp_path: Path) -> None:
    loss = _own(tmp_path, "norm_over((k, l), x[i, k, l])", "fast", "c, g")
    x = np.random.default_rng(5).normal(0, 1e25, (3, 6, 5)).astype(np.float32)
    value, gradient = loss.value_and_gradient(x, np.zeros(3, np.int64), reduction="none")
    norm = np.sqrt((x.astype(np.float64) ** 2).sum((1, 2)))
    np.testing.assert_allclose(value, norm, rtol=1e-6)
    np.testing.assert_allclose(gradient, x / norm[:, None, None], rtol=2e-6)


@pytest.mark.parametrize("body, other, beside, slope", [
    ("sum_over(k, x[i, k], where=differs(k, y[i]))", LABEL, lambda x: x[:, 1:].sum(1), lambda x: np.arange(40) > 0),
    ("sum_over(k, exp(x[i, k] / 10**25))", LABEL, lambda x: np.exp(x / 1e25).sum(1), lambda x: 0.0),
    ("sum_over(k, y[i, k] * x[i, k])", SHARE, lambda x: x.sum(1) / 4, lambda x: 0.25),
], ids=["a sum that leaves out one", "exponentials", "a sum that looks at shares"])  # fmt: skip
def test_norms_beside_other_sums_of_the_same_row(
    tmp_path: Path, body: str, other: str, beside: Any, slope: Any
) -> None:  # fmt: skip
    """Whatever else a loop does, squares keep float64: in strips of memory, or handed on by a first phase."""
    loss = _own(tmp_path, f"norm_over(k, x[i, k]) + {body}", "fast", other=other)
    x = np.full((3, 40), 1e25, np.float32)
    y = np.full((3, 40), 0.25, np.float32) if other == SHARE else np.zeros(3, np.int64)
    wide = x.astype(np.float64)
    value, gradient = loss.value_and_gradient(x, y, reduction="none")
    np.testing.assert_allclose(value, np.sqrt((wide**2).sum(1)) + beside(wide), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.broadcast_to(40**-0.5 + slope(wide), (3, 40)), rtol=1e-6)
    assert loss.value(x, y, reduction="sum") == pytest.approx(value.sum(dtype=np.float64), rel=1e-6)


def test_short_rows_keep_norms_of_any_size(tmp_path: Path) -> None:
    loss = _own(tmp_path, "log(sum_over(k, exp(x[i, k] / 10**30))) + norm_over(k, x[i, k])", "fast")
    x, y = np.full((70, 5), 1e30, np.float32), np.zeros(70, np.int64)
    x[3] = [3e18, 0, 4e18, 0, 0]
    value = loss.value(x, y, reduction="none")
    np.testing.assert_allclose(value[[0, 3]], [5**0.5 * 1e30, 5e18], rtol=1e-6)
    np.testing.assert_allclose(loss.gradient(x, y, reduction="sum")[3, :3], [0.6, 0, 0.8], rtol=1e-6, atol=1e-12)
