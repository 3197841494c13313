"""The losses as users of torch and JAX write them: the mean of each, stable where the usual text is.

One text serves both libraries, since `of` hands in what they spell differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any
Formula = Callable[["Library"], Callable[..., Array]]


@dataclass(frozen=True)
class Library:
    """What torch and JAX spell differently.

    Parameters
    ----------
    module : module
        With ``abs``, ``where``, ``exp`` and the like.
    softplus, logsumexp, norm, eye : callable
        As named; the second and third over the last axis, the last from a size.
    take : callable
        The entry of each row at a label.
    softmax : callable
        Over the second axis.
    """

    module: Any
    softplus: Callable[[Array], Array]
    logsumexp: Callable[[Array], Array]
    norm: Callable[[Array], Array]
    eye: Callable[[int], Array]
    take: Callable[[Array, Array], Array]
    softmax: Callable[[Array], Array]


def _binary_cross_entropy(of: Library) -> Callable[..., Array]:
    return lambda z, y: (of.softplus(z) - z * y).mean()


def _focal(of: Library) -> Callable[..., Array]:
    def loss(z: Array, y: Array) -> Array:
        u = z * (2 * y - 1)
        fall = of.softplus(-u)
        return ((0.25 * y + 0.75 * (1 - y)) * of.module.exp(-2 * of.softplus(u)) * fall).mean()

    return loss


def _poly_focal(of: Library) -> Callable[..., Array]:
    def loss(z: Array, y: Array) -> Array:
        u = z * (2 * y - 1)
        rest = of.module.exp(-of.softplus(u))
        return ((0.25 * y + 0.75 * (1 - y)) * rest**2 * of.softplus(-u) + rest**3).mean()

    return loss


def _hinge(of: Library) -> Callable[..., Array]:
    return lambda s, y: of.module.clip(1 - y * s, 0, None).mean()


def _squared_hinge(of: Library) -> Callable[..., Array]:
    return lambda s, y: (of.module.clip(1 - y * s, 0, None) ** 2).mean()


def _absolute_error(of: Library) -> Callable[..., Array]:
    return lambda x, y: of.module.abs(x - y).mean()


def _squared_error(of: Library) -> Callable[..., Array]:
    return lambda x, y: ((x - y) ** 2).mean()


def _huber(of: Library) -> Callable[..., Array]:
    def loss(x: Array, y: Array) -> Array:
        r = of.module.abs(x - y)
        return of.module.where(r <= 1, r * r / 2, r - 0.5).mean()

    return loss


def _softmax_cross_entropy(of: Library) -> Callable[..., Array]:
    return lambda z, y: (of.logsumexp(z) - of.take(z, y)).mean()


def _contrastive(scale: float) -> Formula:
    def formula(of: Library) -> Callable[..., Array]:
        def loss(a: Array, b: Array) -> Array:
            scores = scale * (a / of.norm(a)[:, None]) @ (b / of.norm(b)[:, None]).T
            return (of.logsumexp(scores) - of.module.diagonal(scores)).mean()

        return loss

    return formula


def _triplet(of: Library) -> Callable[..., Array]:
    return lambda a, p, n: of.module.clip(of.norm(a - p) - of.norm(a - n) + 1, 0, None).mean()


def _dice(of: Library) -> Callable[..., Array]:
    return lambda p, t: (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


def _softmax_dice(of: Library) -> Callable[..., Array]:
    def loss(z: Array, y: Array) -> Array:
        p = of.softmax(z)
        here = y[:, None, :] == of.module.arange(z.shape[1])[None, :, None]
        overlap = of.module.where(here, p, 0.0).sum(2)
        return (1 - (2 * overlap + 1) / (p.sum(2) + here.sum(2) + 1)).mean()

    return loss


def _arcface(of: Library) -> Callable[..., Array]:
    def loss(x: Array, w: Array, y: Array) -> Array:
        cosine = (x / of.norm(x)[:, None]) @ (w / of.norm(w)[:, None]).T
        own = of.take(cosine, y)
        usual = of.module.cos(of.module.arccos(own) + 0.5)
        target = of.module.where(own > -0.8775825618903728, usual, own - 0.5 * 0.479425538604203)
        here = y[:, None] == of.module.arange(w.shape[0])[None, :]
        scores = 64 * of.module.where(here, target[:, None], cosine)
        return (of.logsumexp(scores) - 64 * target).mean()

    return loss


def _ge2e(of: Library) -> Callable[..., Array]:
    def loss(e: Array, w: Array, b: Array) -> Array:
        speakers = e.shape[0]
        totals = e.sum(1)
        unit = e / of.norm(e)[..., None]
        centres = totals / of.norm(totals)[:, None]
        others = totals[:, None] - e
        own = (unit * (others / of.norm(others)[..., None])).sum(-1)
        cosine = unit @ centres.T
        here = of.eye(speakers)[:, None, :] > 0
        scores = w * of.module.where(here, own[..., None], cosine) + b
        return (of.logsumexp(scores) - (w * own + b)).mean()

    return loss


FORMULAS: dict[str, Formula] = {
    "binary_cross_entropy": _binary_cross_entropy, "focal": _focal, "poly_focal": _poly_focal, "hinge": _hinge,
    "squared_hinge": _squared_hinge, "absolute_error": _absolute_error, "squared_error": _squared_error,
    "huber": _huber, "smooth_l1": _huber, "softmax_cross_entropy": _softmax_cross_entropy,
    "info_nce": _contrastive(1 / 0.07), "multiple_negatives_ranking": _contrastive(20.0), "triplet": _triplet,
    "dice": _dice, "softmax_dice": _softmax_dice, "arcface": _arcface, "ge2e_softmax": _ge2e,
}  # fmt: skip
