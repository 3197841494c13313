"""The oracle against independent arithmetic: mpmath at many digits, SymPy on formulas written out, exact values."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import sympy

import symloss.verification
from symloss import catalogue
from symloss.language import (
    Axis,
    Expr,
    Reference,
    Tensor,
    above,
    at_least,
    choose,
    counted,
    data,
    define,
    differs,
    given,
    integer,
    labels,
    let,
    log,
    logsumexp_over,
    loss,
    max_over,
    norm_over,
    parameter,
    prediction,
    sum_over,
)
from symloss.language.atoms import magnitude, positive_part, ratio
from symloss.language.definition import Definition
from symloss.verification.accuracy import moved_inputs
from symloss.verification.condition import condition_number
from symloss.verification.oracle import Undecided, Undefined, counts, oracle_of
from symloss.verification.quantities import (
    Request,
    evaluate,
    gradient,
    hessian_diagonal,
    hessian_product,
    split,
    value,
)
from symloss.verification.ulp import round_to, rounded

DEFINITIONS = catalogue.find()
PLAIN = {"pos_weight": 1.0, "label_smoothing": 0.0}
SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")

n, d = Axis("n", "samples"), Axis("d", "features")
i, j, f = n.index("i"), n.index("j"), d.index("f")


@loss(title="In-batch", family="test", per=i, references=(SOURCE,))
def in_batch(
    query: Tensor = prediction(n, d, symbol="q"),
    key: Tensor = prediction(n, d, symbol="k"),
    *,
    temperature: Expr = parameter(0.5, above(0), symbol="t"),
) -> Expr:
    """Cross entropy over all keys of the batch."""
    s = define("s", i, j)(sum_over(f, query[i, f] * key[j, f]) / temperature)
    return logsumexp_over(j, s[i, j]) - s[i, i]


@loss(title="Kinks", family="test", references=(SOURCE,))
def kinked(x: Expr = prediction(symbol="x"), y: Expr = prediction(symbol="y")) -> Expr:
    """Everything that has a kink."""
    return magnitude(x) + 3 * positive_part(y - x) + choose(y <= x, x**2, 2 * x * y) + ratio(x * y, x)


@loss(title="Entropy", family="test", references=(SOURCE,))
def powered(
    x: Expr = prediction(symbol="x", domain=at_least(0)),
    y: Expr = data(symbol="y"),
    *,
    gamma: Expr = parameter(2, at_least(0), symbol="g"),
) -> Expr:
    """A term that is absent where its weight is 0, and a power whose base may be 0."""
    return y * log(x) + x**gamma


@loss(title="Far", family="test", per=i, references=(SOURCE,))
def farthest(
    x: Tensor = prediction(n, d, symbol="x"),
    label: Tensor = labels(n, into=d, symbol="l", ignored_by="skip"),
    *,
    skip: Expr = integer(symbol="s"),
) -> Expr:
    """A norm, a maximum and a gather, with rows that may not count."""
    size = let("size", norm_over(f, x[i, f]))
    return counted(size + max_over(f, x[i, f]) - x[i, label[i]], where=given(skip, differs(label[i], skip), True))


def close(ball: Any, truth: Any, digits: int = 20) -> bool:
    """Compare a ball with an mpmath number."""
    got = mpmath.mpf(ball.mid().str(40, radius=False))
    return bool(abs(got - truth) <= abs(truth) * mpmath.mpf(10) ** -digits)


@pytest.mark.parametrize("z", [-800.0, -40.0, -1e-300, 0.0, 1e-300, 1e-5, 37.0, 745.0, 5000.0])
@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_against_mpmath(z: float, y: float) -> None:
    tensors, unit = {"logit": np.array([z]), "target": np.array([y])}, {"logit": np.array([1.0])}
    balls = oracle_of(DEFINITIONS["binary_cross_entropy"]).along(tensors, PLAIN, unit, 2)
    with mpmath.workdps(2600):
        x, t = mpmath.mpf(z), mpmath.mpf(y)
        p = 1 / (1 + mpmath.exp(-x))
        truths = (-t * mpmath.log(p) - (1 - t) * mpmath.log(1 - p), p - t, p * (1 - p))
        for ball, truth in zip(balls, truths, strict=True):
            # below every float, a ball that holds 0 and pins the rounding is enough
            assert close(ball, truth) or (abs(truth) < mpmath.mpf(2) ** -1100 and round_to(ball)[0] == 0)


def test_softmax_cross_entropy_against_mpmath() -> None:
    inputs = {"logits": np.array([[3.0, -700.0, 40.5, 1e-3]]), "label": np.array([2])}
    definition = DEFINITIONS["softmax_cross_entropy"]
    found = value(definition, inputs, {})[0]
    slopes, bends = (q(definition, inputs, {}, "logits")[0] for q in (gradient, hessian_diagonal))
    with mpmath.workdps(900):
        e = [mpmath.exp(mpmath.mpf(x)) for x in inputs["logits"][0]]
        assert close(found, mpmath.log(sum(e)) - mpmath.mpf(40.5))
        for k, (slope, bend) in enumerate(zip(slopes, bends, strict=True)):
            p = e[k] / sum(e)
            # the probability of the label is 1 less that of the others: as a sum, nothing cancels
            rest = sum(x for c, x in enumerate(e) if c != k) / sum(e)
            assert close(slope, p if k != 2 else -rest)
            assert close(bend, p * rest)


def test_samples_that_interact_against_sympy_on_the_written_out_formula() -> None:
    rng = np.random.default_rng(0)
    inputs = {"query": rng.normal(0, 1, (2, 2)), "key": rng.normal(0, 1, (2, 2))}
    weights = np.array([0.75, 2.0])
    q, k = sympy.symbols("q:4", real=True), sympy.symbols("k:4", real=True)
    t = sympy.Symbol("t", real=True)
    total: Any = 0
    for row in range(2):
        s = [(q[2 * row] * k[2 * c] + q[2 * row + 1] * k[2 * c + 1]) / t for c in range(2)]
        total += sympy.Rational(weights[row]) * (sympy.log(sympy.exp(s[0]) + sympy.exp(s[1])) - s[row])
    at = dict(zip((*q, *k, t), [*map(sympy.Rational, np.ravel([inputs["query"], inputs["key"]])), sympy.Rational(1, 2)],
                  strict=True))  # fmt: skip
    moves = dict(zip((*q, *k), map(sympy.Rational, rng.integers(-8, 9, 8) / 4), strict=True))
    direction = {"query": np.array([float(moves[s]) for s in q]).reshape(2, 2),
                 "key": np.array([float(moves[s]) for s in k]).reshape(2, 2)}  # fmt: skip
    along = sum(sympy.diff(total, s) * v for s, v in moves.items())

    def number(expression: Any) -> float:
        return float(sympy.N(expression.xreplace(at), 40))

    for name, symbols in (("query", q), ("key", k)):
        balls = {
            "gradient": gradient(in_batch, inputs, {}, name, weights),
            "diagonal": hessian_diagonal(in_batch, inputs, {}, name, weights),
            "product": hessian_product(in_batch, inputs, {}, name, direction, weights),
        }
        found = {quantity: rounded(b).ravel() for quantity, b in balls.items()}
        for position, symbol in enumerate(symbols):
            assert found["gradient"][position] == pytest.approx(number(sympy.diff(total, symbol)), rel=1e-15)
            assert found["diagonal"][position] == pytest.approx(number(sympy.diff(total, symbol, 2)), rel=1e-15)
            assert found["product"][position] == pytest.approx(number(sympy.diff(along, symbol)), rel=1e-14)
    slope = gradient(in_batch, inputs, {}, "temperature", weights)
    assert rounded(slope)[()] == pytest.approx(number(sympy.diff(total, t)), rel=1e-15)


def test_only_the_samples_concerned_are_evaluated() -> None:
    oracle = oracle_of(in_batch)
    assert oracle.links["query"] == ((0, 0),)
    assert oracle.links["key"] == ()
    assert not oracle.separable
    assert oracle_of(DEFINITIONS["softmax_cross_entropy"]).separable
    tensors = {"query": np.zeros((3, 2)), "key": np.zeros((3, 2))}
    assert oracle.concerned("query", (1, 0), tensors) == [(1,)]
    assert oracle.concerned("key", (1, 0), tensors) == [(0,), (1,), (2,)]


def test_conventions_at_ties() -> None:
    one = {"x": np.array([0.0]), "y": np.array([0.0])}
    # |x| and max(0, y - x) have derivative 0 at their kinks, x / x is 0 at 0, the tie takes the case of <=
    assert [float(b) for b in evaluate(kinked, one, {}, (0,), 2, {"x": {(0,): 1.0}})] == [0.0, 0.0, 2.0]
    two = {"x": np.array([2.0]), "y": np.array([2.0])}
    assert [float(b) for b in evaluate(kinked, two, {}, (0,), 2, {"x": {(0,): 1.0}})] == [8.0, 5.0, 2.0]
    assert oracle_of(kinked).tied(two, {})
    assert not oracle_of(kinked).tied({"x": np.array([2.0]), "y": np.array([3.0])}, {})


def test_the_maximum_goes_to_the_first_of_equals_and_the_norm_is_flat_at_the_origin() -> None:
    inputs = {"x": np.array([[1.0, 1.0], [0.0, 0.0], [3.0, 4.0]]), "label": np.array([1, 0, 1])}
    assert rounded(value(farthest, inputs, {})).tolist() == [np.sqrt(2.0), 0.0, 5.0]
    slopes = rounded(gradient(farthest, inputs, {}, "x"))
    assert slopes[0] == pytest.approx([1 + 0.5**0.5, 0.5**0.5 - 1])
    assert slopes[1].tolist() == [0.0, 0.0]
    assert slopes[2] == pytest.approx([0.6, 0.8])


def test_a_sample_that_does_not_count_has_no_value_and_no_slope() -> None:
    inputs = {"x": np.array([[1.0, 2.0], [3.0, 4.0]]), "label": np.array([0, 1])}
    assert not counts(farthest, inputs, {"skip": 1}, (1,))
    assert rounded(value(farthest, inputs, {"skip": 1}))[1] == 0.0
    assert rounded(gradient(farthest, inputs, {"skip": 1}, "x"))[1].tolist() == [0.0, 0.0]
    assert np.count_nonzero(rounded(gradient(farthest, inputs, {}, "x"))) == 4


def test_absent_terms_and_powers_of_zero() -> None:
    at = {"x": np.array([0.0]), "y": np.array([0.0])}
    move = {"x": {(0,): 1.0}}
    assert [float(b) for b in evaluate(powered, at, {"gamma": 2.0}, (0,), 2, move)] == [0.0, 0.0, 0.0]
    assert [float(b) for b in evaluate(powered, at, {"gamma": 0.5}, (0,), 2, move)] == [0.0, 0.0, 0.0]
    assert [float(b) for b in evaluate(powered, at, {"gamma": 0.0}, (0,), 2, move)] == [1.0, 0.0, 0.0]
    with pytest.raises(Undefined):  # log(0), with a weight
        evaluate(powered, {"x": np.array([0.0]), "y": np.array([1.0])}, {}, (0,))
    three = evaluate(powered, {"x": np.array([3.0]), "y": np.array([0.0])}, {"gamma": 2.0}, (0,), 2, {"gamma": 1.0})
    with mpmath.workdps(40):
        assert close(three[1], 9 * mpmath.log(3))
        assert close(three[2], 9 * mpmath.log(3) ** 2)


def test_what_cannot_be_decided_is_not_passed() -> None:
    tensors = {"logit": np.array([1e300]), "target": np.array([0.0])}
    with pytest.raises(Undecided):
        oracle_of(DEFINITIONS["binary_cross_entropy"]).along(tensors, PLAIN, {}, 0)


def test_rationals_are_not_rounded_to_binary() -> None:
    @loss(title="Third", family="test", references=(SOURCE,))
    def third(x: Expr = prediction(symbol="x")) -> Expr:
        """A fraction that no float holds."""
        return x / 3 - x / 7

    (ball,) = evaluate(third, {"x": np.array([21.0])}, {}, (0,))
    assert ball.contains(4)
    assert round_to(ball)[0] == 4.0
    assert ball.rel_accuracy_bits() >= 80


def condition_of(definition: Definition, inputs: dict[str, Any]) -> float:
    request = Request(oracle_of(definition), *split(definition, inputs, {}))

    def compute(at: Request) -> Any:
        return at.oracle.along(at.tensors, at.scalars, {}, 0, (0,))[0]

    return condition_number(request, list(inputs), compute(request), compute)


def test_the_condition_number_of_a_difference() -> None:
    squared = {"prediction": np.array([5.0]), "target": np.array([0.0])}
    assert condition_of(DEFINITIONS["squared_error"], squared) == pytest.approx(2.0)
    near = {"prediction": np.array([1.0]), "target": np.array([1.0 - 2.0**-10])}
    assert condition_of(DEFINITIONS["bias_error"], near) == pytest.approx(2047.0, rel=1e-3)
    equal = {"prediction": np.array([1.0]), "target": np.array([1.0])}
    assert condition_of(DEFINITIONS["bias_error"], equal) == np.inf


def test_the_condition_number_counts_every_entry() -> None:
    axis = Axis("m", "terms")
    k, i = axis.index("k"), Axis("n", "rows").index("i")

    @loss(title="Total", family="test", references=(SOURCE,), per=i)
    def total(x: Tensor = prediction(i.axis, axis, symbol="x")) -> Expr:
        """A sum, of which moves at random cancel for the most part."""
        return sum_over(k, x[i, k])

    assert condition_of(total, {"x": np.arange(1.0, 41.0)[None]}) == pytest.approx(1.0)
    signed = np.arange(1.0, 41.0)[None] * (-1.0) ** np.arange(40)
    assert condition_of(total, {"x": signed}) == pytest.approx(820 / 20)


def test_the_condition_number_moves_what_has_neighbours() -> None:
    assert moved_inputs(DEFINITIONS["dice"]) == ["probability", "target"]
    assert moved_inputs(DEFINITIONS["focal"]) == ["logit"]
    assert moved_inputs(DEFINITIONS["softmax_dice"]) == ["logits"]
    assert moved_inputs(DEFINITIONS["triplet"]) == ["anchor", "positive", "negative"]


INTERPRETERS = ("mutation_symbolic.py", "steps.py")
"""These are given programs, and evaluate them entry by entry; no oracle imports them (`test_oracle_alone`)."""


def test_verification_shares_nothing_with_the_compiler() -> None:
    folder = Path(str(symloss.verification.__file__)).parent
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        rooms = {name.split(".")[1] for name in names if name.startswith("symloss.")}
        given = {"program"} if path.name in INTERPRETERS else set()
        assert rooms <= {"language", "verification", "peers"} | given, path.name  # peers: other libraries


def test_precision_is_left_as_it_was() -> None:
    before = flint.ctx.prec, flint.ctx.cap
    evaluate(powered, {"x": np.array([1.5]), "y": np.array([1e-200])}, {}, (0,), 2, {"x": {(0,): 1.0}})
    assert (flint.ctx.prec, flint.ctx.cap) == before
