"""Losses of scikit-learn's gradient boosting and linear models: its own compiled values, gradients and Hessians.

Where its Hessian is a constant that stands in for the exact one (absolute error, Huber), it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn._loss import (
    AbsoluteError,
    HalfBinomialLoss,
    HalfMultinomialLoss,
    HalfSquaredError,
    HuberLoss,
)

from symloss.peers.peer import Found, Peer, Place

Inputs = Mapping[str, NDArray[Any]]
Places = Mapping[str, Sequence[Place]]


def _called(
    make: Callable[[Mapping[str, Any], Inputs], Any], names: tuple[str, str], *, factor: float = 1.0, exact: bool = True
) -> Callable[[Inputs, Mapping[str, Any], Places], Found]:
    prediction, target = names

    def evaluate(inputs: Inputs, settings: Mapping[str, Any], places: Places) -> Found:
        raw = np.ascontiguousarray(inputs[prediction])
        true = np.ascontiguousarray(inputs[target], raw.dtype)
        loss = make(settings, inputs)
        gradient, hessian = loss.gradient_hessian(true, raw)
        found: Found = {
            ("value", ""): factor * loss.loss(true, raw), ("gradient", prediction): factor * gradient
        }  # fmt: skip
        if exact:
            found["hessian_diagonal", prediction] = {at: float(factor * hessian[at]) for at in places[prediction]}
        return found

    return evaluate


def _peer(loss: str, settings: str, evaluate: Any, called: str, accepts: Any = None) -> Peer:
    extra = {} if accepts is None else {"accepts": accepts}
    return Peer(loss, "scikit-learn", sklearn.__version__, called, frozenset(settings.split()), evaluate, **extra)


PEERS = (
    _peer("binary_cross_entropy", "", _called(lambda s, x: HalfBinomialLoss(), ("logit", "target")),
          "HalfBinomialLoss"),
    _peer("softmax_cross_entropy", "",
          _called(lambda s, x: HalfMultinomialLoss(n_classes=x["logits"].shape[1]), ("logits", "label")),
          "HalfMultinomialLoss", lambda s, x: x["logits"].shape[1] > 2),
    _peer("squared_error", "", _called(lambda s, x: HalfSquaredError(), ("prediction", "target"), factor=2.0),
          "2 HalfSquaredError"),
    _peer("absolute_error", "", _called(lambda s, x: AbsoluteError(), ("prediction", "target"), exact=False),
          "AbsoluteError"),
    _peer("huber", "delta", _called(lambda s, x: HuberLoss(delta=s.get("delta", 1.0)), ("prediction", "target"),
                                    exact=False), "HuberLoss"),
)  # fmt: skip
