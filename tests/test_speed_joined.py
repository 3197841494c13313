"""Joined sums and products in outputs: one array in the place of several, only where nothing else asks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.lowering.joined import joined
from symloss.lowering.nodes import Assign, Blocks, Buffer, Loop, Matrix, Multiply, Node, Store
from symloss.lowering.outputs import products_in_outputs
from symloss.lowering.schedule import ALL

ROW, K, F, G = (Index(name, Axis(axis, axis)) for name, axis in (("i", "n"), ("k", "c"), ("f", "d"), ("g", "d")))
SCALE, WEIGHT, NOW = sympy.symbols("scale weight now", real=True)
LABEL = Access("label", ROW)
PRODUCT, SUM = Access("product", K, F), Access("sum", K, F)
BUFFERS = (Buffer("product", ("c", "d"), dtype="like"), Buffer("sum", ("c", "d")))
ZEROS = tuple(Store(name, (ALL, ALL), sympy.S.Zero) for name in ("product", "sum"))
ADDED = Store("sum", (LABEL, F), NOW, "add")


def _multiply(left: str = "left", target: str = "product") -> Multiply:
    whole = Matrix(target, "", ("c",), ("d",))
    return Multiply(
        whole, Matrix(left, "block", ("n",), ("c",)), Matrix("right", "block", ("n",), ("d",)), True, False, True
    )


def _nodes(read: sympy.Expr, *more: Node, inner: tuple[Node, ...] = (ADDED,), left: str = "left") -> tuple[Node, ...]:
    """Return a product and a sum that rows add to, and what is made of both at the end."""
    blocks = Blocks(ROW, (), (Loop(ROW, (Loop(F, inner),)), _multiply(left)))
    last = Loop(K, (*more, Loop(F, (Store("gradient", (K, F), read),))))
    return (*BUFFERS, *ZEROS, blocks, last)


def _joined(*arguments: Any, alike: bool = True, **more: Any) -> tuple[Node, ...]:
    return joined(_nodes(*arguments, **more), frozenset({"scale"}), alike=alike)


BOTH = SCALE * PRODUCT - 2 * SUM


def test_a_sum_is_added_where_the_product_is() -> None:
    found = _joined(WEIGHT * BOTH)
    assert "'sum'" not in str(found)
    assert [n.name for n in found if isinstance(n, Buffer)] == ["product"]
    blocks, last = found[-2:]
    added: Any = blocks.body[0].body[0].body[0]  # type: ignore[union-attr]
    assert (added.array, added.slots, added.guard) == ("product", (LABEL, F), "add")
    assert sympy.simplify(added.expression - -2 * NOW / SCALE) == 0
    assert last.body[0].body[0].expression.args == (WEIGHT, SCALE * PRODUCT)  # type: ignore[union-attr]


APART: dict[str, tuple[Node, ...]] = {
    "read alone": _nodes(BOTH + SUM * WEIGHT),
    "multiplied": _nodes(SCALE * PRODUCT * SUM),
    "by what may be 0": _nodes(WEIGHT * PRODUCT - 2 * SUM),
    "elsewhere": _nodes(PRODUCT + Access("sum", K, G)),
    "otherwise": _nodes(BOTH, Assign("other", SCALE * PRODUCT - 3 * SUM)),
    "an entry": _nodes(BOTH, Assign("entry", Access("sum", K, sympy.S.Zero))),
    "set": _nodes(BOTH, inner=(replace(ADDED, guard=""),)),
    "an operand": _nodes(BOTH, left="sum"),
    "unread": _nodes(PRODUCT),
}


@pytest.mark.parametrize("nodes", APART.values(), ids=APART)
def test_sums_that_are_for_more_stay_apart(nodes: tuple[Node, ...]) -> None:
    assert joined(nodes, frozenset({"scale"}), alike=True) == nodes


def test_arrays_of_other_numbers_stay_apart() -> None:
    nodes = _nodes(BOTH)
    assert joined(nodes, frozenset({"scale"})) == nodes
    assert joined(nodes, frozenset(), alike=True) == nodes


def test_a_product_is_added_up_in_the_output_it_is_for() -> None:
    norm = Assign("norm", BOTH**2)
    found = products_in_outputs(_joined(WEIGHT * BOTH, Loop(F, (norm,))))
    assert "'product'" not in str(found)
    assert not any(isinstance(n, Buffer) for n in found)
    zeros, blocks, last = found
    assert zeros == Store("gradient", (ALL, ALL), sympy.S.Zero)
    assert blocks.body[1].target.name == "gradient"  # type: ignore[union-attr]
    made: Any = last.body[0].body[0]  # type: ignore[union-attr]
    assert made.expression.doit() == (SCALE * Access("gradient", K, F)) ** 2
    assert last.body[1].body[0].expression.args == (WEIGHT, SCALE * Access("gradient", K, F))  # type: ignore[union-attr]


SINGLE = (BUFFERS[0], ZEROS[0], Blocks(ROW, (), (_multiply(),)))


def _last(read: sympy.Expr, slots: tuple[Any, ...] = (K, F), guard: str = "", then: tuple[Node, ...] = ()) -> Loop:
    return Loop(K, (Loop(F, (Store("gradient", slots, read, guard), *then)),))


OWN: dict[str, tuple[Node, ...]] = {
    "read after": (*SINGLE, _last(PRODUCT, then=(Assign("later", PRODUCT),))),
    "a column": (*SINGLE, _last(PRODUCT, (F, K))),
    "another": (*SINGLE, _last(Access("product", K, G))),
    "another row": (*SINGLE, _last(Access("product", F, K))),
    "added to": (*SINGLE, _last(PRODUCT, guard="add")),
    "read later": (*SINGLE, Loop(K, (*_last(PRODUCT).body, Assign("after", PRODUCT)))),
    "written before": (*SINGLE, Store("gradient", (ALL, ALL), NOW), _last(PRODUCT)),
    "an operand": (*SINGLE, Blocks(ROW, (), (_multiply("product", "x"),)), _last(PRODUCT)),
    "wide": (replace(BUFFERS[0], dtype="float64"), *SINGLE[1:], _last(PRODUCT)),
}


@pytest.mark.parametrize("nodes", OWN.values(), ids=OWN)
def test_a_product_that_is_for_more_has_memory_of_its_own(nodes: tuple[Node, ...]) -> None:
    assert products_in_outputs(nodes) == nodes


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_arcface_beside_a_formula_worked_out_by_hand(accuracy: str) -> None:
    """What is joined there: each class's gradient from the others' rows, and from its own."""
    rng = np.random.default_rng(6)
    x, w, y = rng.normal(size=(7, 5)), rng.normal(size=(4, 5)), np.array([0, 1, 1, 3, 0, 3, 3])
    s, m = 8.0, 0.3
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, w))
    cosine = u @ v.T
    own = np.arange(7), y
    theta = np.arccos(cosine[own])
    logits = s * cosine
    logits[own] = s * np.cos(theta + m)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    slope = s * p / p.sum(axis=1, keepdims=True)
    slope[own] = (slope[own] - s) * np.sin(theta + m) / np.sin(theta)
    along = slope.T @ u
    truth = (along - (along * v).sum(axis=1, keepdims=True) * v) / np.linalg.norm(w, axis=1, keepdims=True)
    loss = symloss.load("arcface", accuracy=accuracy)
    options: Any = {"wrt": "weight", "scale": s, "margin": m, "reduction": "sum"}
    out = np.full(w.shape, np.nan, np.float32)  # what was there before is written over, not added to
    for _ in range(2):
        found = loss.gradient(x.astype("f4"), w.astype("f4"), y, out=out, **options)
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-5)
    tiny = np.finfo(np.float32).tiny  # less than what 1 over is finite
    assert np.isfinite(loss.gradient(x.astype("f4"), w.astype("f4"), y, wrt="weight", scale=float(tiny) / 8)).all()
