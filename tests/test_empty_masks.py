"""What a reduction is where its mask lets nothing through, and statements that would share a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from scipy.special import softmax

import symloss
from symloss import pipeline
from symloss.language import Axis
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Statement

DEFINITION = '''
from symloss.language import *

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")
n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")


@loss(title="Masked", family="test", per=i, references=(R,))
def masked(
    z: Tensor = prediction(n, c, symbol="z"),
    t: Tensor = data(n, c, symbol="t", domain=one_of(0, 1)),
    y: Tensor = labels(n, into=c, symbol="y"),
    *,
    d: Expr = parameter(2, at_least(0), symbol="d"),
) -> Expr:
    """All of them read z, and what they are called begins alike."""
    first = logsumexp_over(k, z[i, k], where=equal(t[i, k], 1), empty=-1)
    largest = max_over(k, d * z[i, k], where=equal(t[i, k], 1), empty=d)
    other = logsumexp_over(k, d * z[i, k], where=equal(t[i, k], 0), empty=z[i, y[i]])
    return first**2 + largest + other + norm_over(k, z[i, k]) ** 2 + sum_over(k, z[i, k] ** 2)
'''


def reference(z: Any, t: Any, y: Any, d: float) -> tuple[Any, ...]:
    """Return value, gradient and Hessian diagonal of each row, and the slope in d."""
    rows: list[tuple[Any, ...]] = []
    for row, mask, label in zip(z, t == 1, y, strict=True):
        found, first, second, along = 2 * (row @ row), 4 * row, np.full(len(row), 4.0), 0.0
        if mask.any():
            a, p = np.logaddexp.reduce(row[mask]), softmax(row[mask])
            top = np.flatnonzero(mask)[np.argmax(row[mask])]
            found, along = found + a**2 + d * row[top], along + row[top]
            first[mask] += 2 * a * p
            first[top] += d
            second[mask] += 2 * (p**2 + a * p * (1 - p))
        else:
            found, along = found + 1.0 + d, along + 1.0
        if not mask.all():
            q = softmax(d * row[~mask])
            found, along = found + np.logaddexp.reduce(d * row[~mask]), along + q @ row[~mask]
            first[~mask] += d * q
            second[~mask] += d**2 * q * (1 - q)
        else:
            found += row[label]
            first[label] += 1.0
        rows.append((found, first, second, along))
    return tuple(map(np.array, zip(*rows, strict=True)))


def test_kernels_agree_with_numpy(tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(DEFINITION)
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    rng = np.random.default_rng(0)
    z, t, y = rng.normal(0, 1, (6, 4)), rng.integers(0, 2, (6, 4)).astype(float), rng.integers(0, 4, 6)
    t[0], t[1] = 0.0, 1.0
    t[2], z[2, 1] = (1.0, 0.0, 1.0, 0.0), 900.0  # what does not count of the first is far above all that does
    truth = reference(z, t, y, 2.5)
    for accuracy, dtype, tolerance in (
        ("exact", np.float64, 1e-14), ("exact", np.float32, 1e-6), ("fast", np.float32, 5e-6),
    ):  # fmt: skip
        loss = symloss.load("masked", package=tmp_path / "out", accuracy=accuracy)
        given: Any = (z.astype(dtype), t.astype(dtype), y)
        found = (
            *loss.value_and_gradient(*given, d=2.5, reduction="none"),
            loss.hessian_diagonal(*given, d=2.5, reduction="none"),
            loss.gradient(*given, d=2.5, reduction="sum", wrt="d"),
        )
        for got, expected in zip(found, (*truth[:3], truth[3].sum()), strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * 8)


AXIS = Axis("c", "classes")
K = AXIS.index("k")
LARGEST = Statement("top", (), "max", (K,), Access("z", K))
OTHER = Statement("top", (), "max", (K,), 2 * Access("z", K))


def test_no_statement_takes_the_name_of_another() -> None:
    builder = Builder(taken=["top_2"])
    assert builder.add(LARGEST) == builder.add(LARGEST) == Access("top")
    assert builder.add(OTHER) == Access("top_3")
    builder.keep(LARGEST)
    assert [s.name for s in builder.statements] == ["top", "top_3"]
    builder.keep(Statement("again", (), "max", (K,), Access("z", K)))  # others read it by that name
    assert builder.statements[-1].name == "again"
    with pytest.raises(ValueError, match="two statements are called top"):
        builder.keep(OTHER)
    assert builder.name_of(OTHER) == "top_3"
    assert builder.name_of(Statement("x", (), "sum", (K,), sympy.S.One)) is None
