"""Sums that cancel: pairs and tapes against balls, kernels next to zero crossings, saturated maxima, whole weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest
import sympy

import symloss
from symloss import catalogue
from symloss.language import Axis, sigmoid, softplus
from symloss.language.atoms import magnitude, positive_part
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term
from symloss.rendering import loose_pairs
from symloss.rendering.tape import tape_of
from symloss.rendering.triple_double import _closely
from symloss.stability.careful import Recipe, half_tanh
from symloss.stability.extrema import inner_extrema
from symloss.verification.accuracy import _Tally
from symloss.verification.oracle import oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.series import working
from symloss.verification.ulp import ulp_error

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "_loose_expm1": (lambda x: x.expm1(), -0.693, 0.693),
    "_loose_exp": (lambda x: x.exp(), -600.0, 600.0),
    "_loose_log": (lambda x: x.log(), 1.5, 700.0),
    "_loose_log1p": (lambda x: x.log1p(), 0.0, 1.0),
    "_loose_sigmoid": (lambda x: 1 / (1 + (-x).exp()), -40.0, 40.0),
    "_loose_half_tanh": (lambda x: (x / 2).tanh() / 2, -0.5, 0.5),
    "_loose_softplus": (lambda x: x.exp().log1p(), -40.0, 40.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loose_pairs_are_right_to_90_bits(name: str) -> None:
    exact, low, high = FUNCTIONS[name]
    compute = getattr(loose_pairs, name)
    rng = np.random.default_rng(5)
    points = [*rng.uniform(low, high, 200)]
    if low <= 0.0:  # and to so many bits relative to a small result too
        points += [p for p in rng.choice([-1.0, 1.0], 100) * 2.0 ** rng.uniform(-60, -2, 100) if low <= p <= high]
    with working(400, 0):
        for point in map(float, points):
            x = (point, point * float(rng.uniform(-0.5, 0.5)) * 2.0**-53)
            truth = exact(flint.arb(x[0]) + flint.arb(x[1]))
            decay = (loose_pairs._loose_decay(x),) if name in ("_loose_sigmoid", "_loose_softplus") else ()
            found = compute(x, *decay)
            assert abs(flint.arb(found[0]) + flint.arb(found[1]) - truth) <= abs(truth) * flint.arb(2) ** -90, x


def test_loose_pairs_at_the_ends() -> None:
    assert loose_pairs._loose_exp((-800.0, 0.0)) == (0.0, 0.0)
    assert loose_pairs._loose_exp((-np.inf, 0.0))[0] == 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        assert loose_pairs._loose_exp((711.0, 0.0))[0] == np.inf
        assert np.isnan(loose_pairs._loose_exp((np.nan, 0.0))[0])


X, A, B = (sympy.Symbol(n, real=True) for n in "xab")
TAPES: dict[str, tuple[sympy.Expr, Callable[[Any], Any], float, float]] = {
    "exp": (sympy.exp(X), lambda x: x.exp(), -600.0, 600.0),
    "log": (sympy.log(X), lambda x: x.log(), 1e-3, 700.0),
    "sigmoid": (sigmoid(X), lambda x: 1 / (1 + (-x).exp()), -450.0, 40.0),
    "softplus": (softplus(X), lambda x: x.exp().log1p(), -450.0, 40.0),
    "half_tanh": (half_tanh(X), lambda x: (x / 2).tanh() / 2, -0.5, 0.5),
    "magnitude": (magnitude(X) / 3, lambda x: abs(x) / 3, -9.0, 9.0),
    "positive_part": (positive_part(X) * X**3, lambda x: x**4 if x > 0 else 0 * x, -9.0, 9.0),
    "cases": (
        sympy.Piecewise((X / 3, X < -1), (X / 5, X <= 2), (X / 7, True)),
        lambda x: x / (3 if x < -1 else 5 if x <= 2 else 7), -4.0, 4.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAPES)
def test_triple_double_is_right_to_140_bits(name: str) -> None:
    """What is left of the true number after its leading digits are taken away shows the last ones."""
    expression, exact, low, high = TAPES[name]
    leaves, rows = tape_of(Recipe(expression - A - B, (X, A, B)))
    rng = np.random.default_rng(5)
    points = [*rng.uniform(low, high, 60), *(p for p in rng.choice([-1.0, 1.0], 40) * 1e-9 if low <= p)]
    with working(500, 0):
        for x in map(float, points):
            truth = exact(flint.arb(x))
            first = float(truth)
            fraction, exponent = np.frexp(float(truth - flint.arb(first)))
            second = float(np.ldexp(float(np.float32(fraction)), exponent))  # 24 bits of it, so that the rest shows
            left = truth - flint.arb(first) - flint.arb(second)
            known = {"x": x, "a": first, "b": second}
            given = np.array([known[leaf] if leaf in known else float(leaf) for leaf in leaves])
            found = _closely(np.array(rows), given)
            assert (
                abs(flint.arb(found) - left) <= abs(truth) * flint.arb(2) ** -140 + abs(left) * flint.arb(2) ** -52
            ), x


def worst_near(name: str, quantity: int, inputs: dict[str, np.ndarray[Any, Any]], **settings: float) -> float:
    """Return the largest error of a gradient (1) or Hessian (2) in units of the last place."""
    definition, loss = catalogue.find()[name], symloss.load(name)
    computed = loss.gradient_and_hessian(*inputs.values(), reduction="sum", **settings)[quantity - 1]
    request = Request(oracle_of(definition), *split(definition, inputs, settings))
    target = definition.differentiable[0].name
    errors = [ulp_error(computed[k], request.entry(target, (k,))[quantity], np.float64) for k in range(len(computed))]
    assert not any(e.kind for e in errors)
    return max(e.ulp for e in errors)


def beside(roots: np.ndarray[Any, Any], steps: int = 3) -> np.ndarray[Any, Any]:
    """Return the floats next to each root, and some further off."""
    found = [roots]
    for side in (-np.inf, np.inf):
        x = roots
        for _ in range(steps):
            x = np.nextafter(x, side)
            found.append(x)
    return np.concatenate([*found, roots * (1 + 1e-9), roots * (1 - 1e-5), roots * 1.01])


def test_the_gradient_of_a_soft_label_next_to_its_zero() -> None:
    rng = np.random.default_rng(3)
    target = np.concatenate([rng.uniform(0.001, 0.999, 40), [0.25, 0.5, 0.75, 1e-5]])
    logit = beside(np.log(target / (1 - target)))
    targets = np.tile(target, len(logit) // len(target))
    tiny = np.array([2.3e-48, -1e-300, 1e-12, -1.7388157693444e-311])
    inputs = {"logit": np.concatenate([logit, tiny]), "target": np.concatenate([targets, np.full(len(tiny), 0.5)])}
    assert worst_near("binary_cross_entropy", 1, inputs, pos_weight=1.0) < 2  # 209 in pairs; false zeros without


def test_the_gradient_of_a_soft_label_where_a_second_look_begins() -> None:
    rng = np.random.default_rng(4)
    target = rng.uniform(0.02, 0.98, 1000)
    inputs = {"logit": np.log(target / (1 - target)) + rng.normal(0, 1, 1000), "target": target}
    assert worst_near("binary_cross_entropy", 1, inputs, pos_weight=1.0) < 4


@pytest.mark.parametrize("name", ["focal", "poly_focal"])
@pytest.mark.parametrize("gamma", [0.5, 2.0, 3.3, 5.0])
def test_the_hessian_of_a_focal_loss_next_to_its_zero(name: str, gamma: float) -> None:
    loss, grid = symloss.load(name), np.linspace(-8, 8, 4001)
    hessian = loss.hessian_diagonal(grid, np.ones_like(grid), gamma=gamma, alpha=None, reduction="sum")
    at = np.flatnonzero(np.sign(hessian[:-1]) * np.sign(hessian[1:]) < 0)
    assert len(at) == 1
    low, high = grid[at[0]], grid[at[0] + 1]
    for _ in range(60):
        middle = (low + high) / 2
        here = loss.hessian_diagonal(np.array([low, middle]), np.ones(2), gamma=gamma, alpha=None)
        low, high = (middle, high) if np.sign(here[0]) == np.sign(here[1]) else (low, middle)
    logit = beside(np.array([low]))
    inputs = {"logit": logit, "target": np.ones_like(logit)}
    assert worst_near(name, 2, inputs, gamma=gamma, alpha=1.0) < 4  # 231 in pairs, 4e15 without


def test_a_small_margin_survives() -> None:
    value = symloss.margin_ranking.value(
        np.array([-5e-257]), np.array([-0.5]), np.array([1.0]), margin=0.5, reduction="none"
    )
    assert value[0] == 5e-257


def test_the_offset_of_ge2e_changes_nothing_at_all() -> None:
    embedding = np.random.default_rng(1).normal(size=(4, 3, 5))
    assert symloss.ge2e_softmax.gradient(embedding, 7.0, -2.0, wrt="b") == 0.0


def test_an_infinite_condition_excuses_no_wrong_number() -> None:
    tally = _Tally(geometric=True, fast=False)
    tally.add(1.0, flint.arb(0), np.dtype(np.float64), dict, lambda: 1.0, lambda _: np.inf)
    assert tally.wrong == 1
    tally.add(1.0 + 2.0**-40, flint.arb(1), np.dtype(np.float64), dict, lambda: 1.0, lambda _: 1e4)
    assert tally.wrong == 1  # 4096 units, within 4 (1 + kappa)


@pytest.mark.parametrize(("empty", "inner"), [(0, -sympy.oo), (1, None), (sympy.Rational(1, 2), 0)])
def test_the_largest_sigmoid_is_the_sigmoid_of_the_largest(empty: sympy.Expr, inner: sympy.Expr | None) -> None:
    axis = Axis("n", "entries")
    j, k = axis.index("j"), axis.index("k")
    x = Access("x", k)
    largest = Statement("max_x", (j,), "max", (k,), sigmoid(x), sympy.Ne(j, k), sympy.sympify(empty))
    program = inner_extrema(Program((largest,), (Output("value", (j,), (Term(sympy.true, largest.access),)),)))
    (statement,) = program.statements
    if inner is None:  # no number has a sigmoid of 1
        assert statement == largest
        return
    assert (statement.body, statement.empty) == (x, inner)
    assert program.output("value").expression == sigmoid(statement.access)
