"""The examples of the documentation run and reach what they promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


def run(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_newton_reaches_the_optimum_of_scikit_learn() -> None:
    differences = run("newton_regression").main()
    assert set(differences) == {"logistic", "softmax"}
    for difference in differences.values():
        assert difference < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_xgboost_learns_with_the_focal_loss() -> None:
    areas = run("focal_xgboost").main()
    assert areas["focal"] > 0.97
    assert areas["focal"] > areas["logistic"] - 0.01
