"""Quick calls: what they take as it is, what they leave to the usual way; neither changes a bit or a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import symloss
from symloss.runtime import threads
from symloss.runtime.arrays import F32, F64
from symloss.runtime.quick import Quick, can_be_quick, quickly
from symloss.runtime.threads import GRAIN
from symloss.runtime.ways import WANTED, ways

N = 40
LOSS = symloss.load("squared_error")
RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=N), RNG.normal(size=N)
SLOPE = 2 * (X - Y)
BOTH = np.empty(N)


@pytest.fixture(autouse=True)
def _compiled() -> Iterator[None]:
    """Let every call below run compiled code, which no longer looks at what it is given; restore the threads."""
    before = threads._POOL.chosen, threads._POOL.worth
    for method in WANTED:
        for _ in range(2):
            getattr(LOSS, method)(X, Y)
    yield
    threads._POOL.chosen, threads._POOL.worth = before


def _read_only() -> Any:
    found = X.copy()
    found.flags.writeable = False
    return found


INPUTS: list[tuple[str, Callable[[], Any]]] = [
    ("owned", X.copy),
    ("view", lambda: np.concatenate((X, X))[N:]),
    ("strided", lambda: np.repeat(X, 2)[::2]),
    ("reversed", lambda: X[::-1].copy()[::-1]),
    ("read-only", _read_only),
    ("big-endian", lambda: X.astype(">f8")),
    ("unaligned", lambda: np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64)),
    ("subclass", lambda: X.view(np.memmap)),
    ("list", X.tolist),
]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("make", [make for _, make in INPUTS], ids=[name for name, _ in INPUTS])
def test_arrays_of_any_kind_give_the_same(make: Callable[[], Any], place: int) -> None:
    inputs = (make(), Y) if place == 0 else (Y, make())
    expected = SLOPE if place == 0 else -SLOPE
    np.testing.assert_allclose(LOSS.gradient(*inputs, reduction="sum"), expected, rtol=1e-14)
    np.testing.assert_allclose(LOSS.value(*inputs), np.mean((X - Y) ** 2), rtol=1e-14)


def test_shapes_broadcast_whatever_their_flags() -> None:
    """A column is contiguous in either order and as long as a row: only the number of its axes tells it apart."""
    column = Y.reshape(N, 1)
    np.testing.assert_allclose(LOSS.gradient(X, column, reduction="sum"), 2 * (X - column).sum(axis=0), rtol=1e-12)
    assert LOSS.gradient(column, column).shape == (N, 1)
    with pytest.raises(ValueError, match="out must have shape"):
        LOSS.gradient(X, Y, out=np.empty((N, 1)))
    with pytest.raises(ValueError, match="broadcast"):
        LOSS.gradient(X, Y[:-1])
    assert LOSS.value(X[:1], Y) == pytest.approx(np.mean((X[0] - Y) ** 2))
    assert LOSS.value(np.float64(1.5), np.asarray(0.5)) == 1.0


def test_an_array_changed_in_place_is_looked_at_again() -> None:
    x = X.copy()
    LOSS.gradient(x, Y)
    x.shape = (N, 1)
    assert LOSS.gradient(x, Y[:, None]).shape == (N, 1)
    x.shape = (N,)
    x.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only|writeable"):
        LOSS.gradient(Y, Y, out=x)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("kind", ["input", "overlap", "strided", "view", "list"])
def test_out_of_any_kind_is_filled(kind: str) -> None:
    memory = np.zeros(3 * N)
    memory[:N] = X
    x = memory[:N]
    out = {
        "input": x, "overlap": memory[5 : N + 5], "strided": np.zeros(2 * N)[::2], "view": memory[N : 2 * N],
        "list": memory[N : 2 * N],
    }[kind]  # fmt: skip
    assert LOSS.gradient(x, Y, out=out, reduction="sum") is out
    np.testing.assert_allclose(out, SLOPE, rtol=1e-14)
    memory[:N] = X
    pair = (out, np.empty(N))
    both = LOSS.gradient_and_hessian(x, Y, out=[*pair] if kind == "list" else pair, reduction="sum")
    assert both[0] is pair[0]
    assert both[1] is pair[1]
    np.testing.assert_allclose(both[0], SLOPE, rtol=1e-14)
    np.testing.assert_array_equal(both[1], np.full(N, 2.0))


WRONG: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (ValueError, "reduction must be one of", lambda: LOSS.value(X, Y, reduction="avg")),
    (TypeError, "expected 2 inputs", lambda: LOSS.value(X)),
    (TypeError, "expected 2 inputs", lambda: LOSS.value(X, Y, Y)),
    (TypeError, "unknown parameter 'delta'", lambda: LOSS.value(X, Y, delta=1.0)),
    (ValueError, "out", lambda: LOSS.value(X, Y, out=np.empty(N))),
    (
        ValueError,
        "out must have shape .* and dtype float64, got .* and int64",
        lambda: LOSS.gradient(X, Y, out=np.empty(N, np.int64)),
    ),
    (ValueError, "memory", lambda: LOSS.gradient_and_hessian(X, Y, out=(BOTH, BOTH))),
    (ValueError, "memory", lambda: LOSS.gradient_and_hessian(X, Y, out=(BOTH, BOTH[:]))),
    (ValueError, "out", lambda: LOSS.gradient_and_hessian(X, Y, out=np.empty(N))),
    (ValueError, "out", lambda: LOSS.gradient_and_hessian(X, Y, out=(np.empty(N),) * 3)),
    (ValueError, "out", lambda: LOSS.gradient_and_hessian(X, Y, out=(np.empty(N), np.empty(N - 1)))),
]


@pytest.mark.parametrize(("kind", "message", "call"), WRONG)
def test_what_is_wrong_is_said(kind: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_nothing_is_written_where_an_input_is_out_of_place() -> None:
    loss, y = symloss.load("binary_cross_entropy"), np.full(2 * GRAIN, 0.5)
    out = np.full(2 * GRAIN, 7.0)
    for _ in range(2):
        loss.gradient(np.zeros(2 * GRAIN), y)
    y[-1] = 1.5
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\], got 1.5"):
        loss.gradient(np.zeros(2 * GRAIN), y, out=out)
    assert (out == 7.0).all()


def test_settings_and_sizes_take_turns() -> None:
    """What the last call was given is remembered; another setting or size must not get it."""
    huber, x = symloss.load("huber"), np.full(6, 3.0)
    for _ in range(3):
        for n in (2, 6):
            for delta in (1.0, 2.0):
                assert huber.value(x[:n], np.zeros(n), delta=delta) == delta * (3 - delta / 2)
                np.testing.assert_array_equal(huber.gradient(x[:n], np.zeros(n), delta=delta), np.full(n, delta / n))
                np.testing.assert_array_equal(
                    huber.gradient(x[:n], np.zeros(n), delta=delta, reduction="sum"), np.full(n, delta)
                )

    def own(n: int) -> bool:
        return all((huber.gradient(np.full(n, 3.0), np.zeros(n)) == 1.0 / n).all() for _ in range(300))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(own, range(1, 9)))


def _product(*arguments: Any) -> None:
    *inputs, _weights, scale, out = arguments
    np.multiply(np.prod(inputs, axis=0), scale, out=out)


@pytest.mark.parametrize("n", [N, 2 * GRAIN + 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_inputs(count: int, n: int) -> None:
    kernels = dict.fromkeys(WANTED, _product)
    of32, of64 = (ways(kernels, dtype, bounded=False) for dtype in (F32, F64))
    quick = Quick(of32, of64, count, (), GRAIN, tuple)

    def gradient(*inputs: Any, out: Any = None) -> Any:
        return quickly(quick, "gradient", inputs, None, "sum", None, out, {})

    inputs = [RNG.random(n) for _ in range(count)]
    expected = np.prod(inputs, axis=0)
    np.testing.assert_array_equal(gradient(*inputs), expected)
    out = np.zeros(n)
    assert gradient(*inputs, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert gradient(*inputs, inputs[0]) is None
    for place in range(count):
        for wrong in (inputs[place][::-1], inputs[place].reshape(n, 1), inputs[place].astype(np.float32), [1.0] * n):
            if count > 1 or isinstance(wrong, list) or wrong.ndim > 1 or wrong.strides[0] < 0:
                assert gradient(*inputs[:place], wrong, *inputs[place + 1 :]) is None
        assert gradient(*inputs, out=inputs[place]) is None
        assert gradient(*inputs, out=inputs[place][:]) is None


def test_a_value_beyond_float32_is_infinite_and_one_beyond_float64_too() -> None:
    x = np.full(N, 1e25, np.float32)
    with np.errstate(all="raise"):
        found = LOSS.value(x, np.zeros_like(x))
    assert found == np.inf
    assert found.dtype == np.float32
    assert LOSS.value(np.full(N, 1e60), np.zeros(N)) == pytest.approx(1e120)
    assert np.isnan(LOSS.value(np.full(N, np.nan), np.zeros(N)))


@pytest.mark.parametrize("method", sorted(WANTED))
@pytest.mark.parametrize("name", ["binary_cross_entropy", "squared_error"])
def test_one_thread_gives_the_bits_of_more(name: str, method: str) -> None:
    """One thread runs a kernel without a total in one piece, several threads in chunks."""
    loss = symloss.load(name)
    assert can_be_quick(loss.spec)
    n = 2 * loss.spec.grain + 1029
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 3, n), rng.random(n)
    found = []
    for count in (1, 3):
        threads.share_always(count)
        result = getattr(loss, method)(x, y)
        found.append(np.hstack(result if isinstance(result, tuple) else (result,)))
    np.testing.assert_array_equal(found[0], found[1])
