"""Bad input: the right exception before any kernel runs, naming loss, argument, what was expected and what came."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss

FIXTURES = Path(__file__).parent / "fixtures"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
ROWS = symloss.load("toy_rowwise", package=FIXTURES)
CELLS = symloss.load("toy_cells", package=FIXTURES)

X, Y = np.zeros(3), np.ones(3)
Z, LABEL = np.zeros((3, 4)), np.array([0, 1, 2])
WRONG: list[Any] = [None, X]


@pytest.mark.parametrize(
    "kind", [np.float16, np.longdouble, np.complex128, object, "U3", "datetime64[s]", "timedelta64[s]"]
)
def test_wrong_kinds(kind: Any) -> None:
    wrong = np.zeros(3, kind)
    with pytest.raises(TypeError, match=r"toy_elementwise: logit must be float32, float64, integer or bool, got .*"):
        TOY.value(wrong, Y)
    with pytest.raises(TypeError, match="toy_elementwise: target must be"):
        TOY.value(X, wrong)
    with pytest.raises(TypeError, match="toy_elementwise: sample_weight must be"):
        TOY.value(X, Y, sample_weight=wrong)
    with pytest.raises(TypeError, match="toy_elementwise: direction in logit must be"):
        TOY.hessian_product(X, Y, direction=wrong)
    with pytest.raises(TypeError, match="toy_rowwise: class_weight must be"):
        ROWS.value(np.zeros((2, 3)), [0, 1], class_weight=wrong)


CASES: list[tuple[Any, type[Exception], str]] = [
    (lambda: TOY.value(X), TypeError, "expected 2 inputs (logit, target), got 1"),
    (lambda: TOY.value(X, Y, Y), TypeError, "expected 2 inputs (logit, target), got 3"),
    (lambda: TOY.value(X, Y, gama=1), TypeError, "unknown parameter 'gama'; the parameters are pos_weight, alpha"),
    (lambda: CELLS.value(np.ones((1, 1, 1)), p=2), TypeError, "unknown parameter 'p'; the parameters are none"),
    (lambda: TOY.value(X, Y, reduction="avg"), ValueError, "reduction must be one of 'none', 'sum', 'mean', got 'avg'"),
    (lambda: TOY.value(X, Y, reduction=WRONG[0]), ValueError, "reduction must be one of"),
    (lambda: TOY.value(X, Y, reduction=WRONG[1]), ValueError, "reduction must be one of"),
    (lambda: TOY.value(np.zeros(2), Y), ValueError, "broadcast together, got logit (2,), target (3,)"),
    (
        lambda: TOY.value(X, Y, sample_weight=np.ones(2)),
        ValueError,
        "broadcast together, got logit (3,), target (3,), sample_weight (2,)",
    ),
    (lambda: TOY.value(X, np.array([0, 1, 2.0])), ValueError, "target must be one of 0, 1, got 2.0 at index (2,)"),
    (lambda: TOY.value(X, 0.5), ValueError, "target must be one of 0, 1, got 0.5"),
    (lambda: TOY.value(X, np.array([np.nan, 1, 3.0])), ValueError, "target must be one of 0, 1, got 3.0 at index (2,)"),
    (lambda: TOY.value([[1.0], [1.0, 2.0]], Y), ValueError, "logit must be an array of numbers, got list"),
    (lambda: TOY.value(np.ma.masked_array(X, X == 0), Y), TypeError, "logit must be an array without a mask"),
    (
        lambda: TOY.value(X, Y, sample_weight=[1, -2.0, np.nan]),
        ValueError,
        "sample_weight must be non-negative, got -2.0 at index (1,)",
    ),
    (lambda: TOY.value(X, Y, pos_weight=0), ValueError, "pos_weight must be in (0, inf), got 0.0"),
    (lambda: TOY.value(X, Y, pos_weight=np.nan), ValueError, "pos_weight must be in (0, inf), got nan"),
    (lambda: TOY.value(X, Y, pos_weight=np.inf), ValueError, "pos_weight must be finite, got inf"),
    (lambda: TOY.value(X, Y, pos_weight=10**400), ValueError, "pos_weight must be finite, got inf"),
    (lambda: TOY.value(X, Y, pos_weight="2"), TypeError, "pos_weight must be a real number, got '2'"),
    (lambda: TOY.value(X, Y, pos_weight=True), TypeError, "pos_weight must be a real number, got True"),
    (lambda: TOY.value(X, Y, pos_weight=None), TypeError, "pos_weight must be a real number, got None"),
    (lambda: TOY.value(X, Y, pos_weight=np.ones(1)), TypeError, "pos_weight must be a real number, got array"),
    (lambda: TOY.value(X, Y, alpha=10.5), ValueError, "alpha must be in [0, 10], got 10.5"),
    (lambda: TOY.value(X, Y, alpha="a"), TypeError, "alpha must be a real number or None, got 'a'"),
    (lambda: TOY.value(X, Y, flipped=1), TypeError, "flipped must be True or False, got 1"),
    (lambda: TOY.gradient(X, Y, wrt="target"), ValueError, "wrt must be among logit, pos_weight, alpha, got 'target'"),
    (lambda: TOY.gradient(X, Y, wrt="flipped"), ValueError, "wrt must be among logit, pos_weight, alpha"),
    (lambda: TOY.gradient(X, Y, wrt="alpha"), ValueError, "wrt='alpha' needs a value for alpha, got None"),
    (lambda: TOY.gradient(X, Y, wrt=()), ValueError, "wrt must name"),
    (lambda: TOY.gradient(X, Y, wrt=("logit", "logit")), ValueError, "wrt must name"),
    (lambda: TOY.gradient(X, Y, wrt=3), TypeError, "wrt must be a name or a tuple of names, got 3"),
    (
        lambda: TOY.hessian_product(X, Y, direction=np.ones(2)),
        ValueError,
        "direction in logit must have shape (3,), got (2,)",
    ),
    (
        lambda: PAIR.hessian_product(X, Y, direction=X),
        ValueError,
        "direction must be a tuple of 2 arrays (first, second), got ndarray",
    ),
    (
        lambda: PAIR.hessian_product(X, Y, direction=(X,)),
        ValueError,
        "direction must be a tuple of 2 arrays (first, second), got 1 entries",
    ),
    (lambda: ROWS.value(Z, LABEL.astype(float)), TypeError, "label must be integers, got an array of float64"),
    (lambda: ROWS.value(np.zeros((0, 4)), np.zeros(0)), TypeError, "label must be integers"),
    (lambda: ROWS.value(Z, LABEL > 0), TypeError, "label must be integers, got an array of bool"),
    (lambda: ROWS.value(Z, [0, 1, 4]), ValueError, "label must be in [0, 4), got 4 at index (2,)"),
    (
        lambda: ROWS.value(Z, [0, -1, 2], ignore_index=-100),
        ValueError,
        "label must be in [0, 4) or ignore_index=-100, got -1",
    ),
    (lambda: ROWS.value(Z, [0, 1]), ValueError, "label must have shape (n=3,), got (2,)"),
    (lambda: ROWS.value(X, LABEL), ValueError, "logits must have shape (n, c), got (3,)"),
    (
        lambda: ROWS.value(Z, LABEL, class_weight=np.ones(3)),
        ValueError,
        "class_weight must have shape (c=4,), got (3,)",
    ),
    (
        lambda: ROWS.value(Z, LABEL, class_weight=[1, 1, -1, 1]),
        ValueError,
        "class_weight must be in [0, inf), got -1.0 at index (2,)",
    ),
    (lambda: ROWS.value(Z, LABEL, class_weight=[1, 1, np.nan, 1]), ValueError, "class_weight must be finite, got nan"),
    (lambda: ROWS.value(Z, LABEL, ignore_index=1.5), TypeError, "ignore_index must be an integer or None, got 1.5"),
    (lambda: ROWS.value(Z, LABEL, ignore_index=2**80), ValueError, "ignore_index must fit 64 bits"),
    (
        lambda: ROWS.value(Z, LABEL, sample_weight=np.ones(4)),
        ValueError,
        "sample_weight must have shape (n=3), got (4,)",
    ),
    (lambda: CELLS.value(-np.ones((1, 2, 2))), ValueError, "x must be in (0, inf), got -1.0 at index (0, 0, 0)"),
]


@pytest.mark.parametrize("call, kind, message", CASES, ids=[message for _, _, message in CASES])
def test_messages(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)) as caught:
        call()
    assert re.match(r"toy_(elementwise|pair|rowwise|cells): ", str(caught.value))


@pytest.mark.parametrize(
    "method", ["value", "gradient", "value_and_gradient", "hessian_diagonal", "gradient_and_hessian"]
)
def test_every_method_checks(method: str) -> None:
    with pytest.raises(ValueError, match="target must be one of"):
        getattr(TOY, method)(X, np.full(3, 7.0))
    with pytest.raises(ValueError, match="reduction must be"):
        getattr(TOY, method)(X, Y, reduction="max")


def test_a_bad_entry_in_a_large_array_is_found() -> None:
    y = np.ones(100_001, np.float32)
    y[77_777] = 0.25
    with pytest.raises(ValueError, match=r"got 0.25 at index \(77777,\)"):
        TOY.value(np.zeros_like(y), y)
    with pytest.raises(ValueError, match=r"got 0.25 at index \(77777,\)"):
        TOY.value(0.0, y[::-1][::-1])


def test_nan_targets_pass() -> None:
    y = np.ones(50_000)
    y[1] = np.nan
    assert np.isnan(TOY.value(np.zeros_like(y), y))


@pytest.mark.parametrize("number", [2, np.float32(2), np.int16(2), Fraction(2), np.array(2.0)])
def test_numbers_that_parameters_accept(number: Any) -> None:
    assert TOY.value(X, Y, pos_weight=number) == TOY.value(X, Y, pos_weight=2.0)
