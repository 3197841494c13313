"""Functions of SciPy that a careful user would build a loss from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from symloss.peers.peer import Found, Peer, Place

Inputs = Mapping[str, NDArray[Any]]
Places = Mapping[str, Sequence[Place]]


def _binary(inputs: Inputs, settings: Mapping[str, Any], places: Places) -> Found:
    z, y = inputs["logit"], inputs["target"]
    value = -(y * special.log_expit(z) + (1 - y) * special.log_expit(-z))
    return {("value", ""): value, ("gradient", "logit"): (1 - y) * special.expit(z) - y * special.expit(-z),
            ("hessian_diagonal", "logit"): _at(special.expit(z) * special.expit(-z), places["logit"])}  # fmt: skip


def _softmax(inputs: Inputs, settings: Mapping[str, Any], places: Places) -> Found:
    z, y = inputs["logits"], inputs["label"]
    rows, p = np.arange(len(z)), special.softmax(z, axis=1)
    gradient = p.copy()
    gradient[rows, y] -= 1
    return {("value", ""): -special.log_softmax(z, axis=1)[rows, y], ("gradient", "logits"): gradient,
            ("hessian_diagonal", "logits"): _at(p * (1 - p), places["logits"])}  # fmt: skip


def _huber(inputs: Inputs, settings: Mapping[str, Any], places: Places) -> Found:
    x = inputs["prediction"]
    return {("value", ""): special.huber(x.dtype.type(settings.get("delta", 1.0)), x - inputs["target"])}


def _at(array: NDArray[Any], places: Sequence[Place]) -> dict[Place, float]:
    return {at: float(array[at]) for at in places}


def _peer(loss: str, settings: str, evaluate: Any, called: str) -> Peer:
    return Peer(loss, "SciPy", scipy.__version__, called, frozenset(settings.split()), evaluate)


PEERS = (
    _peer("binary_cross_entropy", "", _binary, "special.log_expit, expit"),
    _peer("softmax_cross_entropy", "", _softmax, "special.log_softmax, softmax"),
    _peer("huber", "delta", _huber, "special.huber"),
)
