"""Dice and triplet on images of handwritten digits, beside torch's autograd in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from torch.nn.functional import triplet_margin_loss

import symloss

TOLERANCE = 1e-12
"""Relative to the largest entry."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images as rows in [0, 16], and the digit of each."""
    found = datasets.load_digits()
    return found.data, found.target


def triplets() -> list[np.ndarray]:
    """Return every image, one of the same digit, and one of the next digit, in [0, 1]."""
    images, labels = digits()
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(labels == digit) for digit in range(10)]
    order = np.concatenate(members)
    same = np.concatenate([np.roll(m, 1) for m in members])
    other = np.concatenate([rng.choice(members[(digit + 1) % 10], len(m)) for digit, m in enumerate(members)])
    return [images[rows] / 16 for rows in (order, same, other)]


def dice(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return 1 - (2 sum pt + 1) / (sum p + sum t + 1), the mean over images."""
    overlap = (probability * target).sum(1)
    return (1 - (2 * overlap + 1) / (probability.sum(1) + target.sum(1) + 1)).mean()


def triplet(anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Return torch's loss without the 1e-6 that it adds to differences."""
    return triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=0.0)


def differentiated(function: Callable[..., torch.Tensor], arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Return the value, and the gradients in the first so many arguments."""
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=k < count) for k, x in enumerate(arrays)]
    value = function(*tensors)
    return [x.detach().numpy() for x in (value, *torch.autograd.grad(value, tensors[:count]))]


def close(got: Any, truth: np.ndarray) -> None:
    """Check the shape, and all entries relative to the largest."""
    assert np.shape(got) == truth.shape
    assert np.abs(got - truth).max() <= TOLERANCE * np.abs(truth).max()


def test_dice() -> None:
    images, _ = digits()
    arrays = [images / 16, (images > 8).astype(np.float64)]
    value, gradient = differentiated(dice, arrays, 1)
    got_value, got = symloss.load("dice").value_and_gradient(*arrays)
    close(got_value, value)
    close(got, gradient)


def test_triplet() -> None:
    arrays = triplets()
    value, *gradients = differentiated(triplet, arrays, 3)
    active = np.abs(gradients[0]).max(axis=1) > 0
    assert 0.1 < active.mean() < 0.9  # both sides of the margin are there
    got_value, got = symloss.load("triplet").value_and_gradient(*arrays, p=2, margin=1)
    close(got_value, value)
    for mine, theirs in zip(got, gradients, strict=True):
        close(mine, theirs)
