"""What a call of a loss with tensors needs: its settings, and arrays made of tensors and back."""

from __future__ import annotations

from collections.abc import Callable
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
    if call.reduction != "none":
        slopes = gradient(_torch.ones((), dtype=like.dtype, device=like.device))
        return sum((g * m).sum() for g, m in zip(slopes, moves, strict=True))
    if not call.loss.plan.spec.separable or call.parameters:
        message = f"{call.loss.name}: with reduction='none' samples that interact have no derivative of their own here"
        raise NotImplementedError(message)
    spec = call.loss.plan.spec
    every = _torch.broadcast_shapes(*(t.shape for t in tensors)) if spec.elementwise else tensors[0].shape
    shape = tuple(every) if spec.elementwise else tuple(every[: len(spec.sample_axes)])
    if any(tuple(m.shape[: len(shape)]) != shape for m in moves):
        message = f"{call.loss.name}: with reduction='none' inputs that are broadcast have no forward derivative here"
        raise NotImplementedError(message)
    slopes = gradient(_torch.ones(shape, dtype=like.dtype, device=like.device))
    parts = [(g * m).reshape(*shape, -1).sum(-1) for g, m in zip(slopes, moves, strict=True)]
    return sum(parts[1:], parts[0])
