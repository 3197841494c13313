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
from tests.adapters.data import BINARY, FEATURES, WEIGHTS

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
