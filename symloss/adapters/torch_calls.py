"""What a call of a loss with tensors needs: its settings, and arrays made of tensors and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from symloss import Loss
from symloss.adapters.requirement import require

_torch = require("torch", "torch")


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a loss: what its kernels need besides tensors.

    Parameters
    ----------
    loss : Loss
        The loss.
    inputs : int
        How many of the tensors are inputs; the others are parameters, in the order of `parameters`.
    parameters : tuple of str
        Parameters given as tensors, to be differentiated.
    settings : dict
        The other parameters.
    reduction : str
        As the loss takes it.
    weight : array, optional
        Sample weights.
    """

    loss: Loss
    inputs: int
    parameters: tuple[str, ...]
    settings: dict[str, Any]
    reduction: str
    weight: Any

    def names(self, which: tuple[bool, ...]) -> tuple[str, ...]:
        """Return the names of the tensors that are marked."""
        every = (*self.loss.inputs[: self.inputs], *self.parameters)
        return tuple(name for name, wanted in zip(every, which, strict=True) if wanted)

    def run(self, method: str, tensors: tuple[Any, ...], scale: Any, **options: Any) -> Any:
        """Call a method of the loss; `scale` multiplies the samples where nothing is reduced, else the result."""
        arrays = [array(t) for t in tensors]
        named = {n: float(a) for n, a in zip(self.parameters, arrays[self.inputs :], strict=True)}
        call = partial(getattr(self.loss, method), *arrays[: self.inputs], **named, **self.settings, **options)
        if scale is None:
            return call(reduction=self.reduction, sample_weight=self.weight)
        if self.reduction != "none":
            found = call(reduction=self.reduction, sample_weight=self.weight)
            return tuple(float(array(scale)) * np.asarray(part) for part in found)
        weight = array(scale).astype(np.float64) * (1.0 if self.weight is None else self.weight)
        above = call(reduction="sum", sample_weight=np.maximum(weight, 0.0))
        if not (weight < 0).any():
            return tuple(np.asarray(part) for part in above)
        below = call(reduction="sum", sample_weight=np.maximum(-weight, 0.0))  # weights are never negative
        return tuple(np.asarray(a) - b for a, b in zip(above, below, strict=True))


def on_cpu(tensor: Any) -> bool:
    """Tell whether kernels can read a tensor in place."""
    return bool(tensor.device.type == "cpu")


def array(tensor: Any) -> Any:
    """Return a tensor's numbers: the same memory where they are on the CPU."""
    return tensor.detach().cpu().numpy()


def tensor(array: Any, like: Any) -> Any:
    """Return numbers as a tensor on the device of another."""
    return _torch.as_tensor(np.asarray(array), device=like.device)


def along(
    call: Call, gradient: Callable[..., Any], which: tuple[bool, ...], tensors: tuple[Any, ...], moves: list[Any]
) -> Any:
    """Return the derivative of the loss along a direction: a number, or one for each sample.

    Parameters
    ----------
    call : Call
        The call.
    gradient : callable
        Takes a scale and returns the gradients in the marked tensors, as tensors that autograd knows.
    which : tuple of bool
        The tensors that move.
    tensors, moves : sequence of tensor
        All of them, and the directions of those that move.
    """
    like = tensors[which.index(True)]

    def slope(scale: Any) -> list[Any]:
        return [g * m for g, m in zip(gradient(scale.to(like)), moves, strict=True)]

    if call.reduction != "none":
        return sum(part.sum() for part in slope(_torch.ones(())))
    spec, shape = call.loss.plan.spec, sample_shape(call, tensors)
    alone = spec.elementwise or (spec.separable and len(spec.sample_axes) == 1)
    if alone and not call.parameters and all(tuple(m.shape[: len(shape)]) == shape for m in moves):
        parts = [part.reshape(*shape, -1).sum(-1) for part in slope(_torch.ones(shape))]
        return sum(parts[1:], parts[0])
    units = _torch.eye(math.prod(shape)).reshape(-1, *shape)  # what moves a sample may be shared: one gradient for each
    found = [sum(part.sum() for part in slope(unit)) for unit in units]
    return _torch.stack(found).reshape(shape) if found else _torch.zeros(shape).to(like)


def sample_shape(call: Call, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Return the shape of the samples of a call."""
    spec, inputs = call.loss.plan.spec, tensors[: call.inputs]
    if spec.elementwise:
        return tuple(_torch.broadcast_shapes(*(t.shape for t in inputs)))
    sizes = {x: n for a, t in zip(spec.inputs, inputs, strict=False) for x, n in zip(a.axes, t.shape, strict=True)}
    return tuple(sizes[axis] for axis in spec.sample_axes)
