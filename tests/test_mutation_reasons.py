"""Why mutants are equivalent: what holds for the text or at every visit, and what must not pass for it."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from symloss import catalogue, pipeline
from symloss.language.nodes import Access
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.verification.mutation import mutate_source
from symloss.verification.mutation_buffers import why_buffers_do
from symloss.verification.mutation_cases import is_even
from symloss.verification.mutation_equivalent import why_equivalent
from symloss.verification.mutation_parity import is_without_sign
from symloss.verification.mutation_plain import Plain, plain
from symloss.verification.mutation_points import gentle, lowest
from symloss.verification.mutation_sites import Site
from symloss.verification.mutation_symbolic import sites as symbolic_sites
from symloss.verification.mutation_ties import at_two_ties, near_ties
from symloss.verification.oracle import oracle_of
from symloss.verification.quantities import split

GENERATED = Path(__file__).resolve().parent.parent / "generated"
DEFINITIONS = catalogue.find()
SEED = 20170807

ROWS = """
def value(x, out):
    n = x.shape[0]
    lanes = np.empty((4, 64))
    a_lanes = lanes[0]
    b_lanes = lanes[1]
    c_lanes = lanes[2]
    d_lanes = lanes[3]
    for start in range(np.uint64(0), np.uint64(n), np.uint64(64)):
        length = min(np.uint64(64), np.uint64(n) - start)
        for row in range(length):
            a_lanes[row] = x[start + row]
            d_lanes[row] = a_lanes[row] + 1.0
            b_lanes[row] = a_lanes[row] * 2.0
        for row in range(length):
            c_lanes[row] = b_lanes[row] - 1.0
            out[start + row] = c_lanes[row]
"""
CASES = """
def value(x, out):
    for i in range(x.shape[0]):
        z = x[i]
        step = 1.0 if z > 0.0 else 0.0
        none = 0.0 * z
        size = abs(3.0 * z)
        sign = -z
        place = abs(sign)
        out[i] = step * step * z + none * (z + 1.0) + size + place
"""


def load(module: ModuleType) -> Loss:
    return Loss(make_plan(module))


def found(module: Plain, before: str, after: str) -> Site:
    site, *_ = [s for s in module.sites() if s.texts() == (before, after)]
    return site


def run_of(module: Plain) -> Any:
    x = np.linspace(-2.0, 2.0, 20)

    def run() -> list[list[np.ndarray[Any, Any]]]:
        out = np.full(20, np.nan)
        module.namespace["value"](x, out)
        return [[out]]

    return run


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("d_lanes[row] = a_lanes[row] + 1.0", "d_lanes[row] = a_lanes[row] - 1.0", "never read"),
        ("b_lanes = lanes[1]", "b_lanes = -lanes[1]", "of its own"),
        ("b_lanes = lanes[1]", "b_lanes = lanes[2]", ""),  # the one is begun while the other is still read
        ("a_lanes = lanes[0]", "a_lanes = lanes[1]", ""),
        ("b_lanes[row] = a_lanes[row] * 2.0", "b_lanes[row] = a_lanes[row] * 3.0", ""),
    ],
)
def test_what_becomes_of_a_buffer(before: str, after: str, why: str) -> None:
    module = plain(ROWS, "rows")
    reason = why_buffers_do(module, found(module, before, after))
    assert why in reason if why else reason == ""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("sign = -z", "sign = z", ""),
        ("sign = -z", "sign = --z", "proved: only its square or its size"),
        (
            "out[i] = step * step * z + none * (z + 1.0) + size + place",
            "out[i] = step * z + none * (z + 1.0) + size + place",
            "observed: the factor is 1, or the rest is 0, at each of 20 visits",
        ),
        (
            "out[i] = step * step * z + none * (z + 1.0) + size + place",
            "out[i] = step * step * z + none * (z + 2.0) + size + place",
            "proved: all that reads it multiplies it by 0",
        ),
        (
            "out[i] = step * step * z + none * (z + 1.0) + size + place",
            "out[i] = step * step / z + none * (z + 1.0) + size + place",
            "",
        ),
        ("size = abs(3.0 * z)", "size = abs(4.0 * z)", ""),
    ],
)
def test_what_is_seen_at_every_visit(before: str, after: str, why: str) -> None:
    module = plain(CASES, "cases")
    site = found(module, before, after)
    reason = why_equivalent(module, site, run_of(module))
    if before == "sign = -z" and after == "sign = z":
        assert is_even(module, site)
        return
    assert reason.startswith(why) if why else reason == ""


def test_short_and_long_rows_are_reached_and_reasons_say_how_they_are_known() -> None:
    text = (GENERATED / "softmax_focal.py").read_text(encoding="utf-8")
    outcome = mutate_source(DEFINITIONS["softmax_focal"], text, load, SEED, 60)
    assert not [m for m in outcome.mutants if m.status == "unreached"]
    loops = [int(m.where.partition(":")[2]) for m in outcome.mutants if m.status == "survived"]
    bodies = [text.splitlines()[line] for line in loops]  # what rounding takes from a row of three is seen by none
    assert all("= _completed(" in body for body in bodies), bodies
    reasons = [m.reason for m in outcome.mutants if m.status == "equivalent"]
    assert all(r.startswith(("proved: ", "observed: ")) for r in reasons)


PAIRS = """
def value(x, out):
    for i in range(x.shape[0]):
        z = (x[i], 0.0)
        Y = x[i]
        case = (0.5, 0.0) if Y == 0.0 else (1.0, 0.0) if Y == Y else (np.nan, 0.0)
        twice = (2.0 * z[0], 0.0) if z[0] > 0.0 else (z[0] + z[0], 0.0)
        once = (z[0], 0.0) if z[0] > 0.0 else (z[0] * (1.0 + 1e-20 * z[0]), 1e-20)
        out[i] = case[0] + case[1] + twice[0] + once[0]
"""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("Y = x[i]", "Y = -x[i]", "proved: only its square or its size is used, or whether it is 0"),
        (
            "case = (0.5, 0.0) if Y == 0.0 else (1.0, 0.0) if Y == Y else (np.nan, 0.0)",
            "case = (0.5, 0.0) if Y == 0.0 else (1.0, 0.0) if Y == Y else (np.nan, 1.0)",
            "proved: a pair is NaN where its first part is",
        ),
        (
            "case = (0.5, 0.0) if Y == 0.0 else (1.0, 0.0) if Y == Y else (np.nan, 0.0)",
            "case = (0.5, 0.0) if Y == 0.0 else (1.0, 1.0) if Y == Y else (np.nan, 0.0)",
            "",
        ),
        (
            "twice = (2.0 * z[0], 0.0) if z[0] > 0.0 else (z[0] + z[0], 0.0)",
            "twice = (z[0] + z[0], 0.0) if z[0] > 0.0 else (2.0 * z[0], 0.0)",
            "observed: both branches give the same at each of 20 visits",
        ),
        (
            "once = (z[0], 0.0) if z[0] > 0.0 else (z[0] * (1.0 + 1e-20 * z[0]), 1e-20)",
            "once = (z[0] * (1.0 + 1e-20 * z[0]), 1e-20) if z[0] > 0.0 else (z[0], 0.0)",
            "",  # the same floats, but other pairs
        ),
    ],
)
def test_pairs_are_told_apart_by_their_rests_alone(before: str, after: str, why: str) -> None:
    module = plain(PAIRS, "pairs")
    reason = why_equivalent(module, found(module, before, after), run_of(module))
    assert reason == why


def test_the_lowest_points_divide_by_0_where_that_can_be() -> None:
    for definition in (DEFINITIONS["dice"], *DEFINITIONS["dice"].variants):
        batch = lowest(definition, SEED)
        assert batch is not None
        assert batch.settings["smooth"] == 0.0
        for mask in batch.inputs.values():
            assert (mask[0] == 0.0).all()
            assert (mask[1:] > 0.0).all()
    assert lowest(DEFINITIONS["softmax_cross_entropy"], SEED) is None
    assert lowest(DEFINITIONS["contrastive"], SEED) is None


def hinge_of(batch: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return what is compared with 0 in the triplet loss, and how near 0 it is beside its terms."""
    anchor, positive, negative = batch.inputs.values()
    near, far = (np.linalg.norm(anchor - other, axis=1) for other in (positive, negative))
    hinge = near - far + batch.settings["margin"]
    return hinge, np.abs(hinge) / (near + far + batch.settings["margin"])


def test_points_near_ties_are_the_nearest_of_either_side() -> None:
    crowd = gentle(DEFINITIONS["triplet"], SEED, 40)
    near = near_ties(DEFINITIONS["triplet"], crowd, 6)
    assert near is not None
    (hinge, gaps), (chosen, found) = hinge_of(crowd), hinge_of(near)
    for every, some in ((hinge > 0, chosen > 0), (hinge < 0, chosen < 0)):
        np.testing.assert_allclose(sorted(found[some]), sorted(gaps[every])[:3], rtol=1e-9)


def test_points_near_ties_are_found_beside_comparisons_that_are_far_from_theirs() -> None:
    """Whether a pair is similar is a comparison too: 1 is as far from 0 as can be."""
    near = near_ties(DEFINITIONS["contrastive"], gentle(DEFINITIONS["contrastive"], SEED, 40), 6)
    assert near is not None
    first, second, dissimilar = near.inputs.values()
    margin = near.settings["margin"]
    apart = [np.sign(margin - np.linalg.norm(a - b)) for a, b, y in zip(first, second, dissimilar, strict=True) if y]
    assert {-1.0, 1.0} <= set(apart)


def test_some_points_are_near_two_ties() -> None:
    definition = next(d for d in DEFINITIONS["triplet"].variants if d.suffix == "_swap_true")
    crowd = gentle(definition, SEED, 40)
    oracle = oracle_of(definition)
    tensors, scalars = split(definition, crowd.inputs, crowd.settings)
    worst = [max(gap for gap, _ in oracle.sides(tensors, scalars, (k,)).values()) for k in range(40)]
    near = near_ties(definition, crowd, 8)
    assert near is not None
    assert len(near.inputs["anchor"]) == 8
    row = crowd.inputs["anchor"][int(np.argmin(worst))]
    assert (near.inputs["anchor"] == row).all(1).any()


def test_branches_of_derivatives_are_swapped() -> None:
    found = [
        site.kind for _, program in pipeline.derivatives(DEFINITIONS["contrastive"]) for site in symbolic_sites(program)
        if not isinstance(site.before, Access)
    ]  # fmt: skip
    assert "branch" in found


CHOSEN = """
def value(x, out):
    for i in range(x.shape[0]):
        largest = max(x[i], 0.5)
        gap = x[i] - largest
        out[i] = 2.0 + gap if x[i] >= 0.5 else largest
"""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("gap = x[i] - largest", "gap = largest - x[i]", "observed: it is not read at the 12 visits, of 20, where"),
        ("gap = x[i] - largest", "gap = x[i] + largest", ""),
        ("largest = max(x[i], 0.5)", "largest = max(x[i], 1.0)", ""),
    ],
)
def test_what_is_read_only_where_a_mistake_changes_nothing(before: str, after: str, why: str) -> None:
    module = plain(CHOSEN, "chosen")
    site = Site("value", "argument", *_assigned(module, before, after))
    reason = why_equivalent(module, site, run_of(module))
    assert reason.startswith(why) if why else reason == ""


def _assigned(module: Plain, before: str, after: str) -> tuple[ast.Assign, ast.Assign, str, None, ast.expr]:
    statement = next(n for n in ast.walk(module.functions["value"]) if ast.unparse(n) == before)
    new = ast.parse(after).body[0]
    assert isinstance(statement, ast.Assign)
    assert isinstance(new, ast.Assign)
    return statement, statement, "value", None, new.value


def test_a_parameter_is_moved_to_a_second_tie() -> None:
    definition = next(d for d in DEFINITIONS["triplet"].variants if d.suffix == "_swap_true")
    found = list(at_two_ties(definition, gentle(definition, SEED, 40), 6))
    assert found
    for below, above in zip(found[::2], found[1::2], strict=True):
        assert 0 < above.settings["margin"] - below.settings["margin"] < 1e-4
        near = [np.linalg.norm(below.inputs["anchor"] - below.inputs[n]) for n in ("positive", "negative")]
        between = np.linalg.norm(below.inputs["positive"] - below.inputs["negative"])
        hinge = [near[0] - min(near[1], between) + b.settings["margin"] for b in (below, above)]
        assert hinge[0] <= 0 <= hinge[1]


@pytest.mark.parametrize(
    "text, same",
    [
        ("c = _clipped(r, d)\nloss = c * (r - 0.5 * c)\nout[i] = loss", True),
        ("c = np.float64(r)\nout[i] = c / -r + abs(3.0 * r)", True),
        ("c = r * w\nr = r * c\nif w:\n    out[i] = r", True),
        ("total = _add_in_lanes(total, r * r)", True),
        ("c = _clipped(r, d)\nout[i] = c", False),
        ("out[i] = r * (r + 1.0)", False),
        ("c = w\nif w:\n    c = r\nout[i] = c", False),
        ("out[i] = _clipped(d, r) * r", False),
        ("out[i] = _choose(r > 0.0, r, -r)", False),
        ("c = r + r * r\nout[i] = abs(c)", False),
        ("if r > 0.0:\n    out[i] = 1.0", False),
        ("out[r] = 1.0", False),
        ("total += r", False),
    ],
)
def test_signs_that_cancel_are_followed(text: str, same: bool) -> None:
    assert is_without_sign(ast.parse(text).body, "r") == same
