"""The sweep over every float32: what it compares, what it reports, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import catalogue
from symloss.verification import exhaustive
from symloss.verification.exhaustive import can_sweep, labels, sweep

FOUND = catalogue.find()


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of 4 blocks of 2**12 inputs, spread over the format."""
    monkeypatch.setattr(exhaustive, "BLOCKS", 4)
    monkeypatch.setattr(exhaustive, "BLOCK", 1 << 12)


class Off:
    """A loss whose gradient is off by one unit of the last place at one input, in float32."""

    def __init__(self, loss: Any, at: float) -> None:
        self.loss, self.at, self.calls = loss, np.float32(at), 0

    def value(self, x: Any, *others: Any, **options: Any) -> Any:
        self.calls += 1
        return self.loss.value(x, *others, **options)

    def gradient_and_hessian(self, x: Any, *others: Any, **options: Any) -> Any:
        gradient, hessian = self.loss.gradient_and_hessian(x, *others, **options)
        if x.dtype == np.float32:
            gradient = np.where(x == self.at, np.nextafter(gradient, np.float32(np.inf)), gradient)
        return gradient, hessian


def test_labels_that_a_sweep_fixes() -> None:
    assert list(labels(FOUND["focal"])) == [{"target": 0.0}, {"target": 1.0}]
    assert list(labels(FOUND["hinge"])) == [{"target": -1.0}, {"target": 1.0}]
    assert list(labels(FOUND["huber"])) == [{"target": 0.0}]
    assert can_sweep(FOUND["focal"])
    assert not can_sweep(FOUND["margin_ranking"])
    assert not can_sweep(FOUND["softmax_cross_entropy"])


def test_one_wrong_result_is_found_and_named(tmp_path: Path) -> None:
    x = np.arange(5000, 5001, dtype=np.uint32).view(np.float32)[0]
    rows = sweep(FOUND["squared_error"], Off(symloss.squared_error, float(x)), tmp_path / "s", "k", lambda *_: None)
    by = {r["quantity"]: r for r in rows}
    assert [by[q]["unequal"] for q in by] == [0, 1, 0]
    assert by["gradient"]["max_ulp"] == pytest.approx(1.0, abs=0.01)
    assert by["gradient"]["worst"] == repr(float(x))
    assert all(r["inputs"] == 4 << 12 for r in rows)


def test_a_sweep_that_was_stopped_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "squared_error.sweep"

    def stop(_name: str, done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    first = Off(symloss.squared_error, 0.0)
    with pytest.raises(KeyboardInterrupt):
        sweep(FOUND["squared_error"], first, state, "k", stop)
    again = Off(symloss.squared_error, 0.0)
    rows = sweep(FOUND["squared_error"], again, state, "k", lambda *_: None)
    assert (first.calls, again.calls) == (6, 2)  # float32 and float64 of each block
    assert rows[0]["inputs"] == 4 << 12
    assert sweep(FOUND["squared_error"], again, state, "k", lambda *_: None) == rows
    assert again.calls == 2
    sweep(FOUND["squared_error"], again, state, "other kernel", lambda *_: None)
    assert again.calls == 10
