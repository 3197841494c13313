"""Where boosting starts, beside the oracle: on either side of a constant the mean slope has the sign that it should.

The oracle evaluates the formula in ball arithmetic as its author wrote it, and knows nothing of kernels or Newton.
"""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest

import symloss
from symloss import catalogue
from symloss.adapters.constants import optimal_constant
from symloss.adapters.scores import scored
from symloss.verification.quantities import gradient

RNG = np.random.default_rng(21)
COUNT, DEFINITIONS = 9, catalogue.find()
WEIGHTS = RNG.uniform(0.1, 3.0, COUNT)
UNBOUNDED = {"bias_error"}
"""Losses that have no best constant whatever the target: they fall for ever."""


def fits(name: str, rowwise: bool) -> bool:
    try:
        return scored(name, {}).rowwise == rowwise
    except ValueError:
        return False


SCALAR = [name for name in symloss.losses() if fits(name, rowwise=False)]
LABELLED = [name for name in symloss.losses() if fits(name, rowwise=True)]
WEIGHTED = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])


def targets(name: str) -> Any:
    """Return targets inside the domain of a loss, of either kind where there are two."""
    domain = symloss.load(name).spec.inputs[1].domain
    assert domain is not None
    if domain["kind"] == "set":
        low, high = domain["values"]
        return np.where(np.arange(COUNT) % 3 == 0, low, high).astype(float)
    if np.isfinite(domain["high"]):
        return RNG.uniform(domain["low"], domain["high"], COUNT)
    return RNG.normal(3.0, 2.0, COUNT)


def slopes(name: str, scores: Any, target: Any, weight: Any) -> Any:
    """Return the derivative of the weighted mean in each column of the scores, as balls."""
    definition = DEFINITIONS[name]
    first, second = (a.name for a in definition.inputs)
    settings = {a.name: a.default for a in definition.parameters}
    each = gradient(definition, {first: scores, second: target}, settings, first, weight)
    total = flint.arb(COUNT) if weight is None else sum(map(flint.arb, weight), flint.arb(0))
    return [sum(column, flint.arb(0)) / total for column in np.atleast_2d(each.T)]


@WEIGHTED
@pytest.mark.parametrize("name", [n for n in SCALAR if n not in UNBOUNDED])
def test_the_slope_changes_its_sign_within_the_bar(name: str, weight: Any) -> None:
    target = targets(name)
    score = optimal_constant(scored(name, {}), target, weight).score
    step = 1e-12 * max(1.0, abs(score))
    (before,), (after,) = (slopes(name, np.full(COUNT, score + s * step), target, weight) for s in (-1, 1))
    assert before <= 0
    assert after >= 0


@WEIGHTED
@pytest.mark.parametrize("name", LABELLED)
def test_no_class_pulls(name: str, weight: Any) -> None:
    label = np.arange(COUNT) % 3
    score = optimal_constant(scored(name, {}), label, weight).score
    for slope in slopes(name, np.tile(score, (COUNT, 1)), label, weight):
        assert abs(slope) <= 1e-12


@pytest.mark.parametrize("name", SCALAR)
def test_targets_that_are_all_alike(name: str) -> None:
    """Where the loss falls for ever that is an error, and else the score is as good as any near it."""
    loss = symloss.load(name)
    for value in sorted({float(x) for x in (targets(name).min(), targets(name).max())}):
        alike = np.full(COUNT, value)
        far = [loss.value(np.float64(c), np.float64(value)) for c in (-40.0, -20.0, 20.0, 40.0)]
        endless = far[0] < far[1] or far[3] < far[2]
        if endless:
            with pytest.raises(ValueError, match=f"{name}: no finite constant is best .*: the loss falls toward"):
                optimal_constant(scored(name, {}), alike, WEIGHTS)
            continue
        score = optimal_constant(scored(name, {}), alike, WEIGHTS).score
        near = loss.value(score + np.array([-1.0, -1e-3, 0.0, 1e-3, 1.0]), alike[:1], reduction="none")
        assert near[2] == near.min()


@pytest.mark.parametrize("name", LABELLED)
def test_labels_that_are_all_alike(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: no finite constant is best .* classes without samples: 0"):
        optimal_constant(scored(name, {}), np.ones(COUNT, int), WEIGHTS)


def test_what_weighs_nothing_is_not_there() -> None:
    bound, target = scored("binary_cross_entropy", {}), np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"binary_cross_entropy: no finite constant .* the loss falls toward infinity"):
        optimal_constant(bound, target, np.array([0.0, 2.0]))
    with pytest.raises(ValueError, match="needs samples with a positive weight"):
        optimal_constant(bound, target, np.zeros(2))
