"""What keeps loops short and memory busy: float32 takes less of float64, rows are fetched ahead and kept in outputs."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest
import sympy
from numba import njit

import symloss
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.lowering.ahead import fetched_ahead
from symloss.lowering.nodes import Assign, Buffer, Loop, Node, Skip, Store, Strips
from symloss.lowering.outputs import kept_in_outputs
from symloss.runtime import evaluation
from symloss.runtime.execution import execute
from symloss.runtime.preparation import prepare

ROW, K, C = Index("i", Axis("n", "rows")), Index("k", Axis("c", "classes")), Index("c_2", Axis("c", "classes"))
NOW, FACTOR = sympy.symbols("now factor", real=True)


def _code(name: str, kernel: str, dtype: Any, rows: tuple[int, ...], accuracy: str = "exact") -> str:
    """Return the LLVM code of a kernel, as it is compiled for arrays of a dtype."""
    plan = symloss.load(name, accuracy=accuracy).plan
    compiled: Any = plan.narrow[kernel]
    fresh = njit(nogil=True, error_model="numpy")(compiled.py_func)
    x, nothing = np.ones(rows, dtype), None if len(rows) == 1 else np.empty(0, dtype)
    inputs = [x, np.zeros(rows[0], np.int64) if plan.labels else x.copy(), x.copy()][: len(plan.spec.inputs)]
    ready = prepare(plan, tuple(inputs), None, {})
    values = [nothing] if kernel == "value_and_gradient" else []
    fresh(*inputs, *ready.parameters, nothing, 1.0, *values, *(x.copy() for _ in plan.at))
    (code,) = fresh.inspect_llvm().values()
    return str(code)


def test_float32_takes_shorter_functions() -> None:
    """One coefficient less, and nothing of what rounding takes; which of them is decided when a kernel is compiled."""
    counts = {
        dtype: len(re.findall(r"call [^@]*<\d+ x double> @llvm\.fmuladd", _code("focal", "gradient", dtype, (8,))))
        for dtype in (np.float32, np.float64)
    }
    assert 0 < counts[np.float32] < 0.9 * counts[np.float64], counts


@pytest.mark.parametrize("gamma", [None, 0.5, 2.0], ids=["binary cross entropy", "focal, 0.5", "focal, 2"])
def test_float32_is_rounded_once(gamma: float | None) -> None:
    """Beside the derivative worked out by hand, in more digits than float64 has and without a difference."""
    rng = np.random.default_rng(5)
    x = rng.normal(0, 20, 200_000).astype(np.float32)
    y = rng.integers(0, 2, x.size).astype(np.float32)
    side = np.where(y == 1, 1, -1).astype(np.longdouble)
    wrong = np.exp(-np.logaddexp(side * x.astype(np.longdouble), 0))  # the probability of the other label
    right = np.exp(-np.logaddexp(-side * x.astype(np.longdouble), 0))
    truth: Any = -side * wrong
    if gamma is None:
        got = symloss.load("binary_cross_entropy").gradient(x, y, reduction="sum")
    else:
        got = symloss.load("focal").gradient(x, y, gamma=gamma, alpha=None, reduction="sum")
        surprise = np.logaddexp(-side * x.astype(np.longdouble), 0)
        truth = truth * wrong ** (gamma - 1) * (wrong + gamma * right * surprise)
    off = np.abs(got - truth) / np.spacing(np.maximum(np.abs(got), np.finfo(np.float32).tiny))
    assert off.max() <= 0.5001
    assert (got != truth.astype(np.float32)).mean() < 1e-4


@pytest.mark.parametrize("dtype, sizes", [(np.float32, (1e-38, 1.0, 3e37)), (np.float64, (1e-300, 1.0, 1e300))])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_norms_stay_inside_the_format(dtype: Any, sizes: tuple[float, ...], accuracy: str) -> None:
    """Squares of float64, and of float32 in float32, are relative to the largest; those of float32 need not be."""
    loss = symloss.load("triplet", accuracy=accuracy)
    for size in sizes:
        anchor = np.zeros((1, 4), dtype)
        positive, negative = (np.array([row], dtype) * dtype(size) for row in ([3, 0, 4, 0], [0, 0, 0, 2]))
        value, slopes = loss.value_and_gradient(anchor, positive, negative, margin=0.0)
        assert value == pytest.approx(3 * size, rel=1e-6)
        np.testing.assert_allclose(slopes[1], [[0.6, 0, 0.8, 0]], rtol=1e-6)
        assert loss.value(anchor, anchor, anchor, margin=1.0) == 1.0
        assert math.isnan(loss.value(anchor, np.full_like(anchor, np.nan), negative))


def test_rows_are_fetched_ahead_where_a_loop_computes_for_long() -> None:
    assert "llvm.prefetch" in _code("softmax_cross_entropy", "value_and_gradient", np.float32, (2, 64))
    assert "llvm.prefetch" not in _code("triplet", "value_and_gradient", np.float32, (2, 64))
    assert "llvm.prefetch" not in _code("binary_cross_entropy", "gradient", np.float32, (8,))


def test_the_row_that_is_read_next_is_fetched() -> None:
    """The largest entry is not looked for in what another loop wrote, labels have no rows, and outputs are written."""
    read = Assign("z", Access("logits", ROW, K))
    strips = Strips(K, (read, Store("exp", (K,), Access("bias", K))), ())
    last = Loop(C, (Store("gradient", (ROW, C), Access("exp", C)),))
    (loop,) = fetched_ahead((Loop(ROW, (strips, last)),), frozenset({"logits", "bias", "label"}), ROW)
    assert isinstance(loop, Loop)
    first = loop.body[0]
    assert isinstance(first, Strips)
    assert first.asked == (("logits", "i + 1"),)


def _kept(*last: Node, between: tuple[Node, ...] = ()) -> tuple[Node, ...]:
    """Return a kernel that writes exponentials of a row to a buffer, and then what reads it."""
    strips = Strips(K, (Assign("now", sympy.exp(Access("logits", ROW, K))), Store("exp", (K,), NOW)), ())
    nodes = (Buffer("exp", ("c",)), Loop(ROW, (strips, *between, Loop(C, last))))
    return kept_in_outputs(nodes)


def test_a_row_is_kept_in_the_output_it_is_for() -> None:
    exp, slots = Access("exp", C), (ROW, C)
    skip = Skip(sympy.true, (Store("gradient", (ROW, sympy.Symbol(":")), sympy.S.Zero),))
    (loop,) = _kept(Store("gradient", slots, FACTOR * exp), between=(skip,))
    text = str(loop)
    assert "'exp'" not in text
    assert isinstance(loop, Loop)
    made, _, last = loop.body
    assert made.body[1] == Store("gradient", (ROW, K), NOW)  # type: ignore[union-attr]
    assert last.body == (Store("gradient", slots, FACTOR * Access("gradient", ROW, C)),)  # type: ignore[union-attr]
    (loop,) = _kept(Store("gradient", slots, FACTOR * exp), Store("hessian", slots, exp**2))  # the last may hold it
    assert isinstance(loop, Loop)
    assert loop.body[0].body[1] == Store("hessian", (ROW, K), NOW)  # type: ignore[union-attr]


@pytest.mark.parametrize("last, between", [
    ((Store("gradient", (ROW, C), Access("exp", C)), Assign("later", Access("exp", C))), ()),
    ((Store("gradient", (ROW, C), Access("exp", K)),), ()),
    ((Store("gradient", (C, ROW), Access("exp", C)),), ()),
    ((Store("gradient", (ROW, C), Access("exp", C), "add"),), ()),
    ((Store("gradient", (ROW, C), Access("exp", C), where=sympy.Eq(C, 1)),), ()),
    ((Store("gradient", (ROW, C), Access("exp", C)),), (Assign("entry", Access("exp", sympy.S.Zero)),)),
    ((Store("gradient", (ROW, C), Access("exp", C)),), (Store("gradient", (ROW, sympy.S.Zero), FACTOR),)),
], ids=["read after", "another", "a column", "added to", "a condition", "read between", "written between"])  # fmt: skip
def test_a_row_that_is_for_more_has_memory_of_its_own(last: tuple[Node, ...], between: tuple[Node, ...]) -> None:
    assert any(isinstance(n, Buffer) for n in _kept(*last, between=between))


def test_rows_kept_in_outputs_and_fetched_give_the_bits_of_plain_ones() -> None:
    compiled: Any = symloss.load("softmax_cross_entropy", accuracy="fast").plan.narrow["gradient_and_hessian"]
    source = inspect.getsource(compiled.py_func).replace(", cache=True", "")
    moved = re.sub(r"hessian_logits\[i, (k_\d+)\] = exp_logits_now", r"kept[\1] = exp_logits_now", source)
    moved = moved.replace("= hessian_logits[i, c_2]", "= kept[c_2]")
    moved = moved.replace("    strips = ", "    kept = np.empty((c,), f32)\n    strips = ")
    assert moved.count("kept[") == 2
    unfetched = re.sub(r"_fetch\(.*\)", "pass", moved)
    assert unfetched != moved
    rng = np.random.default_rng(8)
    x, y = rng.normal(0, 4, (5, 1100)).astype(np.float32), rng.integers(0, 1100, 5)
    found = []
    for text in (source, unfetched):
        scope = dict(compiled.py_func.__globals__)
        exec(text, scope)
        found.append((np.empty_like(x), np.empty_like(x)))
        none = np.empty(0, np.float32)
        scope["gradient_and_hessian"](x, y, 0.0, np.ones(1100), 0, False, none, 1.0, *found[-1])
    np.testing.assert_array_equal(found[0], found[1])


def test_samples_are_counted_where_some_may_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = symloss.load("softmax_cross_entropy")
    assert loss.spec.masked_by == ("ignore_index",)
    x, y = np.linspace(-1, 1, 12).reshape(4, 3), np.array([0, 2, 2, 1])
    kernels: list[str] = []

    def noted(kernel: Any, *arguments: Any, **options: Any) -> Any:
        kernels.append(kernel.py_func.__name__)
        return execute(kernel, *arguments, **options)

    monkeypatch.setattr(evaluation, "execute", noted)
    whole = loss.value(x, y)
    assert kernels == ["value_few"]
    assert whole == pytest.approx(loss.value(x, y, reduction="none").mean(), rel=1e-15)
    kernels.clear()
    part = loss.value(x, y, ignore_index=2)
    assert sorted(kernels) == ["count", "value_few"]
    assert part == pytest.approx(loss.value(x[[0, 3]], y[[0, 3]]), rel=1e-15)
    weight = np.array([1.0, 2.0, 0.0, 3.0])
    assert loss.value(x, y, sample_weight=weight) == pytest.approx(
        (weight * loss.value(x, y, reduction="none")).sum() / 6, rel=1e-15
    )
