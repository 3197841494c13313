"""Mistakes that others shipped, written out: each is a loss or derivative that the checks must reject.

A row names one of our losses, what is computed wrongly and where the mistake was seen. The wrong functions are plain
NumPy; so are the right ones beside them, from the papers, so that a rejection is shown to be due to the mistake alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
Function = Callable[..., Array]


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Parameters
    ----------
    name, source : str
        What it is, and where it was.
    loss, quantity, wrt : str
        Which of ours it is about: ``"value"``, ``"gradient"`` or ``"hessian_diagonal"``.
    wrong, right : callable
        From the inputs to an array like that quantity of the sum.
    settings : dict
        Parameters other than the defaults.
    extreme : bool
        Whether it only shows at tiny or large inputs.
    shift : float
        What is added to logits.
    """

    name: str
    source: str
    loss: str
    quantity: str
    wrt: str
    wrong: Function
    right: Function
    settings: dict[str, Any] = field(default_factory=dict)
    extreme: bool = False
    shift: float = 50.0


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def one_hot(z: Array, y: Array) -> Array:
    return (np.arange(z.shape[1])[None, :] == np.asarray(y)[:, None]).astype(float)


def focal_parts(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return p_t, alpha_t and the sign of the margin, at gamma 2 and alpha 0.25."""
    p = sigmoid(z)
    return np.where(y == 1, p, 1 - p), np.where(y == 1, 0.25, 0.75), np.where(y == 1, 1.0, -1.0)


def focal_value(z: Array, y: Array) -> Array:
    p, a, _ = focal_parts(z, y)
    return -a * (1 - p) ** 2 * np.log(p)


def focal_gradient(z: Array, y: Array) -> Array:
    """Lin et al. 2017, appendix B."""
    p, a, s = focal_parts(z, y)
    return a * s * (1 - p) ** 2 * (2 * p * np.log(p) + p - 1)


def focal_hessian(z: Array, y: Array) -> Array:
    p, a, _ = focal_parts(z, y)
    return a * (1 - p) ** 2 * p * ((1 - p) * (5 + 2 * np.log(p)) - 4 * p * np.log(p))


def focal_hessian_target(z: Array, y: Array) -> Array:
    """(1 - y) to the power gamma, where (1 - p) is meant: 0 for every positive sample."""
    p, a, _ = focal_parts(z, y)
    return a * (1 - y) ** 2 * p * ((1 - p) * (5 + 2 * np.log(p)) - 4 * p * np.log(p))


def focal_gradient_in_p(z: Array, y: Array) -> Array:
    """The derivative in the probability, where the raw score is meant."""
    p, a, s = focal_parts(z, y)
    return a * s * (2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p)


def focal_gradient_precedence(z: Array, y: Array) -> Array:
    """A slip of precedence: the last bracket is left out of the product."""
    p, a, s = focal_parts(z, y)
    return a * s * (1 - p) ** 2 * 2 * p * np.log(p) + p - 1


def focal_hessian_in_p(z: Array, y: Array) -> Array:
    p, a, _ = focal_parts(z, y)
    return a * (-2 * np.log(p) + 4 * (1 - p) / p + ((1 - p) / p) ** 2)


def keras_focal(z: Array, y: Array) -> Array:
    """alpha for all classes, where alpha_t is meant."""
    p, _, _ = focal_parts(z, y)
    return -0.25 * (1 - p) ** 2 * np.log(p)


def entropy_terms(z: Array, y: Array) -> Array:
    return np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - z[np.arange(len(z)), y]


def minimum_logsumexp(z: Array, y: Array) -> Array:
    """SymPy's logsumexp of two terms: exp(min) where exp(min - max) is meant."""
    return z.max(1) + np.log1p(np.exp(z.min(1))) - z[np.arange(len(z)), y]


def late_weights(z: Array, y: Array) -> Array:
    """The adjoint as exp(x - lse): for large x, lse is rounded to few digits after the point."""
    lse = np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1)
    return np.exp(z - lse[:, None]) - one_hot(z, y)


def normed_distance(p: float, absolute: bool) -> Function:
    def distance(x: Array, y: Array) -> Array:
        d = np.abs(x - y) if absolute else x - y
        with np.errstate(invalid="ignore"):
            return (d**p).sum(1) ** (1 / p)

    return distance


def triplet(distance: Function, swap: bool = False, swapped: bool = True) -> Function:
    def value(a: Array, p: Array, n: Array) -> Array:
        far = distance(a, n)
        if swap:
            far = np.minimum(far, distance(p, n)) if swapped else far
        return np.maximum(0.0, distance(a, p) - far + 1)

    return value


def unit(x: Array) -> Array:
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def ge2e(embedding: Array, w: Array, b: Array, floor: float = -math.inf) -> Array:
    """Wan et al. 2018, equations 5, 6, 8 and 9; a floor under the cosines is the mistake."""
    speakers, utterances, _ = embedding.shape
    own = (embedding.sum(1, keepdims=True) - embedding) / (utterances - 1)
    to_own = (unit(embedding) * unit(own)).sum(-1)
    cosines = np.einsum("jid,kd->jik", unit(embedding), unit(embedding.mean(1)))
    same = np.eye(speakers, dtype=bool)[:, None, :]
    scores = float(w) * np.maximum(np.where(same, to_own[..., None], cosines), floor) + float(b)
    return np.log(np.exp(scores).sum(-1)) - np.where(same, scores, 0.0).sum(-1)


def huber_gradient(x: Array, y: Array) -> Array:
    return np.clip(x - y, -1, 1)


def clipped_and_back(x: Array, y: Array) -> Array:
    """(abs(r) - delta) + delta: 0 for a tiny r."""
    r = x - y
    return np.sign(r) * np.where(np.abs(r) <= 1, (np.abs(r) - 1) + 1, 1.0)


def mnrl(signs: float) -> Function:
    def value(a: Array, p: Array) -> Array:
        return entropy_terms(signs * 20 * unit(a) @ unit(p).T, np.arange(len(a)))

    return value


def binary_gradient(z: Array, y: Array) -> Array:
    return (1 - y) * sigmoid(z) - y * sigmoid(-z)


def tanh_slope(z: Array, y: Array, slope: Function) -> Array:
    """Hessian of cross entropy as a derivative of (1 + tanh(z / 2)) / 2."""
    return slope(np.tanh(z / 2)) / 4


COPIES = "public focal_loss_lgb copies"
MISTAKES = (
    Mistake("(1 - y) for (1 - p)", "bokbokbok, focal Hessian", "focal", "hessian_diagonal", "logit",
            focal_hessian_target, focal_hessian),
    Mistake("gradient taken in p", COPIES, "focal", "gradient", "logit", focal_gradient_in_p, focal_gradient),
    Mistake("gradient with a precedence slip", COPIES, "focal", "gradient", "logit", focal_gradient_precedence,
            focal_gradient),
    Mistake("Hessian taken in p", COPIES, "focal", "hessian_diagonal", "logit", focal_hessian_in_p, focal_hessian),
    Mistake("one alpha for all classes", "Keras CategoricalFocalCrossentropy", "focal", "value", "", keras_focal,
            focal_value),
    Mistake("d tanh = (1 - tanh)^2", "loopy", "binary_cross_entropy", "hessian_diagonal", "logit",
            lambda z, y: tanh_slope(z, y, lambda t: (1 - t) ** 2), lambda z, y: tanh_slope(z, y, lambda t: 1 - t * t)),
    Mistake("exp(min) for exp(min - max)", "SymPy logsumexp_2terms_opt", "softmax_cross_entropy", "value", "",
            minimum_logsumexp, entropy_terms),
    Mistake("adjoint exp(x - lse)", "Stan", "softmax_cross_entropy", "gradient", "logits", late_weights,
            lambda z, y: softmax(z) - one_hot(z, y), shift=1e14),
    Mistake("(abs(r) - delta) + delta", "optax huber_loss", "huber", "gradient", "prediction", clipped_and_back,
            huber_gradient, extreme=True),
    Mistake("no absolute value, p = 1", "optax triplet_margin_loss", "triplet", "value", "",
            triplet(normed_distance(1.0, False)), triplet(normed_distance(1.0, True)), {"p": 1.0}),
    Mistake("no absolute value, p = 3", "optax triplet_margin_loss", "triplet", "value", "",
            triplet(normed_distance(3.0, False)), triplet(normed_distance(3.0, True)), {"p": 3.0}),
    Mistake("swap without effect", "Paddle's printed example", "triplet", "value", "",
            triplet(normed_distance(2.0, True), swap=True, swapped=False),
            triplet(normed_distance(2.0, True), swap=True), {"swap": True}),
    Mistake("cosine clamped at 1e-6", "coqui, cvqluu, clovaai", "ge2e_softmax", "value", "",
            lambda e, w, b: ge2e(e, w, b, floor=1e-6), ge2e),
    Mistake("w not kept positive", "coqui, cvqluu, clovaai", "ge2e_softmax", "value", "",
            lambda e, w, b: ge2e(e, -w, b), ge2e),
    Mistake("the sign of the scores flipped", "as in CoSENT's docstring", "multiple_negatives_ranking", "value", "",
            mnrl(-1.0), mnrl(1.0)),
    Mistake("p - y at the extremes", "scikit-learn 1.3.2", "binary_cross_entropy", "gradient", "logit",
            lambda z, y: sigmoid(z) - y, binary_gradient, extreme=True),
)  # fmt: skip
