"""Every rule of the table earns its place: without it, some loss has worse numbers or more operations."""

from __future__ import annotations

from typing import Any

import pytest

from symloss import catalogue
from symloss.ablation import effect
from symloss.language.definition import Definition
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.stability.rules import RULES
from symloss.verification.mutation_plain import plain
from tests.fixtures import textbook

FOUND = catalogue.find()
POINTS = 12
NEEDS: dict[str, tuple[Definition, str]] = {
    "whole_power": (textbook.textbook_powers, "ULP"),
    "divided_power": (FOUND["softmax_focal"], "operations"),
    "kink_atoms": (FOUND["hinge"], "no kernel"),
    "logistic": (textbook.textbook_brier, "false zeros"),
    "softplus": (textbook.textbook_logistic, "ULP"),
    "log_of_exponentials": (textbook.textbook_counts, "false zeros"),
    "log_sigmoid": (textbook.textbook_likelihood, "ULP"),
    "complement": (FOUND["softmax_cross_entropy"], "false zeros"),
    "other_side": (FOUND["softmax_focal"], "wrong signs"),
    "mean_of_complements": (textbook.textbook_two_heads, "false zeros"),
    "root_at_one": (textbook.textbook_cubic, "false zeros"),
    "mirror": (textbook.textbook_likelihood, "operations"),
    "square_of_sign": (FOUND["squared_hinge"], "operations"),
    "gather_signs": (textbook.textbook_margin, "operations"),
    "common_factor": (textbook.textbook_margin, "operations"),
}
"""A loss that needs the rule, and what becomes worse without it."""


def uncompiled(definition: Definition, source: str) -> Any:
    """Return a loss that runs as plain Python: few points take less time than compiling."""
    return Loss(make_plan(plain(source, definition.name).module))


def test_every_rule_has_a_loss_that_needs_it() -> None:
    assert set(NEEDS) == {rule.name for rule in RULES}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_without_the_rule_something_is_worse(name: str) -> None:
    definition, kind = NEEDS[name]
    found = effect(definition, name, POINTS, uncompiled)
    assert any(kind in line for line in found.what), found.what


def test_a_rule_that_a_loss_does_not_need_has_no_effect_on_it() -> None:
    assert effect(textbook.textbook_brier, "divided_power", POINTS, uncompiled).what == ()
