"""Shared memory: a matrix of a block stands where another was, and no number is another for it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sympy

import symloss
from symloss.language.axes import Axis
from symloss.language.nodes import Access
from symloss.lowering.nodes import ROW, Assign, Blocks, Buffer, Loop, Matrix, Multiply, Node, Store, Strips
from symloss.lowering.sharing import shared
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.verification.mutation_plain import plain

GENERATED = Path(symloss.__file__).resolve().parent.parent / "generated"
SHARES = re.compile(r"^    (\w+) = (\w+)$", re.MULTILINE)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "arcface": [{}, {"easy_margin": True}],
    "ge2e_softmax": [{}],
    "info_nce": [{}, {"symmetric": True}],
    "multiple_negatives_ranking": [{}, {"similarity": "dot"}],
}


def _own(source: str) -> str:
    """Return a module in which every array has memory of its own, and the arrays that had none."""
    kernels = source.split("\n@njit")
    for place, kernel in enumerate(kernels):
        made = dict(re.findall(r"^    (\w+) = (np\.empty\(.*\))$", kernel, re.MULTILINE))
        kernels[place] = SHARES.sub(lambda m, of=made: f"    {m[1]} = {of.get(m[2], m[2])}", kernel)  # type: ignore[misc]
    return "\n@njit".join(kernels)


def _inputs(name: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    vectors = [rng.normal(size=(4, 2)).astype(np.float32) for _ in range(3)]
    match name:
        case "arcface":
            return vectors[0], vectors[1][:3], rng.integers(0, 3, 4)
        case "ge2e_softmax":
            return rng.normal(size=(4, 2, 2)).astype(np.float32), np.float32(2.0), np.float32(-1.0)
        case "multiple_negatives_ranking":
            return tuple(vectors)
        case _:
            return tuple(vectors[:2])


def _module(source: str, name: str) -> ModuleType:
    return plain(re.sub(r"\bf32\b", "np.float32", source), name).module


def _loss(kind: str, modules: dict[str, ModuleType]) -> Loss:
    match kind:
        case "fast":
            return Loss(make_plan(modules["exact"], modules["fast"]))
        case "pairs":
            return Loss(make_plan(modules["exact"], None, modules["pairs"]))
        case _:
            return Loss(make_plan(modules["exact"]))


def _results(loss: Loss, inputs: tuple[Any, ...], settings: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(4)
    directions = tuple(
        rng.normal(size=np.shape(x)).astype(np.asarray(x).dtype) for x in inputs[: len(loss.differentiable)]
    )
    found = [
        loss.value_and_gradient(*inputs, **settings),
        loss.gradient_and_hessian(*inputs, **settings),
        loss.hessian_product(
            *inputs, direction=directions, wrt=tuple(loss.differentiable)[: len(directions)], **settings
        ),
    ]
    return [np.asarray(part) for whole in found for part in _flat(whole)]


def _flat(found: Any) -> list[Any]:
    return [part for each in found for part in _flat(each)] if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("kind", ["exact", "fast", "pairs"])
@pytest.mark.parametrize("name", SETTINGS)
def test_memory_of_its_own_gives_the_same(name: str, kind: str) -> None:
    folder = {"exact": "", "fast": "fast", "pairs": "pairs"}
    texts = {k: (GENERATED / folder[k] / f"{name}.py").read_text("utf-8") for k in {"exact", kind}}
    assert _own(texts[kind]) != texts[kind]  # so that this compares something
    inputs = _inputs(name)
    if kind == "pairs":
        inputs = tuple(x.astype(np.float64) if np.asarray(x).dtype == np.float32 else x for x in inputs)
    ours, own = (
        _loss(kind, {k: _module(change(text), f"{name}_{k}") for k, text in texts.items()}) for change in (str, _own)
    )
    with np.errstate(all="ignore"):  # as in compiled kernels
        for settings in SETTINGS[name]:
            for a, b in zip(_results(ours, inputs, settings), _results(own, inputs, settings), strict=True):
                assert np.isfinite(a).all()
                np.testing.assert_array_equal(a, b)


N, C = Axis("n", "samples"), Axis("c", "classes")
I, K = N.index("i"), C.index("k")  # noqa: E741 - an index
OLD, NEW = (Buffer(name, ("n", "c"), blocked=True) for name in ("old", "new"))
WRITE = Store("new", (ROW, K), sympy.exp(Access("old", ROW, K)))


def _multiply(target: str, left: str) -> Multiply:
    made, read = (Matrix(name, "block", ("n",), ("c",)) for name in (target, left))
    return Multiply(made, read, Matrix("x", "", ("c",), ("c",)), False, False, False)


def _nodes(*rows: Node, old: Buffer = OLD, new: Buffer = NEW, after: tuple[Node, ...] = ()) -> tuple[Node, ...]:
    work = (_multiply("old", "left"), Loop(I, rows, block=True), _multiply("out", "new"), *after)
    return (new, old, Blocks(I, (), work))


def _written(*body: Node) -> Loop:
    return Loop(K, body)


def _is_shared(nodes: tuple[Node, ...]) -> bool:
    found = shared(nodes)
    kinds = [(n.name, n.shares) for n in found if isinstance(n, Buffer)]
    assert kinds in ([("old", ""), ("new", "old")], [("new", ""), ("old", "")])
    return kinds[0][0] == "old"


def test_an_entry_is_written_where_it_was_read() -> None:
    assert _is_shared(_nodes(_written(WRITE)))
    assert _is_shared(_nodes(Strips(K, (WRITE,), (("sum", "whole", None),))))
    assert _is_shared(
        _nodes(_written(Assign("v", Access("old", ROW, K)), replace(WRITE, expression=sympy.Symbol("v"))))
    )


def test_a_matrix_that_is_done_with_gives_way() -> None:
    work = (_multiply("old", "left"), _multiply("between", "old"), _multiply("new", "between"))
    assert _is_shared((NEW, OLD, Blocks(I, (), work)))
    assert not _is_shared((NEW, OLD, Blocks(I, (), (*work, _multiply("out", "old")))))
    assert not _is_shared((NEW, OLD, Blocks(I, (), (work[0], _multiply("new", "old")))))
    assert not _is_shared((NEW, OLD, Blocks(I, (), work), Assign("v", Access("old", sympy.S.Zero, sympy.S.Zero))))


@pytest.mark.parametrize(
    "rows",
    [
        (_written(replace(WRITE, expression=Access("old", ROW, K) + Access("old", ROW, sympy.S.Zero))),),
        (_written(WRITE, Assign("v", Access("old", ROW, K))),),
        (_written(WRITE), _written(Assign("v", Access("old", ROW, K)))),
        (_written(replace(WRITE, guard="add")),),
        (_written(replace(WRITE, where=sympy.Ne(K, 0))),),
        (_written(replace(WRITE, slots=(ROW, sympy.S.Zero))),),
        (Strips(K, (WRITE,), (("sum", "whole", Access("old", ROW, sympy.S.Zero)),)),),
        (_written(WRITE), Assign("y", Access("label", I)), Assign("v", Access("old", ROW, sympy.Symbol("y")))),
        (_written(WRITE), Store("value_out", (I,), Access("old", ROW, I))),
        (Assign("v", Access("old", sympy.S.Zero, I)), _written(WRITE)),
    ],
)  # fmt: skip
def test_what_is_still_to_be_read_stays(rows: tuple[Node, ...]) -> None:
    assert not _is_shared(_nodes(*rows))


def test_other_kinds_stay_apart() -> None:
    assert not _is_shared(_nodes(_written(WRITE), new=replace(NEW, dtype="like")))
    assert not _is_shared(_nodes(_written(WRITE), after=(_multiply("out", "old"),)))
    assert shared((Assign("v", sympy.S.One),)) == (Assign("v", sympy.S.One),)


def test_entries_read_later_are_kept() -> None:
    late = Assign("loss", Access("old", ROW, I) * 2)
    found = shared(_nodes(_written(WRITE), late), ("old_kept",))
    (blocks,) = (n for n in found if isinstance(n, Blocks))
    rows: Any = blocks.body[1]
    name = sympy.Symbol("old_kept_2", real=True)
    assert rows.body == (Assign("old_kept_2", Access("old", ROW, I)), _written(WRITE), Assign("loss", 2 * name))
