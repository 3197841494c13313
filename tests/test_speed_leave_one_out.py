"""Sums of all numbers but one: two running sums give all of them, and none has anything of what it leaves out."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss import pipeline
from symloss.language.axes import Axis
from symloss.language.nodes import Access
from symloss.lowering.contraction import contract
from symloss.lowering.items import Item
from symloss.lowering.leave_one_out import leave_one_out
from symloss.lowering.nodes import Assign, Buffer, Loop, Node, Store
from symloss.lowering.schedule import ALL

DEFINITION = r'''"""A loss of a user."""

from symloss.language import Axis, Expr, Reference, Tensor, define, differs, loss, prediction, sum_over

n, d = Axis("n", "samples"), Axis("d", "features")
i, m, f = n.index("i"), n.index("m"), d.index("f")
WAN_2018 = Reference(
    """@inproceedings{wan2018generalized,
  author = {Wan, Li and Wang, Quan and Papir, Alan and Moreno, Ignacio Lopez},
  title = {Generalized End-to-End Loss for Speaker Verification},
  booktitle = {ICASSP},
  year = {2018},
  doi = {10.1109/ICASSP.2018.8462665},
}""",
    url="https://arxiv.org/abs/1710.10467",
)


@loss(title="A loss", family="metric learning", per=i, references=(WAN_2018,))
def own_loss(x: Tensor = prediction(n, d, symbol="x", about="What is apart from the others.")) -> Expr:
    """The square of what all others add up to, and of the distance from it."""
    rest = define("rest", i, f)(sum_over(m, x[m, f], where=differs(m, i)))
    return sum_over(f, rest[i, f] ** 2) + sum_over(f, (x[i, f] - rest[i, f]) ** 2)
'''

J, F = Axis("s", "s").index("j"), Axis("d", "d").index("f")
AXIS = Axis("u", "u")
I, M = AXIS.index("i"), AXIS.index("m")  # noqa: E741 - an index
X, V = Access("x", J, M, F), sympy.Symbol("v", real=True)
READ, ZERO = Assign("v", X), Store("rest", (J, I, ALL), sympy.S.Zero)
ADD = Store("rest", (J, I, F), V, "add", sympy.Ne(M, I))


def _adding(*body: Node, over: Any = M) -> Loop:
    return Loop(over, (Loop(F, body),))


def _within(*body: Node) -> tuple[Node, ...]:
    return leave_one_out((Loop(J, (Loop(I, body),)),), {"v", "rest", "x"})


def test_there_and_back() -> None:
    after = Store("out", (J, I), Access("rest", J, I, sympy.S.Zero))
    buffer, outer = _within(ZERO, _adding(READ, ADD), after)
    assert buffer == Buffer("running", ("d",))
    assert isinstance(outer, Loop)
    start, there, again, back, loop = outer.body
    here, run = Assign("v", Access("x", J, I, F)), Store("running", (F,), V, "add")
    assert start == again == Store("running", (ALL,), sympy.S.Zero)
    sums = Store("rest", (J, I, F), Access("running", F))
    assert there == Loop(I, (Loop(F, (sums, here, run)),))
    sums = Store("rest", (J, I, F), Access("running", F), "add")
    assert back == Loop(I, (Loop(F, (sums, here, run)),), down=True)
    assert loop == Loop(I, (after,))


def test_what_does_not_count_is_not_added() -> None:
    counts = sympy.Ge(Access("place", J, M), 0)
    add = Store("rest", (J, I, F), V, "add", sympy.And(sympy.Ne(I, M), counts))
    _, outer = _within(ZERO, _adding(READ, add))
    assert isinstance(outer, Loop)
    assert len(outer.body) == 4, "nothing is left of the loop itself"
    for loop in outer.body[1::2]:
        (row,) = loop.body  # type: ignore[union-attr]
        assert row.body[-1] == Store("running", (F,), V, "add", sympy.Ge(Access("place", J, I), 0))  # type: ignore[union-attr]


def test_what_is_done_beside_it_stays() -> None:
    """Scalars of a term, entries of other arrays, and sums that need one entry after the other."""
    factor, other = Assign("factor", Access("w", M)), Store("y", (M, F), sympy.cos(V))
    scaled, all_of_them = replace(ADD, expression=sympy.Symbol("factor", real=True) * V), Store("z", (F,), V, "add")
    adding = Loop(M, (factor, Loop(F, (READ, other, scaled, all_of_them))))
    *_, outer = _within(ZERO, adding)
    assert isinstance(outer, Loop)
    _, there, _, _, rest = outer.body
    assert isinstance(there, Loop)
    assert there.body[0] == Assign("factor", Access("w", I))
    assert rest == Loop(I, (Loop(M, (Loop(F, (READ, other, all_of_them)),)),))
    two = replace(ADD, array="more")
    *buffers, outer = _within(ZERO, replace(ZERO, array="more"), _adding(READ, ADD, two))
    assert buffers == [Buffer("running", ("d",)), Buffer("running_2", ("d",))]
    assert isinstance(outer, Loop)
    assert len(outer.body) == 8, "of each sum, there and back"


@pytest.mark.parametrize("body", [
    (ZERO, _adding(READ, Store("rest", (J, I, F), V, "add"))),
    (ZERO, _adding(READ, Store("rest", (J, I, F), V, "add", sympy.Gt(M, I)))),
    (ZERO, _adding(READ, Store("rest", (J, I, F), V * Access("w", I), "add", sympy.Ne(M, I)))),
    (ZERO, _adding(Assign("v", Access("x", I, M, F)), ADD)),
    (ZERO, _adding(READ, ADD, over=Axis("t", "t").index("m"))),
    (ZERO, _adding(READ, Store("rest", (J, F), V, "add", sympy.Ne(M, I)))),
    (Store("rest", (J, I, ALL), sympy.S.One), _adding(READ, ADD)),
    (Store("other", (J, I, ALL), sympy.S.Zero), _adding(READ, ADD)),
    (Store("x", (J, I, F), V), ZERO, _adding(READ, ADD)),
    (Assign("v", Access("w", I)), ZERO, _adding(ADD)),
    (ZERO, _adding(READ, ADD), Store("rest", (J, I, ALL), V, "add")),
], ids=["all", "those after", "another factor", "another term", "another axis", "not for each", "not from 0",
        "another array", "written in the loop", "known in the loop", "added to"])  # fmt: skip
def test_other_sums_stay(body: tuple[Node, ...]) -> None:
    assert _within(*body) == (Loop(J, (Loop(I, body),)),)


def test_beside_a_matrix_that_exists_by_blocks_each_term_is_a_product() -> None:
    """There a running sum would need all of the matrix."""
    k = AXIS.index("k")
    body = Access("p", M, k) * Access("v", M) + Access("q", M, k) * Access("w", M)
    rest = Item("rest", "sum", (I, k), (M,), body, sympy.Ne(M, I))
    whole = [Item(name, "let", (M, k), (), sympy.cos(Access(f"of_{name}", M, k))) for name in ("p", "q")]
    assert [item.product for item in contract([*whole, rest], frozenset())] == [None, None, None]
    found = contract([*whole, rest], frozenset({"p", "q"}))
    assert [item.name for item in found if item.product is not None] == ["rest_part1", "rest_part2"]
    assert found[-1].body == Access("rest_part1", I, k) + Access("rest_part2", I, k)


@pytest.mark.parametrize("name", ["ge2e_softmax", "ge2e_contrast"])
def test_no_centroid_is_added_up_by_itself(name: str) -> None:
    for accuracy in ("fast", "exact"):
        kernel: Any = symloss.load(name, accuracy=accuracy).plan.narrow["value_and_gradient"]
        source = inspect.getsource(kernel.py_func)
        assert source.count("in range(u - 1, -1, -1)") >= 2
        assert "if m_" not in source


def test_a_loss_of_a_user(tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "own_loss.py").write_text(DEFINITION, encoding="utf-8")
    pipeline.generate((), definitions, tmp_path / "out", check=False, progress=lambda *_: None)
    x = np.random.default_rng(3).normal(size=(7, 40)).astype(np.float32)
    wide = x.astype(np.float64)
    rest = wide.sum(0) - wide
    apart = wide - rest
    slope = 2 * (rest - apart).sum(0) - 2 * (rest - apart) + 2 * apart
    lost = x.copy()
    lost[2, 5] = math.nan
    for accuracy in ("fast", "exact"):
        loss = symloss.load("own_loss", package=tmp_path / "out", accuracy=accuracy)
        for kernel in ("value", "value_and_gradient", "gradient_and_hessian", "hessian_product"):
            compiled: Any = loss.plan.narrow[kernel]
            assert "in range(n - 1, -1, -1)" in inspect.getsource(compiled.py_func)
        assert loss.value(x) == loss.value_and_gradient(x)[0]
        value, gradient = loss.value_and_gradient(x, reduction="none")
        np.testing.assert_allclose(value, (rest**2 + apart**2).sum(1), rtol=2e-6)
        np.testing.assert_allclose(gradient, slope, rtol=2e-5, atol=2e-5)
        v = np.linspace(-1, 1, 280).reshape(x.shape).astype(np.float32)
        moved = v.sum(0, dtype=np.float64) - v
        product = loss.hessian_product(x, direction=v, reduction="sum")
        along = 2 * (2 * moved - v).sum(0) - 2 * (2 * moved - v) + 2 * (v - moved)
        np.testing.assert_allclose(product, along, rtol=2e-5, atol=2e-5)
        assert loss.value(x[:1], reduction="sum") == pytest.approx((wide[:1] ** 2).sum(), rel=1e-6)
        assert np.isnan(loss.gradient(lost)[:, 5]).all()
        assert not np.isnan(np.delete(loss.gradient(lost), 5, 1)).any()
