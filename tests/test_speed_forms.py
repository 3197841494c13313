"""The form of generated kernels that makes them fast: vector instructions, no call of the library, blocks."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from numba import njit

import symloss
from symloss.runtime.plan import FEW
from symloss.runtime.preparation import prepare
from symloss.runtime.threads import GRAIN

ELEMENTWISE = ("binary_cross_entropy", "focal", "huber", "squared_error", "squared_hinge")
FLAT = tuple(
    name for name in symloss.losses() if symloss.load(name).spec.elementwise and not symloss.load(name).spec.masked
)
CONSTANT = ("bias_error",)
"""Whose derivatives are constants, with nothing to compute but a sum."""
SCALAR_CALLS = ("exp", "expf", "log", "logf", "log1p", "log1pf", "pow", "powf", "tanh", "tanhf")


def _arrays(name: str, dtype: Any, n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, n)
    target = 2 * label - 1 if "hinge" in name else label if "error" not in name else rng.normal(size=n)
    return (rng.normal(0, 3, n)).astype(dtype), np.asarray(target, dtype)


@pytest.mark.parametrize("accuracy, kind", [("exact", "double"), ("fast", "float")])
@pytest.mark.parametrize("kernel, orders", [("value_and_gradient", 1), ("gradient_and_hessian", 2)])
@pytest.mark.parametrize("name", FLAT)
def test_elementwise_kernels_are_vector_instructions_without_a_call(
    name: str, kernel: str, orders: int, accuracy: str, kind: str
) -> None:
    loss = symloss.load(name, accuracy=accuracy)
    function: Any = loss.plan.narrow[kernel]
    fresh = njit(nogil=True, error_model="numpy")(function.py_func)  # one from the cache has no code to show
    x = [np.ones(8, np.float32) for _ in loss.spec.inputs]
    out = [np.empty(8, np.float32) for _ in loss.differentiable * orders]
    parameters = [1.0 if p is None else p for p in loss.plan.defaults]
    fresh(*x, *parameters, None, 1.0, *([None] if orders == 1 else []), *out)
    (code,) = fresh.inspect_llvm().values()
    parts = re.split(r"\n(?=define )", code)
    code = "\n".join(p for p in parts if not re.match(r"define [^\n]*_careful_", p))  # a third step is rare
    packed = rf"f(?:mul|sub) <(\d+) x {kind}>" if name not in CONSTANT else r"store <(\d+) x float>"
    assert max(map(int, re.findall(packed, code)), default=0) >= 2, "no packed arithmetic"
    called = [c for c in SCALAR_CALLS if f"@{c}(" in code or f"@llvm.{c}." in code]
    if "doubtful" in function.py_func.__code__.co_varnames:  # its tape starts from the library's logarithm
        called = [c for c in called if c not in ("log", "log1p")]
    assert not called


@pytest.mark.parametrize("name", ["binary_cross_entropy", "focal", "margin_ranking", "poly_focal"])
def test_a_second_look_is_vector_instructions(name: str) -> None:
    """Fused products are in nothing else."""
    loss = symloss.load(name)
    function: Any = loss.plan.kernels["value" if name == "margin_ranking" else "gradient_and_hessian"]
    fresh = njit(nogil=True, error_model="numpy")(function.py_func)
    x = [np.ones(8) for _ in loss.spec.inputs]
    parameters = [1.0 if p is None else p for p in loss.plan.defaults]
    given = [None, None] if name == "margin_ranking" else [None, 1.0, x[0].copy(), x[0].copy()]
    fresh(*x, *parameters, *given)
    (code,) = fresh.inspect_llvm().values()
    assert re.search(r"call[^\n]* @llvm\.fma\.v\d+f64", code)


def _rows(name: str, entries: int) -> tuple[Any, ...]:
    """Return small inputs of a loss whose samples are rows."""
    rng = np.random.default_rng(4)
    first = rng.uniform(0.1, 0.9, (3, entries)).astype(np.float32)
    match name:
        case "dice":
            return first, (first > 0.5).astype(np.float32)
        case "triplet":
            return first, *rng.normal(size=(2, 3, entries)).astype(np.float32)
        case "info_nce" | "multiple_negatives_ranking":
            return first, rng.normal(size=(3, entries)).astype(np.float32)
        case _:
            return first, rng.integers(0, entries, 3)


@pytest.mark.parametrize("accuracy, kind", [("exact", "double"), ("fast", "float")])
@pytest.mark.parametrize(
    "name, entries",
    [
        ("softmax_cross_entropy", 100), ("softmax_cross_entropy", 10), ("poly_cross_entropy", 100), ("dice", 100),
        ("triplet", 100), ("info_nce", 100), ("multiple_negatives_ranking", 100),
    ],
)  # fmt: skip
def test_row_kernels_are_vector_instructions_without_a_call(name: str, entries: int, accuracy: str, kind: str) -> None:
    plan = symloss.load(name, accuracy=accuracy).plan
    ready = prepare(plan, _rows(name, entries), None, {})
    kernel: Any = plan.kernels_for(ready.dtype, ready.inputs[0])["value_and_gradient"]
    assert kernel.py_func.__name__.startswith("value_and_gradient_few") == (entries <= FEW and "cross" in name)
    fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
    slopes = [np.empty_like(ready.inputs[k]) for k in plan.at]
    fresh(*ready.inputs, *ready.parameters, ready.weight, 1.0, np.empty(0, np.float32), *slopes)
    (code,) = fresh.inspect_llvm().values()
    widths = [int(n) for n in re.findall(rf"fmul <(\d+) x {kind}>", code)]
    assert max(widths, default=0) >= (8 if kind == "float" else 4), "no packed multiplication"
    assert not [c for c in SCALAR_CALLS if f"@{c}(" in code or f"@llvm.{c}." in code]


def test_long_functions_run_on_several_vectors_in_turn() -> None:
    compiled: Any = symloss.load("binary_cross_entropy", accuracy="fast").plan.narrow["gradient"]
    kernel = compiled.py_func
    source = inspect.getsource(kernel).replace(", cache=True", "")
    counts, found = [], []
    for text in (source, source.replace("_interleave(4)", "pass")):
        scope = dict(kernel.__globals__)
        exec(text, scope)
        x = np.linspace(-30, 30, 3001, dtype=np.float32)
        found.append(np.empty_like(x))
        scope["gradient"](x, np.float32(0.5) + x / 100, 1.0, 0.0, None, 1.0, found[-1])
        (code,) = scope["gradient"].inspect_llvm().values()
        counts.append(len(re.findall(r"call [^@]*<\d+ x float> @llvm\.fmuladd", code)))
    assert counts[0] >= 2.5 * counts[1] > 0, counts
    np.testing.assert_array_equal(found[0], found[1])  # to the bit


@pytest.mark.parametrize("accuracy, tolerance", [("exact", 1e-6), ("fast", 4e-6)])
def test_short_rows_give_what_long_ones_do(accuracy: str, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms of the kernels; rows that do not count, equal entries and NaN among them."""
    rng = np.random.default_rng(6)
    loss = symloss.load("softmax_cross_entropy", accuracy=accuracy)
    for n, c in ((1, 1), (3, 2), (64, 10), (129, 7)):
        x, y = rng.normal(0, 5, (n, c)).astype(np.float32), rng.integers(0, c, n)
        if n > 60:
            x[4], x[2, 1], y[::3] = x[4, 0], np.nan, -100
        found = []
        for few in (32, 0):
            monkeypatch.setattr("symloss.runtime.plan.FEW", few)
            values, slopes = loss.value_and_gradient(x, y, ignore_index=-100, reduction="none")
            both = loss.gradient_and_hessian(x, y, ignore_index=-100, reduction="sum")
            np.testing.assert_array_equal(loss.value(x, y, ignore_index=-100, reduction="none"), values)
            np.testing.assert_array_equal(slopes, both[0])
            found.append((values, *both))
        for short, usual in zip(*found, strict=True):
            np.testing.assert_allclose(short, usual, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_quick_calls_give_the_bits_of_the_others(name: str, accuracy: str) -> None:
    loss = symloss.load(name, accuracy=accuracy)
    for dtype in (np.float32, np.float64):
        for n in (1, 5, 1023, 1025, GRAIN + 3):
            x, y = _arrays(name, dtype, n)
            folded = (x.reshape(1, n), y.reshape(1, n))  # two dimensions: not the quick way
            for reduction in ("mean", "sum"):
                value, slope = loss.value_and_gradient(x, y, reduction=reduction)
                other, far = loss.value_and_gradient(*folded, reduction=reduction)
                assert value == other
                np.testing.assert_array_equal(slope, far[0])
                for method in ("gradient", "hessian_diagonal"):
                    found = getattr(loss, method)(x, y, reduction=reduction)
                    np.testing.assert_array_equal(found, getattr(loss, method)(*folded, reduction=reduction)[0])
                assert loss.value(x, y, reduction=reduction) == value


def test_quick_calls_take_settings_and_out() -> None:
    loss = symloss.load("focal")
    x, y = _arrays("focal", np.float32, 100)
    out = np.empty_like(x), np.empty_like(x)
    found = loss.gradient_and_hessian(x, y, gamma=1.5, alpha=0.5, out=out)
    assert found[0] is out[0]
    assert found[1] is out[1]
    for got, wanted in zip(out, loss.gradient_and_hessian(x[None], y[None], gamma=1.5, alpha=0.5), strict=True):
        np.testing.assert_array_equal(got, wanted[0])
    np.testing.assert_array_equal(loss.gradient(x, y, gamma=2), loss.gradient(x, y, gamma=2.0))
    with pytest.raises(TypeError, match="gamma must be a real number, got True"):
        loss.gradient(x, y, gamma=True)
    same = x.copy()
    np.testing.assert_array_equal(loss.gradient(same, y, out=same), loss.gradient(x, y))


def test_fast_is_float32_arithmetic_for_float32_alone() -> None:
    exact, fast = symloss.load("focal"), symloss.load("focal", accuracy="fast")
    x, y = _arrays("focal", np.float32, 4000)
    near, far = exact.gradient(x, y, reduction="sum"), fast.gradient(x, y, reduction="sum")
    assert (near != far).any()
    np.testing.assert_allclose(far, near, rtol=8 * 2.0**-23)
    wide = x.astype(np.float64), y.astype(np.float64)
    np.testing.assert_array_equal(exact.gradient(*wide), fast.gradient(*wide))
    assert fast.gradient(x, y).dtype == np.float32


def test_weights_in_float32_arithmetic() -> None:
    fast = symloss.load("huber", accuracy="fast")
    x, y = _arrays("squared_error", np.float32, 50)
    weight = np.linspace(0, 2, 50)
    exact = symloss.load("huber").value_and_gradient(x, y, sample_weight=weight)
    for got, wanted in zip(fast.value_and_gradient(x, y, sample_weight=weight), exact, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)


def test_a_long_float32_sum_keeps_its_digits() -> None:
    """One running float32 sum of so many numbers would be off by more than 1e-3.

    1,024 float32 numbers are added at a time, 64 in each lane; equal ones round alike. One more is that of the result.
    """
    fast = symloss.load("absolute_error", accuracy="fast")
    x = np.full(3_000_000, 0.1, np.float32)
    total = fast.value(x, np.zeros_like(x), reduction="sum")
    assert float(total) == pytest.approx(float(np.float32(0.1)) * len(x), rel=16 * 2.0**-24)
