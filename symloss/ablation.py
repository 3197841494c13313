"""What a stability rule is for: a loss derived without it, verified beside the loss as it is.

A definition and the name of a rule come in; out comes every accuracy row that is worse without the rule, and the cost
of each kernel that grows. A rule without any effect has no place in the table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symloss import load
from symloss.language.definition import Definition
from symloss.lowering.cost import cost
from symloss.pipeline import Derived, derive, render
from symloss.stability import sides
from symloss.stability.rules import RULES, without
from symloss.verification.accuracy import Accuracy, accuracy
from symloss.verification.evidence import SEED

WORSE = 1.5
"""Factor by which an error must grow, and units of the last place it must reach, to count."""
VISIBLE = 2.0
EXTENT = 100
"""Of every axis, where costs are compared."""


class UnknownRule(Exception):
    """A name that no rule has."""


@dataclass(frozen=True)
class Effect:
    """What becomes worse in one loss without one rule.

    Parameters
    ----------
    loss, rule : str
        Their names.
    what : tuple of str
        A line for each row of numbers or kernel that is worse; empty where nothing is.
    """

    loss: str
    rule: str
    what: tuple[str, ...]


def _compiled(definition: Definition, source: str) -> Any:
    """Return a loss from the text of its module, written to a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{definition.name}.py").write_text(source, encoding="utf-8")
        return load(definition.name, package=folder)


def effect(
    definition: Definition, rule: str, count: int, kernels: Callable[[Definition, str], Any] = _compiled
) -> Effect:
    """Return what becomes worse in a loss without a rule.

    Parameters
    ----------
    definition : Definition
        The loss.
    rule : str
        A name in the table.
    count : int
        Points for each dtype, as in `accuracy`.
    kernels : callable
        From a definition and the text of its module to a loss that can be called.

    Raises
    ------
    UnknownRule
        Where the table has no such rule.
    """
    names = [*(r.name for r in RULES), sides.NAME]
    if rule not in names:
        message = f"no rule {rule!r}; there are {', '.join(names)}"
        raise UnknownRule(message)
    usual = derive(definition)
    try:
        with without(rule):
            changed = derive(definition)
        render(changed)
    except (LookupError, TypeError, ValueError, NotImplementedError) as error:
        return Effect(definition.name, rule, (f"no kernel: {type(error).__name__}: {error}",))
    if usual.kernels == changed.kernels and all(
        a.kernels == b.kernels for a, b in zip(usual.variants, changed.variants, strict=True)
    ):
        return Effect(definition.name, rule, ())
    texts = (render(d)[f"{definition.name}.py"] for d in (usual, changed))  # only that in exact arithmetic is compared
    rows, others = (accuracy(definition, kernels(definition, text), SEED, count) for text in texts)
    worse = [line for a, b in zip(rows, others, strict=True) if (line := _worse(a, b))]
    return Effect(definition.name, rule, (*worse, *_dearer(usual, changed)))


def _worse(usual: Accuracy, changed: Accuracy) -> str:
    name = f"{usual.dtype} {usual.quantity}{f' in {usual.wrt}' if usual.wrt else ''}"
    for kind in ("nans", "false_zeros", "wrong_signs", "wrong"):
        before, after = getattr(usual, kind), getattr(changed, kind)
        if after > before:
            return f"{name}: {kind.replace('_', ' ')} {before} -> {after}, at {changed.worst}"
    if changed.max_ulp > max(VISIBLE, WORSE * usual.max_ulp):
        return f"{name}: {usual.max_ulp:.3g} -> {changed.max_ulp:.3g} ULP, at {changed.worst}"
    return ""


def _dearer(usual: Derived, changed: Derived) -> list[str]:
    """Return the kernels with more operations."""
    found = []
    for a, b in zip(usual.kernels, changed.kernels, strict=True):
        before, after = cost(a), cost(b)
        sizes = dict.fromkeys(before.free_symbols | after.free_symbols, EXTENT)
        if after.subs(sizes) > before.subs(sizes):
            found.append(f"{a.name}: {before} -> {after} operations")
    return found
