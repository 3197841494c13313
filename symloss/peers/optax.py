"""Losses of optax, in JAX's float64; derivatives by JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax import numpy as jnp
from numpy.typing import NDArray

from symloss.peers.peer import Found, Peer, Place

VERSION = f"{optax.__version__} (JAX {jax.__version__})"
Function = Callable[..., Any]


def _derived(function: Function, names: tuple[str, ...]) -> Callable[..., Found]:
    def evaluate(
        inputs: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], places: Mapping[str, Sequence[Place]]
    ) -> Found:
        with jax.enable_x64(True):
            arrays = {n: jnp.asarray(x) for n, x in inputs.items()}
            found: Found = {("value", ""): np.asarray(function(*arrays.values(), **settings))}
            for name in names:

                def total(moved: Any, name: str = name) -> Any:
                    return function(*(arrays | {name: moved}).values(), **settings).sum()

                slope = jax.grad(total)
                found["gradient", name] = np.asarray(slope(arrays[name]))
                found["hessian_diagonal", name] = _diagonal(slope, arrays[name], places[name])
        return found

    return evaluate


def _diagonal(slope: Function, at: Any, places: Sequence[Place]) -> dict[Place, float]:
    """Return entries of the Hessian's diagonal: samples do not interact, so one sweep serves a whole column."""
    columns = {}
    for column in dict.fromkeys(place[1:] for place in places):
        along = jnp.zeros_like(at).at[(slice(None), *column)].set(1.0)
        columns[column] = np.asarray(jax.jvp(slope, (at,), (along,))[1])
    return {place: float(columns[place[1:]][place]) for place in places}


def _poly(z: Any, y: Any, epsilon: float = 1.0) -> Any:
    return optax.losses.poly_loss_cross_entropy(z, jax.nn.one_hot(y, z.shape[1], dtype=z.dtype), epsilon=epsilon)


def _triplet(a: Any, p: Any, n: Any, margin: float = 1.0) -> Any:
    return optax.losses.triplet_margin_loss(a, p, n, margin=margin, eps=0.0)


def _peer(loss: str, names: str, settings: str, function: Function, called: str) -> Peer:
    evaluate = _derived(function, tuple(names.split()))
    return Peer(loss, "optax", VERSION, called, frozenset(settings.split()), evaluate)


PEERS = (
    _peer("binary_cross_entropy", "logit", "", optax.losses.sigmoid_binary_cross_entropy,
          "sigmoid_binary_cross_entropy"),
    _peer("focal", "logit", "gamma alpha",
          lambda z, y, gamma=2.0, alpha=0.25: optax.losses.sigmoid_focal_loss(z, y, alpha=alpha, gamma=gamma),
          "sigmoid_focal_loss"),
    _peer("softmax_cross_entropy", "logits", "", optax.losses.softmax_cross_entropy_with_integer_labels,
          "softmax_cross_entropy_with_integer_labels"),
    _peer("poly_cross_entropy", "logits", "epsilon", _poly, "poly_loss_cross_entropy"),
    _peer("hinge", "score", "", optax.losses.hinge_loss, "hinge_loss"),
    _peer("squared_error", "prediction", "", optax.losses.squared_error, "squared_error"),
    _peer("huber", "prediction", "delta", lambda x, y, delta=1.0: optax.losses.huber_loss(x, y, delta=delta),
          "huber_loss"),
    _peer("triplet", "anchor positive negative", "margin", _triplet, "triplet_margin_loss with eps=0"),
)  # fmt: skip
