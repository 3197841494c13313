"""At a kink the chosen derivative lies between the one-sided ones, and the second derivative is that of the pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import symloss

KINKS = [
    ("absolute_error", (1.5, 1.5), {}, (-1.0, 1.0)),
    ("hinge", (1.0, 1.0), {}, (-1.0, 0.0)),
    ("hinge", (-2.0, -1.0), {"margin": 2.0}, (0.0, 1.0)),
    ("squared_hinge", (1.0, 1.0), {}, (0.0, 0.0)),
    ("huber", (0.75, 0.0), {"delta": 0.75}, (0.75, 0.75)),
    ("smooth_l1", (-0.5, 0.0), {"beta": 0.5}, (-1.0, -1.0)),
    ("margin_ranking", (0.25, 0.25, 1.0), {}, (-1.0, 0.0)),
]


@pytest.mark.parametrize(("name", "inputs", "settings", "limits"), KINKS)
def test_the_chosen_subgradient(
    name: str, inputs: tuple[float, ...], settings: dict[str, Any], limits: tuple[float, float]
) -> None:
    loss = symloss.load(name)
    first = loss.differentiable[0]
    chosen = float(loss.gradient(*inputs, wrt=first, **settings))
    assert limits[0] <= chosen <= limits[1]
    for side, limit in zip((-1e-9, 1e-9), limits, strict=True):
        moved = (inputs[0] + side, *inputs[1:])
        assert float(loss.gradient(*moved, wrt=first, **settings)) == pytest.approx(limit, abs=1e-8)


@pytest.mark.parametrize(("dtype", "near"), [(np.float64, 1e-12), (np.float32, 2e-6)])
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_where_a_coordinate_is_the_same_the_exponent_of_a_norm_has_a_derivative(
    accuracy: str, dtype: Any, near: float
) -> None:
    """x**p log(x) tends to 0 with x: only other coordinates count. Beside the derivative worked out by hand."""
    anchor, positive, negative = (np.array([x], dtype) for x in ([1.0, 2.0, 3.0], [1.0, 2.5, 2.0], [0.0, 2.0, 1.0]))
    p = 2.5

    def slope(x: NDArray[Any]) -> float:
        x = abs(x[x != 0]).astype(np.float64)
        total = (x**p).sum()
        return float(total ** (1 / p) * ((x**p * np.log(x)).sum() / (p * total) - np.log(total) / p**2))

    loss = symloss.load("triplet", accuracy=accuracy)
    wanted = slope(anchor - positive) - slope(anchor - negative)
    assert loss.gradient(anchor, positive, negative, p=p, margin=5.0, wrt="p") == pytest.approx(wanted, rel=near)
    names, zeros = ("anchor", "positive", "negative", "p"), np.zeros((2, 3), dtype)
    directions = (zeros + 1, zeros - 1, zeros + 2, np.asarray(0.5, dtype))
    product = loss.hessian_product(zeros, zeros, zeros, p=p, margin=1.0, wrt=names, direction=directions)
    assert all((np.asarray(part) == 0).all() for part in product)  # of coinciding points: the chosen subgradient
