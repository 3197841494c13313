"""Pair arithmetic: against balls, as plain Python and compiled; sums and products of matrices against exact ones."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import symloss
from symloss.rendering import pair_arithmetic, pair_matrices
from symloss.rendering.pair_arithmetic import TRACED
from symloss.rendering.tracing import _traced
from symloss.runtime.loader import load_module

Pair = tuple[float, float]
POINTS = 400


def _ball(x: Any) -> Any:
    return flint.arb(x[0]) + flint.arb(x[1]) if isinstance(x, tuple) else flint.arb(x)


def _tan_angle(y: Any, x: Any) -> Any:
    return flint.arb.atan2(y, x)


ANY, POSITIVE, SMALL, EXPONENT, ANGLE = "any", "positive", "small", "exponent", "angle"
CASES: dict[str, tuple[Callable[..., Any], tuple[str, ...], float]] = {
    "_pair_add": (lambda x, y: x + y, ("pair", "pair"), 2.0**-101),
    "_pair_add_number": (lambda x, b: x + b, ("pair", "number"), 2.0**-100),
    "_pair_multiply": (lambda x, y: x * y, ("pair", "pair"), 2.0**-101),
    "_pair_multiply_number": (lambda x, b: x * b, ("pair", "number"), 2.0**-101),
    "_pair_divide": (lambda x, y: x / y, ("pair", "pair"), 2.0**-99),
    "_pair_ratio": (lambda x, y: x / y, ("pair", "pair"), 2.0**-99),
    "_pair_of_sum": (lambda a, b: a + b, ("number", "number"), 0.0),
    "_pair_of_product": (lambda a, b: a * b, ("number", "number"), 0.0),
    "_pair_root": (lambda x: x.sqrt(), (POSITIVE,), 2.0**-100),
    "_pair_exp": (lambda x: x.exp(), (EXPONENT,), 2.0**-88),
    "_pair_expm1": (lambda x: x.expm1(), (SMALL,), 2.0**-90),
    "_pair_log": (lambda x: x.log(), (POSITIVE,), 2.0**-85),
    "_pair_log1p": (lambda x: x.log1p(), (POSITIVE,), 2.0**-90),
    "_pair_power": (lambda x, y: x**y, (POSITIVE, "number"), 2.0**-80),
    "_pair_cos": (lambda x: x.cos(), (ANGLE,), 2.0**-95),
    "_pair_sin": (lambda x: x.sin(), (ANGLE,), 2.0**-95),
    "_pair_atan2": (_tan_angle, ("pair", "pair"), 2.0**-95),
    "_pair_magnitude": (abs, ("pair",), 0.0),
    "_pair_negative": (lambda x: -x, ("pair",), 0.0),
}
"""The exact function, what it takes, and its largest error relative to the result (of an angle's functions: to 1)."""


def _sample(kind: str, rng: np.random.Generator) -> Any:
    """Return an argument; pairs have a rest of up to half a unit of the last place."""
    match kind:
        case "number":
            return float(rng.normal() * 10.0 ** rng.uniform(-2, 2))
        case "small":
            first = float(rng.uniform(-0.35, 0.35) * 10.0 ** rng.choice([0, -3, -9, -30]))
        case "exponent":
            first = float(rng.uniform(-700, 700) * 10.0 ** rng.choice([0, -1, -5, -20]))
        case "positive":
            first = (
                float(abs(rng.normal()) * 10.0 ** rng.uniform(-30, 30))
                if rng.random() < 0.8
                else float(1 + rng.normal() / 100)
            )
        case "angle":
            first = float(rng.uniform(-7, 7))
        case _:
            first = float(rng.normal() * 10.0 ** rng.uniform(-5, 5))
    return first, float(rng.uniform(-0.5, 0.5)) * math.ulp(first)


@pytest.mark.parametrize("name", CASES)
def test_pairs_are_right_to_some_hundred_bits(name: str) -> None:
    exact, kinds, bound = CASES[name]
    rng = np.random.default_rng(7)
    function = getattr(pair_arithmetic, name)
    with flint.ctx.workprec(400):
        for _ in range(POINTS):
            arguments = [_sample(kind, rng) for kind in kinds]
            if name == "_pair_power":
                arguments[1] = (arguments[1] % 9.0, 0.0)
            truth = exact(*map(_ball, arguments))
            found = _ball(function(*arguments))
            size = 1.0 if name in ("_pair_cos", "_pair_sin") else abs(truth)
            if name == "_pair_log":  # beside 1 a logarithm has lost what 1 has more than it
                size = size + 2.0**-5
            least = 0.0 if bound == 0.0 else flint.arb(2) ** -1072  # rests end with the format
            assert abs(found - truth) <= bound * size + least, arguments


def _exact_sum(numbers: Any) -> Fraction:
    return sum((Fraction(float(x)) for x in numbers), Fraction(0))


def test_what_cancels_is_still_right() -> None:
    """A sum of pairs of opposite sign keeps all that they hold."""
    rng = np.random.default_rng(8)
    for _ in range(POINTS):
        x = _sample("any", rng)
        y = -x[0] * (1 + 2.0**-40), -x[1]
        total = _exact_sum((*x, *y))
        found = _exact_sum(pair_arithmetic._pair_add(x, y))
        assert abs(found - total) <= Fraction(2) ** -60 * abs(total)


SPECIAL = (0.0, -0.0, 1.0, -1.0, 5e-324, -1e-310, 1e308, math.inf, -math.inf, math.nan)
ONE = ("_pair_exp", "_pair_root", "_pair_magnitude", "_pair_positive_part", "_pair_raised_decay", "_pair_negative")


def _plainly(name: str, *numbers: float) -> float:
    expected = {
        "_pair_exp": lambda x: math.inf if x > 709.8 else math.exp(x),
        "_pair_root": lambda x: math.nan if x < 0 else math.sqrt(x),
        "_pair_magnitude": abs,
        "_pair_positive_part": lambda x: x if x != x else max(0.0, x),
        "_pair_raised_decay": lambda x: x if x != x else max(math.exp(64 * math.log(2) - abs(x)), 5e-324),
        "_pair_negative": lambda x: -x,
    }[name]
    call: Callable[..., Any] = expected
    return float(call(*numbers))


@pytest.mark.parametrize("name", ONE)
def test_special_numbers_come_out_as_of_floats(name: str) -> None:
    for x in SPECIAL:
        with np.errstate(all="ignore"):
            found = pair_arithmetic._pair_rounded(getattr(pair_arithmetic, name)((np.float64(x), np.float64(0.0))))
        np.testing.assert_allclose(found, _plainly(name, x), rtol=1e-14)


@pytest.mark.parametrize(("name", "plain"), [("_pair_add", lambda a, b: a + b), ("_pair_multiply", lambda a, b: a * b)])
def test_infinities_stay_and_rests_do_not_make_nan_of_them(name: str, plain: Callable[..., Any]) -> None:
    for a in SPECIAL:
        for b in SPECIAL:
            x, y = np.float64(a), np.float64(b)
            with np.errstate(all="ignore"):
                found = pair_arithmetic._pair_rounded(getattr(pair_arithmetic, name)((x, 0.0), (y, 0.0)))
                expected = plain(x, y)
            np.testing.assert_array_equal(found, expected, f"{name}({a}, {b})")


@pytest.mark.parametrize("name", [f.__name__ for f in TRACED if f.__name__ in CASES])
def test_noted_instructions_compute_what_python_does(name: str) -> None:
    """The same bits, compiled."""
    _, kinds, _ = CASES[name]
    function = _traced(getattr(pair_arithmetic, name))
    names = ", ".join(f"a{k}" for k in range(len(kinds)))
    body = f"def call({names}): return function({names})"
    scope: dict[str, Any] = {"function": function}
    exec(body, scope)
    compiled: Any = numba.njit(scope["call"], error_model="numpy")
    rng = np.random.default_rng(9)
    for _ in range(50):
        arguments = [_sample(kind, rng) for kind in kinds]
        assert compiled(*arguments) == function(*arguments), arguments


def _exactly(a: Any, b: Any) -> list[list[Fraction]]:
    exact = [[Fraction(x) for x in row] for row in a.tolist()]
    columns = [[Fraction(x) for x in column] for column in b.T.tolist()]
    return [[sum((x * y for x, y in zip(r, c, strict=True)), Fraction(0)) for c in columns] for r in exact]


def test_matrix_products_keep_twice_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the sum of the sizes, for entries of one size and for such as differ by 40 binary digits."""

    def multiply(left: Any, lt: bool, right: Any, rt: bool, out: Any, add: bool) -> None:
        out[:] = (out if add else 0.0) + (left.T if lt else left) @ (right.T if rt else right)

    monkeypatch.setattr(pair_matrices, "_multiply", multiply)
    rng = np.random.default_rng(10)
    for spread, bound in ((0, -72), (20, -50)):
        a = rng.normal(size=(3, 40)) * 2.0 ** rng.integers(-spread, spread + 1, (3, 40))
        b = rng.normal(size=(40, 4)) * 2.0 ** rng.integers(-spread, spread + 1, (40, 4))
        out = np.empty((3, 4, 2))
        pair_matrices._pair_matrices(a[..., None], False, b[..., None], False, out, False)
        transposed = np.empty((3, 4, 2))
        pair_matrices._pair_matrices(
            np.ascontiguousarray(a.T)[..., None], True, np.ascontiguousarray(b.T)[..., None], True, transposed, False
        )
        exact, size = _exactly(a, b), np.abs(a) @ np.abs(b)
        for i, j in np.ndindex(3, 4):
            for found in (out[i, j], transposed[i, j]):
                assert abs(_exact_sum(found) - exact[i][j]) <= Fraction(2) ** bound * Fraction(float(size[i, j]))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_parts_of_a_matrix_add_up_to_it(layers: int, transposed: bool) -> None:
    """The first has so many bits, counted from the largest of its row or column; what is not finite stays as it is."""
    rng = np.random.default_rng(13)
    pairs = rng.normal(size=(5, 6, 2)) * 2.0 ** rng.integers(-30, 30, (5, 6, 1))
    pairs[..., 1] *= 2.0**-54
    matrix = np.ascontiguousarray(pairs[..., :layers])
    lead, rest = pair_matrices._pair_part(matrix, 20, transposed)
    for i, j in np.ndindex(5, 6):
        beside = matrix[:, j, 0] if transposed else matrix[i, :, 0]
        unit = Fraction(2) ** (math.frexp(float(np.abs(beside).max()))[1] - 20)
        assert (Fraction(float(lead[i, j])) / unit).denominator == 1
        assert abs(Fraction(float(rest[i, j]))) <= unit
        off = Fraction(float(lead[i, j])) + Fraction(float(rest[i, j])) - _exact_sum(matrix[i, j].tolist())
        assert abs(off) <= Fraction(2) ** -53 * unit * (layers - 1)
    for special in (0.0, 1e290, math.inf, math.nan):
        matrix[...] = 0.0
        matrix[2, 3, 0] = special
        with np.errstate(invalid="ignore"):
            lead, rest = pair_matrices._pair_part(matrix, 20, transposed)
        np.testing.assert_array_equal(lead, matrix[..., 0])
        assert not rest.any()


def test_logarithms_of_the_smallest_numbers_are_these_numbers() -> None:
    for x in (5e-324, -5e-324, 1e-310, 1e-45, -1e-45, 0.0):
        assert pair_arithmetic._pair_log1p((x, 0.0)) == (x, 0.0)
    assert pair_arithmetic._pair_log1p((-1.0, 0.0)) == (-math.inf, 0.0)
    assert pair_arithmetic._pair_log1p((math.inf, 0.0)) == (math.inf, 0.0)
    assert math.isnan(pair_arithmetic._pair_log1p((math.nan, 0.0))[0])


def test_powers_keep_their_conventions() -> None:
    """0 to any power but 0 is 0, everything to that is 1, and no power is infinite."""
    power, most = pair_arithmetic._pair_power, np.finfo(np.float64).max
    for exponent in (2.0, 0.5, -0.5, -3.0):
        assert power((0.0, 0.0), (exponent, 0.0)) == (0.0, 0.0)
    for x in (0.0, 1e-310, 3.0, 1e300, math.inf):
        assert power((x, 0.0), (0.0, 0.0)) == (1.0, 0.0)
    assert power((1e300, 0.0), (2.0, 0.0)) == (most, 0.0)
    assert power((1e-300, 0.0), (-2.0, 0.0)) == (most, 0.0)
    assert power((1e-300, 0.0), (2.0, 0.0))[0] == 0.0
    assert math.isnan(power((math.nan, 0.0), (2.0, 0.0))[0])


def test_sums_of_blocks_keep_what_is_left() -> None:
    rng = np.random.default_rng(11)
    numbers = np.stack([rng.normal(size=500), rng.normal(size=500) * 2.0**-54])
    numbers[0, 250:] = -numbers[0, :250] * (1 + 2.0**-30)
    for count in (*range(10), 127, 128, 129, 500):
        exact = _exact_sum(numbers[:, :count].ravel().tolist())
        off = _exact_sum(pair_matrices._pair_block_sum(numbers.copy(), count)) - exact
        assert abs(off) <= Fraction(2) ** -95


@pytest.mark.parametrize("name", [n for n in symloss.losses() if not symloss.load(n).plan.spec.elementwise])
def test_every_array_loss_has_all_its_kernels_in_pairs(name: str) -> None:
    """With the same arguments, but for those in two phases; float64 arrays get them, float32 arrays do not."""
    plain, pairs = load_module(name, None), load_module(name, None, "pairs")

    def kernels(module: Any) -> dict[str, Any]:
        found = {n: f for n, f in vars(module).items() if isinstance(f, Dispatcher) and not n.startswith("_")}
        return {n: inspect.signature(f.py_func) for n, f in found.items()}

    assert kernels(pairs) == {n: s for n, s in kernels(plain).items() if "sums" not in s.parameters}
    plan = symloss.load(name).plan
    assert plan.kernels["value"] is pairs.value
    assert plan.narrow["value"] is plain.value
    assert symloss.load(name, accuracy="fast").plan.kernels["value"] is plain.value


def test_a_difference_of_nearly_equal_norms_is_rounded_once() -> None:
    """In plain float64 it has lost nine digits."""
    rng = np.random.default_rng(12)
    anchor, away = rng.normal(size=(2, 1, 8))
    positive, negative = anchor + away, anchor - away * (1 + 1e-9)
    points = (anchor, negative, positive)
    found, plain = (
        float(symloss.load("triplet", accuracy=a).value(*points, margin=0.0, reduction="none")[0])
        for a in ("exact", "fast")
    )
    with flint.ctx.workprec(300):
        near, far = (
            sum(((flint.arb(a) - flint.arb(b)) ** 2 for a, b in zip(anchor[0], other[0], strict=True)), flint.arb(0))
            for other in (positive, negative)
        )
        truth = float((far.sqrt() - near.sqrt()).mid())
    assert abs(found - truth) <= math.ulp(truth)
    assert abs(plain - truth) > 1000 * math.ulp(truth)
