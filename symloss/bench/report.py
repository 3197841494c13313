"""The tables of timings, for a terminal and as Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence

from symloss.bench.contenders import LIMITS, OURS
from symloss.bench.timing import Timing

COLUMNS = ("case", "exact", "fast", "stream", "flop", "best other", "", "exact is", "fast is")
GROUPS = ("group", "cases", "exact is", "fast is")
FIRSTS = ("case", "exact, cold", "exact, cached", "fast, cold")
PEAKS = ("case", "exact", "fast", "others")
MARKS = ("<!-- bench -->", "<!-- end of bench -->")
"""What a page has its tables between."""
Table = list[tuple[str, ...]]


def cells(timing: Timing) -> tuple[str, ...]:
    """Return the row of one case."""
    name, best = timing.best_peer
    times = (*(timing.seconds.get(n, math.nan) for n in (*OURS, *LIMITS)), best)
    ratios = (f"{timing.ratio(ours):.2f} x" if name else "" for ours in OURS)
    return (timing.case.title, *map(duration, times), name, *ratios)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if math.isnan(seconds):
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _mean(timings: Iterable[Timing], ours: str) -> str:
    return f"{statistics.geometric_mean(t.ratio(ours) for t in timings):.2f} x"


def summary(timings: Sequence[Timing]) -> str:
    """Return the geometric mean over the elementwise float32 cases."""
    chosen = [t for t in timings if len(t.case.shape) == 1 and t.case.dtype == "float32" and t.best_peer[0]]
    if not chosen:
        return "no elementwise float32 case has a peer"
    means = ", ".join(f"{ours} {_mean(chosen, ours)}" for ours in OURS)
    return f"elementwise float32, geometric mean over {len(chosen)} cases of the fastest other library's time: {means}"


def groups(timings: Sequence[Timing]) -> Table:
    """Return the geometric mean of each group of cases."""
    found: dict[str, list[Timing]] = {}
    for timing in timings:
        if timing.best_peer[0]:
            found.setdefault(timing.case.group, []).append(timing)
    return [GROUPS, *((name, str(len(of)), *(_mean(of, o) for o in OURS)) for name, of in found.items())]


def firsts(timings: Sequence[Timing]) -> Table:
    """Return the first calls of ours, with nothing and with everything on disk."""
    asked = ((OURS[0], "cold"), (OURS[0], "cached"), (OURS[1], "cold"))
    return [FIRSTS, *(
        (t.case.title, *(duration(t.apart[who][what]) for who, what in asked)) for t in timings if t.apart
    )]  # fmt: skip


def peaks(timings: Sequence[Timing]) -> Table:
    """Return the peaks of memory beyond inputs, where there are matrices."""
    rows: Table = [PEAKS]
    for timing in (t for t in timings if t.case.products is not None):
        peak = {name: f"{found['peak'] / 1e6:.0f} MB" for name, found in timing.apart.items() if "peak" in found}
        if peak:
            others = ", ".join(f"{name} {size}" for name, size in peak.items() if name not in OURS)
            rows.append((timing.case.title, *(peak.get(ours, "-") for ours in OURS), others))
    return rows


def tables(timings: Sequence[Timing]) -> list[Table]:
    """Return the tables that have rows: cases, groups, first calls, memory."""
    made = [[COLUMNS, *map(cells, timings)], groups(timings), firsts(timings), peaks(timings)]
    return [table for table in made if len(table) > 1]


def plain(table: Table) -> list[str]:
    """Return a table as lines for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]


def markdown(timings: Sequence[Timing], machine: str) -> str:
    """Return the tables as Markdown, with what they were measured on."""
    parts = [machine, summary(timings) + "."]
    for head, *rows in tables(timings):
        lines = [head, ("---",) * len(head), *rows]
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in lines))
    return "\n\n".join(parts) + "\n"


def put_into(page: str, text: str) -> str:
    """Return a page with a text between the marks that it has; the text alone, where it has none."""
    first, last = map(re.escape, MARKS)
    between = re.compile(f"(?s)({first}\n).*?({last})")
    if between.search(page) is None:
        return text
    return between.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)
