"""The array losses beside torch's autograd in float64: value, gradient, Hessian product and diagonal, edges."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import symloss
from symloss import pipeline
from symloss.runtime.loss import Loss
from tests.peers import references

TOLERANCE = 1e-12
"""Relative to the largest entry."""

Inputs = dict[str, Any]
DEFINITIONS = Path(__file__).parent.parent / "fixtures" / "array"
"""Losses that are derived and compiled like any other, and not yet among those that symloss ships."""


SLOW = {"arcface", "ge2e_contrast", "multiple_negatives_ranking"} if "SYMLOSS_SLOW" not in os.environ else set()
"""Half a minute to derive and one to compile, each: run with SYMLOSS_SLOW=1."""


@cache
def generated(name: str) -> Path:
    """Return a folder with the module of one of those definitions."""
    folder = Path(tempfile.mkdtemp())
    pipeline.generate((name,), DEFINITIONS, folder, check=False, progress=lambda *_: None)
    return folder


def load(name: str) -> Loss:
    return symloss.load(name) if name in symloss.losses() else symloss.load(name, package=generated(name))


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape)


def pair(n: int, d: int, *names: str) -> Inputs:
    rng = np.random.default_rng(n + d)
    return {name: rng.normal(0, 1, (n, d)) for name in names}


def ge2e(s: int, u: int, d: int) -> Inputs:
    return {"embedding": normal(s, u, d), "w": np.array(10.0), "b": np.array(-5.0)}


def faces(n: int, c: int, d: int) -> Inputs:
    rng = np.random.default_rng(n)
    return {"embedding": rng.normal(size=(n, d)), "weight": rng.normal(size=(c, d)), "label": rng.integers(0, c, n)}


def noise(n: int, k: int) -> Inputs:
    shapes = {"data_score": (n,), "noise_score": (n, k), "data_log_noise": (n,), "noise_log_noise": (n, k)}
    return {name: normal(*shape) for name, shape in shapes.items()}


def masks(n: int, m: int) -> Inputs:
    rng = np.random.default_rng(m)
    return {"probability": rng.uniform(0, 1, (n, m)), "target": rng.integers(0, 2, (n, m)).astype(float)}


def segments(n: int, c: int, m: int) -> Inputs:
    rng = np.random.default_rng(m)
    return {"logits": rng.normal(0, 2, (n, c, m)), "label": rng.integers(0, c, (n, m))}


def pairs(n: int, d: int) -> Inputs:
    rng = np.random.default_rng(d)
    return {
        "first": rng.normal(0, 0.3, (n, d)),
        "second": rng.normal(0, 0.3, (n, d)),
        "dissimilar": rng.integers(0, 2, n).astype(float),
    }


MAKERS: dict[str, tuple[Callable[..., Inputs], tuple[int, ...], tuple[int, ...], tuple[dict[str, Any], ...]]] = {
    "ge2e_softmax": (ge2e, (4, 3, 5), (64, 10, 256), ({},)),
    "ge2e_contrast": (ge2e, (4, 3, 5), (64, 10, 256), ({},)),
    "arcface": (
        faces, (7, 5, 4), (1024, 5000, 256),
        ({}, {"easy_margin": True}, {"margin": 0.0}, {"margin": 1.5, "scale": 8.0}),
    ),
    "triplet": (
        lambda n, d: pair(n, d, "anchor", "positive", "negative"), (9, 4), (1024, 256),
        ({}, {"p": 1}, {"p": 3}, {"p": 2.5, "swap": True}, {"swap": True, "margin": 5.0}, {"p": 1, "swap": True}),
    ),
    "info_nce": (
        lambda n, d: pair(n, d, "query", "key"), (6, 4), (1024, 256), ({}, {"symmetric": True}, {"temperature": 0.5})
    ),
    "nce": (noise, (6, 3), (1024, 64), ({},)),
    "dice": (masks, (4, 7), (8, 65536), ({}, {"squared": True}, {"smooth": 0.0})),
    "softmax_dice": (segments, (3, 4, 6), (4, 10, 4096), ({}, {"smooth": 0.5})),
    "contrastive": (pairs, (9, 4), (1024, 256), ({}, {"margin": 3.0})),
    "multiple_negatives_ranking": (
        lambda n, d: pair(n, d, "anchor", "positive", "negative"), (6, 4), (1024, 256),
        ({}, {"similarity": "dot", "scale": 0.5}, {"scale": 5.0}),
    ),
}  # fmt: skip

CASES = [(name, k) for name, (_, _, _, settings) in MAKERS.items() for k in range(len(settings))]


def arguments(name: str, large: bool, case: int) -> tuple[Inputs, dict[str, Any]]:
    maker, small, real, settings = MAKERS[name]
    return maker(*(real if large else small)), settings[case]


def variants(name: str, inputs: Inputs) -> list[Inputs]:
    """Return the inputs, and where one is optional the inputs without it."""
    if "negative" in inputs and name != "triplet":
        return [inputs, {k: v for k, v in inputs.items() if k != "negative"}]
    return [inputs]


def reference(name: str, inputs: Inputs, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return torch's loss of each sample, and its inputs."""
    differentiable = (*load(name).differentiable, "negative")
    tensors = {k: torch.tensor(v, requires_grad=k in differentiable) for k, v in inputs.items()}
    named = {"order" if k == "p" else k: v for k, v in settings.items()}
    loss = getattr(references, name)(*tensors.values(), **named)
    return loss, {k: t for k, t in tensors.items() if t.requires_grad}


def close(got: Any, truth: Any, beside: float = 0.0) -> None:
    """Compare an array relative to its largest entry, or to `beside` where that is larger."""
    truth = truth.detach().numpy()
    assert np.asarray(got).shape == truth.shape
    assert float(np.abs(got - truth).max()) <= TOLERANCE * max(float(np.abs(truth).max()), beside)


def leaves(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


def compare(name: str, inputs: Inputs, settings: dict[str, Any], entries: int) -> None:
    """Compare everything; the Hessian diagonal at so many entries of each input."""
    rng = np.random.default_rng(1)
    loss = load(name)
    values, tensors = reference(name, inputs, settings)
    weight = rng.uniform(0.5, 2, values.shape)
    options = {"sample_weight": weight, **settings}
    total = (values * torch.tensor(weight)).sum()
    slopes = torch.autograd.grad(total, list(tensors.values()), create_graph=True)
    directions = tuple(rng.normal(0, 1, t.shape) for t in tensors.values())
    along = sum((g * torch.tensor(v)).sum() for g, v in zip(slopes, directions, strict=True))
    products = torch.autograd.grad(along, list(tensors.values()), retain_graph=True)
    close(loss.value(*inputs.values(), reduction="none", **settings), values)
    close(loss.value(*inputs.values(), **options), total / weight.sum())
    gradients, diagonals = loss.gradient_and_hessian(*inputs.values(), reduction="sum", **options)
    direction = directions if len(directions) > 1 else directions[0]
    got = loss.hessian_product(*inputs.values(), direction=direction, reduction="sum", **options)
    largest = max(float(t.detach().abs().max()) for t in slopes + products)
    for mine, theirs in zip(leaves(gradients) + leaves(got), slopes + products, strict=True):
        # a derivative in a scalar may be exactly 0, such as GE2E's in b: beside those in arrays
        close(mine, theirs, largest if not theirs.shape else 0.0)
    for (key, tensor), slope, diagonal in zip(tensors.items(), slopes, leaves(diagonals), strict=True):
        places = list(np.ndindex(*tensor.shape))
        chosen = [places[k] for k in rng.choice(len(places), min(entries, len(places)), replace=False)]
        truth = [float(torch.autograd.grad(slope[at], tensors[key], retain_graph=True)[0][at]) for at in chosen]
        scale = float(np.abs(diagonal).max()) if diagonal.shape else largest
        for at, expected in zip(chosen, truth, strict=True):
            assert abs(float(diagonal[at]) - expected) <= TOLERANCE * scale, (key, at)


@pytest.mark.parametrize(
    ("name", "case"), [c for c in CASES if (c[0] in symloss.losses() or c[1] == 0) and c[0] not in SLOW]
)
def test_small(name: str, case: int) -> None:
    inputs, settings = arguments(name, False, case)
    for given in variants(name, inputs):
        compare(name, given, settings, 1000)


@pytest.mark.parametrize(("name", "case"), [c for c in CASES if c[0] in symloss.losses()])
def test_real_size(name: str, case: int) -> None:
    inputs, settings = arguments(name, True, case)
    for given in variants(name, inputs)[:1]:
        compare(name, given, settings, 4)
