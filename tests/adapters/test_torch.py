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

# forward mode loads a part of torch that uses what torch itself deprecates
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


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
    assert np.shares_memory(torch_calls.array(z), z.numpy())


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
def test_operators_are_what_torch_expects(name: str, inputs: tuple[Any, ...], settings: dict[str, Any]) -> None:
    given = list(fresh(inputs))
    key = torch_ops.key_of((name, None, "exact"), len(given), ((), ()), tuple(settings.items()), "mean")
    torch.library.opcheck(torch_ops.value, (key, given, []))
    which = [x.requires_grad for x in given]
    plain = [x.detach() for x in given]
    scale, moves = torch.ones((), dtype=torch.float64), [p for p, w in zip(plain, which, strict=True) if w]
    torch.library.opcheck(torch_ops.gradient, (key, which, scale, plain, []))
    torch.library.opcheck(torch_ops.product, (key, which, scale, plain, [], moves))


@each
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled_whole(name: str, inputs: tuple[Any, ...], settings: dict[str, Any], reduction: str) -> None:
    def total(*tensors: Any) -> Any:
        return (2.0 * st.call(name, *tensors, reduction=reduction, **settings)).sum()

    torch._dynamo.reset()
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    results = []
    for function in (total, compiled):
        given = fresh(inputs)
        value = function(*given)
        value.backward()
        results.append((value.detach(), *(x.grad for x in given if x.requires_grad)))
    for plain, whole in zip(*results, strict=True):
        torch.testing.assert_close(whole, plain, rtol=0.0, atol=0.0)


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


DESIGN = np.random.default_rng(5).normal(size=(8, 3)).astype(np.float32)


def one_of_two(rank: int, folder: str) -> None:
    """Take one step on half of the rows, and write what both processes agree on."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # the two meet on this machine
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
    rows = torch.from_numpy(DESIGN[rank::2])
    st.Focal(gamma=1.5)(model(rows)[:, 0], (rows[:, 0] > 0).float()).backward()
    np.save(f"{folder}/{rank}.npy", model.module.weight.grad.numpy())
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads and Python's lock wait for each other where the group is taken down


def test_two_processes_train_together(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    model, rows = torch.nn.Linear(3, 1), torch.from_numpy(DESIGN)
    st.Focal(gamma=1.5)(model(rows)[:, 0], (rows[:, 0] > 0).float()).backward()
    assert model.weight.grad is not None
    for rank in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), model.weight.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_a_third_derivative_is_an_error() -> None:
    z = logits(5)
    (slope,) = torch.autograd.grad(st.focal(z, BINARY), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="focal: third derivatives"):
        bend.sum().backward()
