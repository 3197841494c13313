"""The array losses beside torch's autograd in float64, at small and at real sizes, and in float32."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from tests.peers.array_cases import (
    CONTINUOUS,
    SMALL,
    Case,
    Truth,
    agree,
    agree_all,
    bare,
    densities,
    directions_for,
    each_reduction,
    each_small,
    faces,
    ge2e,
    masks,
    options_of,
    pairs,
    segments,
    small_truth,
    tuple_of,
    vectors,
    weight_of,
)


@each_small
def test_values(case: Case) -> None:
    truth = small_truth(case, False).values.detach().numpy()
    agree(case.call("value", reduction="none"), truth)
    agree(case.call("value", reduction="none", sample_weight=weight_of(case)), truth * weight_of(case))


@each_small
@each_reduction
def test_gradient(case: Case, reduction: str, weighted: bool) -> None:
    options, factor = options_of(case, reduction, weighted)
    truth = small_truth(case, weighted)
    agree(case.call("value", **options), truth.total.item() * factor)
    agree_all(case, case.call("gradient", **options), truth.gradient, factor)
    value, gradient = case.call("value_and_gradient", **options)
    agree(value, truth.total.item() * factor)
    agree_all(case, gradient, truth.gradient, factor)


@each_small
@each_reduction
def test_hessian_product(case: Case, reduction: str, weighted: bool) -> None:
    options, factor = options_of(case, reduction, weighted)
    directions, truth = directions_for(case), small_truth(case, weighted)
    got = case.call("hessian_product", direction=bare(directions), **options)
    agree_all(case, got, truth.product(directions), factor)


@each_small
def test_hessian_product_of_one_input(case: Case) -> None:
    truth = small_truth(case, True)
    for place, name in enumerate(case.differentiable):
        alone = tuple(d if k == place else 0 * d for k, d in enumerate(directions_for(case)))
        options, _ = options_of(case, "sum", True)
        got = case.call("hessian_product", direction=alone[place], wrt=name, **options)
        whole = truth.product(alone)
        floor = 0.0 if np.ndim(alone[place]) else max(float(np.abs(block).max()) for block in whole)
        agree(got, whole[place], floor=floor)


@each_small
@pytest.mark.parametrize(("reduction", "weighted"), [("sum", True), ("mean", False)])
def test_hessian_diagonal(case: Case, reduction: str, weighted: bool) -> None:
    options, factor = options_of(case, reduction, weighted)
    truth = small_truth(case, weighted)
    diagonal = truth.diagonal
    agree_all(case, case.call("hessian_diagonal", **options), diagonal, factor)
    gradient, hessian = case.call("gradient_and_hessian", **options)
    agree_all(case, gradient, truth.gradient, factor)
    agree_all(case, hessian, diagonal, factor)


@pytest.mark.parametrize("case", [case for case in SMALL if case.name in CONTINUOUS], ids=lambda case: case.id)
def test_parameters(case: Case) -> None:
    for weighted in (False, True):
        options, factor = options_of(case, "mean", weighted)
        truth = small_truth(case, weighted, parameters=True)
        for place, name in enumerate(CONTINUOUS[case.name]):
            if case.settings.get(name) == 0 or (name == "p" and case.settings.get("p") == 1):
                continue  # on the border of the domain
            wide = (4 if case.name == "arcface" else 1) * case.tolerance  # its scale of 64 stands squared in them
            slope, bend = truth.gradient[place], np.asarray(truth.entry(place, ()))
            agree(case.call("gradient", wrt=name, **options), slope * factor, floor=1e-3)
            agree(case.call("hessian_diagonal", wrt=name, **options), bend * factor, wide, floor=1e-3)


def is_inside(case: Case) -> bool:
    """Tell whether the first parameter has room on either side: torch differentiates across the border of a domain."""
    return case.name in CONTINUOUS and case.settings.get(next(iter(CONTINUOUS[case.name]))) != 0


@pytest.mark.parametrize("case", list(filter(is_inside, SMALL)), ids=lambda case: case.id)
def test_inputs_with_parameters(case: Case) -> None:
    """The mixed second derivatives of an input and a parameter."""
    name, parameter = case.differentiable[0], next(iter(CONTINUOUS[case.name]))
    truth = Truth(case, (name, parameter), weight_of(case))
    directions = directions_for(case)[0], np.asarray(0.7)
    options, _ = options_of(case, "sum", True)
    agree_all(case, case.call("gradient", wrt=(name, parameter), **options), truth.gradient)
    got = case.call("hessian_product", direction=directions, wrt=(name, parameter), **options)
    agree_all(case, got, truth.product(directions))


N, D = 1024, 256


@cache
def large_arrays(name: str) -> tuple[Any, ...]:
    makers: dict[str, Any] = {
        "ge2e_softmax": partial(ge2e, 64, 10, 256),
        "ge2e_contrast": partial(ge2e, 64, 10, 256),
        "arcface": partial(faces, N // 8, 5000, D),
        "triplet": partial(vectors, N, D, 3, 1 / D**0.5),
        "info_nce": partial(vectors, N, D, 2),
        "nce": partial(densities, 4096, 64),
        "dice": partial(masks, 8, 65536),
        "softmax_dice": partial(segments, 4, 10, 4096),
        "contrastive": partial(pairs, N, D),
        "multiple_negatives_ranking": partial(vectors, N, D, 3),
    }
    arrays: tuple[Any, ...] = makers[name]()
    return arrays


REAL = [
    ("ge2e_softmax", {}),
    ("ge2e_contrast", {}),
    ("arcface", {}),
    ("triplet", {}),
    ("triplet", {"p": 1, "swap": True}),
    ("triplet", {"p": 2.5}),
    ("triplet", {"p": 3, "swap": True}),
    ("info_nce", {}),
    ("info_nce", {"symmetric": True}),
    ("nce", {}),
    ("dice", {}),
    ("dice", {"squared": True}),
    ("softmax_dice", {}),
    ("contrastive", {}),
    ("multiple_negatives_ranking", {}),
    ("multiple_negatives_ranking", {"similarity": "dot", "scale": 0.1}),
]


@pytest.mark.parametrize(("name", "settings"), REAL, ids=lambda value: str(value) if value else "")
def test_real_size(name: str, settings: dict[str, Any]) -> None:
    case = Case(name, large_arrays(name), settings)
    weight, directions = weight_of(case), directions_for(case)
    truth = Truth(case, case.differentiable, weight)
    options = {"reduction": "sum", "sample_weight": weight}
    agree(case.call("value", reduction="none"), truth.values.detach().numpy())
    agree_all(case, case.call("gradient", **options), truth.gradient)
    agree_all(case, case.call("hessian_product", direction=bare(directions), **options), truth.product(directions))
    check_entries(case, truth, tuple_of(case.call("hessian_diagonal", **options)))


def check_entries(case: Case, truth: Truth, diagonal: tuple[Any, ...]) -> None:
    """Check about five entries of the Hessian diagonal by double backward along unit vectors."""
    rng = np.random.default_rng(13)
    counts = {1: 5, 2: 3}.get(len(diagonal), 2)
    for place, block in enumerate(diagonal):
        leaf = truth.leaves[place]
        assert block.shape == tuple(leaf.shape)
        assert np.isfinite(block).all()
        chosen = {tuple(int(rng.integers(size)) for size in leaf.shape) for _ in range(counts)}
        expected = np.array([truth.entry(place, at) for at in sorted(chosen)])
        floor = 0.0 if leaf.ndim else max(float(np.abs(other).max()) for other in diagonal)
        agree(np.array([block[at] for at in sorted(chosen)]), expected, case.tolerance, floor)


def single(case: Case) -> Case:
    arrays = (np.asarray(a) for a in case.arrays)
    narrow = tuple(a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays)
    return Case(case.name, narrow, case.settings, case.note)


MEDIUM = [
    Case("ge2e_softmax", ge2e(8, 5, 64), note="medium"),
    Case("ge2e_contrast", ge2e(8, 5, 64), note="medium"),
    Case("arcface", faces(64, 100, 32), note="medium"),
    Case("triplet", vectors(64, 32, 3, 0.2), note="medium"),
    Case("info_nce", vectors(64, 32, 2), {"symmetric": True}, "medium"),
    Case("nce", densities(64, 16), note="medium"),
    Case("dice", masks(4, 4096), note="medium"),
    Case("softmax_dice", segments(2, 5, 512), note="medium"),
    Case("contrastive", pairs(64, 32), note="medium"),
    Case("multiple_negatives_ranking", vectors(64, 32, 3), note="medium"),
]


@pytest.mark.parametrize("case", [*SMALL, *MEDIUM], ids=lambda case: case.id)
def test_float32(case: Case) -> None:
    case = single(case)
    truth = Truth(case, case.differentiable)
    value = case.call("value", reduction="none")
    gradient = tuple_of(case.call("gradient", reduction="sum"))
    assert {np.asarray(array).dtype for array in (value, *gradient)} == {np.dtype(np.float32)}
    agree(value, truth.values.detach().numpy(), 2e-6)
    largest = max(float(np.abs(block).max()) for block in truth.gradient)
    for mine, theirs in zip(gradient, truth.gradient, strict=True):
        agree(mine, theirs, 2e-5, floor=0.0 if np.ndim(theirs) else largest)
