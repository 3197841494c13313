"""Losses of torch, and losses written in torch by torchvision and sentence-transformers; derivatives by autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from symloss.peers.peer import Found, Peer, Place

Tensor = Any
Function = Callable[..., Tensor]


def _autograd(function: Function, names: tuple[str, ...], separable: bool) -> Callable[..., Found]:
    def evaluate(
        inputs: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], places: Mapping[str, Sequence[Place]]
    ) -> Found:
        tensors = {n: torch.tensor(x) for n, x in inputs.items()}
        leaves = [tensors[n].requires_grad_() for n in names]
        values = function(*tensors.values(), **settings)
        found: Found = {("value", ""): values.detach().numpy()}
        gradients = torch.autograd.grad(values.sum(), leaves, create_graph=True)
        for name, leaf, gradient in zip(names, leaves, gradients, strict=True):
            found["gradient", name] = gradient.detach().numpy()
            found["hessian_diagonal", name] = _diagonal(leaf, gradient, places[name], separable)
        return found

    return evaluate


def _diagonal(leaf: Tensor, gradient: Tensor, places: Sequence[Place], separable: bool) -> dict[Place, float]:
    """Return entries of the Hessian's diagonal; where samples do not interact, one sweep serves a whole column."""
    if not gradient.requires_grad:
        return dict.fromkeys(places, 0.0)
    if not separable:
        return {at: _again(gradient[at], leaf)[at].item() for at in places}
    columns = {at[1:]: _again(gradient[(slice(None), *at[1:])].sum(), leaf) for at in dict.fromkeys(places)}
    return {at: columns[at[1:]][at].item() for at in places}


def _again(number: Tensor, leaf: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(number, leaf, retain_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


def _binary(z: Tensor, y: Tensor, pos_weight: float = 1.0) -> Tensor:
    weight = torch.tensor(pos_weight, dtype=z.dtype)
    return functional.binary_cross_entropy_with_logits(z, y, pos_weight=weight, reduction="none")


def _focal(z: Tensor, y: Tensor, gamma: float = 2.0, alpha: float | None = 0.25) -> Tensor:
    p, entropy = torch.sigmoid(z), functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    loss = entropy * (1 - p_t) ** gamma
    return loss if alpha is None else (alpha * y + (1 - alpha) * (1 - y)) * loss


def _cross_entropy(z: Tensor, y: Tensor, label_smoothing: float = 0.0, ignore_index: int | None = None) -> Tensor:
    ignored = -100 if ignore_index is None else ignore_index
    return functional.cross_entropy(z, y, label_smoothing=label_smoothing, ignore_index=ignored, reduction="none")


def _triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, **settings: Any) -> Tensor:
    return functional.triplet_margin_loss(
        anchor, positive, negative, margin=margin, eps=0.0, reduction="none", **settings
    )  # fmt: skip


def _ranking(anchor: Tensor, positive: Tensor, scale: float = 20.0) -> Tensor:
    unit_anchor, unit_positive = functional.normalize(anchor, p=2, dim=1), functional.normalize(positive, p=2, dim=1)
    labels = torch.arange(len(anchor))
    return functional.cross_entropy(scale * (unit_anchor @ unit_positive.T), labels, reduction="none")


def _positive_margin(settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Tell whether the margin is one that torch takes."""
    return bool(settings.get("margin", 1.0) > 0)


def _plain(function: Function) -> Function:
    return lambda *inputs, **settings: function(*inputs, reduction="none", **settings)


def _peer(
    loss: str, names: str, settings: str, function: Function, called: str, *,
    separable: bool = True, accepts: Callable[..., bool] = lambda settings, inputs: True,
) -> Peer:  # fmt: skip
    evaluate = _autograd(function, tuple(names.split()), separable)
    return Peer(loss, "torch", str(torch.__version__), called, frozenset(settings.split()), evaluate, accepts)


def _two(settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Tell whether there are no hard negatives."""
    return "negative" not in inputs


PEERS = (
    _peer("binary_cross_entropy", "logit", "pos_weight", _binary, "binary_cross_entropy_with_logits"),
    _peer("focal", "logit", "gamma alpha", _focal, "the formula of torchvision's sigmoid_focal_loss"),
    _peer("softmax_cross_entropy", "logits", "label_smoothing ignore_index", _cross_entropy, "cross_entropy"),
    _peer("hinge", "score", "margin", lambda s, y, margin=1.0: torch.relu(margin - y * s), "relu(margin - y s)"),
    _peer("squared_hinge", "score", "margin", lambda s, y, margin=1.0: torch.relu(margin - y * s) ** 2,
          "relu(margin - y s) ** 2"),
    _peer("absolute_error", "prediction", "", _plain(functional.l1_loss), "l1_loss"),
    _peer("squared_error", "prediction", "", _plain(functional.mse_loss), "mse_loss"),
    _peer("huber", "prediction", "delta", _plain(functional.huber_loss), "huber_loss"),
    _peer("smooth_l1", "prediction", "beta", _plain(functional.smooth_l1_loss), "smooth_l1_loss"),
    _peer("margin_ranking", "first second", "margin", _plain(functional.margin_ranking_loss), "margin_ranking_loss"),
    _peer("triplet", "anchor positive negative", "margin p swap",
          _triplet,
          "triplet_margin_loss with eps=0", accepts=_positive_margin),
    _peer("multiple_negatives_ranking", "anchor positive", "scale", _ranking,
          "the formula of sentence-transformers' MultipleNegativesRankingLoss", separable=False, accepts=_two),
)  # fmt: skip
