"""Every loss with inputs drawn at random inside its domains, and some with settings that choose another formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import symloss

SIZES = {"n": 7, "c": 5, "d": 6, "k": 4, "m": 8, "s": 3, "u": 4}
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in symloss.losses()),
    ("focal", {"alpha": None, "gamma": 0.5}),
    ("softmax_cross_entropy", {"label_smoothing": 0.1, "ignore_index": 2}),
    ("info_nce", {"symmetric": True, "temperature": 0.5}),
    ("arcface", {"easy_margin": True, "scale": 8.0}),
    ("triplet", {"swap": True, "margin": 4.0}),
    ("triplet", {"p": 1, "margin": 6.0}),
    ("triplet", {"p": 3.0, "margin": 6.0}),
    ("dice", {"squared": True}),
    ("multiple_negatives_ranking", {"similarity": "dot", "scale": 1.0}),
]
each = pytest.mark.parametrize("name, settings", CASES, ids=[f"{n}{s or ''}" for n, s in CASES])


def drawn(name: str, dtype: str = "float64") -> tuple[np.ndarray, ...]:
    """Return inputs of a loss, drawn at random inside its domains."""
    rng, spec = np.random.default_rng(len(name)), symloss.load(name).plan.spec
    found = []
    for argument in spec.inputs:
        shape = tuple(SIZES[axis] for axis in argument.axes)
        if argument.kind == "label":
            found.append(rng.integers(0, SIZES[argument.into or "c"], shape))
            continue
        domain = argument.domain or {}
        members, low, high = domain.get("values"), domain.get("low", -math.inf), domain.get("high", math.inf)
        if members:
            values = rng.choice(np.asarray(members, float), shape)
        elif math.isfinite(low) and math.isfinite(high):
            values = rng.uniform(low + 0.1, high - 0.1, shape)
        else:
            values = rng.normal(0.0, 1.5, shape) if not math.isfinite(low) else low + rng.uniform(0.5, 2.0, shape)
        found.append(np.asarray(values, dtype))
    return tuple(found)


def places(name: str) -> tuple[int, ...]:
    """Return which inputs are differentiable."""
    loss = symloss.load(name)
    return tuple(k for k, n in enumerate(loss.inputs) if n in loss.differentiable)[: len(loss.plan.spec.inputs)]


def narrow(name: str, settings: dict[str, Any]) -> float:
    """Return the tolerance of second derivatives in float32 arithmetic: a rounded cosine is magnified by its factor."""
    known = {a.name: a.default for a in symloss.load(name).plan.spec.parameters} | settings
    magnified = max(float(known.get("scale", 1.0)), 1.0 / float(known.get("temperature", 1.0)))
    return 1e-5 if magnified > 1.0 else 2e-6


def close(ours: Any, theirs: Any, dtype: str, tolerance: float = 0.0) -> None:
    """Fail where an entry differs by more than a tolerance, or that of a dtype, of the largest entry."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert theirs.dtype == dtype
    largest = float(np.abs(ours).max(initial=0.0))
    np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=(tolerance or TOLERANCE[dtype]) * largest)


def as_tuple(found: Any) -> tuple[Any, ...]:
    """Return derivatives as a tuple, also of one input."""
    return tuple(found) if isinstance(found, tuple) else (found,)
