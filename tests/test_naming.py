"""Names of a definition: two things of one name are an error, and what kernels name gets another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import symloss
from symloss import pipeline
from symloss.catalogue import find
from symloss.language.errors import DefinitionError

HEAD = '''
from symloss.language import *

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")
'''
ELEMENTS = (
    HEAD
    + '''
@loss(title="Own", family="test", references=(R,))
def own(
    FIRST: Expr = prediction(symbol="f"),
    SECOND: Expr = data(symbol="y"),
    *,
    THIRD: Expr = parameter(2, above(0), symbol="c"),
) -> Expr:
    """A loss of elements."""
    return (FIRST - SECOND) ** 2 / THIRD
'''
)
ROWS = (
    HEAD
    + '''
samples, classes = Axis("SAMPLES", "samples"), Axis("CLASSES", "classes")
i, k = samples.index("ROW"), classes.index("COLUMN")


@loss(title="Own", family="test", per=i, references=(R,))
def own(f: Tensor = prediction(samples, classes, symbol="f"), *, q: Expr = parameter(2, above(0), symbol="c")) -> Expr:
    """A loss of rows."""
    return logsumexp_over(k, f[i, k] / q)
'''
)


def _found(folder: Path, text: str, **names: str) -> None:
    for slot, name in names.items():
        text = text.replace(slot, name)
    (folder / "own.py").write_text(text, encoding="utf-8")
    find(folder)


def _elements(folder: Path, first: str = "f", second: str = "y", third: str = "c") -> None:
    _found(folder, ELEMENTS, FIRST=first, SECOND=second, THIRD=third)


def _rows(folder: Path, samples: str = "n", classes: str = "c", row: str = "i", column: str = "k") -> None:
    _found(folder, ROWS, SAMPLES=samples, CLASSES=classes, ROW=row, COLUMN=column)


def test_usual_names_are_fine(tmp_path: Path) -> None:
    _elements(tmp_path)
    _rows(tmp_path)
    _elements(tmp_path, "input", "target", "lambda_")


@pytest.mark.parametrize(
    ("third", "cause"),
    [
        ("n", r"the argument n and Axis\(n, elements\) have the same name"),
        ("i", r"the argument i and the index i over Axis\(n, elements\) have the same name"),
        ("total", "kernels or modules use the name total for themselves"),
        ("value", "kernels or modules use the name value for themselves"),
        ("range", "kernels or modules use the name range for themselves"),
        ("jnp", "kernels or modules use the name jnp for themselves"),
        ("wrt", "calls have a keyword wrt of their own"),
        ("reduction", "calls have a keyword reduction of their own"),
        ("accuracy", "calls have a keyword accuracy of their own"),
        ("gradient_f", "what kernels make of f is called gradient_f"),
    ],
)
def test_an_argument_that_would_be_overwritten(tmp_path: Path, third: str, cause: str) -> None:
    with pytest.raises(DefinitionError, match=rf"own.py:\d+: own: {cause}"):
        _elements(tmp_path, third=third)
    with pytest.raises(DefinitionError, match=rf"own.py:\d+: own: {cause}"):
        _elements(tmp_path, second=third)


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        ({"classes": "n"}, r"Axis\(n, classes\) and Axis\(n, samples\) have the same name"),
        ({"classes": "f"}, r"the argument f and Axis\(f, classes\) have the same name"),
        ({"classes": "i"}, r"Axis\(i, classes\) and the index i over Axis\(n, samples\) have the same name"),
        ({"row": "c"}, r"Axis\(c, classes\) and the index c over Axis\(n, samples\) have the same name"),
        ({"column": "i"}, r"the index i over Axis\(c, classes\) and the index i over Axis\(n, samples\)"),
        ({"column": "q"}, r"the argument q and the index q over Axis\(c, classes\) have the same name"),
        ({"column": "total"}, "kernels or modules use the name total for themselves"),
        ({"column": "a b"}, "'a b' is no name in Python"),
    ],
)
def test_axes_and_indices_that_would_be_overwritten(tmp_path: Path, names: dict[str, str], cause: str) -> None:
    with pytest.raises(DefinitionError, match=rf"own.py:\d+: own: {cause}"):
        _rows(tmp_path, **names)


NAMED = (
    HEAD
    + '''
n, c = Axis("n", "samples"), Axis("c", "classes")
i, k, m = n.index("i"), c.index("k"), c.index("m")


@loss(title="Own", family="test", per=i, references=(R,))
def own(f: Tensor = prediction(n, c, symbol="n"), *, q: Expr = parameter(2, above(0), symbol="total")) -> Expr:
    """Symbols and values may be called what they like: a formula that is printed is not a kernel."""
    loss_of = define("c", i, k)(sum_over(m, f[i, m]) * f[i, k] / q)
    return sum_over((k, m), (let("total", loss_of[i, k] * f[i, m])))
'''
)


def test_symbols_and_values_get_another_name_in_kernels(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NAMED, encoding="utf-8")
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    f = np.random.default_rng(0).normal(size=(5, 3))
    for accuracy in ("exact", "fast"):
        loss = symloss.load("own", package=tmp_path / "out", accuracy=accuracy)
        value, gradient = loss.value_and_gradient(f, q=3.0, reduction="none")
        np.testing.assert_allclose(value, f.sum(1) ** 3 / 3, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(gradient, np.repeat(f.sum(1, keepdims=True) ** 2, 3, axis=1), rtol=1e-13)
