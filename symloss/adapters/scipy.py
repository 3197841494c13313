"""SciPy: a loss over a linear model as the functions that ``scipy.optimize.minimize`` takes, exact to second order.

Dense and sparse designs; one score a row, or one for each class. Tested with SciPy 1.17.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from symloss import Loss
from symloss.adapters.requirement import require
from symloss.adapters.scores import Array, Scored, scored
from symloss.runtime.validation import REDUCTIONS

require("scipy.optimize", "scipy")

__all__ = ["LinearModel", "Problem", "fun_jac_hessp"]


class Problem(NamedTuple):
    """What ``minimize(fun, x0, jac=jac, hessp=hessp)`` takes.

    Parameters
    ----------
    fun, jac : callable
        Value and gradient at the coefficients.
    hessp : callable
        ``(coefficients, direction)`` to the exact product of the Hessian with the direction.
    size : int
        How many coefficients there are.
    """

    fun: Callable[[Array], float]
    jac: Callable[[Array], Array]
    hessp: Callable[[Array, Array], Array]
    size: int


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Scores X W + b, and the data they are judged on.

    Parameters
    ----------
    design : array or sparse matrix
        X, ``(n, d)``.
    target : array_like
        ``(n,)``: numbers or labels.
    sample_weight : array_like, optional
        ``(n,)``.
    classes : int, optional
        For a loss with labels, how many there are: W is then ``(d, classes)``, raveled in C order, b its last row.
    intercept : bool
        Whether there is a b; it comes last and is not penalised.
    l2 : float
        The penalty: ½ l2 ‖W‖² is added.
    """

    design: Any
    target: Any
    sample_weight: Any = None
    classes: int | None = None
    intercept: bool = True
    l2: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the coefficients, b included."""
        rows = int(self.design.shape[1]) + self.intercept
        return (rows,) if self.classes is None else (rows, self.classes)

    def scores(self, coefficients: Array) -> Array:
        """Return X W + b."""
        w = np.reshape(coefficients, self.shape)
        found: Array = np.asarray(self.design @ (w[:-1] if self.intercept else w))
        return found + w[-1] if self.intercept else found

    def pull(self, slopes: Array) -> Array:
        """Return the transposed product: slopes in the scores to slopes in the coefficients, raveled."""
        found = np.asarray(self.design.T @ slopes)
        if self.intercept:
            found = np.concatenate([found, slopes.sum(axis=0, keepdims=True)])
        return found.reshape(-1)

    def shrink(self, coefficients: Array) -> Array:
        """Return the penalised coefficients, with 0 for b, raveled."""
        found = np.array(coefficients, dtype=np.float64).reshape(self.shape)
        if self.intercept:
            found[-1] = 0.0
        return found.reshape(-1)


@dataclass(eq=False)
class _Minimised:
    """The functions of a problem; scores, value and gradient of the latest coefficients are kept."""

    scored: Scored
    model: LinearModel
    arguments: Mapping[str, Any]
    target: Array
    at: Array | None = None
    scores: Array = field(default_factory=lambda: np.empty(0))
    found: tuple[float, Array] | None = None

    def move(self, coefficients: Array) -> None:
        if self.at is None or not np.array_equal(self.at, coefficients):
            self.at, self.found = np.array(coefficients, dtype=np.float64), None
            self.scores = self.model.scores(self.at)

    def both(self, coefficients: Array) -> tuple[float, Array]:
        self.move(coefficients)
        if self.found is None:
            value, slopes = self.scored.loss.value_and_gradient(self.scores, self.target, **self.arguments)
            shrunk = self.model.shrink(coefficients)
            penalty = 0.5 * self.model.l2 * float(shrunk @ shrunk)
            self.found = float(value) + penalty, self.model.pull(slopes) + self.model.l2 * shrunk
        return self.found

    def fun(self, coefficients: Array) -> float:
        return self.both(coefficients)[0]

    def jac(self, coefficients: Array) -> Array:
        return self.both(coefficients)[1].copy()

    def hessp(self, coefficients: Array, direction: Array) -> Array:
        self.move(coefficients)
        product = self.scored.loss.hessian_product(
            self.scores, self.target, direction=self.model.scores(direction), **self.arguments
        )
        return self.model.pull(product) + self.model.l2 * self.model.shrink(direction)


def fun_jac_hessp(loss: str | Loss, model: LinearModel, *, reduction: str = "mean", **parameters: Any) -> Problem:
    """Return value, gradient and Hessian product of a loss over a model.

    Parameters
    ----------
    loss : str or Loss
        An elementwise loss of a score and a target, or one of a score for each class and a label.
    model : LinearModel
        The model and its data.
    reduction : str
        ``"mean"`` or ``"sum"``.
    **parameters
        Those of the loss.

    Returns
    -------
    Problem
        For ``minimize(p.fun, np.zeros(p.size), jac=p.jac, hessp=p.hessp, method="trust-ncg")``. `fun` and `jac` share
        one pass over the data where they are called with the same coefficients. Not for several threads at once.

    Raises
    ------
    ValueError
        For an unknown loss or reduction, a loss of another form, or classes out of place.
    TypeError
        For an unknown parameter.
    """
    bound = scored(loss, parameters)
    if reduction not in REDUCTIONS[1:]:
        message = f"{bound.name}: reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(message)
    if bound.rowwise != (model.classes is not None):
        message = f"{bound.name}: the model must {'' if bound.rowwise else 'not '}have classes, got {model.classes!r}"
        raise ValueError(message)
    blank = np.empty((int(model.design.shape[0]), model.classes or 0) if bound.rowwise else model.design.shape[:1])
    _, target, weight = bound.arrange(blank, model.target, model.sample_weight)
    arguments = {**bound.parameters, "reduction": reduction, "sample_weight": weight}
    minimised = _Minimised(bound, model, arguments, target)
    return Problem(minimised.fun, minimised.jac, minimised.hessp, int(np.prod(model.shape)))
