"""The contenders: callables that compute one case, ours and those of every installed library.

Each is made once, with its arrays in its own kind, and called many times. What a library computes ahead, such as a
compiled function, is there after the first call, which is not timed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import symloss
from symloss.bench.cases import GRADIENT_AND_HESSIAN, Case, Inputs
from symloss.bench.formulas import FORMULAS, Library

Call = Callable[[], Any]
OURS = ("exact", "fast")
LIMITS = ("stream", "flop")
"""Not contenders: what moving the data takes, and what the products of matrices take."""


def contenders(case: Case, *, compiled: bool) -> Iterator[tuple[str, Call]]:
    """Yield the name and the call of everyone who can compute a case.

    Parameters
    ----------
    case : Case
        What is timed.
    compiled : bool
        Whether torch compiles too, which takes it several seconds for each case.
    """
    inputs = case.inputs()
    for accuracy in OURS:
        yield from _ours(case, inputs, accuracy)
    yield "stream", _stream(case, inputs)
    if case.products is not None:
        yield "flop", _flop(case)
    if importlib.util.find_spec("torch") is not None:
        yield from _torch(case, inputs, compiled=compiled)
    if importlib.util.find_spec("jax") is not None:
        yield from _jax(case, inputs)
    if importlib.util.find_spec("sklearn") is not None:
        yield from _sklearn(case, inputs)


def differentiated(case: Case, inputs: Inputs) -> list[int]:
    """Return the places of the inputs that derivatives are taken in."""
    names = symloss.load(case.loss).differentiable
    return [k for k, name in enumerate(inputs) if name in names]


def _ours(case: Case, inputs: Inputs, accuracy: str) -> Iterator[tuple[str, Call]]:
    loss = symloss.load(case.loss, accuracy=accuracy)
    call, arrays = getattr(loss, case.quantity), tuple(inputs.values())
    places = differentiated(case, inputs) * (2 if case.quantity == GRADIENT_AND_HESSIAN else 1)
    found = tuple(np.empty_like(arrays[k]) for k in places)
    out = found[0] if len(found) == 1 else found
    yield accuracy, lambda: call(*arrays, out=out)
    if len(case.shape) == 1:
        yield f"{accuracy}, fresh", lambda: call(*arrays)


def _stream(case: Case, inputs: Inputs) -> Call:
    """Return what only reads the inputs and writes the outputs, in NumPy."""
    arrays = [inputs[name] for name in inputs if inputs[name].ndim == len(case.shape)]
    written = len(differentiated(case, inputs)) * (2 if case.quantity == GRADIENT_AND_HESSIAN else 1)
    read, out = arrays[0], [np.empty_like(arrays[0]) for _ in range(written)]
    other = arrays[1] if len(arrays) > 1 and arrays[1].shape == read.shape else read

    def call() -> None:
        np.subtract(read, other, out=out[0])
        for array in out[1:]:
            np.copyto(array, 1.0)

    return call


def _flop(case: Case) -> Call:
    """Return the products of matrices that a case cannot do without, in NumPy: the scores and two gradients."""
    rows, columns, depth = case.products or (0, 0, 0)
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(n, depth)).astype(case.dtype) for n in (rows, columns))
    scores = np.empty((rows, columns), case.dtype)
    of_left, of_right = np.empty_like(left), np.empty_like(right)

    def call() -> None:
        np.matmul(left, right.T, out=scores)
        np.matmul(scores, right, out=of_left)
        np.matmul(scores.T, left, out=of_right)

    return call


def _torch(case: Case, inputs: Inputs, *, compiled: bool) -> Iterator[tuple[str, Call]]:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    library = Library(
        torch, functional.softplus, lambda x: x.logsumexp(-1), lambda x: x.norm(dim=-1), torch.eye,
        lambda z, y: z.gather(1, y[:, None])[:, 0], lambda z: functional.softmax(z, 1),
    )  # fmt: skip
    loss = {
        "binary_cross_entropy": functional.binary_cross_entropy_with_logits, "huber": functional.huber_loss,
        "squared_error": functional.mse_loss, "absolute_error": functional.l1_loss,
        "smooth_l1": functional.smooth_l1_loss, "softmax_cross_entropy": functional.cross_entropy,
    }.get(case.loss) or FORMULAS[case.loss](library)  # fmt: skip
    tensors = [torch.tensor(x) for x in inputs.values()]
    leaves = [tensors[k].requires_grad_() for k in differentiated(case, inputs)]

    def second(loss: Any) -> Call:
        def call() -> Any:
            (slope,) = torch.autograd.grad(loss(*tensors), leaves, create_graph=True)
            if not slope.requires_grad:
                return slope, torch.zeros_like(slope)
            (curve,) = torch.autograd.grad(slope.sum(), leaves, allow_unused=True)
            return slope, curve

        return call

    def first(loss: Any) -> Call:
        def call() -> Any:
            value = loss(*tensors)
            return value, torch.autograd.grad(value, leaves)

        return call

    made = second if case.quantity == GRADIENT_AND_HESSIAN else first
    yield "torch eager", made(loss)
    if compiled and made is first:
        torch._dynamo.reset()
        yield "torch.compile", first(torch.compile(loss))
        both = torch.compile(torch.func.grad_and_value(loss, argnums=tuple(differentiated(case, inputs))))
        plain = [t.detach() for t in tensors]
        yield "torch.compile grad_and_value", lambda: both(*plain)


def _jax(case: Case, inputs: Inputs) -> Iterator[tuple[str, Call]]:
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    library = Library(
        jnp, lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))),
        lambda x: jax.scipy.special.logsumexp(x, axis=-1), lambda x: jnp.linalg.norm(x, axis=-1), jnp.eye,
        lambda z, y: jnp.take_along_axis(z, y[:, None], 1)[:, 0], lambda z: jax.nn.softmax(z, 1),
    )  # fmt: skip
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # faster where a call is short
    loss = FORMULAS[case.loss](library)
    arrays = [jnp.asarray(x) for x in inputs.values()]
    places = tuple(differentiated(case, inputs))
    if case.quantity == GRADIENT_AND_HESSIAN:
        slope = jax.grad(loss)

        def both(x: Any, *rest: Any) -> Any:
            return jax.jvp(lambda moved: slope(moved, *rest), (x,), (jnp.ones_like(x),))

        function = jax.jit(both)
    else:
        function = jax.jit(jax.value_and_grad(loss, argnums=places))
    yield "JAX jit", lambda: jax.block_until_ready(function(*arrays))


def _sklearn(case: Case, inputs: Inputs) -> Iterator[tuple[str, Call]]:
    losses = importlib.import_module("sklearn._loss")
    kinds = {
        "binary_cross_entropy": losses.HalfBinomialLoss, "squared_error": losses.HalfSquaredError,
        "absolute_error": losses.AbsoluteError, "huber": losses.HuberLoss,
        "softmax_cross_entropy": losses.HalfMultinomialLoss,
    }  # fmt: skip
    if case.loss not in kinds or (case.loss == "huber" and case.quantity == GRADIENT_AND_HESSIAN):
        return
    several = {"n_classes": case.shape[1]} if case.loss == "softmax_cross_entropy" else {}
    loss = kinds[case.loss](**several)
    raw, true = (np.ascontiguousarray(x) for x in list(inputs.values())[:2])
    true, out = true.astype(raw.dtype), (np.empty_like(raw), np.empty_like(raw))
    if case.quantity == GRADIENT_AND_HESSIAN:
        yield "scikit-learn", lambda: loss.gradient_hessian(true, raw, gradient_out=out[0], hessian_out=out[1])
    else:
        value = np.empty(len(raw), raw.dtype)
        yield "scikit-learn", lambda: loss.loss_gradient(true, raw, loss_out=value, gradient_out=out[0])
