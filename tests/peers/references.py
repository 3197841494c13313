"""The array losses in torch, from their papers: the loss of each sample, for autograd in float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import logsigmoid, one_hot

T = torch.Tensor


def unit(x: T) -> T:
    """Return vectors of length 1; the zero vector stays 0."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.where(length > 0, x / torch.where(length > 0, length, 1.0), 0.0)


def ge2e_similarity(x: T, w: T, b: T) -> T:
    """Return S[j, i, k] of Wan et al., equations 5 and 9."""
    speakers, utterances, _ = x.shape
    own = (x.sum(1, keepdim=True) - x) / (utterances - 1)
    cross = torch.einsum("jid,kd->jik", unit(x), unit(x.mean(1)))
    cosine = (unit(x) * unit(own)).sum(-1)
    same = torch.eye(speakers, dtype=torch.bool)[:, None, :]
    return w * torch.where(same, cosine[..., None], cross) + b


def ge2e_softmax(x: T, w: T, b: T) -> T:
    """Equation 6."""
    S = ge2e_similarity(x, w, b)
    return S.logsumexp(-1) - torch.diagonal(S, dim1=0, dim2=2).T


def ge2e_contrast(x: T, w: T, b: T) -> T:
    """Equation 7."""
    p = torch.sigmoid(ge2e_similarity(x, w, b))
    speakers = len(x)
    own = torch.diagonal(p, dim1=0, dim2=2).T
    if speakers == 1:
        return 1 - own
    same = torch.eye(speakers, dtype=torch.bool)[:, None, :]
    return 1 - own + torch.where(same, -torch.inf, p).amax(-1)


def arcface(x: T, weight: T, label: T, scale: Any = 64.0, margin: Any = 0.5, easy_margin: bool = False) -> T:
    """Deng et al., equation 3, with insightface's continuation past pi - m."""
    cosine = unit(x) @ unit(weight).T
    target = cosine.gather(1, label[:, None])[:, 0]
    theta = torch.acos(target)
    margin = torch.as_tensor(margin, dtype=x.dtype)
    moved = torch.cos(theta + margin)
    if easy_margin:
        moved = torch.where(target > 0, moved, target)
    else:
        moved = torch.where(theta <= math.pi - margin, moved, target - margin * torch.sin(margin))
    logits = scale * torch.where(one_hot(label, len(weight)).bool(), moved[:, None], cosine)
    return logits.logsumexp(1) - scale * moved


def triplet(a: T, p: T, n: T, margin: Any = 1.0, order: float = 2.0, swap: bool = False) -> T:
    """Balntas et al.; the distance is a norm, without torch's 1e-6."""

    def distance(left: T, right: T) -> T:
        return torch.linalg.vector_norm(left - right, ord=order, dim=-1)

    far = distance(a, n)
    if swap:
        far = torch.minimum(far, distance(p, n))
    return torch.relu(distance(a, p) - far + margin)


def info_nce(q: T, k: T, temperature: Any = 0.07, symmetric: bool = False) -> T:
    """Oord et al., equation 4, over cosines in the batch; both directions as in CLIP."""
    s = unit(q) @ unit(k).T / temperature
    rows = s.logsumexp(1) - s.diagonal()
    return (rows + s.logsumexp(0) - s.diagonal()) / 2 if symmetric else rows


def nce(data: T, noise: T, data_log_noise: T, noise_log_noise: T) -> T:
    """Gutmann and Hyvarinen, with k noise samples for each data sample."""
    log_k = math.log(noise.shape[1])
    data_odds, noise_odds = data - data_log_noise - log_k, noise - noise_log_noise - log_k
    return -logsigmoid(data_odds) - logsigmoid(-noise_odds).sum(1)


def dice(p: T, t: T, smooth: Any = 1.0, squared: bool = False) -> T:
    """Milletari et al. (squares) and Sudre et al. (sums)."""
    sizes = (p * p + t * t if squared else p + t).sum(1)
    return 1 - (2 * (p * t).sum(1) + smooth) / (sizes + smooth)


def softmax_dice(z: T, label: T, smooth: Any = 1.0) -> T:
    """Dice of each class's probability."""
    p, t = z.softmax(1), one_hot(label, z.shape[1]).transpose(1, 2).to(z)
    return 1 - (2 * (p * t).sum(-1) + smooth) / ((p + t).sum(-1) + smooth)


def contrastive(a: T, b: T, dissimilar: T, margin: Any = 1.0) -> T:
    """Hadsell et al., equation 4."""
    d = torch.linalg.vector_norm(a - b, dim=-1)
    return (1 - dissimilar) * ((a - b) ** 2).sum(-1) / 2 + dissimilar * torch.relu(margin - d) ** 2 / 2


def multiple_negatives_ranking(a: T, p: T, n: T | None = None, scale: Any = 20.0, similarity: str = "cosine") -> T:
    """Henderson et al., section 4.4, as sentence-transformers has it: all positives, then all hard negatives."""
    candidates = p if n is None else torch.cat([p, n])
    s = scale * (unit(a) @ unit(candidates).T if similarity == "cosine" else a @ candidates.T)
    return s.logsumexp(1) - s.diagonal()
