"""The torch expressions beside the compiled kernels, and what runs where: on the CPU kernels, elsewhere expressions."""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import symloss
from symloss.adapters import torch as st
from tests.adapters.cases import as_tuple, close, drawn, each, places

GENERATED = Path(symloss.__file__).resolve().parent.parent / "generated"
LOSSES = pytest.mark.parametrize("name", symloss.losses())

# forward mode and the compiler use what torch itself deprecates
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


def total(name: str, dtype: str = "float64", **settings: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the expression as a function of the differentiable inputs, and those."""
    inputs = [torch.from_numpy(x) for x in drawn(name, dtype)]
    free = tuple(k for k in places(name) if k < len(inputs))
    expression = st.expression(name)

    def function(*reals: Any) -> Any:
        every = list(inputs)
        for k, x in zip(free, reals, strict=True):
            every[k] = x
        return expression(*every, **settings)

    return function, tuple(inputs[k].clone().requires_grad_() for k in free)


@each
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_value_and_derivatives_are_ours(name: str, settings: dict[str, Any], dtype: str) -> None:
    inputs, loss = drawn(name, dtype), symloss.load(name)
    samples, reals = total(name, dtype, reduction="none", **settings)
    close(loss.value(*inputs, reduction="none", **settings), samples(*reals).detach(), dtype)
    function, reals = total(name, dtype, **settings)
    value = function(*reals)
    close(loss.value(*inputs, **settings), value.detach(), dtype)
    slopes = torch.autograd.grad(value, reals, create_graph=True)
    for a, b in zip(as_tuple(loss.gradient(*inputs, **settings)), slopes, strict=True):
        close(a, b.detach(), dtype)
    exact = loss.gradient(*(x.astype("float64") if x.dtype == "float32" else x for x in inputs), **settings)
    for a, b in zip(as_tuple(exact), slopes, strict=True):
        assert (
            np.abs(a - b.double().detach().numpy()).max() <= (2e-7 if dtype == "float32" else 1e-13) * np.abs(a).max()
        )
    rng = np.random.default_rng(1)
    moves = tuple(rng.normal(size=x.shape).astype(dtype) for x in reals)
    direction = moves if len(moves) > 1 else moves[0]
    product = as_tuple(loss.hessian_product(*inputs, direction=direction, **settings))
    along = sum((g * torch.from_numpy(m)).sum() for g, m in zip(slopes, moves, strict=True))
    for a, b in zip(product, torch.autograd.grad(along, reals), strict=True):  # double backward
        close(a, b, dtype)


@each
def test_transforms(name: str, settings: dict[str, Any]) -> None:
    loss = symloss.load(name)
    function, reals = total(name, **settings)
    first, rest = reals[0].detach(), tuple(x.detach() for x in reals[1:])

    def alone(x: Any) -> Any:
        return function(x, *rest)

    slope, wrt = torch.func.grad(alone), loss.differentiable[0]
    close(as_tuple(loss.gradient(*drawn(name), wrt=wrt, **settings))[0], slope(first), "float64")
    units = torch.eye(first.numel(), dtype=first.dtype).reshape(-1, *first.shape)
    rows = np.stack([loss.hessian_product(*drawn(name), wrt=wrt, direction=u.numpy(), **settings) for u in units])
    whole = torch.func.hessian(alone)(first)  # forward over reverse, under vmap
    close(rows.reshape(whole.shape), whole, "float64")
    diagonal = loss.hessian_diagonal(*drawn(name), wrt=wrt, **settings)
    close(diagonal.ravel(), whole.reshape(first.numel(), -1).diagonal(), "float64")
    batch = torch.stack([first, 0.5 * first])
    for mapped in (alone, slope):
        one_by_one = torch.stack([mapped(x) for x in batch])
        close(one_by_one, torch.func.vmap(mapped)(batch), "float64")
    _, moved = torch.func.jvp(alone, (first,), (torch.ones_like(first),))
    np.testing.assert_allclose(moved, slope(first).sum(), rtol=1e-11, atol=1e-11 * float(slope(first).abs().max()))


@each
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_both_derivatives(name: str, settings: dict[str, Any], reduction: str) -> None:
    function, reals = total(name, reduction=reduction, **settings)
    assert torch.autograd.gradcheck(function, reals, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, reals, check_fwd_over_rev=True)


def test_parameters_and_weights_are_differentiated() -> None:
    logit, target = drawn("focal")
    weight = np.linspace(0.5, 2.0, len(logit))
    ours = symloss.focal.gradient(logit, target, wrt=("gamma", "alpha"), gamma=1.5, sample_weight=weight)
    gamma, alpha, w = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1.5, 0.25, weight))
    focal, tensors = st.expression("focal"), [torch.from_numpy(x) for x in (logit, target)]
    found = torch.autograd.grad(focal(*tensors, gamma=gamma, alpha=alpha, sample_weight=w), (gamma, alpha))
    for a, b in zip(ours, found, strict=True):
        close(a, b, "float64")
    (by_weight,) = torch.autograd.grad(focal(*tensors, sample_weight=w, reduction="sum"), w)
    close(symloss.focal.value(logit, target, reduction="none"), by_weight, "float64")


def test_exponents_are_differentiated_where_what_they_raise_is_zero() -> None:
    logits, label = np.array([[1000.0, 0.0], [3.0, 1.0]]), np.array([0, 1])
    gamma = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    focal = st.expression("softmax_focal")(torch.from_numpy(logits), torch.from_numpy(label), gamma=gamma)
    (found,) = torch.autograd.grad(focal, gamma)
    close(symloss.softmax_focal.gradient(logits, label, wrt="gamma", gamma=1.5), found, "float64")
    vectors = np.array([[1.0, 2.0], [1.0, 3.0], [4.0, 2.5]])  # the first entry of the one is that of the other
    for p in (1.0, 2.0, 2.5):
        order = torch.tensor(p, dtype=torch.float64, requires_grad=True)
        loss = st.expression("triplet")(*torch.from_numpy(vectors[:, None]), p=order, margin=4.0)
        ours = symloss.triplet.gradient(*vectors[:, None], wrt="p", p=p, margin=4.0)
        close(ours, torch.autograd.grad(loss, order)[0], "float64")


@pytest.mark.parametrize("logit", [-1e4, -800.0, -40.0, 0.0, 40.0, 800.0, 1e4])
def test_far_out(logit: float) -> None:
    z = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    for target in (0.0, 1.0):
        for name in ("binary_cross_entropy", "focal", "poly_focal"):
            (slope,) = torch.autograd.grad(st.expression(name)(z, target), z)
            np.testing.assert_allclose(slope, symloss.load(name).gradient(logit, target), rtol=1e-13, atol=1e-320)


def test_rows_far_out_and_ignored() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [40.0, 0.0, 0.0], [-900.0, -900.0, -900.0], [np.nan, np.inf, 0.0]])
    label, z = np.array([0, 0, 2, -100]), torch.tensor(logits, requires_grad=True)
    value = st.expression("softmax_cross_entropy")(z, torch.from_numpy(label), ignore_index=-100)
    (slope,) = torch.autograd.grad(value, z)
    ours = symloss.softmax_cross_entropy.value_and_gradient(logits, label, ignore_index=-100)
    np.testing.assert_allclose(value.detach(), ours[0], rtol=1e-13)
    np.testing.assert_allclose(slope, ours[1], rtol=1e-13, atol=0.0)  # 1 - p at the label keeps its digits


@each
def test_the_compiler_looks_inside(name: str, settings: dict[str, Any]) -> None:
    torch._dynamo.reset()
    function, reals = total(name, **settings)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    expected, found = (torch.autograd.grad(f(*reals), reals) for f in (function, compiled))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-13, atol=1e-13 * float(a.abs().max()))


@each
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_formulas_alone(name: str, settings: dict[str, Any], half: Any) -> None:
    function, reals = total(name, "float32", **settings)
    plain = torch.autograd.grad(function(*reals), reals)
    with torch.autocast("cpu", dtype=half):
        value = function(*reals)
        found = torch.autograd.grad(value, reals)
    assert value.dtype == torch.float32
    for a, b in zip(plain, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0.0, atol=0.0)


def test_fast_computes_in_float32() -> None:
    inputs = [torch.from_numpy(x) for x in drawn("arcface", "float32")]
    exact, fast = (st.expression(symloss.load("arcface", accuracy=a))(*inputs) for a in ("exact", "fast"))
    assert exact.dtype == fast.dtype == torch.float32
    torch.testing.assert_close(fast, exact, rtol=1e-5, atol=0.0)
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            seen.extend(x.dtype for x in torch.utils._pytree.tree_leaves(found) if isinstance(x, torch.Tensor))
            return found

    for accuracy in ("exact", "fast"):
        seen.clear()
        with Watch():
            st.expression("arcface")(*inputs, accuracy=accuracy)
        assert (torch.float64 in seen) == (accuracy == "exact")


@LOSSES
def test_tensors_elsewhere_never_come_to_the_cpu(name: str) -> None:
    """Tensors of the device ``meta`` have no numbers, so that nothing but an expression could take them."""
    inputs = [torch.from_numpy(x).to("meta") for x in drawn(name)]
    reals = [inputs[k].requires_grad_() for k in places(name)]
    value = st.call(name, *inputs)
    assert (value.device.type, value.shape, value.dtype) == ("meta", (), torch.float64)
    slopes = torch.autograd.grad(value, reals, create_graph=True)
    products = torch.autograd.grad(sum(s.sum() for s in slopes), reals, allow_unused=True)
    for x, *found in zip(reals, slopes, products, strict=True):
        assert {(g.device.type, g.shape) for g in found if g is not None} == {("meta", x.shape)}


def test_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    st._TOLD.clear()
    z = torch.empty(3, device="meta")
    with caplog.at_level(logging.INFO):
        st.focal(z, z)
        st.Focal(gamma=1.0)(z, z)
        st.focal(torch.zeros(3), torch.zeros(3))
    (record,) = caplog.records
    assert record.message == "focal: tensors on meta run the generated torch expression, not the compiled kernel"


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_elsewhere_with_every_keyword(monkeypatch: pytest.MonkeyPatch, half: Any) -> None:
    """The same call, with the CPU taken for another device, gives the same numbers."""
    z = torch.randn(6, 3, dtype=half, generator=torch.Generator().manual_seed(0)).requires_grad_()
    label, weight = torch.tensor([0, 2, 1, 1, 0, 2]), torch.rand(6)
    module = st.SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=torch.tensor([1.0, 2.0, 0.5]))
    results = []
    for elsewhere in (False, True):
        monkeypatch.setattr(st, "on_cpu", lambda _tensor, here=not elsewhere: here)
        value = module(z, label, sample_weight=weight)
        assert value.dtype == torch.float32
        (slope,) = torch.autograd.grad(value, z)
        assert slope.dtype == half
        results.append((value.detach(), slope))
    torch.testing.assert_close(results[1], results[0], rtol=1e-6, atol=1e-7)


def test_elsewhere_inside_a_compiled_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    z = torch.linspace(-3, 3, 8, dtype=torch.float64, requires_grad=True)
    y = (z > 0.4).double()
    (expected,) = torch.autograd.grad(st.focal(z, y, gamma=1.5), z)
    monkeypatch.setattr(st, "on_cpu", lambda _tensor: False)
    compiled = torch.compile(lambda x: st.focal(x, y, gamma=1.5), fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(z), z)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_third_derivatives_are_those_of_the_formulas() -> None:
    z, y = torch.tensor(0.7, dtype=torch.float64, requires_grad=True), torch.tensor(1.0, dtype=torch.float64)
    found = st.expression("binary_cross_entropy")(z, y)
    for _ in range(3):
        (found,) = torch.autograd.grad(found, z, create_graph=True)
    p = 1 / (1 + math.exp(-0.7))
    np.testing.assert_allclose(found.detach(), p * (1 - p) * (1 - 2 * p), rtol=1e-12)


def test_errors_name_the_loss() -> None:
    with pytest.raises(ValueError, match="focal: reduction must be"):
        st.expression("focal")(torch.ones(2), torch.ones(2), reduction="avg")
    with pytest.raises(ValueError, match=r"label must have shape \(n=3\)"):
        st.expression("softmax_cross_entropy")(torch.ones(3, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="no loss 'nothing'"):
        st.expression("nothing")


def test_a_module_works_alone(tmp_path: Path) -> None:
    shutil.copy(GENERATED / "torch" / "focal.py", tmp_path / "alone.py")
    code = "import alone, sys; print(float(alone.focal(0.0, 1.0))); assert 'symloss' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert abs(float(done.stdout) - 0.0625 * math.log(2)) < 1e-7
