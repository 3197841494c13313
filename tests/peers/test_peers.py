"""Values and gradients beside those of torch and optax, where these mean the same by a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import pytest
import torch
from torch.nn import functional

import symloss

RNG = np.random.default_rng(7)
Z, Y01, YPM = RNG.normal(0, 3, 64), RNG.integers(0, 2, 64).astype(float), RNG.choice([-1.0, 1.0], 64)
X, T = RNG.normal(0, 2, 64), RNG.normal(0, 2, 64)
LOGITS, LABELS = RNG.normal(0, 3, (64, 7)), RNG.integers(0, 7, 64)


def sigmoid_focal(z: Any, y: Any, gamma: float, alpha: float) -> Any:
    """Return the focal loss as torchvision writes it."""
    p, ce = torch.sigmoid(z), functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    return ((alpha * y + (1 - alpha) * (1 - y)) * ce * (1 - p_t) ** gamma).sum()


TORCH = {
    "binary_cross_entropy": (
        (Z, Y01), {"pos_weight": 2.5},
        lambda z, y: functional.binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor(2.5), reduction="sum"),
    ),
    "focal": ((Z, Y01), {"gamma": 1.5, "alpha": 0.3}, lambda z, y: sigmoid_focal(z, y, 1.5, 0.3)),
    "softmax_cross_entropy": (
        (LOGITS, LABELS), {"label_smoothing": 0.1, "ignore_index": 2},
        lambda z, y: functional.cross_entropy(z, y, label_smoothing=0.1, ignore_index=2, reduction="sum"),
    ),
    "hinge": ((X, YPM), {}, lambda s, y: torch.relu(1 - y * s).sum()),
    "absolute_error": ((X, T), {}, lambda x, t: functional.l1_loss(x, t, reduction="sum")),
    "squared_error": ((X, T), {}, lambda x, t: functional.mse_loss(x, t, reduction="sum")),
    "huber": ((X, T), {"delta": 0.7}, lambda x, t: functional.huber_loss(x, t, delta=0.7, reduction="sum")),
    "smooth_l1": ((X, T), {"beta": 0.7}, lambda x, t: functional.smooth_l1_loss(x, t, beta=0.7, reduction="sum")),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TORCH))
def test_torch(name: str) -> None:
    (prediction, target), parameters, peer = TORCH[name]
    leaf = torch.tensor(prediction, requires_grad=True)
    theirs = peer(leaf, torch.tensor(target))
    theirs.backward()
    value, gradient = symloss.load(name).value_and_gradient(prediction, target, reduction="sum", **parameters)
    np.testing.assert_allclose(value, theirs.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_torch_margin_ranking() -> None:
    theirs = functional.margin_ranking_loss(*map(torch.tensor, (X, T, YPM)), margin=0.3, reduction="none")
    np.testing.assert_allclose(
        symloss.margin_ranking.value(X, T, YPM, margin=0.3, reduction="none"), theirs.numpy(), rtol=1e-12, atol=1e-14
    )


def test_optax() -> None:
    labels = np.eye(7)[LABELS]
    theirs = np.asarray(optax.losses.poly_loss_cross_entropy(LOGITS, labels, epsilon=1.0))
    ours = symloss.poly_cross_entropy.value(LOGITS, LABELS, epsilon=1.0, reduction="none")
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)  # optax computes in float32
