"""The mutator: its changes, its plain modules, its judgement, and that no small mistake in a kernel passes."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symloss
from symloss import catalogue
from symloss.runtime.loader import load_module
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.verification.mutation import mutate_source, sample
from symloss.verification.mutation_helpers import helper_probes
from symloss.verification.mutation_plain import Exhausted, plain
from symloss.verification.mutation_sites import sites

GENERATED = Path(__file__).resolve().parent.parent / "generated"
DEFINITIONS = catalogue.find()
SEED = 20170807


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
    with pytest.raises(RuntimeError, match="the module itself is rejected"):
        mutate_source(DEFINITIONS["squared_error"], wrong, load, SEED, None)


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
