"""Every mistake of the table is rejected by the judgement that mutants get, and the right formula beside it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symloss import catalogue
from symloss.language.declarations import Argument
from symloss.verification.mutation_probes import Situation
from symloss.verification.sampling import Batch
from tests.mistakes import MISTAKES, Mistake

DEFINITIONS = catalogue.find()
SIZES = {"c": 2, "d": 3}
"""Two classes, for the logsumexp of two terms."""


def drawn(argument: Argument, rng: np.random.Generator, mistake: Mistake, elementwise: bool) -> Any:
    """Return numbers of an argument's kind, some at the extremes for the mistakes that show only there."""
    if argument.name in ("w", "b"):
        return np.asarray({"w": 3.0, "b": -1.0}[argument.name])
    if argument.name == "embedding":
        return rng.normal(0, 1, (3, 4, 5))
    count = 40
    if argument.kind == "label":
        return rng.integers(0, 2, count)
    if not argument.differentiable and argument.domain.contains(1.0) and not argument.domain.contains(3.0):
        return rng.integers(0, 2, count).astype(float)
    if elementwise:
        found = rng.normal(0, 2, count)
        if mistake.extreme:
            found[:8] = [30.0, -30.0, 12.0, -12.0, 1e-17, -1e-17, 45.0, -45.0]
        return found
    found = rng.normal(0, 2, (count, SIZES.get(argument.axes[-1].name, 3)))
    return found + (mistake.shift if argument.kind == "real" and argument.name == "logits" else 0.0)


def judged(mistake: Mistake, function: Any) -> bool:
    """Tell whether a function passes for the quantity, to the accuracy that its plain NumPy can have."""
    definition, rng = DEFINITIONS[mistake.loss], np.random.default_rng(11)
    optional = [name for name, given in definition.choice if given is True]
    inputs = {
        a.name: drawn(a, rng, mistake, definition.elementwise) for a in definition.inputs if a.name not in optional
    }
    if mistake.loss == "huber":
        inputs["target"] = np.where(np.arange(40) < 8, 0.0, inputs["target"])
    definition = definition.chosen(mistake.settings, inputs)
    situation = Situation(definition, Batch(inputs, mistake.settings), None)
    kind = {"hessian_diagonal": "hessian"}.get(mistake.quantity, mistake.quantity)
    truth, _ = situation.truth(kind, mistake.wrt)
    with np.errstate(all="ignore"):
        found = np.asarray(function(*inputs.values()))
    assert found.shape == truth.shape
    known = ~np.isnan(truth)
    assert known.sum() >= 6
    return bool(np.allclose(found[known], truth[known], rtol=1e-3 if mistake.wrt else 1e-9, atol=0))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.loss}: {m.name}")
def test_a_mistake_of_others_is_rejected(mistake: Mistake) -> None:
    assert not judged(mistake, mistake.wrong)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.loss}: {m.name}")
def test_the_right_formula_passes(mistake: Mistake) -> None:
    assert judged(mistake, mistake.right)
