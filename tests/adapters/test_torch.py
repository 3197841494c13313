"""The torch adapter beside torch itself: values, both derivatives, and the transforms of torch.func."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import symloss
from symloss.adapters import torch as st
from symloss.adapters import torch_calls, torch_ops
from tests.adapters.cases import as_tuple, close, drawn, each, places

# forward mode loads a part of torch that uses what torch itself deprecates
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def logits(*shape: int, grad: bool = True) -> Any:
    return torch.tensor(np.random.default_rng(len(shape)).normal(0, 2, shape), requires_grad=grad)


LABEL = torch.tensor([0, 2, 1, 2])
BINARY = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)

LOSSES = pytest.mark.parametrize("name", symloss.losses())


def fresh(name: str, dtype: Any = torch.float64) -> tuple[list[Any], tuple[int, ...]]:
    """Return inputs as tensors, and which require a gradient."""
    inputs = [torch.from_numpy(x) for x in drawn(name)]
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
    for k in places(name):
        inputs[k].requires_grad_()
    return inputs, places(name)


def total(name: str, **settings: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the loss as a function of its differentiable inputs, and those."""
    inputs, free = fresh(name)

    def function(*reals: Any) -> Any:
        every = [x.detach() for x in inputs]
        for k, x in zip(free, reals, strict=True):
            every[k] = x
        return st.call(name, *every, **settings)

    return function, tuple(inputs[k] for k in free)


@each
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_both_derivatives(name: str, settings: dict[str, Any], reduction: str) -> None:
    function, free = total(name, reduction=reduction, **settings)
    assert torch.autograd.gradcheck(function, free, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, free)


@each
def test_each_sample_moves_as_the_formula_says(name: str, settings: dict[str, Any]) -> None:
    """The expression has a slope of its own for each sample; kernels are asked for one gradient a sample."""
    function, reals = total(name, reduction="none", **settings)
    inputs, free = fresh(name)

    def formula(*x: Any) -> Any:
        every = [v.detach() for v in inputs]
        for k, v in zip(free, x, strict=True):
            every[k] = v
        return st.expression(name)(*every, reduction="none", **settings)

    plain = tuple(x.detach() for x in reals)
    moves = tuple(torch.sin(3.0 * x) for x in plain)
    found, expected = (torch.func.jvp(f, plain, moves)[1] for f in (function, formula))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


def test_samples_of_broadcast_inputs_and_parameters_move() -> None:
    x, y, delta = logits(4, 3, grad=False), logits(3, grad=False), torch.tensor(0.7, dtype=torch.float64)
    delta.requires_grad_()
    y.requires_grad_()

    def samples(target: Any, size: Any) -> Any:
        return st.huber(x, target, delta=size, reduction="none")

    assert torch.autograd.gradcheck(lambda size: samples(y.detach(), size), (delta,), check_forward_ad=True)
    broadcast = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: st.huber(z, x, reduction="none"), (broadcast,), check_forward_ad=True, check_batched_grad=False
    )


def test_nothing_is_copied_on_the_cpu() -> None:
    """The loss is given the very memory of the tensors, and what it returns is what torch holds."""
    given, returned = [], []

    class Watched:
        def __init__(self, loss: Any) -> None:
            self.loss, self.name, self.inputs, self.plan = loss, loss.name, loss.inputs, loss.plan

        def __getattr__(self, method: str) -> Any:
            def run(*arrays: Any, **keywords: Any) -> Any:
                given.extend(arrays)
                found = getattr(self.loss, method)(*arrays, **keywords)
                returned.append(found)
                return found

            return run

    z, label = logits(4, 3), LABEL
    loss = symloss.load("softmax_cross_entropy")
    samples = st.call(Watched(loss), z, label, reduction="none")
    addresses = {z.data_ptr(), label.data_ptr()}
    assert {a.ctypes.data for a in given} == addresses
    assert samples.data_ptr() == returned[0].ctypes.data
    total = st.call(Watched(loss), z, label, reduction="sum")
    (slope,) = torch.autograd.grad(total, z)
    assert {a.ctypes.data for a in given} == addresses
    assert slope.shape == z.shape


def test_agrees_with_torch() -> None:
    z = logits(4, 3)
    ours, theirs = st.softmax_cross_entropy(z, LABEL), torch.nn.functional.cross_entropy(z, LABEL)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0.0)
    torch.testing.assert_close(*(torch.autograd.grad(v, z)[0] for v in (ours, theirs)), rtol=1e-13, atol=1e-15)


@each
def test_transforms(name: str, settings: dict[str, Any]) -> None:
    loss, inputs = symloss.load(name), drawn(name)
    function, reals = total(name, **settings)
    first, *rest = (x.detach() for x in reals)
    wrt = loss.differentiable[0]

    def alone(x: Any) -> Any:
        return function(x, *rest)

    slope = loss.gradient(*inputs, wrt=wrt, **settings)
    units = np.eye(first.numel()).reshape(-1, *first.shape)
    rows = np.stack([loss.hessian_product(*inputs, wrt=wrt, direction=u, **settings) for u in units])
    for transform in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd):
        close(slope, transform(alone)(first), "float64")
    for hessian in (torch.func.hessian(alone), torch.func.jacrev(torch.func.grad(alone))):
        close(rows.reshape((*first.shape, *first.shape)), hessian(first), "float64")
    batch = torch.stack([first, 0.5 * first])
    for mapped in (alone, torch.func.grad(alone)):
        one_by_one = torch.stack([mapped(x) for x in batch])
        torch.testing.assert_close(torch.func.vmap(mapped)(batch), one_by_one, rtol=0.0, atol=0.0)
    _, moved = torch.func.jvp(alone, (first,), (torch.ones_like(first),))
    assert abs(slope.sum() - moved) <= 1e-13 * np.abs(slope).sum()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_parameters_are_differentiated(reduction: str) -> None:
    query, key = (x.detach() for x in fresh("info_nce")[0])
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def function(t: Any) -> Any:
        return st.info_nce(query, key, temperature=t, reduction=reduction).sum()

    assert torch.autograd.gradcheck(function, (tau,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (tau,))
    at, one = tau.detach(), torch.ones((), dtype=torch.float64)
    plain = tuple(x.numpy() for x in (query, key))
    total = "mean" if reduction == "mean" else "sum"
    slope = symloss.info_nce.gradient(*plain, wrt="temperature", temperature=0.5, reduction=total)
    bend = symloss.info_nce.hessian_diagonal(*plain, wrt="temperature", temperature=0.5, reduction=total)
    for found in (torch.func.grad(function)(at), torch.func.jvp(function, (at,), (one,))[1]):
        np.testing.assert_allclose(found, slope, rtol=1e-13)
    np.testing.assert_allclose(torch.func.hessian(function)(at), bend, rtol=1e-13)


@each
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(name: str, settings: dict[str, Any], half: Any) -> None:
    inputs, free = fresh(name, half)
    value = st.call(name, *inputs, **settings)
    value.backward()
    assert value.dtype == torch.float32
    plain = tuple(x.detach().float().numpy() if x.is_floating_point() else x.numpy() for x in inputs)
    for k, slope in zip(free, as_tuple(symloss.load(name).gradient(*plain, **settings)), strict=True):
        assert inputs[k].grad.dtype == half
        torch.testing.assert_close(inputs[k].grad, torch.from_numpy(slope).to(half), rtol=0.0, atol=0.0)


def test_kernels_read_in_place() -> None:
    z = logits(3, grad=False)
    assert np.shares_memory(torch_calls.array(z), z.numpy())


@LOSSES
def test_modules_say_what_they_are(name: str) -> None:
    title = "".join(part.capitalize() for part in name.split("_"))
    module, inputs = getattr(st, title), fresh(name)[0]
    assert repr(module()) == f"{title}()"
    assert repr(module(reduction="sum")) == f"{title}(reduction='sum')"
    torch.testing.assert_close(module()(*inputs), st.call(name, *inputs), rtol=0.0, atol=0.0)
    assert repr(pickle.loads(pickle.dumps(module(reduction="none")))) == f"{title}(reduction='none')"


def test_modules() -> None:
    module = st.SoftmaxFocal(gamma=1.0, reduction="sum")
    assert repr(module) == "SoftmaxFocal(gamma=1.0, reduction='sum')"
    z = logits(4, 3)
    assert float(module(z, LABEL).detach()) == symloss.softmax_focal.value(z.detach().numpy(), LABEL.numpy(), gamma=1.0,
                                                                  reduction="sum")  # fmt: skip
    with pytest.raises(AttributeError, match="focal"):
        _ = st.no_such_loss


def test_modules_are_classes_that_can_be_pickled() -> None:
    assert st.ArcFace is st.Arcface
    module = pickle.loads(pickle.dumps(st.Huber(delta=0.5)))
    assert repr(module) == "Huber(delta=0.5)"
    assert repr(st.LossModule("huber")) == "LossModule(huber)"
    x = logits(4)
    torch.testing.assert_close(module(x, torch.zeros(4)), st.huber(x, torch.zeros(4), delta=0.5))


@each
def test_operators_are_what_torch_expects(name: str, settings: dict[str, Any]) -> None:
    given, free = fresh(name)
    key = torch_ops.key_of((name, None, "exact"), len(given), ((), ()), tuple(settings.items()), "mean")
    torch.library.opcheck(torch_ops.value, (key, given, []))
    which = [k in free for k in range(len(given))]
    plain = [x.detach() for x in given]
    scale, moves = torch.ones((), dtype=torch.float64), [plain[k] for k in free]
    torch.library.opcheck(torch_ops.gradient, (key, which, scale, plain, []))
    torch.library.opcheck(torch_ops.product, (key, which, scale, plain, [], moves))


@each
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled_whole(name: str, settings: dict[str, Any], reduction: str) -> None:
    def whole(*tensors: Any) -> Any:
        return (2.0 * st.call(name, *tensors, reduction=reduction, **settings)).sum()

    torch._dynamo.reset()
    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")
    results = []
    for function in (whole, compiled):
        given, free = fresh(name)
        value = function(*given)
        value.backward()
        results.append((value.detach(), *(given[k].grad for k in free)))
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=0.0, atol=0.0)


def test_compiled_modules_weights_and_sizes() -> None:
    torch._dynamo.reset()
    module = st.SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=torch.tensor([1.0, 2.0, 0.5]))
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    for rows in (4, 6, 9):
        z, label, weight = torch.randn(rows, 3), torch.arange(rows) % 3, torch.rand(rows)
        torch.testing.assert_close(compiled(z, label, sample_weight=weight), module(z, label, sample_weight=weight))


def test_compiled_by_inductor() -> None:
    torch._dynamo.reset()
    torch._inductor.config.compile_threads = 1  # its pool of processes and ours wait for each other
    z = torch.randn(50, requires_grad=True)
    step = torch.compile(lambda x: st.focal(2.0 * x, (x > 0).float().detach(), gamma=1.5), fullgraph=True)
    (found,) = torch.autograd.grad(step(z), z)
    (plain,) = torch.autograd.grad(st.focal(2.0 * z, (z > 0).float().detach(), gamma=1.5), z)
    torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast(half: Any) -> None:
    model = torch.nn.Linear(3, 2)
    with torch.autocast("cpu", dtype=half):
        scores = model(torch.randn(5, 3))
        value = st.softmax_cross_entropy(scores, torch.tensor([0, 1, 1, 0, 1]))
    assert (scores.dtype, value.dtype) == (half, torch.float32)
    value.backward()
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


def half_of(name: str, rank: int | None) -> tuple[list[Any], Any]:
    """Return the inputs of every second sample (or, without a rank, of all six), and a parameter for the first."""
    loss = symloss.load(name)
    axis = loss.spec.sample_axes[0]
    every = slice(0, 6) if rank is None else slice(rank, 6, 2)
    inputs = [
        torch.from_numpy(x)[every] if axis in a.axes[:1] or loss.spec.elementwise else torch.from_numpy(x)
        for a, x in zip(loss.spec.inputs, drawn(name), strict=False)
    ]
    return inputs, torch.zeros(inputs[0].shape[1:], dtype=torch.float64)


class Shifted(torch.nn.Module):
    """A model of one parameter: what all samples are moved by."""

    def __init__(self, shift: Any) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(shift)

    def forward(self, x: Any) -> Any:
        return x + self.shift


TOGETHER = tuple(name for name in symloss.losses() if symloss.load(name).spec.separable)
"""Losses that are a mean over samples, so that the mean over halves of them is the whole."""


def one_of_two(rank: int, folder: str) -> None:
    """Take one step with each loss on half of the samples, and write what both processes agree on."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # the two meet on this machine
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name in TOGETHER:
        (first, *rest), shift = half_of(name, rank)
        model = torch.nn.parallel.DistributedDataParallel(Shifted(shift))
        st.LossModule(name)(model(first), *rest).backward()
        found[name] = model.module.shift.grad.numpy()
    np.savez(f"{folder}/{rank}.npz", **found)
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads and Python's lock wait for each other where the group is taken down


def test_two_processes_train_together(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        assert set(found) == set(TOGETHER)
        for name in TOGETHER:
            (first, *rest), shift = half_of(name, None)
            model = Shifted(shift)
            st.LossModule(name)(model(first), *rest).backward()
            assert model.shift.grad is not None
            terms_of = symloss.load(name).gradient(*(x.numpy() for x in (first, *rest)))
            terms = sum(np.abs(part).sum() for part in as_tuple(terms_of))  # they may cancel
            np.testing.assert_allclose(found[name], model.shift.grad.numpy(), rtol=0.0, atol=1e-14 * terms)


def test_a_third_derivative_is_an_error() -> None:
    z = logits(5)
    (slope,) = torch.autograd.grad(st.focal(z, BINARY), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="focal: third derivatives"):
        bend.sum().backward()
