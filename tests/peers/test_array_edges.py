"""The array losses at the edges of their domains: extreme scales, zero vectors, ties, one sample, one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.peers.array_cases import (
    Case,
    Truth,
    agree,
    agree_all,
    bare,
    densities,
    directions_for,
    faces,
    ge2e,
    masks,
    normal,
    pairs,
    segments,
    tuple_of,
    vectors,
)


def edited(arrays: tuple[Any, ...], place: int, at: Any, value: Any) -> tuple[Any, ...]:
    """Return the inputs with some entries of one of them replaced."""
    copies = [np.array(array) for array in arrays]
    copies[place][at] = value
    return tuple(copies)


def sharp(name: str, arrays: tuple[Any, ...], factor: float, **settings: Any) -> Case:
    """Return a case whose cosines are multiplied by so much: their rounding is, too."""
    return Case(name, arrays, settings, "sharp", 1e-12 + 2e-15 * factor)


def edges() -> list[Case]:
    face, two, three, pair = faces(6, 4, 3), vectors(5, 4, 2), vectors(6, 3, 3), pairs(7, 3)
    mask, scene, x, one_speaker = masks(3, 6), segments(2, 3, 4), ge2e(4, 3, 5), ge2e(1, 2, 4)
    return [
        sharp("info_nce", two, 1e4, temperature=1e-4),
        sharp("info_nce", two, 1e4, temperature=1e-4, symmetric=True),
        sharp("multiple_negatives_ranking", three, 1e4, scale=1e4),
        # in one entry torch is 9e-11 from the oracle, ours 2e-12
        sharp("arcface", face, 1e5, scale=1e4),
        sharp("arcface", face, 1e5, scale=1e4, easy_margin=True),
        sharp("ge2e_softmax", ge2e(4, 3, 5, w=1e4), 1e4),
        sharp("ge2e_contrast", ge2e(4, 3, 5, w=1e4), 1e4),
        sharp("ge2e_softmax", ge2e(4, 3, 5, b=1e4), 1e4),
        Case("ge2e_softmax", ge2e(4, 3, 5, w=1e-4), note="flat"),
        Case("ge2e_softmax", one_speaker, note="one speaker"),
        Case("ge2e_contrast", one_speaker, note="one speaker"),
        Case("ge2e_softmax", edited(x, 0, (slice(None), 1), x[0][:, 0]), note="equal utterances"),
        Case("ge2e_softmax", edited(x, 0, 1, x[0][0]), note="equal speakers"),
        Case("info_nce", (two[0][:1], two[1][:1]), note="one sample"),
        Case("multiple_negatives_ranking", (two[0][:1], two[1][:1]), note="one sample"),
        Case("info_nce", edited(two, 1, 2, two[1][0]), note="duplicate keys"),
        Case("info_nce", (two[0], two[0]), {"symmetric": True}, "query is key"),
        Case("info_nce", (two[0], -two[0]), note="query against key"),
        Case("multiple_negatives_ranking", edited(three, 1, 2, three[1][0]), note="duplicate positives"),
        Case("multiple_negatives_ranking", (three[0], three[1], three[1]), note="negatives are positives"),
        Case("arcface", (face[0], face[1][:1], 0 * face[2]), note="one class"),
        Case("arcface", edited(face, 1, 2, face[1][0]), {"scale": 8.0}, "equal classes"),
        Case("arcface", edited(face, 2, slice(None), 1), {"margin": 1.5}, "one label"),
        Case("arcface", face, {"margin": np.pi / 2}, "largest margin"),
        Case("nce", tuple(400 * array for array in densities(4, 3)), note="far scores"),
        Case("nce", tuple(15 * array for array in densities(40, 3)), note="middling scores"),
        Case("dice", (mask[0], 0 * mask[1]), note="empty mask"),
        Case("dice", (mask[0], 0 * mask[1]), {"smooth": 0.0}, "empty mask"),
        Case("dice", (mask[0], 0 * mask[1]), {"squared": True}, "empty mask"),
        Case("dice", (mask[0], 0 * mask[1] + 1), note="full mask"),
        Case("dice", (mask[0], 0 * mask[1] + 1), {"squared": True}, "full mask"),
        Case("dice", (mask[1], mask[1]), note="perfect"),
        Case("dice", (mask[1], mask[1]), {"squared": True}, "perfect"),
        Case("dice", (1 - mask[1], mask[1]), note="disjoint"),
        Case("dice", (0 * mask[0], 0 * mask[1]), note="both empty"),
        Case("softmax_dice", (scene[0], 0 * scene[1]), note="one label"),
        Case("softmax_dice", (scene[0][:, :1], 0 * scene[1]), note="one class"),
        Case("softmax_dice", (40 * scene[0], scene[1]), note="hard logits"),
        Case("softmax_dice", (scene[0] + 1e4, scene[1]), note="shifted logits", tolerance=1e-11),
        *(Case("triplet", edited(three, 0, (0, 0), three[1][0, 0]), {"p": p}, "equal entries") for p in (1, 2, 3, 2.5)),
        Case("triplet", (three[0], three[1], three[2] + 1e3), note="easy"),
        Case("contrastive", (pair[0], pair[1] + 10, pair[2]), note="beyond the margin"),
    ]


def test_saturated_contrast_finds_its_nearest_speaker() -> None:
    case = Case("ge2e_contrast", ge2e(4, 3, 5, b=40.0))
    truth = Truth(case, case.differentiable)
    agree_all(case, case.call("gradient", reduction="sum"), truth.gradient)


def agree_edge(case: Case, got: Any, truth: tuple[Any, ...]) -> None:
    """Check block by block; a truth of nothing but rounding counts beside 1e-3, a scalar beside the largest block."""
    largest = max(1e-3, *(float(np.abs(block).max(initial=0.0)) for block in truth))
    for mine, theirs in zip(tuple_of(got), truth, strict=True):
        agree(mine, theirs, case.tolerance, floor=1e-3 if np.ndim(theirs) else largest)


@pytest.mark.parametrize("case", edges(), ids=lambda case: case.id)
def test_edges(case: Case) -> None:
    truth, directions = Truth(case, case.differentiable), directions_for(case)
    agree_edge(case, case.call("value", reduction="none"), (truth.values.detach().numpy(),))
    agree_edge(case, case.call("gradient", reduction="sum"), truth.gradient)
    got = case.call("hessian_product", direction=bare(directions), reduction="sum")
    agree_edge(case, got, truth.product(directions))
    agree_edge(case, case.call("hessian_diagonal", reduction="sum"), truth.diagonal)


def kinks() -> list[Case]:
    """Zero vectors and distances of 0: first derivatives are by convention, second ones need only be finite."""
    face, two, three, pair = faces(6, 4, 3), vectors(5, 4, 2), vectors(6, 3, 3), pairs(7, 3)
    x, one_speaker = ge2e(4, 3, 5), ge2e(1, 2, 4)
    opposed = ge2e(3, 2, 4)
    return [
        Case("info_nce", edited(two, 0, 1, 0.0), note="zero query"),
        Case("info_nce", edited(two, 1, 1, 0.0), {"symmetric": True}, "zero key"),
        Case("info_nce", (0 * two[0], 0 * two[1]), note="all zero"),
        *(Case("multiple_negatives_ranking", edited(three, k, 1, 0.0), note=f"zero {k}") for k in range(3)),
        Case("multiple_negatives_ranking", edited(three, 0, 1, 0.0), {"similarity": "dot"}, "zero anchor"),
        *(Case("arcface", edited(face, 0, 1, 0.0), {"easy_margin": e}, "zero embedding") for e in (False, True)),
        *(Case("arcface", edited(face, 1, face[2][0], 0.0), {"easy_margin": e}, "zero class") for e in (False, True)),
        Case("arcface", (face[1][face[2]], *face[1:]), note="embedding is class"),
        Case("arcface", (-face[1][face[2]], *face[1:]), note="embedding against class"),
        Case("arcface", edited((face[1][face[2]], *face[1:]), 0, 0, 0.0), {"margin": 0.0}, "embedding is class"),
        Case("ge2e_softmax", edited(x, 0, (1, 1), 0.0), note="zero utterance"),
        Case("ge2e_contrast", edited(x, 0, (1, 1), 0.0), note="zero utterance"),
        Case("ge2e_softmax", edited(x, 0, 1, 0.0), note="zero speaker"),
        Case("ge2e_softmax", edited(opposed, 0, (1, 1), -opposed[0][1, 0]), note="zero centroid"),
        Case("ge2e_contrast", edited(opposed, 0, (1, 1), -opposed[0][1, 0]), note="zero centroid"),
        Case("ge2e_contrast", edited(one_speaker, 0, (0, 1), 0.0), note="one speaker, zero utterance"),
        *(Case("triplet", (three[0], three[0], three[2]), {"p": p}, "anchor is positive") for p in (1, 2, 3, 2.5)),
        *(Case("triplet", (three[0], three[1], three[0]), {"p": p}, "anchor is negative") for p in (1, 2, 3, 2.5)),
        *(Case("triplet", (three[0], three[0], three[0]), {"p": p}, "all equal") for p in (1, 2, 3, 2.5)),
        Case("triplet", (three[0], three[1], three[1]), {"swap": True}, "positive is negative"),
        Case("triplet", (three[0], three[0], three[0]), {"swap": True, "p": 1}, "all equal"),
        Case("contrastive", (pair[0], pair[0], pair[2]), note="equal"),
        Case("contrastive", edited((pair[0], pair[0], pair[2]), 1, 3, 0.1), note="mostly equal"),
    ]  # fmt: skip


@pytest.mark.parametrize("case", kinks(), ids=lambda case: case.id)
def test_kinks(case: Case) -> None:
    truth, direction = Truth(case, case.differentiable), bare(directions_for(case))
    agree_edge(case, case.call("value", reduction="none"), (truth.values.detach().numpy(),))
    agree_edge(case, case.call("gradient", reduction="sum"), truth.gradient)
    for block in tuple_of(case.call("hessian_product", direction=direction, reduction="sum")):
        assert np.isfinite(block).all()
    for block in tuple_of(case.call("hessian_diagonal", reduction="sum")):
        assert np.isfinite(block).all()


@pytest.mark.parametrize("name", ["info_nce", "arcface", "multiple_negatives_ranking"])
def test_gradient_of_a_zero_vector_is_zero(name: str) -> None:
    arrays = {"arcface": faces(6, 4, 3), "info_nce": vectors(5, 4, 2)}.get(name, vectors(6, 3, 3))
    for place in range(2):
        zeroed = Case(name, edited(arrays, place, 2, 0.0))
        assert (zeroed.call("gradient", reduction="sum")[place][2] == 0).all()


@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
def test_gradient_of_an_equal_triplet_is_zero(p: float) -> None:
    x = normal(1, 4, 3)
    for block in Case("triplet", (x, x, x), {"p": p}).call("gradient"):
        assert (block == 0).all()


def test_similar_pairs_are_quadratic_at_distance_zero() -> None:
    """The square of the distance has no kink, although the distance does."""
    x, direction = normal(1, 4, 3), (normal(2, 4, 3), normal(3, 4, 3))
    case = Case("contrastive", (x, x, np.zeros(4)))
    for block in case.call("hessian_diagonal", reduction="sum"):
        agree(block, np.ones((4, 3)))
    got = case.call("hessian_product", direction=direction, reduction="sum")
    agree(got[0], direction[0] - direction[1])
    agree(got[1], direction[1] - direction[0])


def test_equal_speakers_tie_in_contrast() -> None:
    """The largest of equal similarities has no one derivative; the value has no doubt."""
    x = ge2e(4, 3, 5)
    case = Case("ge2e_contrast", edited(x, 0, 1, x[0][0]))
    agree(case.call("value", reduction="none"), Truth(case, ("embedding",)).values.detach().numpy())
    for block in case.call("gradient"):
        assert np.isfinite(block).all()


COSINE = [
    Case("ge2e_softmax", ge2e(4, 3, 5)),
    Case("ge2e_contrast", ge2e(4, 3, 5)),
    Case("arcface", faces(6, 4, 3)),
    Case("arcface", faces(6, 4, 3), {"easy_margin": True}),
    Case("info_nce", vectors(5, 4, 2)),
    Case("info_nce", vectors(5, 4, 2), {"symmetric": True}),
    Case("multiple_negatives_ranking", vectors(6, 3, 3)),
    Case("multiple_negatives_ranking", vectors(6, 3, 2), note="no negatives"),
]


@pytest.mark.parametrize("factor", [1e-170, 1e155])
@pytest.mark.parametrize("case", COSINE, ids=lambda case: case.id)
def test_cosines_do_not_depend_on_lengths(case: Case, factor: float) -> None:
    """The gradient shrinks as the lengths grow."""
    value, gradient = case.call("value", reduction="none"), tuple_of(case.call("gradient", reduction="sum"))
    vector = [np.ndim(array) > 1 for array in case.arrays]
    chosen = [[sum(vector[:k]) == one for k, _ in enumerate(vector)] for one in range(sum(vector))]
    for scaled in [[True] * len(vector), *chosen]:
        factors = [factor if both else 1.0 for both in np.logical_and(vector, scaled)]
        arrays = tuple(f * a if f != 1 else a for f, a in zip(factors, case.arrays, strict=True))
        other = Case(case.name, arrays, case.settings)
        agree(other.call("value", reduction="none"), value)
        again = tuple_of(other.call("gradient", reduction="sum"))
        agree_all(case, tuple(f * g for f, g in zip(factors, again, strict=False)), gradient)


@pytest.mark.parametrize("factor", [1e-170, 1e155])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
def test_distances_neither_overflow_nor_underflow(p: float, swap: bool, factor: float) -> None:
    case = Case("triplet", vectors(6, 3, 3), {"p": p, "swap": swap, "margin": 0.0})
    other = Case("triplet", tuple(factor * array for array in case.arrays), case.settings)
    agree(other.call("value", reduction="none") / factor, case.call("value", reduction="none"))
    agree_all(case, other.call("gradient", reduction="sum"), case.call("gradient", reduction="sum"))


@pytest.mark.parametrize("factor", [1e-170, 1e155])
def test_dissimilar_pairs_at_any_scale(factor: float) -> None:
    first, second, _ = pairs(7, 3)
    case = Case("contrastive", (factor * first, factor * second, np.ones(7)))
    truth = Truth(case, case.differentiable)
    agree(case.call("value", reduction="none"), truth.values.detach().numpy())
    agree_all(case, case.call("gradient", reduction="sum"), truth.gradient)
