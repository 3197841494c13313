"""The first rung: value, gradient, Hessian diagonal and Hessian product against the oracle, in units of the last place.

A definition and a loss that can be called come in; out goes the largest error of each quantity in each dtype, the input
where it is, and the count of errors that no unit excuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.verification.condition import condition_number
from symloss.verification.crossings import crossings
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch, batches, geometric
from symloss.verification.series import working
from symloss.verification.ulp import round_to, ulp_error

GROSS = 512.0
"""Units of the last place from which an error is looked at twice."""
CLOSE = 1e-12
"""And that an error exceeds, beside the largest of what it came from, to count as wrong."""
EASY = 4.0
"""Units of the last place that need no excuse, so that no condition number is computed."""
ROUGH = 1e-5
"""The same of float32 arithmetic where norms are: products of its matrices are added up in it."""
JUMP, NARROW_JUMP = 2.0**-52, 2.0**-22
"""Relative distance to a jump within which rounding the inputs' difference decides the side; in float32 arithmetic."""
CROSSED = 12
"""Elements of a batch beside whose labels zeros of derivatives are looked for."""
ENTRIES = 4
"""How many entries of a row are compared."""

QUANTITIES = ("value", "gradient", "hessian_diagonal", "hessian_product")
Place = tuple[int, ...]


@dataclass(frozen=True)
class Accuracy:
    """The largest error of one quantity in one dtype, and where it is.

    Parameters
    ----------
    dtype, quantity, wrt : str
        What was compared.
    points : int
        How many numbers were compared.
    max_ulp : float
        In units of the last place of the correctly rounded result; of float32 arithmetic, where no condition number
        was asked for: beside zero crossings `max_conditioned` tells.
    worst : dict of str to str
        The sample with the largest error, in digits that give back the same floats.
    false_zeros, nans, wrong_signs : int
        0 for a normal number; NaN or infinity for a finite one; a normal number's sign turned.
    undecided : int
        Points on which the oracle could not decide.
    at_jumps : int
        Points so near a jump that rounding decides the side: left out.
    wrong : int
        Errors that cancellation does not explain either.
    condition : float
        For losses with norms, the condition number of the result with the largest `max_conditioned`; else 0.
    max_conditioned : float
        The largest error divided by 1 + the condition number of its result; errors of `EASY` units are not divided.
    """

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
    condition: float
    max_conditioned: float


class _Tally:
    """Errors of one quantity as they come in."""

    def __init__(self, geometric: bool, fast: bool) -> None:
        self.geometric, self.fast = geometric, fast
        self.points, self.worst_ulp, self.undecided, self.at_jumps, self.wrong = 0, 0.0, 0, 0, 0
        self.worst: dict[str, str] = {}
        self.condition, self.conditioned = 0.0, 0.0
        self.kinds = {"false zero": 0, "nan": 0, "inf": 0, "sign": 0}

    def add(
        self, computed: Any, exact: Any, dtype: np.dtype[Any], describe: Callable[[], dict[str, str]],
        gap: Callable[[], float], condition: Callable[[float], float], scale: Any = 0.0,
    ) -> None:  # fmt: skip
        """Compare one number; the wrong side of a jump that is within rounding is counted apart."""
        error = ulp_error(computed, exact, dtype)
        truth = round_to(exact)[0]
        near = ROUGH if self.geometric and self.fast else CLOSE
        far = error.ulp > GROSS and not abs(float(computed) - truth) <= near * max(1.0, abs(truth), abs(float(scale)))
        if far and 0.0 < gap() < (NARROW_JUMP if self.fast else JUMP):
            self.at_jumps += 1
            return
        self.points += 1
        conditional = self.geometric or self.fast
        units = error.distance if self.fast else error.ulp
        kappa = condition(units / EASY - 1) if conditional and error.ulp > EASY else 0.0
        conditioned = units / (1 + kappa) if np.isfinite(kappa) else 0.0
        if conditioned > self.conditioned:
            self.condition, self.conditioned = kappa, conditioned
        explained = 0.0 < conditioned <= EASY  # an infinite condition excuses nothing here
        self.wrong += far and not explained
        if error.kind and not (self.fast and explained):  # beside a crossing, rounded inputs leave no digit to be right
            self.kinds[error.kind] += 1
        if error.ulp > self.worst_ulp and not (self.fast and kappa > 0.0):
            self.worst_ulp, self.worst = error.ulp, describe()

    def row(self, dtype: np.dtype[Any], quantity: str, wrt: str) -> Accuracy:
        """Return the summary."""
        bad = self.kinds
        return Accuracy(
            dtype.name, quantity, wrt, self.points, self.worst_ulp, self.worst, bad["false zero"],
            bad["nan"] + bad["inf"], bad["sign"], self.undecided, self.at_jumps, self.wrong,
            self.condition, self.conditioned,
        )  # fmt: skip


Tallies = dict[tuple[str, str], _Tally]


def full_settings(definition: Definition, settings: dict[str, Any]) -> dict[str, Any]:
    """Return every scalar parameter, with the defaults of those not set."""
    return {a.name: settings.get(a.name, a.default) for a in definition.parameters if not a.axes}


def accuracy(definition: Definition, loss: Any, seed: int, count: int, *, fast: bool = False) -> tuple[Accuracy, ...]:
    """Compare value, gradient, Hessian diagonal and Hessian product with the oracle, point by point.

    Parameters
    ----------
    definition : Definition
        What is true.
    loss : Loss
        What is called: its `value`, `gradient_and_hessian` and `hessian_product`, without a mean.
    seed : int
        Of the points and directions.
    count : int
        Points for each dtype of an elementwise loss; a sixtieth of it is the number of rows of others.
    fast : bool
        Only float32, with the condition number of every result that is further off than `EASY`.
    """
    rows = []
    rough = geometric(definition)
    for dtype in (np.dtype(np.float32),) if fast else (np.dtype(np.float64), np.dtype(np.float32)):
        tallies: Tallies = {("value", ""): _Tally(rough, fast)}
        for a in _widest(definition).differentiable:
            tallies |= {(q, a.name): _Tally(rough, fast) for q in QUANTITIES[1:]}
        rng = np.random.default_rng(seed + 1)
        for batch in batches(definition, seed, count, dtype):
            _compare(definition, loss, batch, dtype, tallies, rng)
            if (close := crossings(definition, batch, CROSSED)) is not None:
                _compare(definition, loss, close, dtype, tallies, rng)
        rows += [t.row(dtype, q, wrt) for (q, wrt), t in tallies.items()]
    return tuple(rows)


def _widest(definition: Definition) -> Definition:
    """Return the variant with the most inputs."""
    return max((definition, *definition.variants), key=lambda d: len(d.inputs))


def _compare(
    definition: Definition, loss: Any, batch: Batch, dtype: np.dtype[Any], tallies: Tallies, rng: np.random.Generator
) -> None:
    definition = definition.chosen(batch.settings, batch.inputs)
    inputs = list(batch.inputs.values())
    names = [a.name for a in definition.differentiable]
    direction = {n: (rng.integers(-32, 33, batch.inputs[n].shape) / 8).astype(dtype) for n in names}
    given = tuple(direction[n] for n in names) if len(names) > 1 else direction[names[0]]
    values = loss.value(*inputs, reduction="none", **batch.settings)
    gradients, hessians = loss.gradient_and_hessian(*inputs, reduction="sum", **batch.settings)
    products = loss.hessian_product(*inputs, direction=given, reduction="sum", **batch.settings)
    if len(names) == 1:
        gradients, hessians, products = (gradients,), (hessians,), (products,)
    judge = _Judge(
        Request(oracle_of(definition), *split(definition, batch.inputs, batch.settings)), batch, dtype, tallies
    )
    for sample in np.ndindex(*judge.request.oracle.shape(judge.request.tensors)):
        judge.value(sample, values[sample])
    for name, *arrays in zip(names, gradients, hessians, products, strict=True):
        for at in _places(rng, batch.inputs[name].shape, judge.request.oracle.separable):
            judge.entry(
                name, at, tuple(a[at] for a in arrays), direction, tuple(float(np.abs(a).max()) for a in arrays)
            )


@dataclass(frozen=True)
class _Judge:
    """What the numbers of one batch are compared with."""

    request: Request
    batch: Batch
    dtype: np.dtype[Any]
    tallies: Tallies

    def value(self, sample: Place, computed: Any) -> None:
        """Compare the loss of one sample."""
        oracle, tensors, scalars = self.request.oracle, self.request.tensors, self.request.scalars
        tally = self.tallies["value", ""]
        try:
            counted = oracle.counts(tensors, scalars, sample)
            exact = oracle.along(tensors, scalars, {}, 0, sample)[0] if counted else flint.arb(0)
        except Undecided:
            tally.undecided += 1
            return

        def again(request: Request) -> Any:
            return oracle.along(request.tensors, request.scalars, {}, 0, sample)[0]

        tally.add(
            computed, exact, self.dtype, lambda: self.describe(sample), lambda: self.gap([sample]),
            lambda enough: self.condition(exact, again, enough),
        )  # fmt: skip

    def entry(
        self, name: str, at: Place, computed: tuple[Any, ...], direction: dict[str, NDArray[Any]],
        largest: tuple[float, ...],
    ) -> None:  # fmt: skip
        """Compare gradient, Hessian diagonal and Hessian product in one entry; `largest` are those of their arrays."""
        request = self.request
        tallies = [self.tallies[quantity, name] for quantity in QUANTITIES[1:]]
        try:
            total, slope, curvature = request.entry(name, at)
            if request.oracle.definition.elementwise and len(direction) == 1:
                with working(256, 0):
                    product = curvature * flint.arb(float(direction[name][at]))  # nothing else moves
            else:
                product = request.product(name, at, direction)
        except Undecided:
            for tally in tallies:
                tally.undecided += 1
            return
        samples = [s for s, _ in request.samples(name, at)]
        where = samples[0] if len(samples) == 1 else at
        again: tuple[Callable[[Request], Any], ...] = (
            lambda r: r.entry(name, at, 1)[1], lambda r: r.entry(name, at)[2], lambda r: r.product(name, at, direction),
        )  # fmt: skip
        for tally, number, exact, most, compute in zip(
            tallies, computed, (slope, curvature, product), largest, again, strict=True
        ):
            scale = max(abs(float(total)), most) if tally.geometric else total
            tally.add(
                number, exact, self.dtype, lambda: self.describe(where), lambda: self.gap(samples),
                partial(self.condition, exact, compute), scale,
            )  # fmt: skip

    def condition(self, exact: Any, compute: Callable[[Request], Any], enough: float) -> float:
        """Return by how much one result magnifies relative errors of the inputs, or what is enough.

        Of fast kernels those of parameters too, which are rounded to float32 like the inputs.
        """
        definition = self.request.oracle.definition
        fast = self.tallies["value", ""].fast
        names = moved_inputs(definition)
        names += [a.name for a in definition.continuous if fast and self.request.scalars.get(a.name) is not None]
        return condition_number(self.request, names, exact, compute, enough)

    def gap(self, samples: list[Place]) -> float:
        """Return how near the closest comparison in any of the samples is to a tie."""
        oracle, tensors, scalars = self.request.oracle, self.request.tensors, self.request.scalars
        return min((oracle.gap(tensors, scalars, s) for s in samples), default=1.0)

    def describe(self, at: Place) -> dict[str, str]:
        """Return the inputs at the leading index of a place, and the scalar settings."""
        lead = at[0] if at else 0
        with np.printoptions(floatmode="unique", threshold=8, precision=17):
            shown = {n: str(x[lead] if x.ndim and lead < len(x) else x) for n, x in self.batch.inputs.items()}
        return shown | {n: repr(v) for n, v in self.batch.settings.items() if not isinstance(v, np.ndarray)}


def moved_inputs(definition: Definition) -> list[str]:
    """Return the inputs that a condition number moves: those with neighbours, which a target that is 0 or 1 has not."""
    return [a.name for a in definition.inputs if a.kind == "real" and isinstance(a.domain, Interval)]


def _places(rng: np.random.Generator, shape: tuple[int, ...], separable: bool) -> list[Place]:
    """Return the entries that are compared: all of a few for each leading index, some of many.

    Where samples interact, every entry concerns many of them, and a few in all must do.
    """
    found: list[Place] = []
    if not separable:
        every = list(np.ndindex(*shape))
        return [every[k] for k in sorted(rng.choice(len(every), min(ENTRIES, len(every)), replace=False))]
    rest = list(np.ndindex(*shape[1:]))
    for lead in np.ndindex(*shape[:1]):
        few = len(rest) <= ENTRIES
        chosen = range(len(rest)) if few else sorted(rng.choice(len(rest), ENTRIES, replace=False))
        found += [(*lead, *rest[k]) for k in chosen]
    return found
