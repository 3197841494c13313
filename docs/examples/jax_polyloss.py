"""A network in JAX, trained on scikit-learn's digits with PolyLoss and with cross entropy, in one compiled step."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from symloss.adapters import jax as sj

HIDDEN, STEPS, RATE = 64, 300, 0.5


def scores(weights: Any, x: Any) -> Any:
    """Return one score per class."""
    return jnp.tanh(x @ weights["in"] + weights["bias"]) @ weights["out"]


@partial(jax.jit, static_argnums=0)
def step(loss: Any, weights: Any, x: Any, label: Any) -> tuple[Any, Any]:
    """Return the loss, and the weights one step downhill."""
    value, slope = jax.value_and_grad(lambda w: loss(scores(w, x), label))(weights)
    return value, jax.tree.map(lambda w, g: w - RATE * g, weights, slope)


def main() -> dict[str, float]:
    """Train with both; return the accuracies on rows kept aside."""
    x, label = load_digits(return_X_y=True)
    parts = train_test_split((x / 16.0).astype(np.float32), label, test_size=0.3, random_state=0)
    x_train, x_test, label_train, label_test = map(jnp.asarray, parts)
    found = {}
    for name, loss in {"poly": sj.poly_cross_entropy, "cross entropy": sj.softmax_cross_entropy}.items():
        keys = jax.random.split(jax.random.key(0))
        weights = {
            "in": 0.2 * jax.random.normal(keys[0], (x.shape[1], HIDDEN)),
            "bias": jnp.zeros(HIDDEN),
            "out": 0.2 * jax.random.normal(keys[1], (HIDDEN, 10)),
        }
        for _ in range(STEPS):
            _, weights = step(loss, weights, x_train, label_train)
        found[name] = float(jnp.mean(scores(weights, x_test).argmax(1) == label_test))
    return found


if __name__ == "__main__":
    for name, accuracy in main().items():
        print(f"{name}: accuracy {accuracy:.3f}")
