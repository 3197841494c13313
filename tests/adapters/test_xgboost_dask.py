"""XGBoost on Dask: the same objective, in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xgboost
from distributed import Client, LocalCluster
from xgboost import dask as dxgb

from symloss.adapters import xgboost as sx
from tests.adapters.data import BINARY, CLASSES, FEATURES, LABELS, SIGNAL, WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the cluster, not ours


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as found,
    ):
        yield found


def test_native_and_estimator_agree_with_one_machine(client: Any) -> None:
    chunks = len(BINARY) // 2
    x, y, w = (da.from_array(a, chunks=(chunks, *a.shape[1:])) for a in (FEATURES, BINARY, WEIGHTS))
    start = sx.base_score("binary_cross_entropy", BINARY, WEIGHTS)
    settings = {"max_depth": 3, "base_score": start, "nthread": 1, "tree_method": "hist", "max_bin": 4096}
    objective = sx.objective("binary_cross_entropy")
    local = xgboost.train(settings, xgboost.DMatrix(FEATURES, BINARY, weight=WEIGHTS), num_boost_round=5, obj=objective)
    expected = local.predict(xgboost.DMatrix(FEATURES), output_margin=True)
    found = dxgb.train(client, settings, dxgb.DaskDMatrix(client, x, y, weight=w), num_boost_round=5, obj=objective)
    scores = found["booster"].predict(xgboost.DMatrix(FEATURES), output_margin=True)
    # Each worker sketches its own rows: close to one machine, not equal.
    assert np.abs(scores - expected).mean() < 0.02
    model = dxgb.DaskXGBRegressor(
        n_estimators=5, max_depth=3, base_score=start, max_bin=4096,
        objective=sx.objective("binary_cross_entropy", sklearn_api=True),
    )  # fmt: skip
    model.client = client
    model.fit(x, y, sample_weight=w)
    assert np.abs(model.predict(x).compute() - expected).mean() < 0.02


CASES: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("binary_cross_entropy", BINARY, "binary:logistic", {}),
    ("squared_error", SIGNAL, "reg:squarederror", {"lambda": 2.0, "min_child_weight": 2.0}),
    ("softmax_cross_entropy", LABELS, "multi:softprob", {"num_class": CLASSES, "base_score": 0.0}),
]


@pytest.mark.parametrize("name, target, twin, settings", CASES, ids=[case[0] for case in CASES])
def test_trees_are_those_of_the_built_in_objectives(
    client: Any, name: str, target: Any, twin: str, settings: dict[str, Any]
) -> None:
    """On the same cluster, with weights: the sketches are the same, so the trees are."""
    chunks = len(target) // 2
    x, y, w = (da.from_array(a, chunks=(chunks, *a.shape[1:])) for a in (FEATURES, target, WEIGHTS))
    data = dxgb.DaskDMatrix(client, x, y, weight=w)
    start = 0.0 if name.startswith("softmax") else sx.base_score(name, target, WEIGHTS)
    common = {"max_depth": 3, "nthread": 1, "tree_method": "hist", "base_score": start}
    known = {k: v for k, v in settings.items() if k == "num_class"}
    theirs = {**common, **known, "objective": twin}
    if twin == "binary:logistic":
        theirs["base_score"] = 1 / (1 + np.exp(-start))
    rule = "xgboost" if name.startswith("softmax") else "exact"
    runs = [
        dxgb.train(client, {**common, **settings}, data, num_boost_round=5, obj=sx.objective(name, hessian=rule)),
        dxgb.train(client, theirs, data, num_boost_round=5),
    ]
    ours, expected = (r["booster"].predict(xgboost.DMatrix(FEATURES), output_margin=True) for r in runs)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert np.ptp(ours) > 1


def test_what_is_refused_is_refused_in_a_worker(client: Any) -> None:
    x, y = (da.from_array(a, chunks=(len(BINARY) // 2, *a.shape[1:])) for a in (FEATURES, BINARY))
    data = dxgb.DaskDMatrix(client, x, y)
    with pytest.raises(ValueError, match=r"focal: the Hessian is -.* use hessian='clipped'"):
        dxgb.train(client, {"base_score": -3.0, "nthread": 1}, data, num_boost_round=2, obj=sx.objective("focal"))
