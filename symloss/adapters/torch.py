"""PyTorch: the losses as functions and modules that autograd differentiates twice, and `torch.func` transforms.

``symloss.adapters.torch.focal(logit, target, gamma=2.0)`` takes and gives tensors; ``Focal(gamma=2.0)`` is the module.
Kernels read CPU tensors in place. Tensors of another device are copied to the CPU and results back; half precision is
computed in float32. Backward calls our gradient, double backward our Hessian product; a third derivative is an error.
Tested with torch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from symloss import Loss, load, losses
from symloss.adapters.requirement import require

_torch = require("torch", "torch")
_Function: Any = _torch.autograd.Function
_Module: Any = _torch.nn.Module


@dataclass(frozen=True, eq=False)
class _Call:
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
        arrays = [_array(t) for t in tensors]
        named = {n: float(a) for n, a in zip(self.parameters, arrays[self.inputs :], strict=True)}
        call = partial(getattr(self.loss, method), *arrays[: self.inputs], **named, **self.settings, **options)
        if scale is None:
            return call(reduction=self.reduction, sample_weight=self.weight)
        if self.reduction != "none":
            found = call(reduction=self.reduction, sample_weight=self.weight)
            return tuple(float(_array(scale)) * np.asarray(part) for part in found)
        weight = _array(scale).astype(np.float64) * (1.0 if self.weight is None else self.weight)
        above = call(reduction="sum", sample_weight=np.maximum(weight, 0.0))
        if not (weight < 0).any():
            return tuple(np.asarray(part) for part in above)
        below = call(reduction="sum", sample_weight=np.maximum(-weight, 0.0))  # weights are never negative
        return tuple(np.asarray(a) - b for a, b in zip(above, below, strict=True))


def _array(tensor: Any) -> Any:
    """Return a tensor's numbers: the same memory where they are on the CPU."""
    return tensor.detach().cpu().numpy()


def _tensor(array: Any, like: Any) -> Any:
    return _torch.as_tensor(np.asarray(array), device=like.device)


def _batched(function: Any, info: Any, in_dims: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """Apply a function to each entry of a batch, and stack what comes back."""
    found = [
        function.apply(*(a.select(d, k) if isinstance(d, int) else a for a, d in zip(arguments, in_dims, strict=True)))
        for k in range(info.batch_size)
    ]
    if not isinstance(found[0], tuple):
        return _torch.stack(found), 0
    return tuple(_torch.stack(parts) for parts in zip(*found, strict=True)), (0,) * len(found[0])


def _spread(found: tuple[Any, ...], which: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return one entry for each tensor, None where it is not marked."""
    rest = iter(found)
    return tuple(next(rest) if wanted else None for wanted in which)


class _Value(_Function):
    """The loss."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        return _tensor(call.run("value", tensors, None), tensors[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del output
        ctx.set_materialize_grads(False)  # what does not move is None, and not zeros that a target has no use for
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, scale: Any) -> tuple[Any, ...]:
        which = tuple(ctx.needs_input_grad[1:])
        if scale is None:
            return (None,) * (1 + len(which))
        return None, *_spread(_Gradient.apply(ctx.call, which, scale, *ctx.saved_tensors), which)

    @staticmethod
    def jvp(ctx: Any, _call: None, *tangents: Any) -> Any:
        tensors, which = ctx.saved_tensors, tuple(t is not None for t in tangents)
        moves = [t for t in tangents if t is not None]
        return _along(ctx.call, which, tensors, moves)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        return _batched(_Value, info, in_dims, arguments)


def _along(call: _Call, which: tuple[bool, ...], tensors: tuple[Any, ...], moves: list[Any]) -> Any:
    """Return the derivative of the loss along a direction: a number, or one for each sample."""
    like = tensors[which.index(True)]
    if call.reduction != "none":
        slopes = _Gradient.apply(call, which, _torch.ones((), dtype=like.dtype, device=like.device), *tensors)
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
    slopes = _Gradient.apply(call, which, _torch.ones(shape, dtype=like.dtype, device=like.device), *tensors)
    parts = [(g * m).reshape(*shape, -1).sum(-1) for g, m in zip(slopes, moves, strict=True)]
    return sum(parts[1:], parts[0])


class _Gradient(_Function):
    """The gradient of the loss in the marked tensors, times a scale."""

    @staticmethod
    def forward(call: _Call, which: tuple[bool, ...], scale: Any, *tensors: Any) -> tuple[Any, ...]:
        found = call.run("gradient", tensors, scale, wrt=call.names(which))
        return tuple(_tensor(g, tensors[0]).to(tensors[0].dtype) for g in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del output
        ctx.set_materialize_grads(False)
        ctx.call, ctx.which, scale, *tensors = inputs
        ctx.save_for_backward(scale, *tensors)
        ctx.save_for_forward(scale, *tensors)

    @staticmethod
    def backward(ctx: Any, *directions: Any) -> tuple[Any, ...]:
        if all(v is None for v in directions):
            return (None,) * (3 + len(ctx.which))
        scale, *tensors = ctx.saved_tensors
        own = [x for x, wanted in zip(tensors, ctx.which, strict=True) if wanted]
        moves = [_torch.zeros_like(x) if v is None else v for v, x in zip(directions, own, strict=True)]
        moved = _Product.apply(ctx.call, ctx.which, scale, *tensors, *moves)
        along = _along(ctx.call, ctx.which, tuple(tensors), moves) if ctx.needs_input_grad[2] else None
        return None, None, along, *_spread(moved, ctx.which)

    @staticmethod
    def jvp(ctx: Any, _call: None, _which: None, change: Any, *tangents: Any) -> tuple[Any, ...]:
        scale, *tensors = ctx.saved_tensors
        pairs = zip(tangents, tensors, ctx.which, strict=True)
        moves = [_torch.zeros_like(x) if t is None else t for t, x, wanted in pairs if wanted]
        found = _Product.apply(ctx.call, ctx.which, scale, *tensors, *moves)
        if change is None:
            return tuple(found)
        slopes = _Gradient.apply(ctx.call, ctx.which, change, *tensors)
        return tuple(a + b for a, b in zip(found, slopes, strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        return _batched(_Gradient, info, in_dims, arguments)


class _Product(_Function):
    """The Hessian in the marked tensors times a direction, times a scale."""

    @staticmethod
    def forward(call: _Call, which: tuple[bool, ...], scale: Any, *rest: Any) -> tuple[Any, ...]:
        tensors, moves = rest[: len(which)], tuple(_array(m) for m in rest[len(which) :])
        found = call.run("hessian_product", tensors, scale, wrt=call.names(which), direction=moves)
        return tuple(_tensor(p, tensors[0]).to(tensors[0].dtype) for p in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del output
        ctx.name = inputs[0].loss.name

    @staticmethod
    def backward(ctx: Any, *_directions: Any) -> tuple[Any, ...]:
        message = f"{ctx.name}: third derivatives are not there"
        raise NotImplementedError(message)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        return _batched(_Product, info, in_dims, arguments)


def call(loss: str | Loss, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, **parameters: Any) -> Any:
    """Return a loss of tensors, which autograd differentiates in inputs and in parameters given as tensors.

    Parameters
    ----------
    loss : str or Loss
        A name, or a loss loaded from one's own definitions.
    *inputs : tensor
        In the order of the loss, in the shapes that it takes.
    reduction : str
        ``"mean"``, ``"sum"`` or ``"none"``.
    sample_weight : tensor, optional
        A constant, one for each sample.
    **parameters
        Those of the loss; a continuous one may be a 0-d tensor that requires a gradient.

    Returns
    -------
    tensor
        0-d, or with ``"none"`` one entry for each sample; float32 for half precision.

    Raises
    ------
    ValueError, TypeError
        As the loss raises them.
    """
    found = load(loss) if isinstance(loss, str) else loss
    halves = (_torch.float16, _torch.bfloat16)
    tensors = [x.float() if x.dtype in halves else x for x in map(_torch.as_tensor, inputs)]
    learned = {n: p for n, p in parameters.items() if isinstance(p, _torch.Tensor) and p.requires_grad}
    plain = {n: _array(p) if isinstance(p, _torch.Tensor) else p for n, p in parameters.items() if n not in learned}
    plain = {n: p.item() if isinstance(p, np.ndarray) and p.ndim == 0 else p for n, p in plain.items()}
    weight = _array(sample_weight) if isinstance(sample_weight, _torch.Tensor) else sample_weight
    made = _Call(found, len(tensors), tuple(learned), plain, reduction, weight)
    return _Value.apply(made, *tensors, *learned.values())


class LossModule(_Module):
    """A loss as a module: settings are given once, tensors with each call.

    Parameters
    ----------
    loss : str or Loss
        Which.
    **settings
        Reduction and parameters of the loss.
    """

    def __init__(self, loss: str | Loss, **settings: Any) -> None:
        super().__init__()
        self.loss = load(loss) if isinstance(loss, str) else loss
        self.settings = settings

    def forward(self, *inputs: Any, sample_weight: Any = None) -> Any:
        """Return the loss of the inputs."""
        return call(self.loss, *inputs, sample_weight=sample_weight, **self.settings)

    def extra_repr(self) -> str:
        """Return name and settings."""
        return ", ".join([self.loss.name, *(f"{k}={v!r}" for k, v in self.settings.items())])


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def __getattr__(name: str) -> Callable[..., Any]:
    if name in losses():
        return partial(call, name)
    modules = {_camel(loss): loss for loss in losses()}
    if name in modules:
        return partial(LossModule, modules[name])
    message = f"module {__name__!r} has no attribute {name!r}; there are {', '.join(losses())} and {', '.join(modules)}"
    raise AttributeError(message)
