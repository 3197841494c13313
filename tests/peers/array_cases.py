"""The array losses: inputs, settings, and what torch's autograd of an independent reference makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import symloss
from tests.peers import references

TOLERANCE = 1e-12
"""Largest difference over the largest entry of the truth."""

INPUTS = {
    "ge2e_softmax": ("embedding", "w", "b"),
    "ge2e_contrast": ("embedding", "w", "b"),
    "arcface": ("embedding", "weight", "label"),
    "triplet": ("anchor", "positive", "negative"),
    "info_nce": ("query", "key"),
    "nce": ("data_score", "noise_score", "data_log_noise", "noise_log_noise"),
    "dice": ("probability", "target"),
    "softmax_dice": ("logits", "label"),
    "contrastive": ("first", "second", "dissimilar"),
    "multiple_negatives_ranking": ("anchor", "positive", "negative"),
}
CONSTANT = {"label", "data_log_noise", "noise_log_noise", "target", "dissimilar"}
CONTINUOUS = {
    "arcface": {"scale": 64.0, "margin": 0.5},
    "triplet": {"margin": 1.0, "p": 2.0},
    "info_nce": {"temperature": 0.07},
    "dice": {"smooth": 1.0},
    "softmax_dice": {"smooth": 1.0},
    "contrastive": {"margin": 1.0},
    "multiple_negatives_ranking": {"scale": 20.0},
}


@dataclass(frozen=True, eq=False)
class Case:
    """A loss, its inputs and its settings."""

    name: str
    arrays: tuple[Any, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    tolerance: float = TOLERANCE

    @property
    def inputs(self) -> tuple[str, ...]:
        return INPUTS[self.name][: len(self.arrays)]

    @property
    def differentiable(self) -> tuple[str, ...]:
        return tuple(name for name in self.inputs if name not in CONSTANT)

    @property
    def id(self) -> str:
        parts = [self.name, *(f"{key}={value}" for key, value in self.settings.items()), self.note]
        return "-".join(part for part in parts if part)

    def call(self, method: str, **options: Any) -> Any:
        return getattr(symloss.load(self.name), method)(*self.arrays, **self.settings, **options)


# ---------------------------------------------------------------- the truth


class Truth:
    """The weighted sum of a reference's losses and its derivatives in some inputs and parameters."""

    def __init__(self, case: Case, wrt: tuple[str, ...], weight: Any = None) -> None:
        arrays = dict(zip(case.inputs, case.arrays, strict=True))
        given = {**CONTINUOUS.get(case.name, {}), **case.settings}
        self.leaves = tuple(_leaf((arrays | given)[name]) for name in wrt)
        known = dict(zip(wrt, self.leaves, strict=True))
        inputs = [known[name] if name in known else _constant(array) for name, array in arrays.items()]
        settings = case.settings | {name: leaf for name, leaf in known.items() if name not in arrays}
        self.values = getattr(references, case.name)(*inputs, **settings)
        self.total = self.values.sum() if weight is None else (self.values * torch.tensor(weight)).sum()
        self.slopes = _derive(self.total, self.leaves, create_graph=True)

    @property
    def gradient(self) -> tuple[Any, ...]:
        return tuple(slope.detach().numpy() for slope in self.slopes)

    def product(self, directions: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(self.slopes, directions, strict=True)
        along = sum((slope * torch.as_tensor(direction)).sum() for slope, direction in pairs)
        return tuple(block.detach().numpy() for block in _derive(along, self.leaves))

    def entry(self, place: int, at: tuple[int, ...]) -> float:
        """Return one entry of the diagonal."""
        return float(_derive(self.slopes[place][at], (self.leaves[place],))[0][at])

    @property
    def diagonal(self) -> tuple[Any, ...]:
        """The diagonal of the Hessian, for small inputs."""
        return tuple(map(_diagonal, self.slopes, self.leaves))


def _leaf(value: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(value, np.float64), requires_grad=True)


def _constant(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array, np.float64 if np.asarray(array).dtype.kind == "f" else np.int64))


def _derive(output: torch.Tensor, leaves: tuple[torch.Tensor, ...], **options: Any) -> tuple[Any, ...]:
    if not output.requires_grad:
        return tuple(torch.zeros_like(leaf) for leaf in leaves)
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True, **options}
    return torch.autograd.grad(output, leaves, **options)


def _diagonal(slope: torch.Tensor, leaf: torch.Tensor) -> Any:
    """Return the diagonal of the block of one leaf, from all unit vectors at once."""
    size = leaf.numel()
    if not slope.requires_grad:
        return np.zeros(tuple(leaf.shape))
    units = torch.eye(size, dtype=leaf.dtype).reshape(size, *leaf.shape)
    (rows,) = _derive(slope, (leaf,), grad_outputs=units, is_grads_batched=True)
    return rows.reshape(size, size).diagonal().reshape(leaf.shape).numpy()


def tuple_of(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def directions_for(case: Case) -> tuple[Any, ...]:
    rng = np.random.default_rng(11)
    return tuple(rng.normal(0, 1, np.shape(array)) for array in _varied(case))


def _varied(case: Case) -> tuple[Any, ...]:
    named = zip(case.inputs, case.arrays, strict=True)
    return tuple(array for name, array in named if name in case.differentiable)


def bare(arrays: tuple[Any, ...]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def agree(got: Any, truth: Any, tolerance: float = TOLERANCE, floor: float = 0.0) -> None:
    """Check relative to the largest entry of the truth, or to the floor where that is larger."""
    got, truth = np.asarray(got), np.asarray(truth)
    assert got.shape == truth.shape
    assert np.isfinite(got).all()
    scale = max(float(np.abs(truth).max(initial=0.0)), floor)
    error = float(np.abs(got - truth).max(initial=0.0))
    assert error <= tolerance * scale, f"relative error {error / (scale or 1.0):.2e}"


def agree_all(case: Case, got: Any, truth: tuple[Any, ...], factor: float = 1.0) -> None:
    """Check block by block; a scalar is a sum over the samples that may cancel, so it counts beside the largest."""
    got = tuple_of(got)
    assert len(got) == len(truth)
    largest = max(float(np.abs(block).max(initial=0.0)) for block in truth)
    for mine, theirs in zip(got, truth, strict=True):
        agree(mine, theirs * factor, case.tolerance, floor=0.0 if np.ndim(theirs) else largest * factor)


# ---------------------------------------------------------------- inputs


def normal(seed: int, *shape: int, spread: float = 1.0) -> Any:
    return np.random.default_rng(seed).normal(0, spread, shape)


def ge2e(speakers: int, utterances: int, features: int, w: float = 10.0, b: float = -5.0) -> tuple[Any, ...]:
    return normal(1, speakers, utterances, features), np.array(w), np.array(b)


def faces(n: int, c: int, d: int) -> tuple[Any, ...]:
    """Return embeddings of which a third each lie near their class, opposite to it, and anywhere."""
    weight, label = normal(2, c, d), np.random.default_rng(3).integers(0, c, n)
    sign = np.resize([1.0, -1.0, 0.0], n)[:, None]
    return sign * weight[label] + normal(4, n, d, spread=0.3) * (1 + 2 * (sign == 0)), weight, label


def vectors(n: int, d: int, count: int, spread: float = 1.0) -> tuple[Any, ...]:
    return tuple(normal(5 + k, n, d, spread=spread) for k in range(count))


def densities(n: int, k: int) -> tuple[Any, ...]:
    return normal(5, n), normal(6, n, k), normal(7, n), normal(8, n, k)


def masks(n: int, m: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(9)
    return rng.uniform(0, 1, (n, m)), rng.integers(0, 2, (n, m)).astype(float)


def segments(n: int, c: int, m: int) -> tuple[Any, ...]:
    return normal(10, n, c, m, spread=2.0), np.random.default_rng(11).integers(0, c, (n, m))


def pairs(n: int, d: int) -> tuple[Any, ...]:
    """Return pairs about 1 apart, each second one dissimilar."""
    first, second = vectors(n, d, 2, spread=0.6 / d**0.5)
    return first, second, np.resize([0.0, 1.0, 1.0], n)


SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "arcface": (
        {}, {"scale": 16.0, "margin": 0.3}, {"margin": 0.0}, {"margin": 1.2, "scale": 4.0},
        {"easy_margin": True}, {"easy_margin": True, "margin": 0.8, "scale": 8.0},
    ),
    "triplet": (
        *({"p": p} for p in (1, 2, 3, 2.5)), *({"p": p, "swap": True} for p in (1, 2, 3, 2.5)),
        {"margin": 0.2}, {"margin": 3.0, "swap": True}, {"margin": 0.0},
    ),
    "info_nce": (
        {}, {"symmetric": True}, {"temperature": 0.5}, {"temperature": 0.02, "symmetric": True}, {"temperature": 2.0},
    ),
    "dice": (
        {}, {"squared": True}, {"smooth": 0.0}, {"smooth": 1e-5}, {"smooth": 10.0, "squared": True},
        {"smooth": 0.0, "squared": True},
    ),
    "softmax_dice": ({}, {"smooth": 0.0}, {"smooth": 1e-5}, {"smooth": 5.0}),
    "contrastive": ({}, {"margin": 0.5}, {"margin": 2.0}),
    "multiple_negatives_ranking": ({}, {"scale": 1.0}, {"similarity": "dot", "scale": 1.0},
                                   {"similarity": "dot", "scale": 0.3}, {"scale": 50.0}),
}  # fmt: skip


def small() -> list[Case]:
    sizes: dict[str, list[tuple[Any, ...]]] = {
        "ge2e_softmax": [ge2e(3, 3, 4), ge2e(4, 2, 3, w=2.0, b=1.0)],
        "ge2e_contrast": [ge2e(3, 3, 4), ge2e(4, 2, 3, w=2.0, b=1.0)],
        "arcface": [faces(6, 4, 3)],
        "triplet": [vectors(6, 3, 3)],
        "info_nce": [vectors(5, 4, 2)],
        "nce": [densities(4, 3), densities(3, 1)],
        "dice": [masks(3, 6)],
        "softmax_dice": [segments(2, 3, 4)],
        "contrastive": [pairs(7, 3)],
        "multiple_negatives_ranking": [vectors(4, 3, 3), vectors(4, 3, 2)],
    }
    return [
        Case(name, arrays, settings, "x".join(map(str, np.shape(arrays[0]))) + f"-{len(arrays)}")
        for name, inputs in sizes.items()
        for arrays in inputs
        for settings in SETTINGS.get(name, ({},))
    ]


SMALL = small()
each_small = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.id)


@cache
def small_truth(case: Case, weighted: bool, parameters: bool = False) -> Truth:
    wrt = tuple(CONTINUOUS.get(case.name, {})) if parameters else case.differentiable
    return Truth(case, wrt, weight_of(case) if weighted else None)


def sample_shape(case: Case) -> tuple[int, ...]:
    rank = 2 if case.name in {"ge2e_softmax", "ge2e_contrast", "softmax_dice"} else 1
    return tuple(np.shape(case.arrays[0])[:rank])


def weight_of(case: Case) -> Any:
    return np.random.default_rng(12).uniform(0.2, 3.0, sample_shape(case))


def options_of(case: Case, reduction: str, weighted: bool) -> tuple[dict[str, Any], float]:
    """Return the options of a call, and what they make of the derivatives of the sum."""
    weight = weight_of(case) if weighted else None
    count = weight.sum() if weighted else np.prod(sample_shape(case))
    return {"reduction": reduction, "sample_weight": weight}, 1 / count if reduction == "mean" else 1.0


REDUCTIONS = [("sum", False), ("sum", True), ("mean", False), ("mean", True)]
each_reduction = pytest.mark.parametrize(("reduction", "weighted"), REDUCTIONS)
