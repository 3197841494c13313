"""The calling convention: layouts, dtypes, reductions, weights, `out`, `wrt`, and every kind of bad input."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import symloss
from symloss.runtime.threads import share_always

Z = np.array([[0.5, -1.0, 2.0], [3.0, -0.25, 0.0]])
Y = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
LOGITS = np.array([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]])


def reference(z: Any, y: Any) -> Any:
    """Return binary cross entropy as NumPy has it."""
    return np.logaddexp(0, z) - y * z


def test_import_is_light() -> None:
    code = "import sys, symloss; symloss.losses(); assert not {'sympy', 'numba', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lazy_attribute_and_load_are_the_same_object() -> None:
    assert symloss.focal is symloss.load("focal")
    assert symloss.losses() == tuple(sorted(symloss.losses()))
    assert "focal" in dir(symloss)
    with pytest.raises(AttributeError):
        _ = symloss.no_such_loss


def test_reductions_and_weights() -> None:
    loss, w = symloss.binary_cross_entropy, np.array([[1.0, 2.0, 0.0], [0.5, 1.0, 3.0]])
    each = reference(Z, Y)
    np.testing.assert_allclose(loss.value(Z, Y, reduction="none"), each, rtol=1e-14)
    assert loss.value(Z, Y) == pytest.approx(each.mean(), rel=1e-14)
    assert loss.value(Z, Y, reduction="sum", sample_weight=w) == pytest.approx((w * each).sum(), rel=1e-14)
    assert loss.value(Z, Y, sample_weight=w) == pytest.approx((w * each).sum() / w.sum(), rel=1e-14)
    slope = 1 / (1 + np.exp(-Z)) - Y
    np.testing.assert_allclose(loss.gradient(Z, Y, sample_weight=w), w * slope / w.sum(), rtol=1e-13)
    np.testing.assert_allclose(loss.gradient(Z, Y, reduction="none"), slope, rtol=1e-13)


def test_empty_is_nan_for_mean_and_zero_for_sum() -> None:
    loss, nothing = symloss.focal, np.empty((0, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(loss.value(nothing, nothing))
        assert loss.value(nothing, nothing, reduction="sum") == 0
        assert loss.gradient(nothing, nothing).shape == (0, 3)
        assert symloss.softmax_cross_entropy.value(np.empty((0, 4)), np.empty(0, int), reduction="sum") == 0


def test_ignored_rows_are_no_samples() -> None:
    loss, labels = symloss.softmax_cross_entropy, np.array([1, -100])
    alone = loss.value(LOGITS[:1], labels[:1])
    assert loss.value(LOGITS, labels, ignore_index=-100) == alone
    assert not loss.gradient(LOGITS, labels, ignore_index=-100)[1].any()
    assert np.isnan(loss.value(LOGITS, np.array([-100, -100]), ignore_index=-100))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype: Any) -> None:
    z, y = Z.astype(dtype), Y.astype(dtype)
    assert symloss.focal.value(z, y).dtype == dtype
    assert symloss.focal.gradient(z, y).dtype == dtype
    assert symloss.focal.gradient(z, Y.astype(int)).dtype == dtype
    assert symloss.focal.gradient(z, 1.0).dtype == dtype


def test_integers_and_bools_become_float64() -> None:
    assert symloss.squared_error.value(np.array([3, 4]), np.array([1, 1])).dtype == np.float64
    assert symloss.squared_error.value([True, False], [False, False], reduction="sum") == 1.0
    assert symloss.squared_error.value(2, 5) == 9.0


def test_layouts_give_the_same_numbers_and_inputs_stay() -> None:
    loss, expected = symloss.binary_cross_entropy, symloss.binary_cross_entropy.gradient(Z, Y)
    frozen, before = Z.copy(), Z.copy()
    frozen.flags.writeable = False
    for z in (np.asfortranarray(Z), np.repeat(Z, 2, axis=1)[:, ::2], frozen, Z[::-1][::-1]):
        np.testing.assert_array_equal(loss.gradient(z, Y), expected)
    np.testing.assert_array_equal(Z, before)


@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_broadcasting_follows_numpy(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = [np.asarray(rng.normal(0, 1, s)) for s in shapes.input_shapes]
    loss = symloss.squared_error
    value = loss.value(x, y, reduction="none")
    assert value.shape == shapes.result_shape
    np.testing.assert_allclose(value, (x - y) ** 2, rtol=1e-14, atol=1e-300)
    slope = loss.gradient(x, y, reduction="sum")
    assert slope.shape == x.shape
    whole = np.broadcast_to(2 * (x - y), shapes.result_shape)
    added = whole.ndim - x.ndim
    axes = (*range(added), *(k + added for k, s in enumerate(x.shape) if s == 1))
    np.testing.assert_allclose(slope, whole.sum(axis=axes).reshape(x.shape), rtol=1e-12, atol=1e-12)


@given(z=hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e300, 1e300)))
@settings(max_examples=40, deadline=None)
def test_extremes_are_finite_or_right(z: Any) -> None:
    y = (np.arange(z.size) % 2).astype(float)
    gradient, hessian = symloss.binary_cross_entropy.gradient_and_hessian(z, y, reduction="none")
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient) <= 1).all()
    assert (hessian >= 0).all()
    assert np.isfinite(symloss.binary_cross_entropy.value(z, y, reduction="none")).all()


def test_out_is_filled_and_returned() -> None:
    loss, out = symloss.binary_cross_entropy, np.empty_like(Z)
    assert loss.gradient(Z, Y, out=out) is out
    np.testing.assert_array_equal(out, loss.gradient(Z, Y))
    value, gradient = loss.value_and_gradient(Z, Y, out=out)
    assert gradient is out
    assert value == loss.value(Z, Y)
    strided = np.empty((4, 3))[::2]
    np.testing.assert_array_equal(loss.gradient(Z, Y, out=strided), gradient)
    pair = (np.empty_like(Z), np.empty_like(Z))
    assert loss.gradient_and_hessian(Z, Y, out=pair)[1] is pair[1]
    own = Z.copy()
    np.testing.assert_array_equal(loss.gradient(own, Y, out=own), gradient)


def test_wrt_names_inputs_and_parameters() -> None:
    loss, args = symloss.margin_ranking, (Z, Z[::-1], np.sign(Y - 0.5))
    both = loss.gradient(*args)
    assert both._fields == ("first", "second")
    np.testing.assert_array_equal(loss.gradient(*args, wrt="second"), both.second)
    assert loss.gradient(*args, wrt=("second", "first"))._fields == ("second", "first")
    assert loss.gradient(*args, wrt="margin").shape == ()
    products = loss.hessian_product(*args, direction=(Z, Z))
    assert products._fields == ("first", "second")


def test_threads_forks_and_concurrent_callers_agree() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 3, 100_000), rng.integers(0, 2, 100_000).astype(float)
    share_always(2)
    expected = symloss.focal.value_and_gradient(z, y)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: symloss.focal.value_and_gradient(z, y), range(8)))
    for value, gradient in results:
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])
    code = (
        "import os, numpy as np, symloss; from symloss.runtime.threads import share_always;"
        "z = np.linspace(-3, 3, 99999); share_always(2);"
        "a = symloss.focal.value(z, 1.0); pid = os.fork();"
        "b = symloss.focal.value(z, 1.0); assert a == b; pid or os._exit(0); assert os.waitpid(pid, 0)[1] == 0"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env={**os.environ})


def test_a_broken_cache_heals(tmp_path: Path) -> None:
    source = Path(str(symloss.hinge.module.__file__))
    (tmp_path / "hinge.py").write_text(source.read_text())
    code = f"import symloss; l = symloss.load('hinge', package={str(tmp_path)!r}); print(l.value([0.5], [1.0]))"

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return done.stdout

    first = run()
    cached = list((tmp_path / "__pycache__").glob("*.nb?"))
    assert cached
    for path in cached:
        path.write_bytes(path.read_bytes()[:20])
    assert run() == first == "0.5\n"


BAD: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (ValueError, "focal: target must be one of 0, 1, got", lambda: symloss.focal.value(Z, Y + 1)),
    (ValueError, "focal: gamma must be in [0, inf), got -1.0", lambda: symloss.focal.value(Z, Y, gamma=-1)),
    (ValueError, "focal: gamma must be in", lambda: symloss.focal.value(Z, Y, gamma=float("nan"))),
    (TypeError, "focal: gamma must be a real number, got None", lambda: symloss.focal.value(Z, Y, gamma=None)),
    (TypeError, "focal: gamma must be a real number", lambda: symloss.focal.value(Z, Y, gamma="2")),
    (TypeError, "focal: unknown parameter 'gama'", lambda: symloss.focal.value(Z, Y, gama=2)),
    (TypeError, "focal: expected 2 inputs (logit, target), got 1", lambda: symloss.focal.value(Z)),
    (TypeError, "focal: logit must be float32", lambda: symloss.focal.value(Z.astype(complex), Y)),
    (TypeError, "focal: logit must be float32", lambda: symloss.focal.value(Z.astype(np.float16), Y)),
    (TypeError, "focal: logit must be float32", lambda: symloss.focal.value(np.array(["a"]), 1.0)),
    (ValueError, "focal: inputs must have shapes that broadcast", lambda: symloss.focal.value(Z, Y[:, :2])),
    (ValueError, "focal: reduction must be one of", lambda: symloss.focal.value(Z, Y, reduction="avg")),
    (ValueError, "focal: sample_weight must be non-negative", lambda: symloss.focal.value(Z, Y, sample_weight=-Y)),
    (ValueError, "target (2, 3), sample_weight (7,)", lambda: symloss.focal.value(Z, Y, sample_weight=np.ones(7))),
    (ValueError, "focal: wrt must be among logit, gamma, alpha", lambda: symloss.focal.gradient(Z, Y, wrt="target")),
    (ValueError, "needs a value for alpha", lambda: symloss.focal.gradient(Z, Y, wrt="alpha", alpha=None)),
    (ValueError, "focal: out must have shape", lambda: symloss.focal.gradient(Z, Y, out=np.empty(3))),
    (ValueError, "direction in logit must have shape", lambda: symloss.focal.hessian_product(Z, Y, direction=Z[0])),
    (
        ValueError, "softmax_cross_entropy: label must be in [0, 3), got 3 at index (1,)",
        lambda: symloss.softmax_cross_entropy.value(LOGITS, [0, 3]),
    ),
    (
        ValueError, "label must be in [0, 3) or ignore_index=-1, got -2",
        lambda: symloss.softmax_cross_entropy.value(LOGITS, [-1, -2], ignore_index=-1),
    ),
    (TypeError, "label must be integers", lambda: symloss.softmax_cross_entropy.value(LOGITS, [0.0, 1.0])),
    (
        ValueError, "softmax_cross_entropy: label must have shape (n=2,), got (3,)",
        lambda: symloss.softmax_cross_entropy.value(LOGITS, [0, 1, 2]),
    ),
    (ValueError, "logits must have shape (n, c), got (3,)", lambda: symloss.softmax_focal.value(LOGITS[0], [0])),
    (
        ValueError, "class_weight must have shape (c=3,), got (2,)",
        lambda: symloss.softmax_cross_entropy.value(LOGITS, [0, 1], class_weight=np.ones(2)),
    ),
    (ValueError, "accuracy must be 'exact'", lambda: symloss.load("focal", accuracy="sloppy")),
    (ValueError, "no loss 'nothing'", lambda: symloss.load("nothing")),
    (ValueError, "set_threads: the number of threads", lambda: symloss.set_threads(0)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "call"), BAD, ids=[m for _, m, _ in BAD])
def test_bad_input_names_what_is_wrong(kind: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert message in str(caught.value)
