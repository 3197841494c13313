"""Mutants that the text alone shows to be equivalent, and those that look like them and are not."""

from __future__ import annotations

import numpy as np
import pytest

from symloss.verification.mutation_flow import why_both_are_equal
from symloss.verification.mutation_plain import Plain, plain
from symloss.verification.mutation_sites import Site

SOURCE = """
def value(x, w, out):
    n = x.shape[0]
    places = np.empty((n, 2), np.int64)
    none = 0.0 * 3.0
    one = 1.0 + none
    for j in range(n):
        for i in range(2):
            place = -1
            best = -np.inf
            for k in range(n):
                if k != j:
                    if x[k] > best:
                        best = x[k]
                        place = k
            places[j, i] = place
    kept = 0.0
    for j in range(n):
        for i in range(2):
            at = places[j, i]
            there = x[at]
            side = one if at >= 0 else none
            other = 2.0 if at >= 0 else 3.0
            own = 1.0 if j == at else 0.0
            y = x[j] * w
            v = 1.0 if w > 0.0 else 2.0 if w <= 0.0 else np.nan
            z = x[j] * 2.0
            out[j, i] = side * other * there + own * y + own * v + z + kept
            kept = 5.0 if at >= 0 else 6.0
"""
CONSTANT = "what differs is constant and the same, or not chosen"
AWAY = "all that reads it multiplies it by 0, or does not choose it"


def site_of(module: Plain, before: str, after: str) -> Site:
    site, *_ = [s for s in module.sites() if s.texts() == (before, after)]
    return site


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("one = 1.0 + none", "one = 1.0", CONSTANT),
        ("one = 1.0 + none", "one = none", ""),
        ("none = 0.0 * 3.0", "none = 0.0 * 4.0", CONSTANT),
        ("none = 0.0 * 3.0", "none = 1.0 * 3.0", ""),
        ("other = 2.0 if at >= 0 else 3.0", "other = 2.0 if at >= 0 else 4.0", AWAY),
        ("other = 2.0 if at >= 0 else 3.0", "other = 3.0 if at >= 0 else 3.0", ""),
        ("own = 1.0 if j == at else 0.0", "own = 2.0 if j == at else 0.0", "its case never holds"),
        ("own = 1.0 if j == at else 0.0", "own = 1.0 if j == at else 1.0", ""),
        ("y = x[j] * w", "y = x[j] / w", f"{AWAY}, where numbers are finite"),
        (
            "v = 1.0 if w > 0.0 else 2.0 if w <= 0.0 else np.nan",
            "v = 1.0 if w < 0.0 else 2.0 if w <= 0.0 else np.nan",
            "",
        ),
        (
            "v = 1.0 if w > 0.0 else 2.0 if w <= 0.0 else np.nan",
            "v = 2.0 if w > 0.0 else 2.0 if w <= 0.0 else np.nan",
            AWAY,
        ),
        ("z = x[j] * 2.0", "z = x[j] * 3.0", ""),
        ("kept = 5.0 if at >= 0 else 6.0", "kept = 5.0 if at >= 0 else 7.0", ""),  # the next round reads it
    ],
)
def test_what_differs_is_followed_to_all_that_reads_it(before: str, after: str, why: str) -> None:
    module = plain(SOURCE, "flow")
    reason = why_both_are_equal(module, site_of(module, before, after))
    assert why in reason if why else reason == ""


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("if k != j:", "if k != i:"),  # other than another index
        ("if k != j:", "if k == j:"),
        ("places[j, i] = place", "places[i, j] = place"),
        ("            at = places[j, i]", "            at = places[i, j]"),
        (
            "        for i in range(2):\n            at",
            "        places[j, 0] = 0\n        for i in range(2):\n            at",
        ),
        ("            place = -1\n", ""),
    ],
)
def test_a_place_may_be_the_index_unless_every_way_to_it_is_barred(text: str, instead: str) -> None:
    assert text in SOURCE
    module = plain(SOURCE.replace(text, instead), "flow")
    before, after = "own = 1.0 if j == at else 0.0", "own = 2.0 if j == at else 0.0"
    assert why_both_are_equal(module, site_of(module, before, after)) == ""


def test_only_the_place_of_no_number_may_be_read_below_0() -> None:
    module = plain(SOURCE, "flow")
    x = np.array([3.0])
    out = np.full((1, 2), np.nan)
    module.module.value(x, 2.0, out)
    assert out.tolist() == [[6.0, 12.0]]  # 2 x, and what is kept of the round before
    with module.mutated(site_of(module, "there = x[at]", "there = x[at - 1]")), pytest.raises(IndexError):
        module.module.value(x, 2.0, out)
    with module.mutated(site_of(module, "z = x[j] * 2.0", "z = x[j - 1] * 2.0")), pytest.raises(IndexError):
        module.module.value(x, 2.0, out)
