"""Maxima and minima of formulas: cases, of which the first is taken at a tie, and NaN where what is compared is NaN."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss import catalogue, pipeline
from symloss.language.errors import DefinitionError
from symloss.language.nodes import Access
from symloss.program.extremes import Piecewise, comparison, extreme
from symloss.program.hoisting import hoist
from symloss.program.interpreter import unknown
from symloss.runtime.loader import load_module

NAN = np.nan
DEFINITIONS = r'''"""Losses of a user."""

import sympy

from symloss.language import (
    UNIT, Axis, Expr, Max, Min, Reference, Tensor, above, choose, data, equal, loss, one_of, parameter, prediction,
    ratio, sum_over,
)

n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")
KOENKER_1978 = Reference(
    """@article{koenker1978regression,
  author = {Koenker, Roger and Bassett, Gilbert},
  title = {Regression Quantiles},
  journal = {Econometrica},
  year = {1978},
  doi = {10.2307/1913643},
}""",
)


@loss(title="Pinball and clipped square", family="regression", references=(KOENKER_1978,))
def clipped(
    f: Expr = prediction(symbol="f", about="Prediction."),
    y: Expr = data(symbol="y", about="Target."),
    *,
    tau: Expr = parameter(0.25, UNIT, symbol=r"\tau", about="Which quantile."),
    c: Expr = parameter(2, above(0), symbol="c", about="Where it is clipped."),
) -> Expr:
    """Pinball loss beside a square that is clipped, and the largest of three."""
    return Max(tau * (y - f), (tau - 1) * (y - f)) + Min((f - y) ** 2, c**2) + Max(Min(f, 3), -3, y - 10)


@loss(title="Of two kinds", family="regression", references=(KOENKER_1978,))
def routed(
    f: Expr = prediction(symbol="f", about="Prediction."), y: Expr = data(symbol="y", about="Target.")
) -> Expr:
    """A square where either is large, else a product."""
    return choose(Max(f, y) > 1, f**2, y * f)


@loss(title="Soft Jaccard", family="segmentation", per=i, references=(KOENKER_1978,))
def jaccard(
    x: Tensor = prediction(n, c, symbol="x", about="Predicted."),
    t: Tensor = data(n, c, symbol="t", about="Expected."),
    w: Tensor = data(n, c, symbol="w", domain=one_of(0, 1), about="Which count."),
) -> Expr:
    """One less intersection by union, of what counts."""
    both = sum_over(k, Min(x[i, k], t[i, k]), where=equal(w[i, k], 1))
    return 1 - ratio(both, sum_over(k, Max(x[i, k], t[i, k]), where=equal(w[i, k], 1)))
'''
BAD = '''

@loss(title="Bad", family="regression", references=(KOENKER_1978,))
def bad(f: Expr = prediction(symbol="f", about="Prediction.")) -> Expr:
    """What has no kernel."""
    return sympy.erf(f)
'''
# f - y is -1, 1, -2 (a tie of the square), 2.5, 0 (a tie of the pinball loss), and f is then clipped above, below, at 3
F = np.array([0.0, 1.0, -1.0, 4.0, 1.0, -4.0, 3.0, NAN, 0.5])
Y = np.array([1.0, 0.0, 1.0, 1.5, 1.0, -4.5, 3.5, 0.0, NAN])
VALUE = np.array(
    [0.25 + 1.0, 0.75 + 1 + 1, 0.5 + 4 - 1, 1.875 + 4 + 3, 1.0, 0.375 + 0.25 - 3, 0.125 + 0.25 + 3, NAN, NAN]
)
GRADIENT = np.array([-0.25 - 2 + 1, 0.75 + 2 + 1, -0.25 + 1, 0.75, -0.25 + 1, 0.75 + 1, -0.25 - 1, NAN, NAN])
HESSIAN = np.array([2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 2.0, NAN, NAN])
QUANTILE = np.array([1.0, -1.0, 2.0, -2.5, 0.0, -0.5, 0.5, NAN, NAN])
BOUND = np.array([0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, NAN, NAN])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("extremes")
    (where / "my").mkdir()
    (where / "my" / "user.py").write_text(DEFINITIONS, encoding="utf-8")
    pipeline.generate((), where / "my", where / "out", check=False, progress=lambda *_: None)
    return where / "out"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_cases_of_an_element(out: Path, accuracy: str, dtype: Any) -> None:
    """Also where two are equal, and where one is NaN; decimals here are binary fractions, so all is exact."""
    loss = symloss.load("clipped", package=out, accuracy=accuracy)
    f, y = F.astype(dtype), Y.astype(dtype)
    value, gradient = loss.value_and_gradient(f, y, reduction="none")
    np.testing.assert_array_equal(value, VALUE)
    np.testing.assert_array_equal(gradient, GRADIENT)
    if accuracy == "exact":
        np.testing.assert_array_equal(loss.gradient_and_hessian(f, y, reduction="none")[1], HESSIAN)
        for at, (slope, bound) in enumerate(zip(QUANTILE, BOUND, strict=True)):
            assert loss.gradient(f[at], y[at], wrt="tau") == pytest.approx(slope, nan_ok=True)
            assert loss.gradient(f[at], y[at], wrt="c") == pytest.approx(bound, nan_ok=True)
        turned = loss.hessian_product(f[:7], y[:7], direction=np.arange(7.0).astype(dtype), reduction="none")
        np.testing.assert_array_equal(turned, HESSIAN[:7] * np.arange(7.0))


@pytest.mark.parametrize("library", ["jax", "torch"])
def test_array_code(out: Path, library: str) -> None:
    """NaN compares as neither there too, where both cases are computed."""
    array = pytest.importorskip(library)
    function = load_module("clipped", out, library).clipped
    if library == "jax":
        moved = np.where(np.isnan(F + Y), np.float32(NAN), F).astype(np.float32)
        value = function(moved, Y.astype(np.float32), reduction="none")
        gradient = array.grad(lambda f: function(f, Y.astype(np.float32), reduction="sum"))(moved)
    else:
        prediction = array.tensor(F, requires_grad=True)
        value = function(prediction, array.tensor(Y), reduction="none")
        value.sum().backward()
        value, gradient = value.detach(), prediction.grad
    np.testing.assert_array_equal(np.asarray(value), VALUE)
    np.testing.assert_array_equal(np.asarray(gradient), GRADIENT)


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_entries_of_a_row(out: Path, accuracy: str) -> None:
    loss = symloss.load("jaccard", package=out, accuracy=accuracy)
    x = np.array([[0.25, 1.0, 2.0, 9.0], [0.5, 0.5, 1.0, NAN], [1.0, NAN, 1.0, 1.0]])
    t = np.array([[0.25, 0.5, 4.0, NAN], [1.0, 0.5, 0.5, 1.0], [1.0, 1.0, 1.0, 1.0]])
    w = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    both, either = np.array([[2.75], [1.5]]), np.array([[5.25], [2.5]])
    less, more = (x < t)[:2] * w[:2], (x > t)[:2] * w[:2]  # at a tie t is taken: it is printed first, and does not move
    value, gradient = loss.value_and_gradient(x, t, w, reduction="none")
    np.testing.assert_allclose(value, [*(1 - both / either).ravel(), NAN], rtol=1e-15)
    np.testing.assert_allclose(gradient[:2], more * both / either**2 - less / either, rtol=1e-14)
    assert np.isnan(gradient[2]).all()
    if accuracy == "exact":
        _, hessian = loss.gradient_and_hessian(x, t, w, reduction="none")
        np.testing.assert_allclose(hessian[:2], -2 * more * both / either**3, rtol=1e-14)
        v = np.array([[1.0, -2.0, 3.0, 4.0], [0.5, 1.0, -1.0, 2.0]])
        turned = loss.hessian_product(x[:2], t[:2], w[:2], direction=v, reduction="none")
        down, up = ((v * part).sum(1, keepdims=True) for part in (less, more))
        wanted = (less * up + more * down) / either**2 - 2 * both * more * up / either**3
        np.testing.assert_allclose(turned, wanted, rtol=1e-14)


def test_a_choice_by_the_larger(out: Path) -> None:
    loss = symloss.load("routed", package=out)
    f, y = np.array([0.25, 2.0, -1.0, 0.5, NAN, 0.5]), np.array([2.0, 0.0, 0.5, 1.0, 1.0, NAN])
    value, gradient = loss.value_and_gradient(f, y, reduction="none")
    np.testing.assert_array_equal(value, [0.0625, 4.0, -0.5, 0.5, NAN, NAN])
    np.testing.assert_array_equal(gradient, [0.5, 4.0, 0.5, 1.0, NAN, NAN])


@pytest.mark.parametrize("kind", [max, min])
def test_a_condition_by_the_larger(kind: Any) -> None:
    """In masks, and beside other conditions."""
    a, b, c = (Access(name) for name in "abc")
    written = {max: sympy.Max, min: sympy.Min}[kind](a, b, c)
    found = comparison(written > 1, extreme(written, written.args), sympy.S.One)
    assert not found.has(sympy.Piecewise)
    for numbers in product(range(3), repeat=3):
        at = dict(zip((a, b, c), map(sympy.Integer, numbers), strict=True))
        assert found.xreplace(at) == (kind(numbers) > 1)
        assert extreme(written, written.args).xreplace(at) == kind(numbers)


def test_pages_show_them_as_they_are_written(out: Path) -> None:
    record = pipeline.show("jaccard", out.parent / "my")
    assert r"\min\left(t_{i, k}, x_{i, k}\right)" in record["formula"]["latex"]
    assert record["kinks"] == [{"where": "t_{i, k} = x_{i, k}", "value": "derivative of one of the two"}]
    kinks = [kink["where"] for kink in pipeline.show("clipped", out.parent / "my")["kinks"]]
    assert r"c^{2} = \left(f - y\right)^{2}" in kinks
    assert "3 = f" in kinks


def test_what_is_clipped_at_0_stays_a_positive_part() -> None:
    a, b = Access("a"), Access("b")
    zero = sympy.S.Zero
    assert extreme(sympy.Max(0, a), (zero, a)) == sympy.Max(0, a)
    assert extreme(sympy.Min(0, a), (zero, a)) == -sympy.Max(0, -a)
    larger = Piecewise((a, a >= b), (b, True))
    assert extreme(sympy.Max(0, a, b), (zero, a, b)) == sympy.Max(0, larger)


def test_no_comparison_has_cases_in_it(out: Path) -> None:
    """SymPy would try to solve them."""
    program = hoist(catalogue.find(out.parent / "my")["clipped"])
    cases = program.output("value").expression.atoms(sympy.Piecewise)
    assert len(cases) >= 3
    assert not any(condition.has(sympy.Piecewise) for node in cases for _, condition in node.args)


def test_what_has_no_kernel_is_named(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(DEFINITIONS + BAD, encoding="utf-8")
    with pytest.raises(DefinitionError, match=r"user\.py:\d+: bad: erf has no kernel and no derivative here: erf\(f"):
        pipeline.generate(("bad",), tmp_path, tmp_path / "out", check=True, progress=lambda *_: None)
    error = DefinitionError("my/user.py", 3, "bad: no")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "my/user.py:3: bad: no", "from another process too"
    a = Access("a", Access("label"))
    assert unknown(sympy.exp(a) + sympy.Piecewise((a, a > 0), (sympy.pi, True))) is None
    assert unknown(1 + sympy.floor(a)) == sympy.floor(a)
