"""Images by class: what runs over classes outside and over pixels inside does the same for every pixel."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import sympy
from numpy.typing import NDArray

import symloss
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.lowering.across import across
from symloss.lowering.nodes import Assign, Begin, Buffer, Loop, Node, Store, Update

Array = NDArray[Any]
N, A, Q = Index("i", Axis("n", "samples")), Index("a", Axis("c", "classes")), Index("q", Axis("m", "pixels"))
ALL = sympy.Symbol(":")
Z, BEST, AT, SPOT, LABEL = sympy.symbols("z best at spot y", real=True)
TOP, WINNER = Buffer("top", ("m",)), Buffer("winner", ("m",), dtype="int64")
READ = Assign("spot", Access("winner", Q))


def _search(entry: Access, *rest: Node) -> tuple[Node, ...]:
    """Return the search for the largest entry of every pixel, as it is scheduled."""
    updates = (Update("best", "max", Z, sympy.true, A), Update("at", "argmax", Z, sympy.true, A))
    body = (
        Begin("best", "max"), Begin("at", "argmax"), Loop(A, (Assign("z", entry), *updates)),
        Store("top", (Q,), BEST), Store("winner", (Q,), AT), *rest,
    )  # fmt: skip
    return across((TOP, WINNER, Loop(Q, body)), set())[2:]


def _inner(node: Node) -> tuple[Node, ...]:
    """Return the body of the inner of two loops."""
    assert isinstance(node, Loop)
    (inner,) = node.body
    assert isinstance(inner, Loop)
    return inner.body


def test_the_largest_is_looked_for_in_all_pixels_together() -> None:
    counted = Store("count", (Access("label", Q),), sympy.S.One, "add")
    start, first, search, rest = _search(Access("logits", N, A, Q), counted)
    assert {start, first} == {Store("top", (ALL,), -sympy.oo), Store("winner", (ALL,), sympy.S.Zero)}
    read, place, larger = _inner(search)
    assert read == Assign("z", Access("logits", N, A, Q))
    assert place == Store("winner", (Q,), A, "place", sympy.Gt(Z, Access("top", Q)))
    assert larger == Store("top", (Q,), Z, "larger")
    assert rest == Loop(Q, (counted,))


@pytest.mark.parametrize("found", [
    _search(Access("logits", N, Q, A)),
    _search(Access("logits", A, Q), Assign("later", BEST)),
    _search(Access("logits", A, Q), Assign("later", 2 * AT)),
], ids=["entries of a pixel side by side", "the largest read at once", "its place read at once"])  # fmt: skip
def test_another_search_stays_as_it_is(found: tuple[Node, ...]) -> None:
    (loop,) = found
    assert isinstance(loop, Loop)
    assert loop.index == Q


def _nest(*body: Node) -> tuple[Node, ...]:
    return across((TOP, WINNER, Loop(A, (Loop(Q, body),))), set())


def test_what_a_sum_leaves_out_is_added_as_nothing() -> None:
    plain = Store("rest", (Q,), Access("exp", A, Q), "add", sympy.Ne(A, SPOT))
    (_, _, loop) = _nest(READ, plain)
    _, value, added = _inner(loop)
    assert value == Assign("rest_added", Access("exp", A, Q))
    assert isinstance(added, Store)
    assert added.where is sympy.true
    assert added.expression.args[-1] == (0, True)
    scattered = Store("rest", (LABEL,), Access("exp", A, Q), "add", sympy.Ne(A, SPOT))
    chosen = Store("rest", (Q,), Access("exp", LABEL, Q), "add", sympy.Ne(A, SPOT))  # a label may be of no class
    same = Store("rest", (Q,), Access("exp", A, Q), "add", sympy.Ne(A, N))
    for store in (scattered, chosen, same):
        assert _inner(_nest(READ, store)[-1])[-1] == store


def test_what_is_read_at_a_place_is_moved_together() -> None:
    store = Store("gradient", (N, A, Q), Access("seed", A) - Access("seed", SPOT))
    found = _nest(READ, store)
    before, nest = (n for n in found if isinstance(n, Loop))
    assert Buffer("seed_there", ("m",)) in found
    assert before == Loop(Q, (READ, Store("seed_there", (Q,), Access("seed", SPOT))))
    assert _inner(nest) == (Store("gradient", (N, A, Q), Access("seed", A) - Access("seed_there", Q)),)
    for moving in (Access("seed", A, SPOT), Access("gradient", SPOT), Access("seed", LABEL)):
        kept = (READ, Assign("y", Access("label", Q)), Store("gradient", (Q,), moving + SPOT + LABEL))
        assert _nest(*kept)[-1] == Loop(A, (Loop(Q, kept),))


def test_the_entry_of_a_label_is_written_after_where_there_is_one() -> None:
    label = Assign("y", Access("label", Q))
    other = sympy.Piecewise((Access("own", Q), sympy.Eq(A, LABEL)), (Access("exp", A, Q), True), evaluate=False)
    *_, nest, after = _nest(label, Store("gradient", (N, A, Q), other))
    assert nest == Loop(A, (Loop(Q, (Store("gradient", (N, A, Q), Access("exp", A, Q)),)),))
    there = sympy.And(LABEL >= 0, sympy.Lt(LABEL, sympy.Symbol("c", integer=True)))
    assert after == Loop(Q, (label, Store("gradient", (N, LABEL, Q), Access("own", Q), where=there)))


def _soft_dice(logits: Array, label: Array, smooth: float) -> tuple[float, Array]:
    """Return the mean of the loss and its gradient from the textbook, in more digits than float64 has."""
    z = logits.astype(np.longdouble)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    t = (np.arange(z.shape[1])[:, None] == label[:, None, :]).astype(np.longdouble)
    over, sizes = (2 * (p * t).sum(2) + smooth), p.sum(2) + t.sum(2) + smooth
    slope = (over[..., None] / sizes[..., None] ** 2 - 2 * t / sizes[..., None]) / (z.shape[0] * z.shape[1])
    return float((1 - over / sizes).mean()), p * (slope - (p * slope).sum(1, keepdims=True))


@pytest.mark.parametrize("shape", [(2, 1, 5), (2, 3, 1), (1, 7, 700), (3, 19, 40)])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_softmax_dice_beside_the_textbook(accuracy: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    logits = rng.integers(-3, 4, shape).astype(np.float32)  # many pixels with more than one largest entry
    label = rng.integers(0, shape[1], (shape[0], shape[2]))
    value, gradient = symloss.load("softmax_dice", accuracy=accuracy).value_and_gradient(logits, label, smooth=0.5)
    wanted, slopes = _soft_dice(logits, label, 0.5)
    assert value == pytest.approx(wanted, rel=1e-5 if accuracy == "fast" else 1e-7, abs=1e-12)
    off = np.abs(slopes).max() * (1e-6 if accuracy == "fast" else 1e-12)  # terms that cancel
    np.testing.assert_allclose(gradient, slopes.astype(float), rtol=1e-4 if accuracy == "fast" else 2e-7, atol=off)


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_nan_and_infinity_stay_in_their_sample(accuracy: str) -> None:
    loss = symloss.load("softmax_dice", accuracy=accuracy)
    rng = np.random.default_rng(5)
    logits, label = rng.normal(size=(3, 4, 30)).astype(np.float32), rng.integers(0, 4, (3, 30))
    usual = loss.gradient(logits, label, reduction="sum")
    logits[1, 2, 7] = np.nan
    found = loss.gradient(logits, label, reduction="sum")
    np.testing.assert_array_equal(found[[0, 2]], usual[[0, 2]])
    assert np.isnan(found[1, :, 7]).all()
    logits[1, 2, 7] = -np.inf  # a class that cannot be
    assert np.isfinite(loss.gradient(logits, label, reduction="sum")).all()


def test_no_pixel_is_worked_on_alone_where_all_can_be() -> None:
    for accuracy in ("exact", "fast"):
        compiled: Any = symloss.load("softmax_dice", accuracy=accuracy).plan.narrow["value_and_gradient"]
        source = inspect.getsource(compiled.py_func)
        assert "_first_largest" not in source
        assert not re.search(r"if .*argmax\w* *:\n.*\+=", source)
