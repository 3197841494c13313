"""The JAX modules beside the compiled kernels: values, both derivatives, and the transforms of JAX."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import symloss
from symloss.adapters import jax as sj
from tests.adapters.cases import TOLERANCE, as_tuple, close, drawn, each, narrow, places

GENERATED = Path(symloss.__file__).resolve().parent.parent / "generated"


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def total(name: str, inputs: tuple[Any, ...], **settings: Any) -> Any:
    """Return the loss as a function of its differentiable inputs, and those."""
    free = tuple(k for k in places(name) if k < len(inputs))

    def function(*reals: Any) -> Any:
        every = list(inputs)
        for k, x in zip(free, reals, strict=True):
            every[k] = x
        return getattr(sj, name)(*every, **settings)

    return function, tuple(jnp.asarray(inputs[k]) for k in free)


@each
@pytest.mark.parametrize("dtype, x64", [("float64", True), ("float32", True), ("float32", False)])
def test_value_and_derivatives_are_ours(name: str, settings: dict[str, Any], dtype: str, x64: bool) -> None:
    """Within 1e-6 and 1e-13 of the largest entry; products where JAX has no float64 as `narrow` says.

    The float64 kernel at the same numbers is nearer still: float32 is rounded once, and so is what it is divided by.
    """
    inputs, loss = drawn(name, dtype), symloss.load(name)
    rng = np.random.default_rng(1)
    with jax.enable_x64(x64):
        _, reals = total(name, inputs, **settings)
        moves = tuple(rng.normal(size=np.shape(x)).astype(dtype) for x in reals)

        @jax.jit  # one compilation for all
        def everything(*x: Any) -> Any:
            samples, _ = total(name, inputs, reduction="none", **settings)
            whole, _ = total(name, inputs, **settings)
            slope = jax.grad(whole, argnums=tuple(range(len(x))))
            return samples(*x), *jax.jvp(slope, x, moves)  # forward over reverse

        samples, slopes, bends = everything(*reals)
    close(loss.value(*inputs, reduction="none", **settings), samples, dtype)
    for a, b in zip(as_tuple(loss.gradient(*inputs, **settings)), slopes, strict=True):
        close(a, b, dtype)
    exact = loss.gradient(*(x.astype("float64") if x.dtype == "float32" else x for x in inputs), **settings)
    for a, b in zip(as_tuple(exact), slopes, strict=True):
        assert np.abs(a - np.asarray(b, np.float64)).max() <= (2e-7 if dtype == "float32" else 1e-13) * np.abs(a).max()
    direction = moves if len(moves) > 1 else moves[0]
    product = as_tuple(loss.hessian_product(*inputs, direction=direction, **settings))
    tolerance = 0.0 if x64 else narrow(name, settings)  # JAX cannot transpose float64 there: float32 arithmetic
    for a, b in zip(product, bends, strict=True):
        close(a, b, dtype, tolerance)


def test_fast_computes_in_float32() -> None:
    inputs = drawn("arcface", "float32")
    with jax.enable_x64(False):
        for accuracy in ("fast", "exact"):
            function, reals = total("arcface", inputs, accuracy=accuracy)
            assert ("f64" in str(jax.make_jaxpr(jax.grad(function))(*reals))) == (accuracy == "exact")
            np.testing.assert_allclose(jax.jit(function)(*reals), symloss.arcface.value(*inputs), rtol=1e-5)
    with pytest.raises(ValueError, match="arcface: accuracy must be one of 'exact', 'fast', got 'best'"):
        sj.arcface(*inputs, accuracy="best")


@each
@pytest.mark.parametrize("dtype, x64", [("float64", True), ("float32", False)])
def test_transforms(name: str, settings: dict[str, Any], dtype: str, x64: bool) -> None:
    """`hessian`, reverse over reverse, `vmap` and `jvp`, in the first input, beside kernels in float64."""
    inputs, loss = drawn(name, dtype), symloss.load(name)
    wrt, place = loss.differentiable[0], places(name)[0]
    with jax.enable_x64(x64):
        function, (first, *rest) = total(name, inputs, **settings)
        batch = jnp.stack([first, 0.5 * first])

        @jax.jit
        def everything(x: Any, several: Any) -> Any:
            def alone(z: Any) -> Any:
                return function(z, *rest)

            mapped = jax.vmap(jax.value_and_grad(alone))(several)
            _, along = jax.jvp(alone, (x,), (jnp.ones_like(x),))
            return jax.hessian(alone)(x), jax.jacrev(jax.grad(alone))(x), mapped, along

        whole, twice, (values, slopes), along = jax.tree.map(np.asarray, everything(first, batch))
    wide = tuple(x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs)
    units = np.eye(first.size).reshape(first.size, *first.shape)
    rows = np.stack([loss.hessian_product(*wide, wrt=wrt, direction=u, **settings) for u in units])
    tolerance = 0.0 if x64 else narrow(name, settings)
    close(rows.reshape(whole.shape), whole, dtype, tolerance)
    close(rows.reshape(whole.shape), twice, dtype, tolerance)
    diagonal = loss.hessian_diagonal(*wide, wrt=wrt, **settings)
    close(diagonal, np.diag(np.reshape(whole, (first.size, first.size))).reshape(first.shape), dtype, tolerance)
    for k, x in enumerate(np.asarray(batch, np.float64)):
        moved = (*wide[:place], x, *wide[place + 1 :])
        close(loss.value(*moved, **settings), values[k], dtype)
        close(loss.gradient(*moved, wrt=wrt, **settings), slopes[k], dtype)
    slope = loss.gradient(*wide, wrt=wrt, **settings)
    assert abs(slope.sum() - along) <= TOLERANCE[dtype] * np.abs(slope).sum()


@pytest.mark.parametrize("name", symloss.losses())
def test_each_sample_moves_as_it_should(name: str) -> None:
    function, reals = total(name, drawn(name), reduction="none")
    weights = jnp.asarray(np.random.default_rng(3).uniform(0.5, 2.0, function(*reals).shape))
    every = tuple(range(len(reals)))
    by_samples = jax.grad(lambda *x: jnp.sum(weights * function(*x)), argnums=every)(*reals)
    summed, _ = total(name, drawn(name), reduction="sum", sample_weight=weights)
    for a, b in zip(jax.grad(summed, argnums=every)(*reals), by_samples, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11 * float(np.abs(a).max(initial=1e-3)))


def test_weights_move_in_float32_too() -> None:
    """Outside x64 mode JAX transposes no float64: what it transposes must be float32."""
    logits, label = drawn("softmax_cross_entropy", "float32")
    weight = np.linspace(0.5, 2.0, len(label), dtype=np.float32)
    samples = symloss.softmax_cross_entropy.value(logits, label, reduction="none").astype(np.float64)
    expected = (samples - np.average(samples, weights=weight)) / weight.sum(dtype=np.float64)
    with jax.enable_x64(False):
        slope = jax.jit(jax.grad(lambda w: sj.softmax_cross_entropy(logits, label, sample_weight=w)))
        np.testing.assert_allclose(slope(weight), expected, rtol=0.0, atol=1e-6 * np.abs(expected).max())

        def weighted(z: Any, w: Any) -> Any:
            return sj.softmax_cross_entropy(z, label, sample_weight=w)

        both = jax.jit(jax.jacrev(lambda w: jax.grad(weighted)(logits, w)))
        samples_of = jax.jit(jax.grad(lambda z: sj.softmax_cross_entropy(z, label, reduction="none").sum()))
        found, plain = both(weight), samples_of(logits)
    assert found.shape == (*logits.shape, len(weight))
    alone = symloss.softmax_cross_entropy.gradient(logits, label, reduction="sum")
    np.testing.assert_allclose(plain, alone, rtol=0.0, atol=1e-6)
    mean = symloss.softmax_cross_entropy.gradient(logits, label, sample_weight=weight)
    each = np.einsum("nc,nm->ncm", alone, np.eye(len(weight))) - mean[:, :, None]
    np.testing.assert_allclose(found, each / weight.sum(), rtol=0.0, atol=1e-6)


def test_parameters_and_weights_are_differentiated() -> None:
    logit, target = drawn("focal")
    weight = np.linspace(0.5, 2.0, len(logit))
    ours = symloss.focal.gradient(logit, target, wrt=("gamma", "alpha"), gamma=1.5, sample_weight=weight)
    found = jax.grad(lambda g, a: sj.focal(logit, target, gamma=g, alpha=a, sample_weight=weight), argnums=(0, 1))
    for a, b in zip(ours, found(1.5, 0.25), strict=True):
        close(a, b, "float64")
    samples = symloss.focal.value(logit, target, reduction="none")
    by_weight = jax.grad(lambda w: sj.focal(logit, target, sample_weight=w, reduction="sum"))(jnp.asarray(weight))
    close(samples, by_weight, "float64")


def test_exponents_are_differentiated_where_what_they_raise_is_zero() -> None:
    logits, label = np.array([[1000.0, 0.0], [3.0, 1.0]]), np.array([0, 1])
    found = jax.grad(lambda g: sj.softmax_focal(logits, label, gamma=g))(1.5)
    close(symloss.softmax_focal.gradient(logits, label, wrt="gamma", gamma=1.5), found, "float64")
    vectors = np.array([[1.0, 2.0], [1.0, 3.0], [4.0, 2.5]])  # the first entry of the one is that of the other
    for p in (1.0, 2.0, 2.5):
        ours = symloss.triplet.gradient(*vectors[:, None], wrt="p", p=p, margin=4.0)
        close(ours, jax.grad(lambda q: sj.triplet(*vectors[:, None], p=q, margin=4.0))(p), "float64")


@pytest.mark.parametrize("logit", [-1e4, -800.0, -40.0, 0.0, 40.0, 800.0, 1e4])
def test_far_out(logit: float) -> None:
    for target in (0.0, 1.0):
        for name in ("binary_cross_entropy", "focal", "poly_focal"):
            slope = jax.grad(getattr(sj, name))(logit, target)
            ours = symloss.load(name).gradient(logit, target)
            np.testing.assert_allclose(slope, ours, rtol=1e-13, atol=1e-300)  # XLA takes subnormal numbers for 0


def test_rows_far_out() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [40.0, 0.0, 0.0], [-900.0, -900.0, -900.0]])
    label = np.array([0, 0, 2])
    slope = jax.grad(lambda z: sj.softmax_cross_entropy(z, label, reduction="sum"))(jnp.asarray(logits))
    ours = symloss.softmax_cross_entropy.gradient(logits, label, reduction="sum")
    np.testing.assert_allclose(slope, ours, rtol=1e-13, atol=1e-300)  # 1 - p at the label keeps its digits


def test_ignored_rows_may_hold_anything() -> None:
    logits = np.array([[1.0, 2.0, 0.5], [np.nan, np.inf, 0.0], [0.3, -1.0, 2.0]])
    label = np.array([1, -100, 0])
    function = partial(sj.softmax_cross_entropy, label=label, ignore_index=-100)
    value, slope = jax.value_and_grad(lambda z: function(z))(jnp.asarray(logits))
    ours = symloss.softmax_cross_entropy.value_and_gradient(logits, label, ignore_index=-100)
    close(ours[0], value, "float64")
    close(ours[1], slope, "float64")


def test_agrees_with_optax() -> None:
    logit, target = drawn("focal")
    theirs = optax.losses.sigmoid_focal_loss(jnp.asarray(logit), jnp.asarray(target), alpha=0.25, gamma=2.0)
    close(sj.focal(logit, target, reduction="none"), theirs, "float64")
    logits, label = drawn("softmax_cross_entropy")
    theirs = optax.losses.softmax_cross_entropy_with_integer_labels(jnp.asarray(logits), jnp.asarray(label))
    close(sj.softmax_cross_entropy(logits, label, reduction="none"), theirs, "float64")


def test_half_precision_is_computed_in_float32() -> None:
    logit = jnp.asarray([0.5, -1.0], jnp.bfloat16)
    target = jnp.ones(2, jnp.float32)
    assert sj.focal(logit, target).dtype == jnp.float32
    assert jax.grad(lambda z: sj.focal(z, target))(logit).dtype == jnp.bfloat16


def test_a_third_derivative_is_that_of_the_formula() -> None:
    found = jax.grad(jax.grad(jax.grad(lambda z: sj.binary_cross_entropy(z, 1.0))))(0.7)
    p = 1 / (1 + math.exp(-0.7))
    np.testing.assert_allclose(found, p * (1 - p) * (1 - 2 * p), rtol=1e-12)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: sj.focal(np.ones(2), np.ones(2), reduction="avg"), "focal: reduction must be"),
        (lambda: sj.softmax_cross_entropy(np.ones((3, 2)), np.zeros(4, int)), r"label must have shape \(n=3\)"),
        (lambda: sj.info_nce(np.ones((3, 2)), np.ones((3, 2)), symmetric="yes"), "info_nce: there is no such case"),
    ],
)
def test_errors_name_the_loss(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


def test_unknown_losses_are_an_error() -> None:
    with pytest.raises(AttributeError, match="focal"):
        _ = sj.no_such_loss
    with pytest.raises(ValueError, match="focal"):
        sj.load("no_such_loss")


def test_a_module_works_alone(tmp_path: Path) -> None:
    shutil.copy(GENERATED / "jax" / "focal.py", tmp_path / "alone.py")
    code = "import alone, sys; print(float(alone.focal(0.0, 1.0))); assert 'symloss' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert abs(float(done.stdout) - 0.0625 * math.log(2)) < 1e-7
