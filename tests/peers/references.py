"""The array losses in torch, written from their papers: the loss of each sample, for autograd in float64.

Forms are chosen so that the reference itself rounds little: softmax cross entropy as ``log(1 + sum of the others)``,
sigmoids of the negative in place of ``1 - sigmoid``, no eps anywhere. ``cosine_similarity`` clamps lengths and
``softplus`` drops terms beyond 20, so neither is used.

Conventions at kinks: the direction of a zero vector is 0 with gradient 0; a distance of 0 and an angle of 0 have
gradient 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Real = Tensor | float


def _real(value: Real, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype)


def _softplus(x: Tensor) -> Tensor:
    return -logsigmoid(-x)


def _sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function, whose derivative in torch is rounded beside 1 for a large argument."""
    return torch.where(x > 0, 1 - torch.sigmoid(-x), torch.sigmoid(x))


def _exponent(x: Tensor) -> Tensor:
    """Return a power of two near each row's largest entry, as a constant: norms neither overflow nor underflow."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)


def _norm(x: Tensor, p: Real = 2.0) -> Tensor:
    """Return the p-norm of each row; at the zero row it is 0 with gradient 0."""
    zero = (x.detach() == 0).all(-1)
    safe = torch.where(zero[..., None], torch.ones_like(x), x)
    unit = _exponent(safe)
    scaled = safe / unit
    size = scaled.abs()  # whose second derivative at 0 is 0, so squares do without it
    if isinstance(p, Tensor):
        # the derivative in p of 0^p is 0, which autograd's 0 * log(0) is not
        power = torch.where(size == 0, 0.0, torch.where(size == 0, 1.0, size) ** p).sum(-1) ** (1 / p)
    elif p == 1:
        power = size.sum(-1)
    elif p == 2:
        power = (scaled * scaled).sum(-1).sqrt()
    else:
        power = (size**p).sum(-1) ** (1 / p)
    return torch.where(zero, 0.0, unit[..., 0] * power)


def _direction(x: Tensor) -> Tensor:
    """Return each row over its length; the zero row stays 0, with gradient 0."""
    zero = (x.detach() == 0).all(-1, keepdim=True)
    safe = torch.where(zero, torch.ones_like(x), x)
    scaled = safe / _exponent(safe)
    return torch.where(zero, 0.0, scaled / (scaled * scaled).sum(-1, keepdim=True).sqrt())


def _angle(u: Tensor, v: Tensor) -> Tensor:
    """Return the angle of unit vectors (Kahan), accurate near 0 and pi where acos is not; pi/2 for a zero vector."""
    none = ((u.detach() == 0).all(-1)) | ((v.detach() == 0).all(-1))
    angle = 2 * torch.atan2(_norm(u - v), _norm(u + v))
    return torch.where(none, math.pi / 2, angle)


def _cross_entropy(scores: Tensor, own: Tensor) -> Tensor:
    """Return -log softmax over the last axis where the mask `own` is true, once in each row."""
    target = torch.where(own, scores, 0.0).sum(-1, keepdim=True)
    if scores.shape[-1] == 1:
        return 0 * target[..., 0]
    others = (scores - target).masked_fill(own, -math.inf)
    return _softplus(others.logsumexp(-1))


def _same(count: int, *, other: int = 0) -> Tensor:
    return torch.eye(count, count + other, dtype=torch.bool)


def _ge2e_similarity(embedding: Tensor, w: Real, b: Real) -> Tensor:
    """Return S[j, i, k] of Wan et al. 2018, equations 5, 8 and 9."""
    utterances = embedding.shape[1]
    unit = _direction(embedding)
    leave_out = 1 - torch.eye(utterances, dtype=embedding.dtype)
    own = torch.einsum("im,jmd->jid", leave_out, embedding) / (utterances - 1)
    to_own = (unit * _direction(own)).sum(-1)
    to_all = torch.einsum("jid,kd->jik", unit, _direction(embedding.mean(1)))
    return w * torch.where(_same(len(embedding))[:, None, :], to_own[..., None], to_all) + b


def ge2e_softmax(embedding: Tensor, w: Real, b: Real) -> Tensor:
    """Wan et al. 2018, equation 6."""
    return _cross_entropy(_ge2e_similarity(embedding, w, b), _same(len(embedding))[:, None, :])


def ge2e_contrast(embedding: Tensor, w: Real, b: Real) -> Tensor:
    """Wan et al. 2018, equation 7."""
    scores, same = _ge2e_similarity(embedding, w, b), _same(len(embedding))[:, None, :]
    miss = _sigmoid(-torch.where(same, scores, 0.0).sum(-1))
    if len(embedding) == 1:
        return miss
    return miss + _sigmoid(scores.masked_fill(same, -math.inf).amax(-1))


def arcface(
    embedding: Tensor,
    weight: Tensor,
    label: Tensor,
    scale: Real = 64.0,
    margin: Real = 0.5,
    easy_margin: bool = False,
) -> Tensor:
    """Deng et al. 2019, equation 3; past pi - m and with an easy margin as in the authors' code."""
    x, weight = _direction(embedding), _direction(weight)
    margin = _real(margin, x)
    theta = _angle(x, weight[label])
    if easy_margin:
        target = torch.where(theta < math.pi / 2, torch.cos(theta + margin), torch.cos(theta))
    else:
        past = torch.cos(theta) - margin * torch.sin(margin)
        target = torch.where(theta <= math.pi - margin, torch.cos(theta + margin), past)
    own = torch.nn.functional.one_hot(label, len(weight)).bool()
    return _cross_entropy(scale * torch.where(own, target[:, None], x @ weight.T), own)


def triplet(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: Real = 1.0, p: Real = 2.0, swap: bool = False
) -> Tensor:
    """Balntas et al. 2016, equation 2, and with `swap` section 3; the distance is the exact p-norm."""
    near, far = _norm(anchor - positive, p), _norm(anchor - negative, p)
    if swap:
        far = torch.minimum(far, _norm(positive - negative, p))
    return torch.relu(near - far + margin)


def info_nce(query: Tensor, key: Tensor, temperature: Real = 0.07, symmetric: bool = False) -> Tensor:
    """Van den Oord et al. 2018, equation 4, over cosines in the batch; both ways as in Radford et al. 2021."""
    scores, own = _direction(query) @ _direction(key).T / temperature, _same(len(query))
    rows = _cross_entropy(scores, own)
    return (rows + _cross_entropy(scores.T, own)) / 2 if symmetric else rows


def nce(data_score: Tensor, noise_score: Tensor, data_log_noise: Tensor, noise_log_noise: Tensor) -> Tensor:
    """Gutmann and Hyvarinen 2012, equations 4 to 8, with k noise samples for each sample of the data."""
    k = math.log(noise_score.shape[1])
    data = logsigmoid(data_score - data_log_noise - k)
    noise = logsigmoid(-(noise_score - noise_log_noise - k))
    return -data - noise.sum(1)


def dice(probability: Tensor, target: Tensor, smooth: Real = 1.0, squared: bool = False) -> Tensor:
    """Sudre et al. 2017; squared, Milletari et al. 2016: 1 - (2 I + s) / (D + s) as (D - 2 I) / (D + s)."""
    p, t = probability, target
    if squared:
        return ((p - t) ** 2).sum(1) / ((p * p + t * t).sum(1) + smooth)
    return (p * (1 - t) + t * (1 - p)).sum(1) / ((p + t).sum(1) + smooth)


def softmax_dice(logits: Tensor, label: Tensor, smooth: Real = 1.0) -> Tensor:
    """Dice of the softmax over classes against each class's mask, for each row and class."""
    n, c, m = logits.shape
    mask = label[:, None, :] == torch.arange(c)[None, :, None]
    p, t = logits.softmax(1).reshape(n * c, m), mask.reshape(n * c, m).to(logits.dtype)
    return dice(p, t, smooth).reshape(n, c)


def contrastive(first: Tensor, second: Tensor, dissimilar: Tensor, margin: Real = 1.0) -> Tensor:
    """Hadsell et al. 2006, equation 4; 1 is dissimilar."""
    difference = first - second
    similar = (difference * difference).sum(-1) / 2
    apart = torch.relu(margin - _norm(difference)) ** 2 / 2
    return torch.where(dissimilar != 0, apart, similar)


def multiple_negatives_ranking(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor | None = None,
    scale: Real = 20.0,
    similarity: str = "cosine",
) -> Tensor:
    """Henderson et al. 2017, section 4.4; the candidates are all positives, then all hard negatives of the batch."""
    candidates = positive if negative is None else torch.cat([positive, negative])
    own = _same(len(anchor), other=len(candidates) - len(anchor))
    if similarity == "cosine":
        anchor, candidates = _direction(anchor), _direction(candidates)
    return _cross_entropy(scale * (anchor @ candidates.T), own)
