"""The torch adapter beside torch itself: values, both derivatives, and the transforms of torch.func."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import symloss
from symloss.adapters import torch as st

# forward mode loads a part of torch that uses what torch itself deprecates
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def logits(*shape: int, grad: bool = True) -> Any:
    return torch.tensor(np.random.default_rng(len(shape)).normal(0, 2, shape), requires_grad=grad)


LABEL = torch.tensor([0, 2, 1, 2])
BINARY = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("binary_cross_entropy", (logits(5), BINARY), {}),
    ("focal", (logits(5), BINARY), {"gamma": 1.5}),
    ("softmax_cross_entropy", (logits(4, 3), LABEL), {}),
    ("huber", (logits(5), BINARY), {"delta": 0.7}),
    ("triplet", (logits(4, 3), logits(4, 3) + 1.0, logits(4, 3) * 0.5), {"margin": 9.0}),
    ("info_nce", (logits(4, 3), logits(4, 3) + 0.3), {"temperature": 0.5}),
]
each = pytest.mark.parametrize("name, inputs, settings", CASES, ids=[c[0] for c in CASES])


def fresh(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.detach().clone().requires_grad_(x.is_floating_point() and x is not BINARY) for x in inputs)


def of_reals(name: str, inputs: tuple[Any, ...], **settings: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the loss as a function of its real inputs, and those."""
    given = fresh(inputs)
    free = tuple(x for x in given if x.requires_grad)

    def function(*reals: Any) -> Any:
        rest = iter(reals)
        return st.call(name, *(next(rest) if x.requires_grad else x for x in given), **settings)

    return function, free


@each
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_both_derivatives(name: str, inputs: tuple[Any, ...], settings: dict[str, Any], reduction: str) -> None:
    function, free = of_reals(name, inputs, reduction=reduction, **settings)
    assert torch.autograd.gradcheck(function, free, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, free)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "softmax_cross_entropy"])
def test_each_sample(name: str) -> None:
    inputs = next(c[1] for c in CASES if c[0] == name)
    function, free = of_reals(name, inputs, reduction="none")
    assert torch.autograd.gradcheck(function, free, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, free)


def test_agrees_with_torch() -> None:
    z = logits(4, 3)
    ours, theirs = st.softmax_cross_entropy(z, LABEL), torch.nn.functional.cross_entropy(z, LABEL)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0.0)
    torch.testing.assert_close(*(torch.autograd.grad(v, z)[0] for v in (ours, theirs)), rtol=1e-13, atol=1e-15)


def test_transforms() -> None:
    z = logits(5, grad=False)

    def ours(x: Any) -> Any:
        return st.binary_cross_entropy(x, BINARY)

    def theirs(x: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy_with_logits(x, BINARY)

    for transform in (torch.func.grad, torch.func.hessian, torch.func.jacfwd, torch.func.jacrev):
        torch.testing.assert_close(transform(ours)(z), transform(theirs)(z), rtol=1e-12, atol=1e-15)
    batch = torch.stack([z, -z, 2 * z])
    for function in (ours, torch.func.grad(ours)):
        rows = torch.stack([function(row) for row in batch])
        torch.testing.assert_close(torch.func.vmap(function)(batch), rows, rtol=0.0, atol=0.0)
    _, moved = torch.func.jvp(ours, (z,), (torch.ones_like(z),))
    torch.testing.assert_close(moved, torch.func.grad(theirs)(z).sum(), rtol=1e-12, atol=1e-15)


def test_parameters_are_differentiated() -> None:
    query, key = CASES[-1][1]
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: st.info_nce(query.detach(), key.detach(), temperature=t), (tau,))


def test_half_precision_is_computed_in_float32() -> None:
    z = torch.randn(6, dtype=torch.bfloat16, requires_grad=True)
    value = st.focal(z, torch.ones(6))
    value.backward()
    assert value.dtype == torch.float32
    assert z.grad is not None and z.grad.dtype == torch.bfloat16  # noqa: PT018


def test_kernels_read_in_place() -> None:
    z = logits(3, grad=False)
    assert np.shares_memory(st._array(z), z.numpy())


def test_modules() -> None:
    module = st.SoftmaxFocal(gamma=1.0, reduction="sum")
    assert repr(module) == "LossModule(softmax_focal, gamma=1.0, reduction='sum')"
    z = logits(4, 3)
    assert float(module(z, LABEL).detach()) == symloss.softmax_focal.value(z.detach().numpy(), LABEL.numpy(), gamma=1.0,
                                                                  reduction="sum")  # fmt: skip
    with pytest.raises(AttributeError, match="focal"):
        _ = st.no_such_loss


def test_a_third_derivative_is_an_error() -> None:
    z = logits(5)
    (slope,) = torch.autograd.grad(st.focal(z, BINARY), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="focal: third derivatives"):
        bend.sum().backward()
