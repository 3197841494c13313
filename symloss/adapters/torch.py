"""PyTorch: the losses as functions and modules that autograd differentiates twice, and `torch.func` transforms.

``symloss.adapters.torch.focal(logit, target, gamma=2.0)`` takes and gives tensors; ``Focal(gamma=2.0)`` is the module.
Kernels read CPU tensors in place: backward calls our gradient, double backward our Hessian product, a third derivative
is an error. Tensors of another device stay there: they run `expression`, the same program as torch operators, and the
logger ``symloss.adapters.torch`` says so, once a loss and device. Half precision is computed in float32. Tested with
torch 2.13.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from symloss import Loss, load, losses
from symloss.adapters import torch_ops
from symloss.adapters.requirement import require
from symloss.adapters.torch_calls import Call, along, array, on_cpu, tensor
from symloss.runtime.loader import load_module

_torch = require("torch", "torch")
_Function: Any = _torch.autograd.Function
_Module: Any = _torch.nn.Module
_LOGGER = logging.getLogger(__name__)
_EXPRESSIONS: dict[tuple[str, str | None], Callable[..., Any]] = {}
_TOLD: set[tuple[str, str]] = set()


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
    def forward(call: Call, *tensors: Any) -> Any:
        return tensor(call.run("value", tensors, None), tensors[0])

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
        return along(ctx.call, partial(_gradient, ctx.call, which, tensors), which, tensors, moves)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        return _batched(_Value, info, in_dims, arguments)


def _gradient(call: Call, which: tuple[bool, ...], tensors: Any, scale: Any) -> Any:
    return _Gradient.apply(call, which, scale, *tensors)


class _Gradient(_Function):
    """The gradient of the loss in the marked tensors, times a scale."""

    @staticmethod
    def forward(call: Call, which: tuple[bool, ...], scale: Any, *tensors: Any) -> tuple[Any, ...]:
        found = call.run("gradient", tensors, scale, wrt=call.names(which))
        return tuple(tensor(g, tensors[0]).to(tensors[0].dtype) for g in found)

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
        scaled = None
        if ctx.needs_input_grad[2]:
            scaled = along(ctx.call, partial(_gradient, ctx.call, ctx.which, tensors), ctx.which, tuple(tensors), moves)
        return None, None, scaled, *_spread(moved, ctx.which)

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
    def forward(call: Call, which: tuple[bool, ...], scale: Any, *rest: Any) -> tuple[Any, ...]:
        tensors, moves = rest[: len(which)], tuple(array(m) for m in rest[len(which) :])
        found = call.run("hessian_product", tensors, scale, wrt=call.names(which), direction=moves)
        return tuple(tensor(p, tensors[0]).to(tensors[0].dtype) for p in found)

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
    halves = (_torch.float16, _torch.bfloat16)
    tensors = [x.float() if x.dtype in halves else x for x in map(_torch.as_tensor, inputs)]
    if not all(map(on_cpu, tensors)):
        return _elsewhere(loss, tensors, reduction, sample_weight, parameters)
    if _torch.compiler.is_compiling():
        return _compiled(loss, tensors, reduction, sample_weight, parameters)
    found = load(loss) if isinstance(loss, str) else loss
    moving = {a.name for a in found.plan.spec.parameters if a.differentiable and not a.axes}
    # under torch.func and in forward mode what moves does not require a gradient
    learned = {n: p for n, p in parameters.items() if isinstance(p, _torch.Tensor) and n in moving and p.ndim == 0}
    plain = {n: array(p) if isinstance(p, _torch.Tensor) else p for n, p in parameters.items() if n not in learned}
    plain = {n: p.item() if isinstance(p, np.ndarray) and p.ndim == 0 else p for n, p in plain.items()}
    weight = array(sample_weight) if isinstance(sample_weight, _torch.Tensor) else sample_weight
    made = Call(found, len(tensors), tuple(learned), plain, reduction, weight)
    return _Value.apply(made, *tensors, *learned.values())


def expression(loss: str | Loss) -> Callable[..., Any]:
    """Return a loss as a function made of torch operators alone, which runs on any device.

    It is generated from the same program as the compiled kernels. Autograd differentiates it by the derived formulas,
    and the compiler can look into it.

    Parameters
    ----------
    loss : str or Loss
        A name, or a loss loaded from one's own definitions.

    Returns
    -------
    callable
        Inputs come first, in the order of the loss; parameters, ``reduction``, ``sample_weight`` and ``accuracy`` are
        keywords. ``"exact"`` computes float32 in float64 and rounds once, as the kernels do; ``"fast"`` does not.

    Raises
    ------
    ValueError
        Where there is no such loss.
    """
    key = (loss, None) if isinstance(loss, str) else (loss.name, loss.package)
    _prepare(*key)
    found = _EXPRESSIONS[key]
    return found if isinstance(loss, str) else partial(found, accuracy=loss.accuracy)


@_torch.compiler.assume_constant_result
def _prepare(name: str, package: str | None) -> None:
    """Load an expression; the compiler does not look into imports, only into what they bring."""
    if (name, package) not in _EXPRESSIONS:
        _EXPRESSIONS[name, package] = getattr(load_module(name, package, "torch"), name)


@_torch.compiler.assume_constant_result
def _tell(name: str, device: str) -> None:
    if (name, device) not in _TOLD:
        _TOLD.add((name, device))
        _LOGGER.info("%s: tensors on %s run the generated torch expression, not the compiled kernel", name, device)


def _elsewhere(
    loss: str | Loss, tensors: list[Any], reduction: str, sample_weight: Any, parameters: dict[str, Any]
) -> Any:
    """Return the loss of tensors that are not on the CPU, by its expression."""
    _tell(loss if isinstance(loss, str) else loss.name, str(tensors[0].device))
    return expression(loss)(*tensors, reduction=reduction, sample_weight=sample_weight, **parameters)


# what a graph is compiled for is known when it is compiled: dynamo need not look inside
_key = _torch.compiler.assume_constant_result(torch_ops.key_of)


def _compiled(
    loss: str | Loss, tensors: list[Any], reduction: str, sample_weight: Any, parameters: dict[str, Any]
) -> Any:
    """Return the loss as one operator of the graph that is being compiled."""
    given = {n: p for n, p in parameters.items() if isinstance(p, _torch.Tensor)}
    learned = {n: p for n, p in given.items() if p.requires_grad}
    held = {n: p for n, p in given.items() if n not in learned}
    if sample_weight is not None:
        held["sample_weight"] = _torch.as_tensor(sample_weight)
    numbers = {n: p for n, p in parameters.items() if isinstance(p, int | float) and not isinstance(p, bool)}
    for name, p in numbers.items():  # one graph serves every number
        held[name] = _torch.scalar_tensor(p, dtype=_torch.float64 if isinstance(p, float) else _torch.int64)
    plain = tuple((n, p) for n, p in parameters.items() if n not in given and n not in numbers)
    which = (loss, None, "exact") if isinstance(loss, str) else (loss.name, loss.package, loss.accuracy)
    key = _key(which, len(tensors), (tuple(learned), tuple(held)), plain, reduction)
    return torch_ops.value(key, [*tensors, *learned.values()], list(held.values()))


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
        """Return the name, where the class does not tell it, and the settings."""
        own = [] if type(self) is not LossModule else [self.loss.name]
        return ", ".join([*own, *(f"{k}={v!r}" for k, v in self.settings.items())])


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


@cache
def _module(name: str) -> type[LossModule]:
    """Return the module of one loss as a class."""
    title = "".join(part.capitalize() for part in name.split("_"))

    def start(self: Any, **settings: Any) -> None:
        LossModule.__init__(self, name, **settings)

    about = f"The loss `{name}` as a module: settings are given once, tensors with each call."
    return type(title, (LossModule,), {"__init__": start, "__module__": __name__, "__doc__": about})


def __getattr__(name: str) -> Callable[..., Any]:
    modules = {_plain(loss): loss for loss in losses()}
    if name in losses():
        found: Callable[..., Any] = partial(call, name)
    elif name[:1].isupper() and name.lower() in modules:  # ArcFace and Arcface are one
        found = _module(modules[name.lower()])
    else:
        known = f"there are {', '.join(losses())}, and modules such as Focal"
        message = f"module {__name__!r} has no attribute {name!r}; {known}"
        raise AttributeError(message)
    globals()[name] = found  # the next look-up finds it without coming here
    return found
