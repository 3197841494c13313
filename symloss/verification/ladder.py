"""The rungs that need only a definition and a loss that can be called: accuracy, Taylor order, variants, kinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.language.domains import OneOf
from symloss.verification.oracle import Oracle, Undecided, oracle_of
from symloss.verification.sampling import Batch, batches
from symloss.verification.ulp import ulp_error

GROSS = 512.0
"""Units of the last place from which an error is looked at twice."""
CLOSE = 1e-12
"""What an error may be, relative to the larger of 1 and the truth, where the last place is lost to cancellation."""
JUMP = 2.0**-52
"""Relative distance to a jump within which rounding the inputs' difference decides the side."""

QUANTITIES = ("value", "gradient", "hessian_diagonal", "hessian_product")


@dataclass(frozen=True)
class Accuracy:
    """The largest error of one quantity in one dtype, and where it is."""

    dtype: str
    quantity: str
    wrt: str
    points: int
    max_ulp: float
    worst: dict[str, str]
    false_zeros: int
    nans: int
    wrong_signs: int
    undecided: int
    at_jumps: int
    wrong: int


@dataclass(frozen=True)
class Check:
    """The outcome of one rung."""

    check: str
    status: str
    detail: str


class _Tally:
    """Errors of one quantity as they come in."""

    def __init__(self) -> None:
        self.points, self.worst_ulp, self.undecided, self.at_jumps, self.wrong = 0, 0.0, 0, 0, 0
        self.worst: dict[str, str] = {}
        self.kinds = {"false zero": 0, "nan": 0, "inf": 0, "sign": 0}

    def add(
        self, computed: Any, exact: Any, dtype: np.dtype[Any], describe: Callable[[], dict[str, str]],
        gap: Callable[[], float],
    ) -> None:  # fmt: skip
        """Compare one number; a difference within rounding of a jump is counted apart."""
        error = ulp_error(computed, exact, dtype)
        if error.ulp > GROSS and 0.0 < gap() < JUMP:
            self.at_jumps += 1
            return
        self.points += 1
        truth = float(exact.mid())
        if error.ulp > GROSS and not abs(float(computed) - truth) <= CLOSE * max(1.0, abs(truth)):
            self.wrong += 1
        if error.kind:
            self.kinds[error.kind] += 1
        if error.ulp > self.worst_ulp:
            self.worst_ulp, self.worst = error.ulp, describe()

    def row(self, dtype: np.dtype[Any], quantity: str, wrt: str) -> Accuracy:
        """Return the summary."""
        bad = self.kinds
        return Accuracy(
            dtype.name, quantity, wrt, self.points, self.worst_ulp, self.worst, bad["false zero"],
            bad["nan"] + bad["inf"], bad["sign"], self.undecided, self.at_jumps, self.wrong,
        )  # fmt: skip


def full_settings(definition: Definition, settings: dict[str, Any]) -> dict[str, Any]:
    """Return every scalar parameter, with the defaults of those not set."""
    return {a.name: settings.get(a.name, a.default) for a in definition.parameters if not a.axes}


def accuracy(definition: Definition, loss: Any, seed: int, count: int) -> tuple[Accuracy, ...]:
    """Compare value, gradient, Hessian diagonal and Hessian product with the oracle, point by point."""
    oracle = oracle_of(definition)
    rows = []
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        tallies: dict[tuple[str, str], _Tally] = {("value", ""): _Tally()}
        for a in definition.differentiable:
            tallies |= {(q, a.name): _Tally() for q in QUANTITIES[1:]}
        rng = np.random.default_rng(seed + 1)
        for batch in batches(definition, seed, count, dtype):
            _compare(definition, loss, oracle, batch, dtype, tallies, rng)
        rows += [t.row(dtype, q, wrt) for (q, wrt), t in tallies.items()]
    return tuple(rows)


def _compare(
    definition: Definition, loss: Any, oracle: Oracle, batch: Batch, dtype: np.dtype[Any],
    tallies: dict[tuple[str, str], _Tally], rng: np.random.Generator,
) -> None:  # fmt: skip
    inputs = list(batch.inputs.values())
    names = [a.name for a in definition.differentiable]
    # multiples of 1/8: adding a unit vector to them is exact
    direction = {n: (rng.integers(-32, 33, batch.inputs[n].shape) / 8).astype(dtype) for n in names}
    given = tuple(direction[n] for n in names) if len(names) > 1 else direction[names[0]]
    values = loss.value(*inputs, reduction="none", **batch.settings)
    gradients, hessians = loss.gradient_and_hessian(*inputs, reduction="sum", **batch.settings)
    products = loss.hessian_product(*inputs, direction=given, reduction="sum", **batch.settings)
    if len(names) == 1:
        gradients, hessians, products = (gradients,), (hessians,), (products,)
    scalars = full_settings(definition, batch.settings)
    tensors = {a.name: batch.settings.get(a.name) for a in definition.parameters if a.axes}
    for sample in range(len(inputs[0])):
        one = {n: x[sample : sample + 1] for n, x in batch.inputs.items()} | tensors

        def describe(sample: int = sample) -> dict[str, str]:
            shown = {n: np.array2string(x[sample], threshold=8) for n, x in batch.inputs.items()}
            return shown | {n: repr(v) for n, v in batch.settings.items() if not isinstance(v, np.ndarray)}

        def gap(one: dict[str, Any] = one) -> float:
            return oracle.gap(one, scalars)

        along = {n: d[sample : sample + 1] for n, d in direction.items()}
        for number, name in enumerate(names):
            for entry in _entries(rng, batch.inputs[name][sample]):
                at = (0, *entry)
                unit = np.zeros((1, *batch.inputs[name].shape[1:]))
                unit[at] = 1.0
                try:
                    value, slope, curvature = oracle.along(one, scalars, {name: unit}, 2)
                    product = _product(oracle, one, scalars, name, unit, at, along, curvature)
                except Undecided:
                    for tally in tallies.values():
                        tally.undecided += 1
                    continue
                place = (sample, *entry)
                tallies["value", ""].add(values[sample], value, dtype, describe, gap)
                tallies["gradient", name].add(gradients[number][place], slope, dtype, describe, gap)
                tallies["hessian_diagonal", name].add(hessians[number][place], curvature, dtype, describe, gap)
                if product is not None:
                    tallies["hessian_product", name].add(products[number][place], product, dtype, describe, gap)


def _entries(rng: np.random.Generator, row: NDArray[Any]) -> list[tuple[int, ...]]:
    """Return the entries of one sample that are compared: all of a few, some of many."""
    every = list(np.ndindex(*row.shape))
    if len(every) <= 4:
        return every
    return [every[k] for k in rng.choice(len(every), 4, replace=False)]


def _product(
    oracle: Oracle, one: dict[str, Any], scalars: dict[str, Any], name: str, unit: NDArray[Any], at: tuple[int, ...],
    along: dict[str, NDArray[Any]], curvature: Any,
) -> Any:  # fmt: skip
    """Return one entry of the Hessian product: (f''(e + v) - f''(e - v)) / 4, or h v where nothing else moves."""
    if sum(x.size for x in along.values()) == 1:
        return curvature * float(along[name][at])
    sides = []
    for sign in (1.0, -1.0):
        moved = {n: sign * v.astype(np.float64) for n, v in along.items()}
        moved[name] = moved[name] + unit
        if not np.array_equal(moved[name] - unit, sign * along[name].astype(np.float64)):
            return None  # the direction itself rounds: not this point
        sides.append(oracle.along(one, scalars, moved, 2)[2])
    before, flint.ctx.prec = flint.ctx.prec, 256
    difference = (sides[0] - sides[1]) / 4
    flint.ctx.prec = before
    return difference if difference.rel_accuracy_bits() >= 60 else None


def taylor(definition: Definition, loss: Any, seed: int) -> Check:
    """Check the order of the Taylor remainder: 2 without the Hessian, 3 with it."""
    rng = np.random.default_rng(seed)
    inputs = smooth_inputs(definition, rng)
    names = [a.name for a in definition.differentiable]
    order = [a.name for a in definition.inputs]
    direction = {n: rng.normal(0, 1, inputs[n].shape) for n in names}
    gradients = loss.gradient(*inputs.values(), wrt=tuple(names), reduction="sum")
    products = loss.hessian_product(
        *inputs.values(), wrt=tuple(names), direction=tuple(direction[n] for n in names), reduction="sum"
    )
    slope = sum(float((g * direction[n]).sum()) for n, g in zip(names, gradients, strict=True))
    bend = sum(float((p * direction[n]).sum()) for n, p in zip(names, products, strict=True))
    start = float(loss.value(*inputs.values(), reduction="sum"))
    steps = 2.0 ** -np.arange(3, 9)
    first, second = [], []
    for step in steps:
        moved = [inputs[n] + step * direction[n] if n in names else inputs[n] for n in order]
        gap = float(loss.value(*moved, reduction="sum")) - start - step * slope
        first.append(abs(gap))
        second.append(abs(gap - step * step * bend / 2))
    floor = 1e-13 * max(1.0, abs(start))
    slopes = [_slope(steps, np.asarray(r), floor) for r in (first, second)]
    good = all(s is None or s > need for s, need in zip(slopes, (1.8, 2.8), strict=True))
    shown = ", ".join("below rounding" if s is None else f"{s:.2f}" for s in slopes)
    return Check("taylor", "passed" if good else "failed", f"remainder orders {shown} (2 and 3 expected)")


def smooth_inputs(definition: Definition, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return inputs away from kinks by more than the longest step."""
    found: dict[str, NDArray[Any]] = {}
    for argument in definition.inputs:
        if argument.kind == "label":
            found[argument.name] = rng.integers(0, 5, 6)
        elif not argument.differentiable:
            members = argument.domain.values if isinstance(argument.domain, OneOf) else (0.0, 1.0)
            found[argument.name] = rng.choice(np.asarray(members, np.float64), 6)
        else:
            shape = (6, *(5 for _ in argument.axes[1:]))
            found[argument.name] = rng.choice([-1, 1], shape) * rng.uniform(2.0, 2.4, shape) * (1 + len(found))
    return found


def _slope(steps: NDArray[Any], remainders: NDArray[Any], floor: float) -> float | None:
    """Return the order at which remainders shrink, or None where they are rounding error."""
    keep = remainders > floor
    if keep.sum() < 3:
        return None
    return float(np.polyfit(np.log(steps[keep]), np.log(remainders[keep]), 1)[0])


def variants(definition: Definition, loss: Any, seed: int, set_threads: Callable[[int], None] | None) -> Check:
    """Check that the same numbers come out bit for bit, however they are asked for."""
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        for batch in batches(definition, seed + 7, 120, dtype):
            wrong = _variants_of(loss, list(batch.inputs.values()), batch.settings, set_threads)
            if wrong:
                return Check("variants", "failed", f"{dtype}: {wrong} at {batch.settings}")
    return Check("variants", "passed", "value, gradient, Hessian: fused, strided, alone, any thread count: same bits")


def _same(left: Any, right: Any) -> bool:
    pairs = zip(_leaves(left), _leaves(right), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) for a, b in pairs)


def _leaves(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, tuple) else [value]


def _variants_of(
    loss: Any, inputs: list[Any], settings: dict[str, Any], set_threads: Callable[[int], None] | None
) -> str:
    options = {"reduction": "none", **settings}
    value, gradient = loss.value(*inputs, **options), loss.gradient(*inputs, **options)
    hessian = loss.hessian_diagonal(*inputs, **options)
    if not _same(loss.value_and_gradient(*inputs, **options), (value, gradient)):
        return "value_and_gradient differs from value and gradient"
    if not _same(loss.gradient_and_hessian(*inputs, **options), (gradient, hessian)):
        return "gradient_and_hessian differs from gradient and hessian_diagonal"
    strided = [np.repeat(x, 2, axis=0)[::2] for x in inputs]
    if not _same(loss.gradient(*strided, **options), gradient):
        return "strided inputs give another gradient"
    alone = [x[:1] for x in inputs]
    if not _same(loss.value(*alone, **options), value[:1]):
        return "a sample alone has another value than in a batch"
    if set_threads is not None:
        many = [np.tile(x, (4000, *(1 for _ in x.shape[1:]))) for x in inputs[:]]
        results = []
        for count in (1, 2):
            set_threads(count)
            results.append(loss.value_and_gradient(*many, reduction="sum", **settings))
        if not _same(*results):
            return "two threads give other numbers than one"
    return ""
