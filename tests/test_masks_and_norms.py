"""Masked reductions and norms in a user's own definition: kernels against NumPy, empty masks included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import pipeline

DEFINITION = '''
from symloss.language import *

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")
n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")


@loss(title="Masked", family="test", per=i, references=(R,))
def masked(
    x: Tensor = prediction(n, c, symbol="x"),
    t: Tensor = data(n, c, symbol="t"),
    label: Tensor = labels(n, into=c, symbol="y"),
) -> Expr:
    """Everything a reduction can do."""
    y = label
    rest = max_over(k, x[i, k], where=differs(k, y[i]), empty=-7)
    least = min_over(k, x[i, k] * t[i, k], where=differs(k, y[i]), empty=0)
    return norm_over(k, x[i, k] - t[i, k], where=differs(k, y[i])) + 2 * rest + least + sum_over(
        k, x[i, k] ** 2, where=equal(k, y[i])
    )
'''


def reference(x: Any, t: Any, y: Any) -> Any:
    """Return the loss of each row as NumPy has it."""
    found = []
    for row, target, label in zip(x, t, y, strict=True):
        keep = np.arange(len(row)) != label
        rest = row[keep].max() if keep.any() else -7.0
        least = (row * target)[keep].min() if keep.any() else 0.0
        found.append(np.linalg.norm((row - target)[keep]) + 2 * rest + least + row[label] ** 2)
    return np.array(found)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_kernels_agree_with_numpy(classes: int, tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(DEFINITION)
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    loss = symloss.load("masked", package=tmp_path / "out")
    rng = np.random.default_rng(classes)
    x, t, y = rng.normal(0, 1, (4, classes)), rng.normal(0, 1, (4, classes)), rng.integers(0, classes, 4)
    np.testing.assert_allclose(loss.value(x, t, y, reduction="none"), reference(x, t, y), rtol=1e-14)
    v, step = rng.normal(0, 1, x.shape), 1e-6
    slope = (reference(x + step * v, t, y) - reference(x - step * v, t, y)) / (2 * step)
    gradient = loss.gradient(x, t, y, reduction="sum")
    np.testing.assert_allclose((gradient * v).sum(axis=1), slope, rtol=1e-7, atol=1e-8)
    turned = (
        loss.gradient(x + step * v, t, y, reduction="sum") - loss.gradient(x - step * v, t, y, reduction="sum")
    ) / 2e-6
    np.testing.assert_allclose(
        loss.hessian_product(x, t, y, direction=v, reduction="sum"), turned, rtol=1e-6, atol=1e-7
    )
    unit = np.zeros_like(x)
    unit[:, 0] = 1.0
    column = loss.hessian_product(x, t, y, direction=unit, reduction="sum")[:, 0]
    np.testing.assert_allclose(loss.hessian_diagonal(x, t, y, reduction="sum")[:, 0], column, rtol=1e-10, atol=1e-12)


def test_a_norm_neither_underflows_nor_overflows(tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(DEFINITION)
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    loss = symloss.load("masked", package=tmp_path / "out")
    for size in (1e-170, 1e155):
        x = np.array([[3.0 * size, 4.0 * size, 0.0]])
        expected = 5 * size + 2 * 4 * size
        assert loss.value(x, np.zeros_like(x), [2], reduction="sum") == pytest.approx(expected, rel=1e-14)


TWO_AXES = '''
from symloss.language import *

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")
n, r, c = Axis("n", "samples"), Axis("r", "rows"), Axis("c", "columns")
i, j, k = n.index("i"), r.index("j"), c.index("k")


@loss(title="Two axes", family="test", per=i, references=(R,))
def two_axes(x: Tensor = prediction(n, r, c, symbol="x")) -> Expr:
    """The Frobenius norm, and the largest entry."""
    return norm_over((j, k), x[i, j, k]) + max_over((j, k), x[i, j, k])
'''


def test_the_largest_over_two_axes_is_that_of_all_rows(tmp_path: Path) -> None:
    """Not that of the last row, which is what reducing each row on its own would leave."""
    (tmp_path / "two_axes.py").write_text(TWO_AXES)
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    rng = np.random.default_rng(8)
    x = np.sort(rng.normal(0, 1, (5, 12)))[:, ::-1].reshape(5, 3, 4).copy()  # the largest first
    x[0] *= 1e200  # a scale of the last row would overflow
    norms = [1e200 * np.linalg.norm(x[0] / 1e200), *(np.linalg.norm(m) for m in x[1:])]
    wanted = np.array(norms) + x.max((1, 2))
    for accuracy in ("exact", "fast"):
        loss = symloss.load("two_axes", package=tmp_path / "out", accuracy=accuracy)
        np.testing.assert_allclose(loss.value(x, reduction="none"), wanted, rtol=1e-14)
        narrow = x[1:].astype(np.float32)
        np.testing.assert_allclose(loss.value(narrow, reduction="none"), wanted[1:], rtol=1e-6)
    unit = x / np.array(norms)[:, None, None]
    unit[:, 0, 0] += 1.0  # the largest comes first
    gradient = symloss.load("two_axes", package=tmp_path / "out").gradient(x, reduction="sum")
    np.testing.assert_allclose(gradient, unit, rtol=1e-14)
