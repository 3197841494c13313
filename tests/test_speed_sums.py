"""Sums in registers: one order in every kernel, whatever is left over and wherever arrays are; digits; quotients."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import sympy
from numba import njit

import symloss
from symloss.language.axes import Axis
from symloss.language.nodes import Access
from symloss.lowering.invariants import with_shared_divisors
from symloss.lowering.nodes import Assign, Loop, Store, Update
from symloss.lowering.rounds import side_by_side
from symloss.rendering.primitives import _over

LEFT_OVER = (1, 2, 15, 16, 17, 31, 32, 33, 47, 63, 100, 511, 513, 1023, 1025, 1500)
"""Lengths of sums: less than a vector, some of them, and some with a rest; beside the ends of strips and chunks."""
LOSSES = ("absolute_error", "binary_cross_entropy", "contrastive", "dice", "focal", "huber", "smooth_l1", "triplet")


def _inputs(name: str, n: int, dtype: Any) -> list[Any]:
    rng = np.random.default_rng(n)
    rows = name in ("contrastive", "dice", "triplet")
    x = rng.normal(size=(3, 2, n) if rows else (2, n)).astype(dtype)
    match name:
        case "triplet":
            return [*x]
        case "contrastive":
            return [x[0], x[1], np.array([0, 1], dtype)]
        case "dice":
            return [rng.random((2, n)).astype(dtype), rng.integers(0, 2, (2, n)).astype(dtype)]
        case "binary_cross_entropy" | "focal":
            return [x[0], rng.integers(0, 2, n).astype(dtype)]
        case _:
            return [*x]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_add_up_in_one_order(name: str, accuracy: str, dtype: Any) -> None:
    """What one kernel adds up with other things in the loop than another has the same bits, whatever its length."""
    loss = symloss.load(name, accuracy=accuracy)
    for n in LEFT_OVER:
        inputs = _inputs(name, n, dtype)
        alone = loss.value(*inputs, reduction="sum")
        assert alone == loss.value_and_gradient(*inputs, reduction="sum")[0], n
        weighted = np.ones(len(inputs[0]), dtype)
        assert alone == loss.value(*inputs, reduction="sum", sample_weight=weighted), n


def _placed(arrays: list[Any], outputs: int, gap: int, dtype: Any) -> tuple[list[Any], list[Any]]:
    """Return arrays one behind the other in memory, and as many outputs behind them after a gap."""
    size = sum(a.size for a in arrays) + outputs * arrays[0].size + gap
    pool, found, start = np.empty(size, dtype), [], 0
    for k, array in enumerate([*arrays, *[arrays[0]] * outputs]):
        start += gap if k == len(arrays) else 0
        found.append(pool[start : start + array.size].reshape(array.shape))
        found[-1][...] = array
        start += array.size
    return found[: len(arrays)], found[len(arrays) :]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", LOSSES)
def test_bits_do_not_depend_on_where_arrays_are(name: str, accuracy: str, dtype: Any) -> None:
    """LLVM takes short arrays beside each other for ones that may overlap, unless it is told that it need not care."""
    loss = symloss.load(name, accuracy=accuracy)
    for n in (5, 7, 9, 15, 17, 23, 31, 47, 63):
        inputs = _inputs(name, n, dtype)
        expected, slopes = loss.value_and_gradient(*inputs, reduction="sum")
        outputs = len(slopes) if isinstance(slopes, tuple) else 1
        for gap in range(0, 64, 3):
            near, out = _placed(inputs, outputs, gap, dtype)
            found, _ = loss.value_and_gradient(*near, reduction="sum", out=out[0] if outputs == 1 else tuple(out))
            assert found == expected, (n, gap)


X, AT, BY = sympy.Symbol("x"), *(Axis("n", "elements").index(k) for k in "ij")


@pytest.mark.parametrize("apart, body", [
    (True, (Assign("a", Access("x", AT)), Store("y", (AT,), X))),
    (True, (Store("y", (AT,), Access("y", AT) + 1), Store("y", (AT, BY), X))),
    (True, (Update("total", "lanewise", Access("x", AT), sympy.true), Store("y", (BY, AT), Access("y", BY, AT)))),
    (False, (Store("y", (BY,), X),)),
    (False, (Store("y", (AT,), Access("y", BY)),)),
    (False, (Store("y", (AT,), X), Store("y", (BY,), X))),
    (False, (Store("y", (BY, AT), Access("y", AT, BY)),)),
    (False, (Store("y", (AT + BY,), X),)),
    (False, (Loop(BY, ()),)),
])  # fmt: skip
def test_rounds_that_could_be_side_by_side(apart: bool, body: tuple[Any, ...]) -> None:
    assert side_by_side(body, AT) is apart


@pytest.mark.parametrize("accuracy, bits", [("exact", 53), ("fast", 24)])
@pytest.mark.parametrize("n", [100, 1000, 100_000])
def test_a_sum_keeps_its_digits(n: int, accuracy: str, bits: int) -> None:
    """A chunk of float32 numbers is added up in 16 lanes of 64, and the chunks in float64."""
    x = np.random.default_rng(n).uniform(0.5, 2.0, n).astype(np.float32)
    loss = symloss.load("absolute_error", accuracy=accuracy)
    truth = math.fsum(map(float, x))
    found = float(loss.value(x.astype(np.float64) if bits == 53 else x, np.zeros(n, x.dtype), reduction="sum"))
    assert abs(found - truth) <= 4 * 2.0**-bits * truth


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", ["contrastive", "dice", "huber", "triplet"])
def test_sums_stay_in_registers(name: str, accuracy: str, capfd: pytest.CaptureFixture[str]) -> None:
    """They are added in the vectors asked for, and LLVM, which says so where it can make none, says nothing.

    In float32 arithmetic squares of norms are float64, in vectors of as many numbers as all else.
    """
    plan = symloss.load(name, accuracy=accuracy).plan
    inputs = _inputs(name, 64, np.float32)
    kernel: Any = plan.narrow["value_and_gradient"]
    slopes = [np.empty_like(inputs[k]) for k in plan.at]
    wanted = None if name == "huber" else np.empty(0, np.float32)
    fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
    fresh(*inputs, *plan.defaults, plan.unweighted[np.dtype(np.float32)], 1.0, wanted, *slopes)
    (code,) = fresh.inspect_llvm().values()
    added = re.findall(r"fadd reassoc <(\d+) x (float|double)>", code)
    assert {width for width, _ in added} == {"16" if accuracy == "fast" else "4"}
    kinds = {"contrastive": {"float", "double"}, "triplet": {"double"}}.get(name, {"float"})
    assert {kind for _, kind in added} == (kinds if accuracy == "fast" else {"double"})
    assert "_block_sum" not in kernel.py_func.__code__.co_names
    if name == "huber":  # all of it is one loop, which does not ask where arrays are
        assert not re.search(r"%(diff\.check|found\.conflict)", code)
    assert "vectorized" not in capfd.readouterr().err


def test_quotients_are_products_where_float32_is_all_that_is_wanted() -> None:
    x, b = 0.1, 3.0
    assert _over(x, b, math.nan, math.nan, 0) == x / b
    assert _over(x, b, 1.0, 1.0 / b, None) == x * (1.0 / b)


def test_the_divisor_of_several_quotients_is_inverted_once() -> None:
    e, f = sympy.symbols("e f", real=True)
    shared, alone, unsafe = 1 / (1 + e), f / (2 + e), f / e + 1 / e
    taken = {"inverse"}
    nodes = with_shared_divisors((Assign("a", e * shared + alone), Store("y", (AT,), shared + unsafe)), taken)
    assert [str(n.expression) for n in nodes if isinstance(n, Assign | Store)] == [
        "1/(e + 1)", "f/(e + 2) + over(e, e + 1, 1, inverse_2)", "inverse_2 + f/e + 1/e",
    ]  # fmt: skip
    assert isinstance(nodes[0], Assign)
    assert nodes[0].name == "inverse_2"
    assert taken == {"inverse", "inverse_2"}


@pytest.mark.parametrize("kernel", ["value_and_gradient", "gradient_and_hessian"])
def test_float32_results_divide_once_where_float64_results_divide_twice(kernel: str) -> None:
    """By 1 + exp(-|logit|): the sigmoids of a logit and of its opposite."""
    plan = symloss.load("binary_cross_entropy").plan
    divisions = []
    for dtype in (np.float32, np.float64):
        x, y = _inputs("binary_cross_entropy", 64, dtype)
        function: Any = plan.kernels[kernel]
        fresh = njit(nogil=True, error_model="numpy")(function.py_func)
        first = (None,) if kernel == "value_and_gradient" else (np.empty_like(x),)
        fresh(x, y, *plan.defaults, None, 1.0, *first, np.empty_like(x))
        (code,) = fresh.inspect_llvm().values()
        loop = next(part for part in re.split(r"\n\n", code) if re.search(r"fdiv <\d+ x double> .*splat", part))
        divisions.append(len(re.findall(r"fdiv <", loop)))
    assert divisions[1] == 2 * divisions[0]


@pytest.mark.parametrize("beta", [1e-30, 0.3, 7.0, 1e30])
def test_smooth_l1_is_rounded_once_with_either(beta: float) -> None:
    """float64 divides, float32 multiplies by what was prepared, and is rounded from as near as it can see."""
    rng = np.random.default_rng(8)
    x = (rng.uniform(-2, 2, 2000) * beta).astype(np.float32)
    loss, zero = symloss.load("smooth_l1"), np.zeros(2000, np.float32)
    found = loss.gradient(x, zero, beta=beta, reduction="sum")
    wide = loss.gradient(x.astype(np.float64), zero.astype(np.float64), beta=beta, reduction="sum")
    assert np.all(np.abs(found - wide) <= 0.5000001 * np.spacing(np.abs(found)).astype(np.float64))
    assert np.array_equal(wide, np.clip(x.astype(np.float64) / beta, -1, 1))


def test_a_float64_sum_after_other_loops_goes_by_way_of_a_block() -> None:
    """The last of several loops has all registers in use; float32 numbers take half as many."""
    called = {a: symloss.load("focal", accuracy=a).plan.narrow["value_and_gradient"] for a in ("exact", "fast")}
    names = {a: kernel.py_func.__code__.co_names for a, kernel in called.items()}  # type: ignore[attr-defined]
    assert "_block_sum" in names["exact"]
    assert "_block_sum" not in names["fast"]
