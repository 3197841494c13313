"""The losses as operators of torch, for `torch.compile`: it cannot look into kernels, and calls these as they are.

Three operators serve every loss: value, gradient and Hessian product. Which loss, and its settings, are one string, so
that a compiled graph that is stored and loaded in another process still says what to compute.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from symloss.adapters.requirement import require
from symloss.adapters.torch_calls import Call, along, array, sample_shape
from symloss.runtime.loss import load_loss

_torch = require("torch", "torch")
_library: Any = _torch.library
Tensor: Any = _torch.Tensor


def key_of(
    loss: tuple[str, str | None, str], inputs: int, tensors: tuple[tuple[str, ...], tuple[str, ...]],
    settings: tuple[tuple[str, Any], ...], reduction: str,
) -> str:  # fmt: skip
    """Return what an operator needs besides tensors, as text.

    Parameters
    ----------
    loss : tuple of str
        Name, folder of generated modules (None: symloss's own) and accuracy.
    inputs : int
        How many inputs there are.
    tensors : pair of tuple of str
        Parameters that come as tensors: those derived, and the others (``"sample_weight"`` among them).
    settings : tuple of (str, object) pairs
        The other parameters.
    reduction : str
        As the loss takes it.
    """
    return repr((loss, inputs, tensors, dict(settings), reduction))


@cache
def _read(key: str) -> tuple[Call, tuple[str, ...]]:
    (name, package, accuracy), inputs, (learned, held), settings, reduction = ast.literal_eval(key)
    return Call(load_loss(name, package, accuracy), inputs, learned, settings, reduction, None), held


def _call(key: str, held: Sequence[Any]) -> Call:
    """Return the call, with the tensors that are constants among its settings."""
    call, names = _read(key)
    found = {n: array(t) for n, t in zip(names, held, strict=True)}
    weight = found.pop("sample_weight", None)
    plain = {n: a.item() if a.ndim == 0 else a for n, a in found.items()}
    return Call(call.loss, call.inputs, call.parameters, call.settings | plain, call.reduction, weight)


def _made(found: Any, like: Any) -> Any:
    """Return a result as a tensor of its own: an operator may not hand out memory it was given."""
    return _torch.from_numpy(np.array(found, ndmin=0)).to(like.device)


def _type(call: Call, tensors: Sequence[Any]) -> Any:
    """Return the dtype of the value."""
    reals = [t.dtype for a, t in zip(call.loss.plan.spec.inputs, tensors, strict=False) if a.kind == "real"]
    floats = [t for t in reals if t.is_floating_point]
    return _torch.float32 if floats and all(t == _torch.float32 for t in floats) else _torch.float64


def _shape(call: Call, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Return the shape of the value."""
    return () if call.reduction != "none" else sample_shape(call, tensors)


def _value(key: str, tensors: Sequence[Tensor], held: Sequence[Tensor]) -> Tensor:
    call = _call(key, held)
    return _made(call.run("value", tuple(tensors), None), tensors[0]).to(_type(call, tensors))


def _gradient(
    key: str, which: Sequence[bool], scale: Tensor, tensors: Sequence[Tensor], held: Sequence[Tensor]
) -> list[Tensor]:
    call = _call(key, held)
    found = call.run("gradient", tuple(tensors), scale, wrt=call.names(tuple(which)))
    moving = [t for t, wanted in zip(tensors, which, strict=True) if wanted]
    return [_made(g, t).to(t.dtype) for g, t in zip(found, moving, strict=True)]


def _product(
    key: str, which: Sequence[bool], scale: Tensor, tensors: Sequence[Tensor], held: Sequence[Tensor],
    moves: Sequence[Tensor],
) -> list[Tensor]:  # fmt: skip
    call = _call(key, held)
    direction = tuple(array(m) for m in moves)
    found = call.run("hessian_product", tuple(tensors), scale, wrt=call.names(tuple(which)), direction=direction)
    moving = [t for t, wanted in zip(tensors, which, strict=True) if wanted]
    return [_made(p, t).to(t.dtype) for p, t in zip(found, moving, strict=True)]


_PARTS = "str key, bool[] which, Tensor scale, Tensor[] tensors, Tensor[] held"
value = _library.custom_op(
    "symloss::value", _value, mutates_args=(), schema="(str key, Tensor[] tensors, Tensor[] held) -> Tensor"
)
gradient = _library.custom_op("symloss::gradient", _gradient, mutates_args=(), schema=f"({_PARTS}) -> Tensor[]")
product = _library.custom_op(
    "symloss::product", _product, mutates_args=(), schema=f"({_PARTS}, Tensor[] moves) -> Tensor[]"
)


@value.register_fake
def _value_like(key: str, tensors: Sequence[Any], held: Sequence[Any]) -> Any:
    del held
    call, _ = _read(key)
    return _torch.empty(_shape(call, tensors), dtype=_type(call, tensors), device=tensors[0].device)


def _like(which: Sequence[bool], tensors: Sequence[Any]) -> list[Any]:
    return [_torch.empty(t.shape, dtype=t.dtype, device=t.device) for t, w in zip(tensors, which, strict=True) if w]


@gradient.register_fake
def _gradient_like(key: str, which: Any, scale: Any, tensors: Any, held: Any) -> list[Any]:
    del key, scale, held
    return _like(which, tensors)


@product.register_fake
def _product_like(key: str, which: Any, scale: Any, tensors: Any, held: Any, moves: Any) -> list[Any]:
    del key, scale, held, moves
    return _like(which, tensors)


def _spread(found: Sequence[Any], which: Sequence[bool]) -> list[Any]:
    rest = iter(found)
    return [next(rest) if wanted else None for wanted in which]


def _keep_value(ctx: Any, inputs: Any, output: Any) -> None:
    del output
    ctx.key, tensors, held = inputs
    ctx.count = len(tensors)
    ctx.which = [t.requires_grad for t in tensors]
    ctx.save_for_backward(*tensors, *held)


def _value_back(ctx: Any, scale: Any) -> tuple[Any, ...]:
    tensors, held = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    found = gradient(ctx.key, ctx.which, scale, list(tensors), list(held))
    return None, _spread(found, ctx.which), [None] * len(held)


def _keep_gradient(ctx: Any, inputs: Any, output: Any) -> None:
    del output
    ctx.key, ctx.which, scale, tensors, held = inputs
    ctx.count = len(tensors)
    ctx.save_for_backward(scale, *tensors, *held)


def _gradient_back(ctx: Any, directions: Any) -> tuple[Any, ...]:
    scale, *rest = ctx.saved_tensors
    tensors, held = rest[: ctx.count], rest[ctx.count :]
    own = [t for t, wanted in zip(tensors, ctx.which, strict=True) if wanted]
    moves = [_torch.zeros_like(t) if v is None else v for v, t in zip(directions, own, strict=True)]
    moved = product(ctx.key, ctx.which, scale, tensors, held, moves)
    scaled = None
    if ctx.needs_input_grad[2]:

        def slopes(factor: Any) -> Any:
            return gradient(ctx.key, ctx.which, factor, tensors, held)

        scaled = along(_call(ctx.key, held), slopes, tuple(ctx.which), tuple(tensors), moves)
    return None, None, scaled, _spread(moved, ctx.which), [None] * len(held)


value.register_autograd(_value_back, setup_context=_keep_value)
gradient.register_autograd(_gradient_back, setup_context=_keep_gradient)
