"""The benchmark times like beside like: everyone computes the same value and derivatives."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from symloss.bench.apart import measured_apart
from symloss.bench.cases import GRID, Case
from symloss.bench.contenders import contenders
from symloss.bench.report import MARKS, cells, groups, markdown, put_into, summary
from symloss.bench.run import run
from symloss.bench.timing import Timing, medians, of_row, time_case

ROOT = Path(__file__).resolve().parents[2]

SMALL = {
    "softmax_cross_entropy": (16, 7),
    "ge2e_softmax": (4, 3, 8),
    "arcface": (8, 16),
    "softmax_dice": (2, 3, 9),
}
KINDS = list(dict.fromkeys((c.loss, c.quantity, len(c.shape)) for c in GRID))


def _numbers(found: object) -> Iterator[np.ndarray]:
    if isinstance(found, tuple | list):
        for part in found:
            yield from _numbers(part)
    else:
        yield np.ravel(np.asarray(found.numpy(force=True) if hasattr(found, "detach") else found, float))


@pytest.mark.parametrize("loss, quantity, axes", KINDS, ids=lambda v: str(v))
def test_everyone_computes_the_same(loss: str, quantity: str, axes: int) -> None:
    case = Case(loss, quantity, SMALL.get(loss, (64,) if axes == 1 else (8, 16)), "float64")
    found = {
        name: np.concatenate(list(_numbers(call())))
        for name, call in contenders(case, compiled=False)
        if name not in ("stream", "flop", "scikit-learn")  # scikit-learn's derivatives are those of the sum
    }
    assert {"exact", "torch eager", "JAX jit"} <= found.keys()
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, found["exact"], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_report_has_every_case() -> None:
    case = dataclasses.replace(GRID[0], shape=(64,))
    timing = time_case(case, compiled=False)
    assert set(timing.row()["ratios"]) == {"exact", "exact, fresh", "fast", "fast, fresh"}
    assert of_row(json.loads(json.dumps(timing.row()))) == timing
    assert case.title in markdown([timing], "a machine")
    assert len(cells(timing)) == 9
    assert "over 1 cases" in summary([timing])
    assert groups([timing])[1][:2] == (case.group, "1")


def _made(seconds: dict[str, float]) -> Timing:
    return Timing(GRID[0], seconds, {}, {})


def test_medians_over_runs_and_means_over_groups() -> None:
    runs = [[_made({"exact": s, "fast": 1.0, "stream": 0.1, "other": o})] for s, o in ((1, 9), (5, 8), (2, 4))]
    (found,) = medians(runs)
    assert found.seconds == {"exact": 2, "fast": 1.0, "stream": 0.1, "other": 8}
    assert found.best_peer == ("other", 8)
    assert groups([found, _made({"exact": 1, "fast": 1, "stream": 0.1, "other": 1})])[1][1:] == (
        "2",
        "2.00 x",
        "2.83 x",
    )


def test_tables_go_between_the_marks_of_a_page() -> None:
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    assert put_into(page, "new \\1\n") == f"before\n{MARKS[0]}\n\nnew \\1\n\n{MARKS[1]}\nafter\n"
    assert put_into("", "new") == "new"
    assert all(mark in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") for mark in MARKS)


def test_a_contender_is_measured_apart() -> None:
    case = Case("info_nce", "value_and_gradient", (512, 16), "float32")
    ours, theirs = (measured_apart(case, name, 1) for name in ("exact", "torch eager"))
    assert ours["cold"] > ours["cached"] > 0
    assert theirs["peak"] > 512 * 512 * 4, "its matrix of scores"


def test_a_run_is_a_process_of_its_own() -> None:
    seen: list[tuple[str, int, int]] = []
    cases = [dataclasses.replace(GRID[0], shape=(n,)) for n in (32, 64)]
    found = run(cases, 1, compiled=False, runs=2, apart=False, progress=lambda *at: seen.append(at))
    assert [t.case for t in found] == cases
    assert [at[1:] for at in seen] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
