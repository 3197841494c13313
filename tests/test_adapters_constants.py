"""Where boosting starts, beside the oracle: on either side of a constant the mean slope has the sign that it should.

The oracle evaluates the formula in ball arithmetic as its author wrote it, and knows nothing of kernels or Newton.
"""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest

import symloss
from symloss import catalogue, pipeline
from symloss.adapters.constants import optimal_constant
from symloss.adapters.scores import residual_shape, scored
from symloss.verification.quantities import gradient

RNG = np.random.default_rng(21)
COUNT, DEFINITIONS = 9, catalogue.find()
WEIGHTS = RNG.uniform(0.1, 3.0, COUNT)
UNBOUNDED = {"bias_error"}
"""Losses that have no best constant whatever the target: they fall for ever."""


def fits(name: str, rowwise: bool) -> bool:
    try:
        return scored(name, {}).rowwise == rowwise
    except ValueError:
        return False


SCALAR = [name for name in symloss.losses() if fits(name, rowwise=False)]
LABELLED = [name for name in symloss.losses() if fits(name, rowwise=True)]
WEIGHTED = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])


def targets(name: str) -> Any:
    """Return targets inside the domain of a loss, of either kind where there are two."""
    domain = symloss.load(name).spec.inputs[1].domain
    assert domain is not None
    if domain["kind"] == "set":
        low, high = domain["values"]
        return np.where(np.arange(COUNT) % 3 == 0, low, high).astype(float)
    if np.isfinite(domain["high"]):
        return RNG.uniform(domain["low"], domain["high"], COUNT)
    return RNG.normal(3.0, 2.0, COUNT)


def slopes(name: str, scores: Any, target: Any, weight: Any) -> Any:
    """Return the derivative of the weighted mean in each column of the scores, as balls."""
    definition = DEFINITIONS[name]
    first, second = (a.name for a in definition.inputs)
    settings = {a.name: a.default for a in definition.parameters}
    each = gradient(definition, {first: scores, second: target}, settings, first, weight)
    total = flint.arb(COUNT) if weight is None else sum(map(flint.arb, weight), flint.arb(0))
    return [sum(column, flint.arb(0)) / total for column in np.atleast_2d(each.T)]


@WEIGHTED
@pytest.mark.parametrize("name", [n for n in SCALAR if n not in UNBOUNDED])
def test_the_slope_changes_its_sign_within_the_bar(name: str, weight: Any) -> None:
    target = targets(name)
    score = optimal_constant(scored(name, {}), target, weight).score
    step = 1e-12 * max(1.0, abs(score))
    (before,), (after,) = (slopes(name, np.full(COUNT, score + s * step), target, weight) for s in (-1, 1))
    assert before <= 0
    assert after >= 0


@WEIGHTED
@pytest.mark.parametrize("name", LABELLED)
def test_no_class_pulls(name: str, weight: Any) -> None:
    label = np.arange(COUNT) % 3
    score = optimal_constant(scored(name, {}), label, weight).score
    for slope in slopes(name, np.tile(score, (COUNT, 1)), label, weight):
        assert abs(slope) <= 1e-12


@pytest.mark.parametrize("name", SCALAR)
def test_targets_that_are_all_alike(name: str) -> None:
    """Where the loss falls for ever that is an error, and else the score is as good as any near it."""
    loss = symloss.load(name)
    for value in sorted({float(x) for x in (targets(name).min(), targets(name).max())}):
        alike = np.full(COUNT, value)
        far = [loss.value(np.float64(c), np.float64(value)) for c in (-40.0, -20.0, 20.0, 40.0)]
        endless = far[0] < far[1] or far[3] < far[2]
        if endless:
            with pytest.raises(ValueError, match=f"{name}: no finite constant is best .*: the loss falls toward"):
                optimal_constant(scored(name, {}), alike, WEIGHTS)
            continue
        score = optimal_constant(scored(name, {}), alike, WEIGHTS).score
        near = loss.value(score + np.array([-1.0, -1e-3, 0.0, 1e-3, 1.0]), alike[:1], reduction="none")
        assert near[2] == near.min()


@pytest.mark.parametrize("name", LABELLED)
def test_labels_that_are_all_alike(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: no finite constant is best .* classes without samples: 0"):
        optimal_constant(scored(name, {}), np.ones(COUNT, int), WEIGHTS)


def test_what_weighs_nothing_is_not_there() -> None:
    bound, target = scored("binary_cross_entropy", {}), np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"binary_cross_entropy: no finite constant .* the loss falls toward infinity"):
        optimal_constant(bound, target, np.array([0.0, 2.0]))
    with pytest.raises(ValueError, match="needs samples with a positive weight"):
        optimal_constant(bound, target, np.zeros(2))


BOUNDED = '''
from symloss.language import *
from symloss.language.domains import Interval

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")


def add(name, domain, formula, target=REALS):
    def made(f: Expr = prediction(symbol="f", domain=domain), y: Expr = data(symbol="y", domain=target)) -> Expr:
        """As its name says."""
        return formula(f, y)

    made.__name__ = made.__qualname__ = name
    globals()[name] = loss(title=name, family="test", references=(R,))(made)


add("gamma_deviance", above(0), lambda m, y: 2 * ((y - m) / m - log(y / m)), above(0))
add("poisson_deviance", above(0), lambda m, y: 2 * (choose(y > 0, y * log(y / m), 0) - y + m), at_least(0))
add("square_at_least", at_least(0), lambda f, y: (f - y) ** 2)
add("square_between", Interval(1, 3), lambda f, y: (f - y) ** 2)
add("square_inside", Interval(1, 3, low_open=True, high_open=True), lambda f, y: (f - y) ** 2)
add("square_below", Interval(-float("inf"), 3), lambda f, y: (f - y) ** 2)
add("distance_between", Interval(1, 3), lambda f, y: Abs(f - y))
n, c = Axis("n", "samples"), Axis("c", "classes")
i = n.index("i")


@loss(title="surprise", family="test", per=i, references=(R,))
def surprise(
    p: Tensor = prediction(n, c, symbol="p", domain=above(0)), y: Tensor = labels(n, into=c, symbol="y")
) -> Expr:
    """How unlikely a label was."""
    return -log(p[i, y[i]])


add("share", REALS, lambda f, y: ratio(2 * Abs(f - y), Abs(f) + Abs(y)))
'''


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what loads losses of one's own, most of whose predictions have ends."""
    where = tmp_path_factory.mktemp("bounded")
    (where / "bounded.py").write_text(BOUNDED)
    pipeline.generate((), where, where / "out", check=False, progress=lambda *_: None)
    return lambda name: scored(symloss.load(name, package=where / "out"), {})


@WEIGHTED
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", ["gamma_deviance", "poisson_deviance"])
def test_deviances_have_the_mean_inside_an_open_end(bounded: Any, name: str, scale: float, weight: Any) -> None:
    target = scale * np.array([25.0, 346.0, 72.0, 51.0, 310.0, 88.0, 151.0, 202.0, 97.0])
    found = optimal_constant(bounded(name), target, weight)
    assert found.score == pytest.approx(np.average(target, weights=weight), rel=1e-11, abs=1e-13)
    assert found.score > 0


@pytest.mark.parametrize("shift", [-900.0, -5.0, -0.5, 0.0, 2.0, 3.0, 5.0, 1e6])
@pytest.mark.parametrize("name, low, high", [("square_at_least", 0, np.inf), ("square_between", 1, 3),
                                             ("square_below", -np.inf, 3)])  # fmt: skip
def test_closed_ends_are_found(bounded: Any, name: str, low: float, high: float, shift: float) -> None:
    target = shift + np.array([-1.0, 0.25, 0.75])
    found = optimal_constant(bounded(name), target)
    assert found.score == pytest.approx(np.clip(shift, low, high), rel=1e-12, abs=1e-12)
    assert low <= found.score <= high
    if not low <= shift <= high:
        assert found.score in (low, high)


def test_open_ends_are_no_answer(bounded: Any) -> None:
    inside = bounded("square_inside")
    assert optimal_constant(inside, [1.5, 9.0, -4.0]).score == pytest.approx(6.5 / 3, rel=1e-12)
    for target, end in ((0.5, "1.0"), (1.0, "1.0"), (3.0, "3.0"), (40.0, "3.0")):
        with pytest.raises(ValueError, match=f"square_inside: .* falls toward {end}, which its domain leaves out"):
            optimal_constant(inside, [target, target])
    with pytest.raises(ValueError, match=r"poisson_deviance: no finite constant .* toward 0\.0, which its domain"):
        optimal_constant(bounded("poisson_deviance"), [0.0, 0.0])


@pytest.mark.parametrize(
    "target, median",
    [([1.5, 2.0, 9.0], 2.0), ([-1.0, 0.0, 2.0], 1.0), ([2.0, 4.0, 9.0], 3.0), ([0.0, 2.0], 1.5), ([2.0, 8.0], 2.5)],
)
def test_level_stretches_end_where_the_domain_does(bounded: Any, target: list[float], median: float) -> None:
    """The middle of the minimisers inside the domain."""
    assert optimal_constant(bounded("distance_between"), target).score == pytest.approx(median, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_level_stretch_above_the_valley_is_left(bounded: Any, seed: int) -> None:
    """The mean of |f - y| / (|f| + |y|) is level for f < 0, and least at one of the targets."""
    target = np.random.default_rng(seed).integers(25, 347, 200).astype(float)

    def mean(f: Any) -> Any:
        return np.mean(np.abs(f - target) / (np.abs(f) + target))

    score = optimal_constant(bounded("share"), target).score
    assert mean(score) == pytest.approx(min(mean(f) for f in target), rel=1e-4)
    assert mean(score) <= min(mean(score * (1 - 1e-9)), mean(score * (1 + 1e-9)))


def test_scores_for_classes_have_no_ends(bounded: Any) -> None:
    with pytest.raises(ValueError, match="surprise: the best constants for classes need scores of any size, got a dom"):
        optimal_constant(bounded("surprise"), [0, 1, 2])


def test_where_a_prediction_has_ends_leaves_are_not_those_of_residuals(bounded: Any) -> None:
    assert not any(residual_shape(bounded(name))[0] for name in ("gamma_deviance", "square_at_least", "square_below"))
    assert residual_shape(scored("huber", {})) == (True, False)
