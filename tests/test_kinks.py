"""At a kink the chosen derivative lies between the one-sided ones, and the second derivative is that of the pieces."""

from __future__ import annotations

from typing import Any

import pytest

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
