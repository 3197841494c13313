"""The sampler really spreads: exponents, signs, clusters, members, ends, shapes and settings."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symloss import catalogue
from symloss.language import Axis, Expr, Reference, Tensor, above, loss, parameter, prediction, sum_over
from symloss.verification.sampling import CLUSTERS, MANY_CLASSES, batches, numbers, settings_of

DEFINITIONS = catalogue.find()
DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")

s, u, d = Axis("s", "speakers"), Axis("u", "utterances"), Axis("d", "features")
j, i, f = s.index("j"), u.index("i"), d.index("f")


@loss(title="Three axes", family="test", per=(j, i), references=(SOURCE,))
def three_axes(
    x: Tensor = prediction(s, u, d, symbol="x"),
    w: Tensor = prediction(d, symbol="w", domain=above(0)),
    *,
    scale: Expr = parameter(10, above(0), symbol="a"),
) -> Expr:
    """Nothing sensible."""
    return scale * sum_over(f, w[f] * x[j, i, f])


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_numbers_spread(dtype: np.dtype[Any]) -> None:
    drawn = numbers(np.random.default_rng(0), 600, dtype, float(np.finfo(dtype).max) / 4)
    exponents = np.unique(np.frexp(drawn[drawn != 0])[1])
    assert drawn.dtype == dtype
    assert len(exponents) > 120
    assert exponents[0] < np.finfo(dtype).minexp + 8
    assert exponents[-1] > np.finfo(dtype).maxexp - 20
    assert (drawn > 0).sum() > 200
    assert (drawn < 0).sum() > 200
    assert (np.abs(drawn[drawn != 0]) < np.finfo(dtype).tiny).any()
    for cluster in CLUSTERS:
        assert (np.abs(drawn) == cluster).any(), cluster
        assert cluster == 0 or (np.abs(np.abs(drawn) / cluster - 1) < 0.01).sum() > 5, cluster


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_every_point_lies_in_its_domain_and_dtype(name: str, dtype: np.dtype[Any]) -> None:
    definition = DEFINITIONS[name]
    seen = 0
    for batch in batches(definition, 3, 120, dtype):
        seen += 1
        written = definition.chosen(batch.settings, batch.inputs)
        assert list(batch.inputs) == [a.name for a in written.inputs]
        for argument in written.inputs:
            drawn = batch.inputs[argument.name]
            if argument.kind == "label":
                assert drawn.dtype == np.int64
                continue
            assert drawn.dtype == dtype
            assert all(argument.domain.contains(float(x)) for x in drawn.ravel())
    assert seen >= len(settings_of(definition))


def test_the_same_seed_gives_the_same_points() -> None:
    first, again, other = (
        [b.inputs["logit"].tobytes() for b in batches(DEFINITIONS["focal"], seed, 60, DOUBLE)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_targets_cover_their_domain() -> None:
    focal = next(batches(DEFINITIONS["focal"], 1, 100, DOUBLE)).inputs["target"]
    assert set(focal) == {0.0, 1.0}
    soft = next(batches(DEFINITIONS["binary_cross_entropy"], 1, 300, DOUBLE)).inputs["target"]
    assert {0.0, 0.5, 1.0} <= set(soft)
    assert ((soft > 0) & (soft < 0.5)).sum() > 30


def test_regression_points_lie_on_and_beside_the_kinks() -> None:
    batch = next(batches(DEFINITIONS["huber"], 1, 400, DOUBLE)).inputs
    difference = batch["prediction"] - batch["target"]
    assert (difference == 0).sum() >= 20
    assert ((difference != 0) & (np.abs(difference) <= np.spacing(np.abs(batch["prediction"])))).sum() >= 10
    assert (np.abs(difference) == 1.0).sum() >= 10


def test_settings_reach_the_ends_of_the_domain() -> None:
    focal = settings_of(DEFINITIONS["focal"])
    assert focal[0] == {}
    assert {x["gamma"] for x in focal if "gamma" in x} == {0.0, 0.5, 1.0, 5.0}
    assert {x["alpha"] for x in focal if "alpha" in x} == {0.0, 0.5, 1.0, None}
    assert {"ignore_index": 0} in settings_of(DEFINITIONS["softmax_cross_entropy"])


def test_rows_come_in_several_widths_and_spreads() -> None:
    drawn = list(batches(DEFINITIONS["softmax_cross_entropy"], 1, 600, DOUBLE))
    assert {b.inputs["logits"].shape[1] for b in drawn} == {1, 2, 3, 10, MANY_CLASSES}
    spreads = np.concatenate([np.ptp(b.inputs["logits"], axis=1) for b in drawn if b.inputs["logits"].shape[1] > 1])
    assert spreads.min() < 0.1
    assert spreads.max() > 1e3
    assert all(b.settings["class_weight"].shape == b.inputs["logits"].shape[1:] for b in drawn)


def test_each_axis_has_one_extent_and_different_axes_differ() -> None:
    for batch in batches(three_axes, 1, 120, DOUBLE):
        x, w = batch.inputs["x"], batch.inputs["w"]
        assert x.shape[2:] == w.shape
        assert x.shape[1] != x.shape[2]
        assert (w > 0).all()


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("cluster", [36.0, 37.0, 88.0, 709.0, 745.0])
def test_numbers_lie_beside_where_exponentials_end_on_both_sides(dtype: np.dtype[Any], cluster: float) -> None:
    drawn = numbers(np.random.default_rng(0), 3000, dtype, float(np.finfo(dtype).max) / 4)
    beside = drawn[np.abs(np.abs(drawn) - cluster) < 0.01 * cluster]
    assert (beside > cluster).any()
    assert ((beside > 0) & (beside < cluster)).any()
    assert (beside < -cluster).any()
    assert ((beside < 0) & (beside > -cluster)).any()


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_subnormal_and_tiny_numbers_have_both_signs(dtype: np.dtype[Any]) -> None:
    info = np.finfo(dtype)
    drawn = numbers(np.random.default_rng(0), 600, dtype, float(info.max) / 4)
    for sign in (1, -1):
        assert ((sign * drawn > 0) & (np.abs(drawn) < info.tiny)).any()
        assert ((sign * drawn >= info.tiny) & (np.abs(drawn) < 1e3 * info.tiny)).any()


def test_a_thousand_classes_and_near_ties_come_up() -> None:
    rows = [b.inputs["logits"] for b in batches(DEFINITIONS["softmax_cross_entropy"], 1, 600, DOUBLE)]
    assert any(r.shape[1] == MANY_CLASSES for r in rows)
    gaps = [np.diff(np.sort(r, axis=1)[:, -2:], axis=1).ravel() for r in rows if r.shape[1] > 1]
    assert (np.concatenate(gaps) < 0.02).any()
