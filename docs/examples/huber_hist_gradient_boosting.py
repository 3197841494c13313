"""HistGradientBoostingRegressor with the Huber loss, which it does not have, where some targets are spoiled."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from symloss.adapters import sklearn as sk


def main() -> dict[str, float]:
    """Spoil one target in ten, train with both losses; return mean absolute errors on rows kept aside, unspoiled."""
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    spoiled = np.where(np.random.default_rng(0).random(len(y_train)) < 0.1, 10 * y_train, y_train)
    errors = {}
    for name, loss in {"huber": sk.loss("huber", delta=30.0), "squared_error": "squared_error"}.items():
        model = HistGradientBoostingRegressor(loss=loss, max_iter=40, max_leaf_nodes=7, random_state=0)
        errors[name] = float(np.abs(model.fit(x_train, spoiled).predict(x_test) - y_test).mean())
    return errors


if __name__ == "__main__":
    for name, error in main().items():
        print(f"{name}: mean absolute error {error:.2f}")
