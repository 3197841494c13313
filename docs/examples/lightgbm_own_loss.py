"""LightGBM with a loss of one's own, which ``symloss new`` scaffolds and ``symloss generate`` derives."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import symloss
from symloss.adapters import lightgbm as sl

NAME = "lopsided_square"


def own_loss(folder: Path) -> symloss.Loss:
    """Scaffold a definition and derive its kernels, as in a terminal; the scaffold is a lopsided square."""
    command = [sys.executable, "-c", "from symloss.cli import main; main()"]  # `symloss`, of this Python
    definitions, output = str(folder / "my"), str(folder / "out")
    subprocess.run([*command, "new", NAME, "--definitions", definitions, "--quiet"], check=True)
    subprocess.run([*command, "generate", "--definitions", definitions, "--output", output, "--quiet"], check=True)
    return symloss.load(NAME, package=output)


def main() -> dict[str, float]:
    """Train with it and with LightGBM's square; return both mean absolute errors on rows kept aside."""
    with tempfile.TemporaryDirectory() as folder:
        loss = own_loss(Path(folder))
        x, y = load_diabetes(return_X_y=True)
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
        settings = {"num_leaves": 7, "learning_rate": 0.1, "verbosity": -1, "num_threads": 1, "seed": 0,
                    "min_sum_hessian_in_leaf": 1e-6}  # fmt: skip
        share = 0.4  # what is predicted too high costs more: nearer to the median of these skewed targets
        objective = sl.objective(loss, share=share)
        start = sl.base_score(loss, y_train, share=share)
        data = lightgbm.Dataset(x_train, y_train, init_score=sl.init_score(start, len(y_train)))
        ours = lightgbm.train({**settings, "objective": objective}, data, num_boost_round=60)
    theirs = lightgbm.train(
        {**settings, "objective": "regression"}, lightgbm.Dataset(x_train, y_train), num_boost_round=60
    )
    predictions = {"own": start + ours.predict(x_test), "square": theirs.predict(x_test)}
    constant = {"constant": float(np.abs(np.median(y_train) - y_test).mean())}
    return {name: float(np.abs(p - y_test).mean()) for name, p in predictions.items()} | constant


if __name__ == "__main__":
    for name, error in main().items():
        print(f"{name}: mean absolute error {error:.2f}")
