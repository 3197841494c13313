"""XGBoost with the focal loss and with its own logistic loss, where one digit in ten is the one looked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from symloss.adapters import xgboost as sx

GAMMA = 1.0


def main() -> dict[str, float]:
    """Train with both; return areas under the ROC curve, and average precisions."""
    x, digit = load_digits(return_X_y=True)
    y = (digit == 8).astype(float)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=0, stratify=y)
    train, test = xgboost.DMatrix(x_train, y_train), xgboost.DMatrix(x_test, y_test)
    settings = {"max_depth": 3, "eta": 0.3, "seed": 0, "nthread": 1}
    # The focal Hessian is negative where an example is badly wrong: as it is, the objective would refuse to train.
    focal = sx.objective("focal", gamma=GAMMA, alpha=None, hessian="clipped", floor=1e-3)
    start = sx.base_score("focal", y_train, gamma=GAMMA, alpha=None)
    ours = xgboost.train({**settings, "base_score": start}, train, num_boost_round=60, obj=focal)
    share = float(np.mean(y_train))
    logistic = {**settings, "objective": "binary:logistic", "base_score": share}
    theirs = xgboost.train(logistic, train, num_boost_round=60)
    scores: dict[str, Any] = {"focal": ours.predict(test), "logistic": theirs.predict(test)}
    areas = {name: float(roc_auc_score(y_test, score)) for name, score in scores.items()}
    return areas | {f"{n}, precision": float(average_precision_score(y_test, s)) for n, s in scores.items()}


if __name__ == "__main__":
    for name, area in main().items():
        print(f"{name}: {area:.4f}")
