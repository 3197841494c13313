"""The recipes of the guide run and reach what they promise; so do the guide's own lines."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run(name: str, *arguments: int) -> dict[str, float]:
    """Run an example's ``main``."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, float] = module.main(*arguments)
    return found


def test_focal_finds_the_rare_digit() -> None:
    found = run("focal_xgboost")
    assert found["focal, precision"] > 0.95
    assert found["focal, precision"] > found["logistic, precision"] - 0.01


def test_lightgbm_trains_a_loss_of_ones_own() -> None:
    found = run("lightgbm_own_loss")
    assert found["own"] < 0.8 * found["constant"]
    assert found["own"] < 1.05 * found["square"]


def test_huber_survives_spoiled_targets() -> None:
    found = run("huber_hist_gradient_boosting")
    assert found["huber"] < 0.5 * found["squared_error"]


def test_jax_learns_digits_with_polyloss() -> None:
    found = run("jax_polyloss")
    assert min(found.values()) > 0.94


def test_a_margin_draws_digits_to_their_centre() -> None:
    found = run("torch_arcface_digits")
    assert found["margin"] > 0.95
    assert found["margin, angle"] < found["no margin, angle"]


@pytest.mark.filterwarnings("ignore")  # those of the cluster, not ours
def test_dask_reaches_scikit_learns_optimum() -> None:
    found = run("dask_logistic", 120)  # two chunks; the full size holds more than the worker may
    assert found["largest difference"] < 1e-5
    assert not found["peak MB of the worker"] > found["MB allowed"]


@pytest.mark.filterwarnings("ignore")  # those of the cluster, not ours
def test_a_small_run_of_the_large_example() -> None:
    found = run("dask_softmax", 600_000, 300_000)
    assert found["difference on the subset"] < 1e-12
    assert not found["peak MB of a worker"] > 1000


BLOCKS = re.findall(
    r"<!-- tested -->\n```python\n(.*?)```", (DOCS / "adapters.md").read_text(encoding="utf-8"), flags=re.DOTALL
)


def test_the_guide_runs() -> None:
    assert len(BLOCKS) >= 6
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "adapters.md", "exec"), names)
