"""Entries: machine code takes the commonest calls whole; results, refusals and reference counts are Python's."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import BuiltinFunctionType
from typing import Any

import numpy as np
import pytest

import symloss
from symloss.runtime import layout
from symloss.runtime.entry import make_entry
from symloss.runtime.entry_code import Request
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.runtime.quick import OFTEN, can_be_quick, no_entry
from symloss.runtime.ways import WANTED

N = 37
RNG = np.random.default_rng(11)
QUICK = [name for name in symloss.losses() if can_be_quick(symloss.load(name).spec)]
DTYPES = [np.float32, np.float64]


def _inputs(loss: Loss, n: int, dtype: type) -> tuple[Any, ...]:
    """Return inputs from their domains: 1 is in all of them."""
    return tuple(
        (RNG.normal(0, 3, n) if (a.domain or {}).get("high", 1) == np.inf else np.ones(n)).astype(dtype)
        for a in loss.spec.inputs
    )


def _entered(loss: Loss, method: str, inputs: tuple[Any, ...], **options: Any) -> Any:
    """Call until there is an entry, and return it."""
    for _ in range(OFTEN + 1):
        getattr(loss, method)(*inputs, **options)
    return loss.plan.entries[method]


def _bits(results: Any) -> list[bytes]:
    return [np.asarray(r).tobytes() for r in (results if isinstance(results, tuple) else (results,))]


@pytest.fixture
def hinge() -> Loss:
    """Return a loss without entries as yet, with a domain and a parameter."""
    return Loss(make_plan(symloss.hinge.module))


CHEAP = ("hinge", "huber")
"""Losses that are soon compiled: with a domain and a parameter, and without a domain."""
CASES = [
    *((name, "exact", "value_and_gradient", np.float32) for name in QUICK if name not in CHEAP),
    *((n, accuracy, m, d) for n in CHEAP for accuracy in ("exact", "fast") for m in sorted(WANTED) for d in DTYPES),
]


@pytest.mark.parametrize(("name", "accuracy", "method", "dtype"), CASES)
def test_entries_give_the_bits_and_types_of_the_usual_way(name: str, accuracy: str, method: str, dtype: type) -> None:
    loss = symloss.load(name, accuracy=accuracy)
    inputs = _inputs(loss, N, dtype)
    rest = tuple(np.repeat(x, 2)[::2] for x in inputs)  # strided: no entry takes them
    found = _entered(loss, method, inputs)
    assert isinstance(found, BuiltinFunctionType)
    for reduction in ("mean", "sum"):
        direct = found(inputs, None, reduction, None, None, {})
        assert direct is not None
        expected = getattr(loss, method)(*rest, reduction=reduction)
        assert _bits(direct) == _bits(expected) == _bits(getattr(loss, method)(*inputs, reduction=reduction))
        both = [r if isinstance(r, tuple) else (r,) for r in (direct, expected)]
        assert [type(x) for x in both[0]] == [type(x) for x in both[1]]
        assert {x.dtype for x in both[0]} == {np.dtype(dtype)}
    assert found(rest, None, "mean", None, None, {}) is None


def test_either_dtype_is_taken_whichever_came_first(hinge: Loss) -> None:
    first, second = (_inputs(hinge, N, dtype) for dtype in DTYPES)
    assert hinge.plan.entries["gradient"] is no_entry
    assert _entered(hinge, "gradient", first)(second, None, "mean", None, None, {}) is None
    both = _entered(hinge, "gradient", second)
    for inputs in (first, second):
        assert both(inputs, None, "mean", None, None, {}).dtype == inputs[0].dtype
    assert both((first[0], second[1]), None, "mean", None, None, {}) is None


def _read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


X, Y = RNG.normal(size=N), np.ones(N)
REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("too few inputs", ((X,), None, "mean", None, None, {})),
    ("too many inputs", ((X, Y, Y), None, "mean", None, None, {})),
    ("a list of inputs", ([X, Y], None, "mean", None, None, {})),
    ("a list", ((X.tolist(), Y), None, "mean", None, None, {})),
    ("a subclass", ((X.view(np.memmap), Y), None, "mean", None, None, {})),
    ("another length", ((X, Y[:-1]), None, "mean", None, None, {})),
    ("no elements", ((X[:0], Y[:0]), None, "mean", None, None, {})),
    ("more than a grain", ((np.zeros(1 << 20), np.ones(1 << 20)), None, "mean", None, None, {})),
    ("two axes", ((X[None], Y[None]), None, "mean", None, None, {})),
    ("no axis", ((np.asarray(1.0), np.asarray(1.0)), None, "mean", None, None, {})),
    ("reversed", ((X[::-1], Y), None, "mean", None, None, {})),
    ("read-only", ((_read_only(X), Y), None, "mean", None, None, {})),
    ("another dtype", ((X.astype(int), Y), None, "mean", None, None, {})),
    ("other bytes", ((X.astype(">f8"), Y), None, "mean", None, None, {})),
    ("out of the domain", ((X, 0.5 * Y), None, "mean", None, None, {})),
    ("NaN out of the domain", ((X, np.nan * Y), None, "mean", None, None, {})),
    ("wrt", ((X, Y), "score", "mean", None, None, {})),
    ("no reduction", ((X, Y), None, "none", None, None, {})),
    ("another reduction", ((X, Y), None, "avg", None, None, {})),
    ("reduction is no string", ((X, Y), None, None, None, None, {})),
    ("weights", ((X, Y), None, "mean", Y, None, {})),
    ("parameters by name", ((X, Y), None, "mean", None, None, {"margin": 1.0})),
    ("parameters as they came", ((X, Y), None, "mean", None, None, (1,))),
    ("parameters in a list", ((X, Y), None, "mean", None, None, [1.0])),
    ("too few arguments", ((X, Y), None, "mean", None, None)),
    ("out is an input", ((X, Y), None, "mean", None, X, {})),
    ("out overlaps", ((X[:-1], Y[:-1]), None, "mean", None, X[1:], {})),
    ("out is short", ((X, Y), None, "mean", None, np.empty(N - 1), {})),
    ("out is float32", ((X, Y), None, "mean", None, np.empty(N, np.float32), {})),
    ("out is a tuple", ((X, Y), None, "mean", None, (np.empty(N),), {})),
    ("out is read-only", ((X, Y), None, "mean", None, _read_only(X), {})),
    ("out is a list", ((X, Y), None, "mean", None, [0.0] * N, {})),
]


@pytest.mark.parametrize("arguments", [a for _, a in REFUSED], ids=[name for name, _ in REFUSED])
def test_anything_else_is_refused_and_nothing_written(arguments: tuple[Any, ...]) -> None:
    loss = symloss.hinge
    before = X.copy(), Y.copy()
    for method in ("gradient", "value_and_gradient"):
        for dtype in DTYPES:
            found = _entered(loss, method, _inputs(loss, N, dtype))
        assert found(*arguments) is None
    np.testing.assert_array_equal((X, Y), before)


def test_pairs_of_outputs() -> None:
    loss = symloss.hinge
    found = _entered(loss, "gradient_and_hessian", (X, Y))
    memory = np.zeros(3 * N)
    a, b = memory[:N], memory[N : 2 * N]
    result = found((X, Y), None, "sum", None, (a, b), {})
    assert result[0] is a
    assert result[1] is b
    np.testing.assert_array_equal(a, np.where(X < 1, -1.0, 0.0))
    for wrong in (a, (a,), (a, b, b), [a, b], (a, a), (a, memory[5 : N + 5]), (a, X), (a, None), (None, None)):
        assert found((X, Y), None, "sum", None, wrong, {}) is None
    value = _entered(loss, "value", (X, Y))
    assert value((X, Y), None, "sum", None, a, {}) is None


def test_parameters_are_passed_on() -> None:
    loss = symloss.huber
    x, zero = np.full(N, 3.0), np.zeros(N)
    _entered(loss, "value", (x, zero))
    for delta in (1.0, 2.0, 1, 2):
        for _ in range(2):
            assert loss.value(x, zero, delta=delta) == delta * (3 - delta / 2)
        with pytest.raises(TypeError, match="delta must be a real number, got True"):
            loss.value(x, zero, delta=True)
    assert loss.value(x, zero) == 2.5
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="delta"):
            loss.value(x, zero, delta=wrong)


def test_a_second_look_that_is_not_compiled_yet_is_left_to_python() -> None:
    loss = Loss(make_plan(symloss.binary_cross_entropy.module))
    x, y = np.linspace(-3, 3, N), np.full(N, 0.25)
    found = _entered(loss, "gradient", (x, np.ones(N)))
    x[5] = np.log(1 / 3) * (1 + 1e-14)  # sigmoid(x) - 1/4 cancels
    out = np.empty(N)
    held = sys.getrefcount(out)
    assert found((x, y), None, "sum", None, out, {}) is None
    assert sys.getrefcount(out) == held
    expected = symloss.binary_cross_entropy.gradient(x.tolist(), y.tolist(), reduction="sum")
    for _ in range(OFTEN + 2):
        assert loss.gradient(x, y, reduction="sum", out=out) is out
        np.testing.assert_array_equal(out, expected)
    again = loss.plan.entries["gradient"]
    assert again is not found
    np.testing.assert_array_equal(again((x, y), None, "sum", None, None, {}), expected)


@pytest.mark.parametrize("method", sorted(WANTED))
def test_nothing_is_held_longer_than_its_result(method: str) -> None:
    loss = symloss.hinge
    x, y, outs = X.astype(np.float32), Y.astype(np.float32), tuple(np.empty(N, np.float32) for _ in range(2))
    wanted = WANTED[method]
    out: Any = (None, outs[0], outs)[wanted]
    found = _entered(loss, method, (x, y))
    assert found is not no_entry
    bad = np.full(N, 0.5, np.float32)
    things: list[Any] = [x, y, *outs, bad, x.dtype, None, np.float32, np.ndarray, loss.plan.defaults]

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(thing) for thing in things]

    before, allocated = counts(), sys.getallocatedblocks()
    for _ in range(1000):
        found((x, y), None, "mean", None, out, {})
        found((x, y), None, "mean", None, None, {})
        found((x, bad), None, "mean", None, out, {})
        found((x, bad), None, "mean", None, None, {})
        found((x, y), None, "mean", y, None, {})
    assert max(abs(a - b) for a, b in zip(counts(), before, strict=True)) < 50
    assert abs(sys.getallocatedblocks() - allocated) < 500


def test_concurrent_callers_of_both_dtypes() -> None:
    loss = symloss.hinge
    cases = [(_inputs(loss, n, dtype), None) for dtype in DTYPES for n in (5, 100, 3000)]
    expected = [_bits(loss.value_and_gradient(*(np.repeat(x, 2)[::2] for x in inputs))) for inputs, _ in cases]

    def own(seed: int) -> bool:
        order = np.random.default_rng(seed).integers(0, len(cases), 300)
        return all(_bits(loss.value_and_gradient(*cases[k][0])) == expected[k] for k in order)

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(own, range(8)))


def test_a_reduction_that_is_equal_but_another_string() -> None:
    _entered(symloss.hinge, "value", (X, Y))
    assert symloss.hinge.value(X, Y, reduction="".join(["me", "an"])) == symloss.hinge.value(X, Y)


@pytest.fixture
def unknown() -> Iterator[None]:
    """Let layouts be looked at again, and forgotten afterwards."""
    layout.addresses.cache_clear()
    yield
    layout.addresses.cache_clear()


def test_an_interpreter_with_another_layout_has_no_entries(
    unknown: None, monkeypatch: pytest.MonkeyPatch, hinge: Loss
) -> None:
    assert layout.addresses() is not None
    names = [n for n in vars(layout) if n.isupper() and not n.startswith("_")]
    assert set(names) >= {"TYPE", "TUPLE_SIZE", "TUPLE_ITEMS", "DICT_SIZE", "ARRAY_DATA", "ARRAY_FLAGS"}
    for name in names:
        with monkeypatch.context() as changed:
            # the length of an object's first fields: none of them is what is looked for elsewhere
            changed.setattr(layout, name, getattr(layout, name) + (8 if name != "TYPE" else -8))
            layout.addresses.cache_clear()
            assert layout.addresses() is None, name
    monkeypatch.setattr(sys, "implementation", type("Other", (), {"name": "other"}))
    layout.addresses.cache_clear()
    assert layout.addresses() is None
    assert _entered(hinge, "gradient", (X, Y)) is no_entry
    np.testing.assert_array_equal(hinge.gradient(X, Y, reduction="sum"), np.where(X < 1, -1.0, 0.0))


def test_kernels_with_other_arguments_have_no_entries(hinge: Loss) -> None:
    _entered(hinge, "gradient", (X, Y))
    way = hinge.plan.quick.wide["gradient"] if hinge.plan.quick else None
    assert way is not None
    assert way.outside is not None
    usual = Request(way.compiled, way.outside.compiled, np.dtype(np.float64), 2, 1, False, 99, (0,), (1.0,))
    assert make_entry(usual, no_entry) is not None
    changes: list[dict[str, Any]] = [
        {"dtype": np.dtype(np.float32)}, {"count": 1}, {"count": 3}, {"wanted": 2}, {"wanted": 0}, {"valued": True},
        {"outside": way.compiled},
    ]  # fmt: skip
    for change in changes:
        assert make_entry(Request(**{**vars(usual), **change}), no_entry) is None


def test_what_numpy_hands_out_is_what_is_meant() -> None:
    """The functions that are called by their place in NumPy's table do what their names say."""
    known = layout.addresses()
    assert known is not None
    kind: Callable[..., Any] = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    number = ctypes.c_double(2.5)
    scalar = kind(known["PyArray_Scalar"])(ctypes.addressof(number), np.dtype(np.float64), None)
    assert type(scalar) is np.float64
    assert scalar == 2.5
