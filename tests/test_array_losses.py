"""Losses over arrays through the general machinery, against the unrolled oracle at tiny sizes."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from symloss import catalogue
from symloss.calculus.adjoint import gradient
from symloss.calculus.sensitivity import hessian_diagonal
from symloss.calculus.tangent import tangent
from symloss.language.definition import Definition
from symloss.program.hoisting import hoist
from symloss.program.interpreter import interpret
from symloss.program.statement import Program
from symloss.rendering.primitives import _update_columns
from symloss.stability.stabilise import lift
from tests.unrolled import symbol, total

FOUND = catalogue.find()
SIZES = {
    "ge2e_softmax": {"s": 2, "u": 3, "d": 2},
    "ge2e_contrast": {"s": 3, "u": 2, "d": 2},
    "arcface": {"n": 2, "c": 3, "d": 2},
    "info_nce": {"n": 3, "d": 2},
    "multiple_negatives_ranking": {"n": 2, "d": 2},
}


def derived(definition: Definition) -> Program:
    """Return the program with every derivative."""
    targets = {a.name: a.axes for a in definition.differentiable} | {a.name: () for a in definition.continuous}
    program = gradient(lift(definition, hoist(definition)).program, targets)
    return tangent(hessian_diagonal(program), targets)


def _data(definition: Definition, sizes: dict[str, int]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(4)
    arrays = {a.name: rng.normal(0, 1, tuple(sizes[x.name] for x in a.axes)) for a in definition.differentiable}
    arrays |= {name: np.array(value) for name, value in (("w", 2.0), ("b", -0.5)) if name in arrays}
    labels = {a.name: rng.integers(0, sizes["c"], sizes["n"]) for a in definition.inputs if a.kind == "label"}
    scalars = {"scale": 4.0, "margin": 0.3, "temperature": 0.5}
    return arrays, labels, {a.name: scalars[a.name] for a in definition.continuous}


@pytest.mark.parametrize("name", SIZES)
def test_derivatives_agree_with_the_unrolled_oracle(name: str) -> None:
    definition, sizes = FOUND[name], SIZES[name]
    program = derived(definition)
    arrays, labels, scalars = _data(definition, sizes)
    rng = np.random.default_rng(5)
    directions = {n: rng.normal(0, 1, x.shape) for n, x in arrays.items()}
    slopes = {n: float(rng.normal()) for n in scalars}
    samples = tuple(sizes[k.axis.name] for k in definition.per)
    tensors = {**arrays, **labels, "seed": np.ones(samples), **{f"direction_{n}": d for n, d in directions.items()}}
    numbers = {**scalars, "easy_margin": False, **{f"direction_{n}": v for n, v in slopes.items()}}
    got = interpret(program, tensors, numbers, sizes, digits=40)

    entries = {symbol(n, at): float(x[at]) for n, x in arrays.items() for at in np.ndindex(*x.shape)}
    entries |= {sympy.Symbol(n, real=True): v for n, v in scalars.items()}
    moves = {symbol(n, at): float(x[at]) for n, x in directions.items() for at in np.ndindex(*x.shape)}
    moves |= {sympy.Symbol(n, real=True): v for n, v in slopes.items()}
    whole = total(definition, sizes, labels)
    along = sympy.Add(*(sympy.diff(whole, s) * sympy.Rational(v) for s, v in moves.items()))

    def number(expression: Any) -> float:
        with mpmath.workdps(40):
            run = sympy.lambdify(list(entries), expression, "mpmath", cse=True)  # large, and made of the same parts
            return float(run(*map(mpmath.mpf, entries.values())))

    assert float(sum(got["value"].ravel())) == pytest.approx(number(whole), rel=1e-13)
    for target in [a.name for a in definition.differentiable + definition.continuous]:
        shape = np.shape(arrays.get(target, 0.0))
        for at in list(np.ndindex(*shape))[:: max(1, int(np.prod(shape)) // 2)]:
            own = symbol(target, at) if shape else sympy.Symbol(target, real=True)
            slope = sympy.diff(whole, own)
            for kind, truth in (
                ("gradient", slope),
                ("hessian", sympy.diff(slope, own)),
                ("product", sympy.diff(along, own)),
            ):
                assert float(got[f"{kind}_{target}"][at]) == pytest.approx(number(truth), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("kernel", ["value", "value_and_gradient"])
def test_rows_and_columns_of_one_matrix_share_its_products(kernel: str) -> None:
    """Both directions cost the similarity twice, as their logsumexp must be known first, and no transpose of it."""
    text = inspect.getsource(getattr(import_module("symloss.generated.info_nce"), f"{kernel}_symmetric_true").py_func)
    assert text.count("_multiply(") == {"value": 1, "value_and_gradient": 4}[kernel]


@pytest.mark.parametrize("order", [1, -1], ids=["rising", "falling"])
def test_columns_brought_up_to_date_block_by_block(order: int) -> None:
    """The largest entry may lie in any block; the sum of the others is that of exact arithmetic."""
    exponents = order * np.linspace(-30.0, 2000.0, 60)[:, None] + np.array([0.0, 1e-3, -4.0])
    exponents[7, 1] = exponents[:, 1].max() + 2.0
    peak, winner, rest = np.zeros(3), np.zeros(3, np.int64), np.zeros(3)
    for start in range(0, 60, 7):
        _update_columns(exponents[start : start + 7], start, peak, winner, rest, 0)
    assert (peak == exponents.max(0)).all()
    assert (winner == exponents.argmax(0)).all()
    for k in range(3):
        others = [mpmath.exp(mpmath.mpf(x) - mpmath.mpf(peak[k])) for x in np.delete(exponents[:, k], winner[k])]
        assert rest[k] == pytest.approx(float(mpmath.fsum(others)), rel=1e-14)
