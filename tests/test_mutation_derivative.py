"""Mutants of symbolic derivatives: every kind of change is made, and none passes that is not the same formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy

from symloss import catalogue
from symloss.language.axes import Axis
from symloss.language.nodes import Access
from symloss.pipeline import differentiated
from symloss.verification.mutation_derivative import changes, mutants, mutate_derivatives

FOUND = catalogue.find()
SEED = 20170807


def test_the_kinds_of_change() -> None:
    n = Axis("n", "samples")
    i, j = n.index("i"), n.index("j")
    x, y = Access("x", i, j), Access("y", i)
    found = list(mutants(sympy.Piecewise((x + 2 * y, y > 0), (sympy.exp(y), True)), (i, j)))
    assert {kind for kind, _ in found} == {"sign", "dropped term", "operator", "constant", "index", "branch"}
    texts = {str(new) for _, new in found}
    assert str(sympy.Piecewise((sympy.exp(y), y > 0), (x + 2 * y, True))) in texts
    assert str(sympy.Piecewise((x + 3 * y, y > 0), (sympy.exp(y), True))) in texts
    assert str(sympy.Piecewise((x + 2 * y, y > 0), (sympy.exp(-y), True))) in texts


@pytest.mark.parametrize("name", ["huber", "hinge", "squared_error", "margin_ranking"])
def test_no_mutant_survives(name: str) -> None:
    outcome = mutate_derivatives([(FOUND[name], differentiated(FOUND[name])[1])], SEED, None)
    assert outcome.possible == len(outcome.mutants) > 30
    assert [m for m in outcome.mutants if m.status == "survived"] == []
    assert sum(m.status == "killed" for m in outcome.mutants) > 0.9 * outcome.possible
    assert all(m.reason for m in outcome.mutants if m.status == "equivalent")


@pytest.mark.parametrize("name", ["focal", "softmax_cross_entropy", "triplet"])
def test_none_of_a_sample_survives(name: str) -> None:
    outcome = mutate_derivatives([(FOUND[name], differentiated(FOUND[name])[1])], SEED, 30)
    assert [m for m in outcome.mutants if m.status == "survived"] == []


def test_a_wrong_derivative_is_rejected() -> None:
    definition = FOUND["squared_error"]
    program = differentiated(definition)[1]
    change = next(c for c in changes(program) if c.where == "gradient_prediction" and c.kind == "constant")
    output = program.output(change.where)
    term = replace(output.terms[change.term], body=change.new)
    outputs = tuple(replace(o, terms=(term,)) if o.name == change.where else o for o in program.outputs)
    with pytest.raises(RuntimeError, match="the derivatives themselves are rejected"):
        mutate_derivatives([(definition, replace(program, outputs=outputs))], SEED, None)
