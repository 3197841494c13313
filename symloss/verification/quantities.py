"""What the oracle says of whole arrays: value, gradient, Hessian diagonal and Hessian product, as balls.

Inputs and parameters come in as a caller of the loss has them; out come arrays of balls, each of which pins a float.
An entry of an input is only followed into the samples that it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.verification.oracle import Balls, Oracle, Sample, Scalars, Tensors, oracle_of, refine
from symloss.verification.point import Shifted


def split(definition: Definition, inputs: Tensors, parameters: Scalars) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors, elementwise inputs broadcast to one dimension, and every scalar parameter."""
    tensors = dict(inputs)
    if definition.elementwise:
        tensors = {n: x.reshape(-1) for n, x in zip(inputs, np.broadcast_arrays(*inputs.values()), strict=True)}
    tensors |= {a.name: parameters.get(a.name) for a in definition.parameters if a.axes}
    return tensors, {a.name: parameters.get(a.name, a.default) for a in definition.parameters if not a.axes}


def evaluate(
    definition: Definition, inputs: Tensors, parameters: Scalars, sample: Sample, order: int = 0,
    direction: Mapping[str, Any] | None = None,
) -> Balls:  # fmt: skip
    """Return value and derivatives of one sample's loss along a direction; see `Oracle.along`."""
    tensors, scalars = split(definition, inputs, parameters)
    return oracle_of(definition).along(tensors, scalars, direction or {}, order, sample)


def value(definition: Definition, inputs: Tensors, parameters: Scalars) -> NDArray[np.object_]:
    """Return the loss of every sample as balls that pin a float; a sample that does not count has loss 0.

    Returns
    -------
    array of flint.arb
        One for each sample; `symloss.verification.ulp.rounded` makes floats of it.
    """
    oracle = oracle_of(definition)
    tensors, scalars = split(definition, inputs, parameters)
    found = np.empty(oracle.shape(tensors), object)
    for sample in np.ndindex(*found.shape):
        counted = oracle.counts(tensors, scalars, sample)
        found[sample] = oracle.along(tensors, scalars, {}, 0, sample)[0] if counted else flint.arb(0)
    return found


@dataclass(frozen=True)
class Request:
    """A weighted sum of losses over all samples, whose derivatives are asked for entry by entry.

    Parameters
    ----------
    oracle : Oracle
        Of the loss.
    tensors, scalars : mapping
        As `split` returns them.
    weights : array, optional
        One for each sample.
    """

    oracle: Oracle
    tensors: Tensors
    scalars: Scalars
    weights: NDArray[Any] | None = None

    def samples(self, name: str, at: tuple[int, ...]) -> list[tuple[Sample, float]]:
        """Return the samples that count and that an entry concerns, with their weights."""
        near = self.oracle.concerned(name, at, self.tensors)
        kept = [s for s in near if self.oracle.counts(self.tensors, self.scalars, s)]
        return [(s, 1.0 if self.weights is None else float(self.weights[s])) for s in kept]

    def entry(self, name: str, at: tuple[int, ...], order: int = 2) -> Balls:
        """Return the concerned samples' value, and the derivatives in one entry."""
        return self.oracle.total(self.tensors, self.scalars, {name: {at: 1.0}}, order, self.samples(name, at))

    def product(self, name: str, at: tuple[int, ...], direction: Mapping[str, Any]) -> Any:
        """Return one entry of the Hessian product: ``(f''(v + e) - f''(v - e)) / 4``."""
        samples = self.samples(name, at)

        def compute() -> Balls:
            sides = []
            for step in (1, -1):
                moved = dict(direction) | {name: Shifted(direction.get(name), at, step)}
                sides.append(self.oracle.expand(self.tensors, self.scalars, moved, 2, samples)[2])
            return ((sides[0] - sides[1]) / 4,)

        return refine(compute, 2)[0]


def _entries(
    definition: Definition, inputs: Tensors, parameters: Scalars, wrt: str, weights: Any,
    compute: Callable[[Request, tuple[int, ...]], Any],
) -> NDArray[np.object_]:  # fmt: skip
    request = Request(oracle_of(definition), *split(definition, inputs, parameters), weights)
    found = np.empty(np.shape(request.tensors[wrt]) if wrt in request.tensors else (), object)
    for at in np.ndindex(*found.shape):
        found[at] = compute(request, at)
    return found


def gradient(
    definition: Definition, inputs: Tensors, parameters: Scalars, wrt: str, weights: Any = None
) -> NDArray[np.object_]:
    """Return the gradient of the weighted sum in an input or parameter, as balls."""
    return _entries(definition, inputs, parameters, wrt, weights, lambda r, at: r.entry(wrt, at, 1)[1])


def hessian_diagonal(
    definition: Definition, inputs: Tensors, parameters: Scalars, wrt: str, weights: Any = None
) -> NDArray[np.object_]:
    """Return the diagonal of the Hessian of the weighted sum in an input or parameter, as balls."""
    return _entries(definition, inputs, parameters, wrt, weights, lambda r, at: r.entry(wrt, at)[2])


def hessian_product(
    definition: Definition, inputs: Tensors, parameters: Scalars, wrt: str, direction: Mapping[str, Any],
    weights: Any = None,
) -> NDArray[np.object_]:  # fmt: skip
    """Return those entries of the Hessian product that belong to `wrt`; `direction` may move several arguments."""
    return _entries(definition, inputs, parameters, wrt, weights, lambda r, at: r.product(wrt, at, direction))
