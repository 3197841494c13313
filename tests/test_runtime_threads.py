"""Threads: bit for bit the same results for any number of them, from several callers at once, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss.runtime import threads
from symloss.runtime.threads import GRAIN, TASKS, ordered_sum, task_size

FIXTURES = Path(__file__).parent / "fixtures"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
ROWS = symloss.load("toy_rowwise", package=FIXTURES)

RNG = np.random.default_rng(5)
X = RNG.normal(size=70_001)
Y = (RNG.random(70_001) > 0.5).astype(np.float64)
W = RNG.random(70_001)
Z, LABEL = RNG.normal(size=(5_000, 10)), RNG.integers(0, 10, 5_000)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = threads._POOL.chosen, threads._POOL.worth
    yield
    threads._POOL.chosen, threads._POOL.worth = before


def everything() -> list[Any]:
    found: list[Any] = [TOY.value(X, Y), TOY.value(X, Y, sample_weight=W), *TOY.gradient_and_hessian(X, Y)]
    found += [TOY.value(X, Y, reduction="none"), *PAIR.gradient(X, Y, wrt=("first", "shift"))]
    found += [*PAIR.hessian_product(X, Y, wrt=("shift", "second"), direction=(0.3, W))]
    found += [TOY.hessian_product(X, Y, direction=W), *ROWS.value_and_gradient(Z, LABEL, ignore_index=3)]
    return [np.asarray(a).tobytes() for a in found]


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    symloss.set_threads(1)
    expected = everything()
    for count in (2, 3, 8):
        threads.share_always(count)
        assert everything() == expected


@pytest.mark.parametrize("rows, size", [
    (0, 7), (1, 7), (7, 7), (8, 7), (TASKS * 7, 7), (TASKS * 7 + 1, 14), (2 * TASKS * 7, 14), (2 * TASKS * 7 + 1, 28),
    (306 * 7, 56), (10**9, 7 << 22),
])  # fmt: skip
def test_tasks_of_long_arrays_are_larger(rows: int, size: int) -> None:
    assert task_size(rows, 7) == size
    assert -(-rows // size) <= TASKS


def test_long_arrays_give_the_same_bits_on_every_way_and_any_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way, the other one, and rows: in a few large tasks, of which the last is smaller."""
    n = 2 * TASKS * GRAIN // 16 + 777
    for module in ("ways", "preparation"):
        monkeypatch.setattr(f"symloss.runtime.{module}.task_size", lambda rows, grain: task_size(rows, grain // 16))
    x, y = np.sin(np.arange(n)), (np.arange(n) % 3 == 0) * 1.0
    z, label = x[: n // 10 * 10].reshape(-1, 10), np.arange(n // 10) % 10
    found = set()
    for count in (1, 3):
        threads.share_always(count)
        quick, slow = TOY.value_and_gradient(x, y), TOY.value_and_gradient(x, y, sample_weight=np.ones(n))
        assert quick[0] == slow[0]
        np.testing.assert_array_equal(quick[1], slow[1])
        found.add((quick[0], quick[1].tobytes(), ROWS.value(z, label)))
    assert len(found) == 1
    assert quick[0] == pytest.approx((y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)).mean(), rel=1e-13)


def test_chunks_agree_with_numpy() -> None:
    expected = (Y * np.logaddexp(0, -X) + (1 - Y) * np.logaddexp(0, X)).mean()
    assert TOY.value(X, Y) == pytest.approx(expected, rel=1e-13)
    assert PAIR.gradient(X, Y, wrt="shift") == pytest.approx(-(X * Y).mean(), rel=1e-11)


def test_concurrent_callers() -> None:
    threads.share_always(3)
    expected = everything()
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: everything(), range(12)):
            assert found == expected


def test_a_failure_stops_the_rest_and_comes_out() -> None:
    symloss.set_threads(4)
    for in_helper in (True, False):
        ran: list[int] = []
        failed = threading.Event()

        def task(k: int, ran: list[int] = ran, failed: threading.Event = failed, in_helper: bool = in_helper) -> int:
            ran.append(k)
            if (threading.current_thread() is not threading.main_thread()) == in_helper:
                failed.set()
                raise ZeroDivisionError
            assert failed.wait(30)
            return k

        with pytest.raises(ZeroDivisionError):
            threads.run_all(task, 100_000)
        assert len(ran) < 100_000
    assert threads.run_all(lambda k: k * k, 100) == [k * k for k in range(100)]


def test_more_than_one_thread_takes_part() -> None:
    symloss.set_threads(2)
    meeting = threading.Barrier(2, timeout=30)
    assert len(set(threads.run_all(lambda k: (meeting.wait(), threading.get_ident())[1], 2))) == 2


def test_what_is_soon_done_alone_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper takes its time to come, so that work which is known to be over by then stays with the caller."""
    pool = threads._Pool(chosen=2, wake=0.01)
    monkeypatch.setattr(threads, "_POOL", pool)

    def shared(kind: str | None, seconds: float) -> bool:
        def task(_: int) -> int:
            wait = threading.Event()
            wait.wait(seconds)
            return threading.get_ident()

        return len(set(threads.run_all(task, 4, kind))) == 2

    assert shared("short", 2e-3)  # nothing is known of it yet
    assert not shared("short", 2e-3)  # 4 x 2 ms in 3 x 10 ms
    assert shared("long", 2e-2)
    assert shared("long", 2e-2)
    assert shared(None, 2e-3)
    threads.share_always(2)
    assert shared("short", 2e-3)
    symloss.set_threads(2)
    assert not shared("short", 2e-3)
    assert threads.SHORTEST_WAKE <= pool.wake < 0.01


def test_a_first_call_that_compiles_does_not_count_for_long() -> None:
    pool = threads._POOL
    kind = object()
    for seconds, pace in ((4.0, 1.0), (0.4, 0.1), (0.8, 0.125), (0.2, 0.05)):
        threads._learn(kind, seconds, 4)
        assert pool.paces[kind] == pytest.approx(pace)
    threads._learn(kind, 1.0, 0)
    threads._learn(None, 1.0, 1)
    assert pool.paces.pop(kind) == pytest.approx(0.05)
    assert None not in pool.paces


def test_totals_that_overflow_or_cancel() -> None:
    assert ordered_sum([1e308, 1e308]) == np.inf
    assert np.isnan(ordered_sum([np.inf, -np.inf]))
    assert ordered_sum([1.0, 1e100, 1.0, -1e100]) == 2.0
    assert np.isinf(PAIR.value(np.full(40_000, 1e80), np.full(40_000, 1e74), reduction="sum"))


@pytest.mark.parametrize("wrong, kind", [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_set_threads_rejects(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="set_threads: the number of threads must be"):
        symloss.set_threads(wrong)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    threads._POOL.chosen = 0
    monkeypatch.setenv("SYMLOSS_THREADS", "3")
    assert threads.threads() == 3
    monkeypatch.setenv("SYMLOSS_THREADS", "many")
    with pytest.raises(ValueError, match="SYMLOSS_THREADS must be a positive integer, got 'many'"):
        threads.threads()
    monkeypatch.delenv("SYMLOSS_THREADS")
    assert threads.threads() >= 1


FORK = """
import os, sys
import numpy as np
import symloss
symloss.set_threads(2)
loss = symloss.load("toy_elementwise", package=sys.argv[1])
x = np.linspace(-3, 3, 100_000)
expected = loss.value(x, (x > 0) * 1.0)
child = os.fork()
if child == 0:
    os._exit(0 if loss.value(x, (x > 0) * 1.0) == expected else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_too() -> None:
    root = str(Path(symloss.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(FIXTURES)], env={**os.environ, "PYTHONPATH": root}, timeout=120, check=False
    )
    assert done.returncode == 0
