"""Certified values: a loss and its derivatives at chosen points, to the digits that balls of small radius pin down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np

from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf
from symloss.verification.ladder import full_settings, smooth_inputs
from symloss.verification.oracle import Balls, Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.series import working

DIGITS = 30
FAR = (-1000.0, -30.0, -5.0, -1.0, -0.125, 0.0, 0.125, 1.0, 5.0, 30.0, 1000.0)
"""Where a prediction of an elementwise loss is looked at, tails included."""


def certified(definition: Definition) -> list[dict[str, str]]:
    """Return rows of inputs and digits, at the defaults of the parameters.

    Returns
    -------
    list of dict
        ``at`` (the inputs), ``value``, ``gradient`` and ``hessian`` in the first entry of the first input that has
        derivatives; ``""`` where the point is a kink. For an elementwise loss one row for each of `FAR` and each
        target, else a small example, the same far out and the same near 0.
    """
    if definition.elementwise:
        return [_row(definition, inputs, (0,)) for inputs in _grid(definition)]
    inputs = {n: np.round(x * 8) / 8 if x.dtype.kind == "f" else x
              for n, x in smooth_inputs(definition, np.random.default_rng(0), 2, 3).items()}  # fmt: skip
    first = definition.differentiable[0]
    near, x = inputs[first.name] / 1024, inputs[first.name]
    far = np.round(x) if first.domain == Interval(0, 1) else 128 * x
    return [_row(definition, inputs | {first.name: place}, ()) for place in (x, far, near)]


def _grid(definition: Definition) -> list[dict[str, Any]]:
    first, *others = definition.inputs
    cases: list[dict[str, float]] = [{}]
    for other in others:
        cases = [case | {other.name: value} for case in cases for value in _targets(other)]
    return [{first.name: np.array([x])} | {n: np.array([v]) for n, v in case.items()} for case in cases for x in FAR]


def _targets(argument: Argument) -> tuple[float, ...]:
    match argument.domain:
        case OneOf(values=values):
            return tuple(float(v) for v in sorted(values))
        case Interval(low=0.0, high=1.0):
            return (0.0, 0.75, 1.0)
    return (0.0,)


def _row(definition: Definition, inputs: dict[str, Any], place: tuple[int, ...]) -> dict[str, str]:
    request = Request(oracle_of(definition), *split(definition, inputs, full_settings(definition, {})))
    first = definition.differentiable[0]
    at = place or (0,) * np.ndim(inputs[first.name])
    samples = request.samples(first.name, at)

    def compute(order: int) -> Callable[[], Balls]:
        return lambda: request.oracle.expand(request.tensors, request.scalars, {first.name: {at: 1.0}}, order, samples)

    found = [_digits(compute(order), order) for order in range(3)]
    shown = ", ".join(f"{n} = {_text(x)}" for n, x in inputs.items())
    return {"at": shown} | dict(zip(("value", "gradient", "hessian"), found, strict=True))


def _digits(compute: Callable[[], Balls], order: int) -> str:
    """Return one derivative to `DIGITS` digits, all of them certain."""
    for bits in (256, 2048, 16384):
        with working(bits, order):
            try:
                ball = compute()[order]
            except (Undecided, ZeroDivisionError, ValueError):
                continue
            if ball.is_zero():
                return "0"
            if ball.is_finite() and ball.rel_accuracy_bits() >= DIGITS * 3.33 + 8:
                return str(flint.arb(ball).str(DIGITS, radius=False))
    return ""


def _text(array: Any) -> str:
    return str(np.asarray(array).squeeze().tolist()).replace(".0,", ",").replace(".0]", "]").removesuffix(".0")
