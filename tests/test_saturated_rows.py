"""Rows of which one class has nearly all the weight: second derivatives keep their digits, against the oracle."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import symloss
from symloss import catalogue
from symloss.language import Axis
from symloss.language.atoms import complement, difference
from symloss.language.nodes import Access
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term
from symloss.stability.rules import without
from symloss.stability.sides import NAME, by_sides
from symloss.verification.oracle import oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.ulp import ulp_error


def worst(name: str, logits: np.ndarray[Any, Any], label: np.ndarray[Any, Any], **settings: float) -> list[float]:
    """Return the largest errors of gradient, Hessian and product; infinite for a false zero or a wrong sign."""
    inputs = {"logits": logits, "label": label}
    definition = catalogue.find()[name].chosen(settings, inputs)
    loss = symloss.load(name)
    direction = np.random.default_rng(1).integers(-32, 33, logits.shape) / 8
    computed = (
        *loss.gradient_and_hessian(logits, label, reduction="sum", **settings),
        loss.hessian_product(logits, label, direction=direction, reduction="sum", **settings),
    )
    request = Request(oracle_of(definition), *split(definition, inputs, settings))
    found = [0.0, 0.0, 0.0]
    for at in np.ndindex(*logits.shape):
        _, slope, curvature = request.entry("logits", at)
        truths = slope, curvature, request.product("logits", at, {"logits": direction})
        for k, truth in enumerate(truths):
            error = ulp_error(computed[k][at], truth, np.float64)
            found[k] = max(found[k], np.inf if error.kind else error.ulp)
    return found


LOGITS = np.random.default_rng(0).normal(0, 30, (20, 4))
LABEL = np.random.default_rng(0).integers(0, 4, 20)


@pytest.mark.parametrize(
    ("gamma", "bars"), [(0.0, (4, 4, 4)), (1.0, (4, 4, 4)), (2.0, (4, 8, 16))]
)  # before: 22 and more, infinite, 4e15
def test_softmax_focal(gamma: float, bars: tuple[float, ...]) -> None:
    assert all(np.array(worst("softmax_focal", LOGITS, LABEL, gamma=gamma)) < bars)


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_derivatives_in_the_exponent(gamma: float, accuracy: str) -> None:
    """Where the label is certain, (1 - p)**gamma is 0 and its logarithm is not: NaN before."""
    logits, label = np.array([[1000.0, 0, 0], [0, 1000.0, 0], [40.0, 0, 0], [3.0, 1, 2]]), np.array([0, 0, 0, 1])
    with mpmath.workdps(1000):
        shares = [mpmath.fsum(map(mpmath.exp, row)) for row in logits.tolist()]
        of_label = [mpmath.exp(row[k]) / s for row, k, s in zip(logits.tolist(), label, shares, strict=True)]
        logs = [(mpmath.log(1 - p), -((1 - p) ** gamma) * mpmath.log(p)) for p in of_label]
        truth = [float(mpmath.fsum(q**order * rest for q, rest in logs) / len(logs)) for order in (1, 2)]
    loss = symloss.load("softmax_focal", accuracy=accuracy)
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        found = [
            f(logits.astype(dtype), label, wrt="gamma", gamma=gamma) for f in (loss.gradient, loss.hessian_diagonal)
        ]
        np.testing.assert_allclose(found, truth, rtol=tolerance)


def test_poly_cross_entropy_of_a_label_without_hope() -> None:
    """1 + epsilon - 2 epsilon (1 - p) is 2 p for epsilon = 1, and 1 + epsilon p is 1 - p for -1."""
    assert max(worst("poly_cross_entropy", LOGITS, LABEL, epsilon=-1.0)) < 4
    logits, label = np.array([[0.0, 60.0, 59.5, 59.0]]), np.array([0])
    hessian = symloss.poly_cross_entropy.hessian_diagonal(logits, label, epsilon=1.0, reduction="sum")
    definition = catalogue.find()["poly_cross_entropy"]
    request = Request(oracle_of(definition), *split(definition, {"logits": logits, "label": label}, {"epsilon": 1.0}))
    assert ulp_error(hessian[0, 0], request.entry("logits", (0, 0))[2], np.float64).ulp < 4  # 0 before


def test_a_product_with_the_hessian_of_softmax_dice() -> None:
    rng = np.random.default_rng(0)
    logits, label = rng.normal(0, 100, (3, 2, 3)), rng.integers(0, 2, (3, 3))
    assert worst("softmax_dice", logits, label)[2] < 8  # false zeros before


AXIS = Axis("c", "classes")
K = AXIS.index("k")
P = Access("p", K)
E = sympy.Symbol("e", real=True)


def sided(body: sympy.Expr) -> sympy.Expr:
    weights = Statement("p", (K,), "softmax", (), Access("z", K), source="lse")
    program = Program((weights,), (Output("value", (K,), (Term(sympy.true, body),)),))
    return by_sides(program).output("value").expression


def test_sums_are_taken_from_the_nearer_side() -> None:
    found = sided(1 + E - 2 * E * complement(P))
    assert found.args[0] == (1 - E + 2 * E * P, sympy.Le(P, sympy.S.Half))
    assert found.args[1] == (1 + E - 2 * E * complement(P), True)
    both = sided(1 + E * P - E * complement(P))
    assert [value for value, _ in both.args] == [1 - E + 2 * E * P, 1 + E - 2 * E * complement(P)]
    assert sided(E + 2 * complement(P)) == E + 2 * complement(P)  # nothing merges
    with without(NAME):
        assert not sided(1 + E - 2 * E * complement(P)).has(sympy.Piecewise)


def test_a_number_less_itself_is_nothing() -> None:
    assert difference(P, P) == 0
