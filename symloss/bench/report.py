"""The table of timings, for a terminal and as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from symloss.bench.timing import Timing

COLUMNS = ("case", "exact", "fast", "stream", "best other", "", "exact is", "fast is")


def cells(timing: Timing) -> tuple[str, ...]:
    """Return the row of one case."""
    name, seconds = timing.best_peer
    times = (timing.seconds["exact"], timing.seconds["fast"], timing.seconds["stream"], seconds)
    ratios = (f"{timing.ratio(ours):.2f} x" if name else "" for ours in ("exact", "fast"))
    return (timing.case.title, *map(duration, times), name, *ratios)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if math.isnan(seconds):
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def summary(timings: Sequence[Timing]) -> str:
    """Return the geometric mean over the elementwise float32 cases."""
    chosen = [t for t in timings if len(t.case.shape) == 1 and t.case.dtype == "float32" and t.best_peer[0]]
    if not chosen:
        return "no elementwise float32 case has a peer"
    means = ", ".join(
        f"{ours} {statistics.geometric_mean(t.ratio(ours) for t in chosen):.2f} x" for ours in ("exact", "fast")
    )
    return f"elementwise float32, geometric mean over {len(chosen)} cases of the fastest other library's time: {means}"


def markdown(timings: Sequence[Timing], machine: str) -> str:
    """Return the table as Markdown, with what it was measured on."""
    lines = [
        "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(cells(t)) + " |" for t in timings),
    ]  # fmt: skip
    return "\n".join((machine, "", summary(timings) + ".", "", *lines, ""))
