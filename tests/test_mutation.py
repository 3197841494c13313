"""The mutator: its changes, its plain modules, its judgement, and that no small mistake in a kernel passes."""

# ruff: noqa: B008 - definitions stand in signatures
from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import catalogue, pipeline
from symloss.language import (
    Axis,
    Expr,
    Reference,
    Tensor,
    above,
    data,
    equal,
    log,
    loss,
    mean_over,
    one_of,
    parameter,
    prediction,
    sigmoid,
)
from symloss.runtime.loader import load_module
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.verification.mutation import Rejected, mutate_source, sample
from symloss.verification.mutation_helpers import helper_probes
from symloss.verification.mutation_plain import Exhausted, plain
from symloss.verification.mutation_points import gentle
from symloss.verification.mutation_probes import probes
from symloss.verification.mutation_sites import sites
from symloss.verification.mutation_symbolic import mutate_derivatives
from symloss.verification.mutation_ties import defined
from symloss.verification.sampling import Batch

GENERATED = Path(__file__).resolve().parent.parent / "generated"
DEFINITIONS = catalogue.find()
SEED = 20170807
CODE = Reference("@misc{code,\n  author = {A., B.},\n  title = {T},\n  year = {2020},\n}")


def load(module: ModuleType) -> Loss:
    return Loss(make_plan(module))


def text_of(name: str) -> str:
    return (GENERATED / f"{name}.py").read_text(encoding="utf-8")


def mutants_of(source: str) -> set[str]:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    return {site.texts()[1] for site in sites(function)}


def test_the_kinds_of_change() -> None:
    changed = mutants_of("def f(x, i, j):\n    y = -x[i, j] + 2.0 * x[j, i]\n    return y if y > 0.0 else i\n")
    assert {
        "y = x[i, j] + 2.0 * x[j, i]", "y = -x[i, j] - 2.0 * x[j, i]", "y = -x[j, i] + 2.0 * x[j, i]",
        "y = -x[i, j]", "y = -x[i, j] + 2.0 / x[j, i]", "y = -x[i, j] + 3.0 * x[j, i]",
        "y = -x[i - 1, j] + 2.0 * x[j, i]",
        "return y if y >= 0.0 else i", "return y if y < 0.0 else i", "return i if y > 0.0 else y",
    } <= changed  # fmt: skip


def test_a_tree_is_as_before_after_a_mutant() -> None:
    (function,) = ast.parse("def f(x):\n    for i in range(x):\n        x += i * 2\n    return x\n").body
    assert isinstance(function, ast.FunctionDef)
    before = ast.unparse(function)
    for site in sites(function):
        with site.applied():
            assert ast.unparse(function) != before
        assert ast.unparse(function) == before


@pytest.mark.parametrize("name", ["binary_cross_entropy", "softmax_cross_entropy", "info_nce"])
def test_a_plain_module_gives_what_the_compiled_one_does(name: str) -> None:
    rng = np.random.default_rng(3)
    second: Any = rng.integers(0, 4, 6) if name == "softmax_cross_entropy" else rng.uniform(0, 1, (6, 4))
    inputs = (rng.normal(0, 3, (6, 4)), second)
    ours, theirs = symloss.load(name), load(plain(text_of(name), name).module)
    for method in ("gradient", "hessian_diagonal"):
        with np.errstate(over="ignore"):  # indices wrap around as compiled ones do
            found = [np.atleast_2d(getattr(loss, method)(*inputs)) for loss in (ours, theirs)]
        for left, right in zip(*found, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-15)


def test_a_loop_without_end_is_stopped() -> None:
    module = plain("def value(x):\n    while x > 0:\n        x = x + 1\n    return x\n", "endless")
    with pytest.raises(Exhausted):
        module.module.value(1.0)


def test_few_mutants_of_a_kernel_with_sums_that_cancel_survive() -> None:
    """Those that do are listed: guards, and arguments of which only the sign is read."""
    outcome = mutate_source(DEFINITIONS["binary_cross_entropy"], text_of("binary_cross_entropy"), load, SEED, 240)
    survived = [m for m in outcome.mutants if m.status in ("survived", "unreached")]
    assert len(survived) <= 0.03 * len(outcome.mutants)


@pytest.mark.parametrize("name", ["huber", "hinge", "squared_error"])
def test_no_mutant_survives(name: str) -> None:
    outcome = mutate_source(DEFINITIONS[name], text_of(name), load, SEED, None)
    assert outcome.possible == len(outcome.mutants) > 100
    assert [m for m in outcome.mutants if m.status in ("survived", "unreached")] == []
    assert sum(m.status == "killed" for m in outcome.mutants) > 0.9 * outcome.possible


def test_a_wrong_module_is_rejected() -> None:
    wrong = text_of("squared_error").replace("2.0", "2.5")
    with pytest.raises(Rejected, match="the module itself gives a wrong number in ") as told:
        mutate_source(DEFINITIONS["squared_error"], wrong, load, SEED, None)
    assert_is_short(told.value)


def test_a_module_that_raises_is_rejected() -> None:
    wrong = text_of("squared_error").replace("2.0", "missing")
    with pytest.raises(Rejected, match=r"the module itself raises NameError in .*: name 'missing' is not def") as told:
        mutate_source(DEFINITIONS["squared_error"], wrong, load, SEED, 1)
    assert_is_short(told.value)


def assert_is_short(error: Exception) -> None:
    """A line, without what arrays and definitions look like."""
    assert len(str(error)) < 160
    assert not any(part in str(error) for part in ("\n", "array", "Situation", "Definition"))


def test_a_call_is_told_in_a_few_words() -> None:
    weighed = [p for p in probes(DEFINITIONS["huber"], SEED) if p.situation.weights is not None]
    told = [p.call_text for p in weighed if p.method == "gradient" and p.situation.batch.settings]
    assert re.fullmatch(
        r"gradient in prediction with reduction 'mean', delta = [\d.]+, sample weights, samples: \d+", told[0]
    )


@loss(title="An inner class", family="classification", references=(CODE,))
def inner_class(
    z: Expr = prediction(symbol="z"), a: Expr = data(symbol="a"), b: Expr = data(symbol="b"),
    *, width: Expr = parameter(1, above(0), symbol="w"),
) -> Expr:  # fmt: skip
    """Cumulative logit; there is no loss where one threshold is not below the other."""
    return -log(sigmoid((b - z) / width) - sigmoid((a - z) / width))


def test_probes_leave_out_points_where_there_is_no_loss() -> None:
    every = list(probes(inner_class, SEED))
    calm = [p.situation.batch.inputs for p in every if p.names == ("width",)]
    assert calm
    assert all((x["a"] < x["b"]).all() for x in calm), "a sum has no derivative where one of its terms has no value"


N, C = Axis("n", "samples"), Axis("c", "classes")
ROW, K = N.index("i"), C.index("k")


@loss(title="Masked", family="regression", per=ROW, references=(CODE,))
def masked(
    x: Tensor = prediction(N, C, symbol="x"), mask: Tensor = data(N, C, symbol="m", domain=one_of(0, 1)),
) -> Expr:  # fmt: skip
    """A mean of what counts."""
    return mean_over(K, x[ROW, K] ** 2, where=equal(mask[ROW, K], 1), empty=0)


def test_nan_under_a_mask_is_not_missed() -> None:
    text = pipeline.render(pipeline.derive(masked))["masked.py"]
    outcome = mutate_source(masked, text, load, SEED, 30)
    assert sum(m.status == "killed" for m in outcome.mutants) > 20
    spoilt = next(p for p in probes(masked, SEED) if p.situation.nan and p.situation.batch.inputs["mask"][0, -1] == 0)
    assert spoilt.situation.unspoilt.all()


def test_only_samples_with_a_loss_are_kept() -> None:
    drawn = gentle(inner_class, SEED, 40)
    kept = defined(inner_class, drawn)
    assert kept is not None
    ordered = drawn.inputs["a"] < drawn.inputs["b"]
    assert 0 < ordered.sum() < 40
    np.testing.assert_array_equal(kept.inputs["z"], drawn.inputs["z"][ordered])
    assert defined(inner_class, kept) is kept
    assert defined(inner_class, Batch(drawn.inputs | {"b": drawn.inputs["a"]}, drawn.settings)) is None


def test_derivatives_are_mutated_where_there_is_a_loss() -> None:
    outcome = mutate_derivatives(pipeline.derivatives(inner_class), SEED, 10)
    assert sum(m.status == "killed" for m in outcome.mutants) > 5


def test_samples_are_seeded_and_in_order() -> None:
    every = list(range(1000))
    assert sample(every, 1, 20) == sample(every, 1, 20) == sorted(sample(every, 1, 20))
    assert sample(every, 1, None) == every


@pytest.mark.parametrize("name", symloss.losses())
def test_every_module_keeps_the_contracts_of_its_functions(name: str) -> None:
    """A full run takes no module that a probe rejects as it is."""
    module = plain(Path(load_module(name, None).__file__ or "").read_text(encoding="utf-8"), name)
    for probe in helper_probes(module):
        assert probe.accepts(probe.call(None)), probe
