"""Dask: chunked rows give what one array gives, on threads and on processes; what cannot be chunked is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

import symloss
from symloss import Loss
from symloss.adapters import dask as sd
from tests.adapters.cases import drawn
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, ROWS, WEIGHTS

CHUNKS = (600, 600, 600, 200)
RNG = np.random.default_rng(2)
LOGITS = RNG.normal(0, 3, (ROWS, CLASSES))
SCORES = RNG.normal(0, 3, ROWS)


def chunked(array: Any, rows: Any = CHUNKS) -> Any:
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


CASES = [
    ("softmax_cross_entropy", (LOGITS, LABELS), {"label_smoothing": 0.1}),
    ("softmax_cross_entropy", (LOGITS, LABELS), {"ignore_index": 1}),
    ("binary_cross_entropy", (SCORES, BINARY), {"pos_weight": 2.0}),
    ("huber", (LOGITS, LOGITS[::-1].copy()), {"delta": 0.5}),
    ("margin_ranking", (SCORES, SCORES[::-1].copy(), 2 * BINARY - 1), {}),
    ("triplet", (LOGITS, LOGITS[::-1].copy(), LOGITS * 0.5), {}),
]


def as_tuple(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name, inputs, parameters", CASES)
def test_like_one_array(name: str, inputs: Any, parameters: Any, weighted: bool, reduction: str) -> None:
    loss = symloss.load(name)
    weight = WEIGHTS if inputs[0].ndim == 1 or name != "huber" else np.tile(WEIGHTS[:, None], (1, CLASSES))
    arguments = {**parameters, "reduction": reduction}
    ours, lazy = (dict(arguments), dict(arguments))
    if weighted:
        ours["sample_weight"], lazy["sample_weight"] = weight, chunked(weight)
    directions = [np.sin(a) for a in inputs[: len(loss.differentiable)]]
    expected = loss.value_and_gradient(*inputs, **ours)
    along = directions[0] if len(directions) == 1 else tuple(directions)
    products = loss.hessian_product(*inputs, direction=along, **ours)
    arrays = [chunked(a) for a in inputs]
    value, gradient = sd.value_and_gradient(name, *arrays, **lazy)
    along = chunked(directions[0]) if len(directions) == 1 else tuple(map(chunked, directions))
    product = sd.hessian_product(name, *arrays, direction=along, **lazy)
    found = dask.compute(value, as_tuple(gradient), as_tuple(product), sd.value(name, *arrays, **lazy))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
    assert found[3] == found[0]
    for mine, one in zip((*found[1], *found[2]), (*as_tuple(expected[1]), *as_tuple(products)), strict=True):
        np.testing.assert_allclose(mine, one, rtol=1e-13, atol=1e-16)


def test_values_of_samples() -> None:
    found = sd.value("softmax_cross_entropy", chunked(LOGITS), chunked(LABELS), reduction="none")
    assert found.chunks == (CHUNKS,)
    np.testing.assert_array_equal(found, symloss.softmax_cross_entropy.value(LOGITS, LABELS, reduction="none"))
    lazy = sd.value_and_gradient("triplet", *(chunked(LOGITS * k) for k in (1, -1, 0.5)), reduction="none")
    expected = symloss.triplet.value_and_gradient(*(LOGITS * k for k in (1, -1, 0.5)), reduction="none")
    for mine, one in zip((lazy[0], *lazy[1]), (expected[0], *expected[1]), strict=True):
        np.testing.assert_array_equal(mine, one)


def test_rows_are_aligned_and_float32_stays() -> None:
    logits = chunked(LOGITS.astype(np.float32))
    value, gradient = sd.value_and_gradient("softmax_cross_entropy", logits, chunked(LABELS, ROWS))
    assert (gradient.dtype, gradient.chunks[0]) == (np.float32, CHUNKS)
    assert gradient.compute().dtype == np.float32
    assert float(value) == pytest.approx(symloss.softmax_cross_entropy.value(LOGITS, LABELS), rel=1e-6)


def test_the_scheduler_changes_no_bit() -> None:
    value, gradient = sd.value_and_gradient("softmax_cross_entropy", chunked(LOGITS, 37), chunked(LABELS, 37))
    runs = [dask.compute(value, gradient, scheduler=s) for s in ("synchronous", "threads", "threads")]
    for other in runs[1:]:
        assert other[0] == runs[0][0]
        np.testing.assert_array_equal(other[1], runs[0][1])


def coupled() -> Loss:
    """Return a loss that says its samples interact."""
    loss = symloss.load("softmax_cross_entropy")
    return Loss(replace(loss.plan, spec=replace(loss.spec, separable=False)))


def test_what_is_refused() -> None:
    columns = da.from_array(LOGITS, chunks=(600, 2))
    with pytest.raises(ValueError, match=r"softmax_cross_entropy: logits must be chunked by rows only"):
        sd.value("softmax_cross_entropy", columns, chunked(LABELS))
    with pytest.raises(ValueError, match="its samples interact"):
        sd.value(coupled(), chunked(LOGITS), chunked(LABELS))
    whole = sd.value(coupled(), chunked(LOGITS, ROWS), chunked(LABELS, ROWS))
    assert float(whole) == symloss.softmax_cross_entropy.value(LOGITS, LABELS)
    with pytest.raises(TypeError, match="label must be a dask array, got ndarray"):
        sd.value("softmax_cross_entropy", chunked(LOGITS), LABELS)
    with pytest.raises(ValueError, match=r"target must have as many rows as logit, \(2000,\), got \(1999,\)"):
        sd.value("focal", chunked(SCORES), da.from_array(BINARY[1:]))
    with pytest.raises(TypeError, match="expected 2 inputs"):
        sd.value("focal", chunked(SCORES))


@pytest.mark.parametrize("name", [n for n in symloss.losses() if not symloss.load(n).spec.separable])
def test_in_batch_losses_are_refused_over_chunks_and_whole_in_one(name: str) -> None:
    loss, inputs = symloss.load(name), drawn(name)
    pieces = [da.from_array(x, chunks=(2, *x.shape[1:]) if x.ndim else ()) for x in inputs]
    for call in (sd.value, sd.gradient, sd.value_and_gradient):
        with pytest.raises(ValueError, match=f"{name}: its samples interact, so that chunks of rows"):
            call(name, *pieces)
    value, gradient = sd.value_and_gradient(name, *(da.from_array(x, chunks=-1) for x in inputs))
    expected = loss.value_and_gradient(*inputs)
    np.testing.assert_allclose(value, expected[0], rtol=1e-14)
    for mine, one in zip(as_tuple(gradient), as_tuple(expected[1]), strict=True):
        np.testing.assert_allclose(mine, one, rtol=1e-12, atol=1e-15)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as found,
    ):
        yield found


@pytest.mark.filterwarnings("ignore")  # those of the cluster, not ours
def test_processes_agree_with_threads_to_the_last_bit(client: Any) -> None:
    design, logits, labels = chunked(FEATURES, 250), chunked(LOGITS, 250), chunked(LABELS, 250)
    value, slopes = sd.value_and_gradient("softmax_cross_entropy", logits, labels)
    wanted = (value, slopes, design.T @ slopes)
    here = dask.compute(*wanted, scheduler="synchronous")
    there = client.gather(client.compute(list(wanted)))
    assert here[0] == there[0]
    np.testing.assert_array_equal(here[1], there[1])
    # The matrix product is Dask's and BLAS's, whose last bits depend on where arrays lie.
    _, one = symloss.softmax_cross_entropy.value_and_gradient(LOGITS, LABELS)
    np.testing.assert_allclose(there[2], FEATURES.T @ one, rtol=1e-12, atol=1e-15)
