"""Timing: contenders take turns, so that a slow moment of the machine hits all alike; medians go out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from symloss.bench.cases import Case
from symloss.bench.contenders import LIMITS, OURS, contenders

TURN = 2e-3
"""Seconds that one turn takes at least, where a call is shorter."""
ROUNDS = 15
LIMIT = 0.4
"""Seconds for all rounds of one contender, but for three; for one, where a call takes so long.

A short call that is held up once does not: the median of one round would be that one.
"""


@dataclass(frozen=True)
class Timing:
    """What a case took.

    Parameters
    ----------
    case : Case
        What was computed.
    seconds : dict of str to float
        The median call of each contender; ``"stream"`` only reads and writes, ``"flop"`` only multiplies matrices.
    first : dict of str to float
        The first call of each, which loads or compiles.
    apart : dict of str to dict
        What a process of its own measured, for each contender: seconds of the first call ``"cold"`` and ``"cached"``,
        and the ``"peak"`` of memory beyond inputs, in bytes.
    """

    case: Case
    seconds: dict[str, float]
    first: dict[str, float]
    apart: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def best_peer(self) -> tuple[str, float]:
        """The fastest of the others."""
        others = {n: s for n, s in self.seconds.items() if n not in LIMITS and n.split(",")[0] not in OURS}
        return min(others.items(), key=lambda item: item[1], default=("", float("nan")))

    def ratio(self, ours: str) -> float:
        """Return the time of the fastest of the others over one of ours."""
        return self.best_peer[1] / self.seconds[ours]

    def row(self) -> dict[str, Any]:
        """Return it as plain data."""
        name, seconds = self.best_peer
        return {
            "loss": self.case.loss, "quantity": self.case.quantity, "shape": list(self.case.shape),
            "dtype": self.case.dtype, "seconds": self.seconds, "first_call": self.first, "apart": self.apart,
            "best_peer": name,
            "ratios": {ours: seconds / s for ours, s in self.seconds.items() if ours.split(",")[0] in OURS},
        }  # fmt: skip


def of_row(row: Mapping[str, Any]) -> Timing:
    """Return what `Timing.row` made into plain data."""
    case = Case(row["loss"], row["quantity"], tuple(row["shape"]), row["dtype"])
    return Timing(case, row["seconds"], row["first_call"], row["apart"])


def medians(runs: Sequence[Sequence[Timing]]) -> tuple[Timing, ...]:
    """Return for each case the median over runs of what each contender took."""
    found = []
    for same in zip(*runs, strict=True):
        seconds = {n: statistics.median(t.seconds[n] for t in same if n in t.seconds) for n in same[0].seconds}
        found.append(replace(same[0], seconds=seconds))
    return tuple(found)


def time_case(case: Case, *, compiled: bool) -> Timing:
    """Time every contender of a case, in turns."""
    calls: dict[str, Callable[[], Any]] = {}
    first: dict[str, float] = {}
    for name, call in contenders(case, compiled=compiled):
        calls[name], first[name] = call, _once(call, 1)
    repeats = {name: max(1, round(TURN / max(_once(call, 1), 1e-7))) for name, call in calls.items()}
    turns: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS):
        for name, call in calls.items():
            spent = sum(turns[name]) * repeats[name]
            if spent < LIMIT or turn < (3 if repeats[name] > 1 or spent < turn * LIMIT else 1):
                turns[name].append(_once(call, repeats[name]))
    return Timing(case, {name: statistics.median(found) for name, found in turns.items()}, first)


def _once(call: Callable[[], Any], repeats: int) -> float:
    """Return the seconds of one call, over several in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
