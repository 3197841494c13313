"""Probes: tiny calls of a loss, with what must come back, taken from the oracle alone.

A definition comes in; out come calls (a method, inputs, settings, weights, a reduction) whose expected numbers are
computed when first asked for. How far a number may be off is the accuracy bar, or twice what the kernel that is
being mutated does there, where that is more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from symloss.language.declarations import GENERAL
from symloss.language.definition import Definition
from symloss.verification.crossings import FURTHER, ORDERS, crossings
from symloss.verification.mutation_points import SAMPLES, gentle, level, lowest, moves
from symloss.verification.mutation_ties import chosen, near_ties, owns
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch, batches
from symloss.verification.series import working
from symloss.verification.ulp import round_to

WEIGHTS = (0.5, 2.0, 1.5, 0.25)
POINTS = 25
"""Elements of an elementwise batch; the sampler's smallest batch has 30."""
BAR = 8.0
"""Units of the last place that a number may always be off."""
NEAR = 1e-12
"""And of the largest number in its array, where terms cancel."""
MEAN_SLACK = 2.0
"""Units of the last place that a mean's scale costs."""
JUMP = 1e-6
"""Relative error of the unmutated kernel from which a number is at a jump, and not compared."""

TIE = 2.0**-50
"""Relative distance to a jump within which rounding the inputs' difference decides the side."""
ENTRIES = 36
"""Entries of an array that are compared."""
ALONE = 4
"""How many samples are also tried alone."""
CROSSED = 4
ELEMENTS = 10
"""Samples beside whose labels zeros of derivatives are looked for."""
LONELY = 5
"""How many points beside such zeros are also tried alone."""
DISTANCES = (FURTHER, 2.0**-8, 0.1, 0.25, 0.5)
"""How far from a zero points lie, relatively: some where terms nearly cancel, some where they hardly do."""
CROWD = 40
"""Samples of which those are taken that are closest to a tie."""
CALM = 100.0
"""The largest number where derivatives in parameters, sums over all samples, are compared."""

Truth = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(eq=False)
class Situation:
    """Inputs, settings and weights, and everything that is true there."""

    definition: Definition
    batch: Batch
    weights: NDArray[np.float64] | None
    nan: bool = False
    known: dict[tuple[str, str], Truth] = field(default_factory=dict)

    @cached_property
    def request(self) -> Request:
        """What the oracle is asked."""
        tensors, scalars = split(self.definition, self.batch.inputs, self.batch.settings)
        oracle = oracle_of(self.definition)
        return Request(oracle, tensors, scalars, self.weights)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """What a loss gives: float32 where every input is."""
        given = [self.batch.inputs[a.name].dtype for a in self.definition.inputs if a.kind != "label"]
        return np.dtype(np.float32 if all(d == np.float32 for d in given) else np.float64)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The differentiable inputs."""
        return tuple(a.name for a in self.definition.differentiable)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The differentiable parameters that are given."""
        scalars = self.request.scalars
        return tuple(a.name for a in self.definition.continuous if scalars.get(a.name) is not None)

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Those of them that the variant, as it is written, does not fix."""
        fixed = [name for name, value in self.definition.choice if value != GENERAL]
        return tuple(name for name in self.parameters if name not in fixed)

    @cached_property
    def direction(self) -> dict[str, Any]:
        """A direction in each of them, of few bits."""
        rng = np.random.default_rng(5)
        found: dict[str, Any] = {
            n: (rng.integers(1, 33, self.batch.inputs[n].shape) / 8.0) * rng.choice([-1, 1]) for n in self.inputs
        }
        return found | {n: np.asarray(rng.integers(1, 33) / 8.0) for n in self.parameters}

    @cached_property
    def mean(self) -> float:
        """What the mean divides by: 1 where the sum is asked for, without weights."""
        if self.weights is None:
            return 1.0
        request = self.request
        samples = np.ndindex(*request.oracle.shape(request.tensors))
        return sum(
            float(self.weights[s]) for s in samples if request.oracle.counts(request.tensors, request.scalars, s)
        )

    def truth(self, quantity: str, name: str) -> Truth:
        """Return one array of true numbers rounded to float64, and their units of the last place; NaN is unknown."""
        if (quantity, name) not in self.known:
            self.known[quantity, name] = self._truth(quantity, name)
        return self.known[quantity, name]

    def _truth(self, quantity: str, name: str) -> Truth:
        request = self.request
        if quantity == "value":
            return _filled(request.oracle.shape(request.tensors), self._value)
        if quantity == "total":
            values, units = self.truth("value", "")
            total = float(values.sum()) / self.mean
            return np.asarray(total), np.asarray(units.sum() / self.mean + np.spacing(np.abs(values).sum() / self.mean))
        shape = np.shape(request.tensors[name]) if name in request.tensors else ()
        direction = {n: self.direction[n] for n in self.inputs} if quantity == "product" else self.direction

        def entry(at: tuple[int, ...]) -> Any:
            if quantity in ("gradient", "hessian"):
                ball = request.entry(name, at, 1 if quantity == "gradient" else 2)[-1]
            else:
                ball = request.product(name, at, direction)
            with working(256, 0):
                return ball / flint.arb(self.mean)

        return _filled(shape, entry)

    @cached_property
    def unspoilt(self) -> NDArray[np.bool_]:
        """Whether each first loss is a number though an input is NaN: a mask leaves that out."""
        found = np.zeros((1, *self.request.oracle.shape(self.request.tensors)[1:]), bool)
        for sample in np.ndindex(*found.shape):
            with suppress(Undecided):
                self._value(sample)
                found[sample] = True
        return found

    def at_jump(self, quantity: str, name: str, at: tuple[int, ...]) -> bool:
        """Tell whether a comparison is so near a tie that rounding decides it, in any sample that an entry concerns."""
        request = self.request
        samples = [at] if quantity == "value" else [s for s, _ in request.samples(name, at)]
        gaps = [request.oracle.gap(request.tensors, request.scalars, s) for s in samples]
        return any(0.0 < gap < TIE for gap in gaps)

    def _value(self, sample: tuple[int, ...]) -> Any:
        request = self.request
        if not request.oracle.counts(request.tensors, request.scalars, sample):
            return flint.arb(0)
        ball = request.oracle.along(request.tensors, request.scalars, {}, 0, sample)[0]
        with working(256, 0):
            return ball if self.weights is None else ball * flint.arb(float(self.weights[sample]))


def _filled(shape: tuple[int, ...], entry: Callable[[tuple[int, ...]], Any]) -> Truth:
    numbers, units = np.full(shape, np.nan), np.zeros(shape)
    every = list(np.ndindex(*shape))
    if len(every) > ENTRIES:
        every = [every[k] for k in np.random.default_rng(len(every)).choice(len(every), ENTRIES, replace=False)]
    for at in every:
        try:
            number, last = round_to(entry(at))
        except Undecided:
            continue
        numbers[at], units[at] = number, 2.0**last
    return numbers, units


@dataclass(eq=False)
class Probe:
    """One call, and what must come back.

    Parameters
    ----------
    situation : Situation
        Where.
    method : str
        Of the loss.
    quantities : tuple of str
        What it gives, in order; each but ``"value"`` and ``"total"`` once for each name.
    names : tuple of str
        Inputs and parameters to differentiate in.
    reduction : str
        As a caller passes it.
    expected : list of (array, array), optional
        True numbers and how far off they may be, once asked for.
    usual : list of array
        What the unmutated kernel gives: only to tell what a mutant that passes changed.
    """

    situation: Situation
    method: str
    quantities: tuple[str, ...]
    names: tuple[str, ...]
    reduction: str
    usual: list[NDArray[Any]] = field(default_factory=list)
    expected: list[Truth] | None = None
    masked: int = 0
    lacking: tuple[str, ...] = ()
    """What is in the names of kernels that the module goes without, so that others get their calls."""

    def call(self, loss: Any) -> list[NDArray[Any]]:
        """Return what a loss gives, as a flat list of arrays; where it writes nothing stays NaN."""
        situation = self.situation
        options: dict[str, Any] = {"reduction": self.reduction, **situation.batch.settings}
        if situation.weights is not None:
            options["sample_weight"] = situation.weights
        if self.method != "value":
            options["wrt"] = self.names
        if self.method == "hessian_product":
            options["direction"] = tuple(situation.direction[n] for n in self.names)
        if self.usual:
            out = [np.full_like(a, np.nan) for a, q in zip(self.usual, self.kinds, strict=True) if q != "total"]
            if out:
                options["out"] = tuple(out)
        with np.errstate(all="ignore"):
            found = getattr(loss, self.method)(*situation.batch.inputs.values(), **options)
        return [np.asarray(leaf) for leaf in _leaves(found)]

    @property
    def call_text(self) -> str:
        """What is called and how, in a few words and without arrays."""
        situation = self.situation
        scalars = {n: x for n, x in situation.batch.settings.items() if np.ndim(x) == 0}
        parts = [f" in {', '.join(self.names)}"] if self.names else []
        parts.append(f" with reduction {self.reduction!r}")
        parts += [f", {n} = {x!r}" if x is None else f", {n} = {float(x):.6g}" for n, x in scalars.items()]
        parts += [", sample weights"] if situation.weights is not None else []
        parts += [", NaN in the first sample"] if situation.nan else []
        return f"{self.method}{''.join(parts)}, samples: {situation.request.oracle.shape(situation.request.tensors)[0]}"

    @property
    def kinds(self) -> list[str]:
        """The quantity of each array."""
        return [q for q in self.quantities for _ in (self.names if q not in ("value", "total") else ("",))]

    def accepts(self, found: list[NDArray[Any]]) -> bool:
        """Tell whether what came back is right."""
        if self.expected is None:
            self.expected = self._expect()
        for array, usual in zip(found, self.usual, strict=True):
            if array.shape == usual.shape and (np.isnan(array) & ~np.isnan(usual)).any():  # truth or not
                return False
        for quantity, array, usual, (truth, slack) in zip(self.kinds, found, self.usual, self.expected, strict=True):
            if array.shape != truth.shape or array.dtype != self.situation.dtype:
                return False
            if self.situation.nan and quantity == "value" and not self._keeps_nan(array[:1], usual[:1]):
                return False
            if not _close(array, truth, slack):
                return False
        return True

    def _keeps_nan(self, first: NDArray[Any], usual: NDArray[Any]) -> bool:
        lost = ~np.isnan(first)
        return not lost.any() or (not np.isnan(usual[lost]).any() and bool(self.situation.unspoilt[lost].all()))

    def _expect(self) -> list[Truth]:
        situation, found = self.situation, []
        places = [(q, n) for q in self.quantities for n in (self.names if q not in ("value", "total") else ("",))]
        for (quantity, name), usual in zip(places, self.usual, strict=True):
            truth, unit = (a.copy() for a in situation.truth(quantity, name))
            with np.errstate(all="ignore"):
                off = np.abs(usual - truth)
                scale = max(1.0, float(np.nan_to_num(np.abs(truth)).max(initial=0.0)))
                bar = BAR + (MEAN_SLACK if situation.weights is not None else 0.0)
                jump = (off > JUMP * scale) | (np.isnan(usual) & ~np.isnan(truth))
                if situation.dtype == np.float32:
                    unit = np.maximum(unit / bar, np.spacing(np.abs(truth).astype(np.float32)))
                slack = np.maximum(bar * unit, np.where(jump, 0.0, 2 * off))
            if situation.nan:  # what derivatives are there, an oracle of numbers does not say
                rows = slice(1) if quantity == "value" or owns(situation.definition, name) else slice(None)
                truth[rows], jump[rows] = np.nan, False
            for at in map(tuple, np.argwhere(jump)):
                if situation.at_jump(quantity, name, at):
                    truth[at] = np.nan
                    self.masked += 1
            found.append((truth, np.nan_to_num(slack, nan=np.inf, posinf=0.0)))
        return found

    def distance(self, found: list[NDArray[Any]]) -> float:
        """Return by how many units of the last place at most numbers differ from the unmutated kernel's."""
        most = 0.0
        with np.errstate(all="ignore"):
            for array, usual in zip(found, self.usual, strict=True):
                gap = np.abs(array - usual) / np.spacing(np.maximum(np.abs(usual), np.finfo(float).tiny))
                most = max(most, float(np.nan_to_num(gap).max(initial=0.0)))
        return most


def _close(array: NDArray[Any], truth: NDArray[Any], slack: NDArray[Any]) -> bool:
    with np.errstate(all="ignore"):
        return bool(((array == truth) | (np.abs(array - truth) <= slack) | np.isnan(truth)).all())


def _leaves(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, tuple) else [value]


def probes(definition: Definition, seed: int) -> Iterator[Probe]:
    """Yield the probes of a loss, cheapest and plainest first."""
    for situation in _situations(definition, seed):
        one = "sum" if situation.weights is None else "mean"
        inputs = situation.inputs
        if situation.nan:
            yield Probe(situation, "value", ("value",), (), "none")
            yield Probe(situation, "value_and_gradient", ("value", "gradient"), inputs, "none")
            yield Probe(situation, "gradient_and_hessian", ("gradient", "hessian"), inputs, one)
            yield Probe(situation, "hessian_product", ("product",), inputs, one)
            continue
        yield Probe(situation, "value", ("value",), (), "none")
        yield Probe(situation, "value", ("total",), (), one)
        yield Probe(situation, "gradient", ("gradient",), inputs, one)
        yield Probe(situation, "value_and_gradient", ("total", "gradient"), inputs, one)
        if situation.weights is None:  # with "none", derivatives are those of the sum
            yield Probe(situation, "value_and_gradient", ("value", "gradient"), inputs, "none")
        yield Probe(situation, "hessian_diagonal", ("hessian",), inputs, one)
        yield Probe(situation, "gradient_and_hessian", ("gradient", "hessian"), inputs, one)
        yield Probe(situation, "hessian_product", ("product",), inputs, one)
        for whole in dict.fromkeys((situation, _unfixed(definition, situation))):
            names, calm = whole.free, _calm(whole)
            if names and calm is not None:
                yield Probe(calm, "gradient_and_hessian", ("gradient", "hessian"), names, one)
                yield Probe(calm, "hessian_product", ("full product",), inputs + names, one)


def _unfixed(definition: Definition, situation: Situation) -> Situation:
    """Return a situation in the variant that fixes no parameter, which is asked for derivatives in all of them."""
    if situation.free == situation.parameters:
        return situation
    wanted = dict(situation.definition.choice) | dict.fromkeys(situation.parameters, GENERAL)
    wanted = {name: value for name, value in wanted.items() if name in dict(situation.definition.choice)}
    written = next((d for d in (definition, *definition.variants) if dict(d.choice) == wanted), situation.definition)
    return replace(situation, definition=written, known={})


def _situations(definition: Definition, seed: int) -> Iterator[Situation]:
    for number, batch in enumerate(_batches(definition, seed)):
        written = definition.chosen(batch.settings, batch.inputs)
        plain = Situation(written, batch, None)
        weighted = Situation(written, batch, np.resize(WEIGHTS, plain.request.oracle.shape(plain.request.tensors)))
        if number < 1 + len(definition.variants):  # one of each variant, tried in every way
            yield from (plain, weighted)
            yield from _alone(plain, range(ALONE if number == 0 else 1))
        else:
            yield (plain, weighted)[number % 2]
        if number == 0:
            yield from _beside_zeros(definition, plain, CROSSED)
            if definition.elementwise:
                yield from _moved(definition, written, seed)
                narrow = next(batches(definition, seed, POINTS, np.dtype(np.float32)))
                yield Situation(written, narrow, None)
            if plain.request.oracle.separable:
                yield Situation(written, _with_nan(written, batch, 1), None, nan=True)
                yield Situation(written, _with_nan(written, batch, None), None, nan=True)


def _moved(definition: Definition, written: Definition, seed: int) -> Iterator[Situation]:
    """Yield points beside zeros where parameters are moved, each of those that may be any to either side of 0."""
    for edge, count in ((False, ELEMENTS), (True, CROSSED)):
        for other in ({}, *moves(written)):
            moved = gentle(written, seed, count, edge=edge, **other)
            yield from _beside_zeros(definition, Situation(written, moved, None), count)


def _batches(definition: Definition, seed: int) -> Iterator[Batch]:
    """Yield a batch of each variant, of gentle numbers where there are rows, and then those of the sampler."""
    drawn = batches(definition, seed, POINTS, np.dtype(np.float64))
    if not definition.elementwise:
        every = (definition, *definition.variants)
        yield from (gentle(written, seed) for written in every)
        if any(a.ignored_by for a in definition.inputs):
            yield from (gentle(written, seed, ignored=True) for written in every)
        yield from (gentle(definition, seed, **other) for other in moves(definition))
        ends = (lowest(written, seed) for written in every)
        yield from (batch for batch in ends if batch is not None)
        even = ((written, level(written, seed)) for written in every)
        yield from (batch for written, batch in even if batch is not None and not _is_tied(written, batch))
        if not oracle_of(definition).separable:  # a sample without others
            yield from (gentle(written, seed, 1) for written in every)
        tied = (near_ties(written, gentle(written, seed, CROWD), SAMPLES) for written in every)
        yield from (batch for batch in tied if batch is not None)
    yield from drawn


def _is_tied(definition: Definition, batch: Batch) -> bool:
    """Tell whether the formula itself compares equal numbers, so that it has no derivatives; True where unknown."""
    request = Request(oracle_of(definition), *split(definition, batch.inputs, batch.settings))
    if not request.oracle.separable:
        return True
    samples = np.ndindex(*request.oracle.shape(request.tensors))
    try:
        return any(request.oracle.tied(request.tensors, request.scalars, s) for s in samples)
    except Undecided:
        return True


def _alone(situation: Situation, rows: Iterable[int]) -> Iterator[Situation]:
    """Yield single samples, without and with a weight."""
    definition, batch = situation.definition, situation.batch
    if not situation.request.oracle.separable:
        return
    shape = situation.request.oracle.shape(situation.request.tensors)
    for k in dict.fromkeys((*(k for k in rows if k < shape[0]), *_calm_rows(situation)[:ALONE])):
        alone = Batch(chosen(definition, batch.inputs, [k]), batch.settings)
        yield Situation(definition, alone, None)
        yield Situation(definition, alone, np.resize(WEIGHTS, (1, *shape[1:])))


def _beside_zeros(definition: Definition, situation: Situation, count: int) -> Iterator[Situation]:
    """Yield points beside zeros of the loss and its derivatives: together, some of them alone, and further away."""
    written, batch = situation.definition, situation.batch
    found = crossings(definition, batch, count, (0, *ORDERS), DISTANCES)
    if found is None:
        return

    def points(rows: list[int], weights: NDArray[np.float64] | None = None) -> Situation:
        return Situation(written, Batch(chosen(written, found.inputs, rows), found.settings), weights)

    every, group = range(len(next(iter(found.inputs.values())))), 2 + len(DISTANCES)
    close, far = ([k for k in every if (k % group < 2) is near] for near in (True, False))
    yield points([close[k] for k in _some(len(close), ENTRIES)])
    for k in _some(len(close), LONELY):
        yield points([close[k]])
    rows = [far[k] for k in _some(len(far), ENTRIES)]
    yield points(rows)
    yield points(rows[::2], np.resize(WEIGHTS, len(rows[::2])))


def _some(size: int, count: int) -> list[int]:
    """Return places spread over a range."""
    return sorted({int(k) for k in np.linspace(0, size - 1, min(size, count))})


def _calm(situation: Situation) -> Situation | None:
    """Return the samples without ties or large numbers: a sum over all hides what one sample adds to the rest."""
    if not situation.request.oracle.separable:
        return situation
    kept = _calm_rows(situation)
    if not kept:
        return None
    weights = None if situation.weights is None else situation.weights[kept]
    definition, batch = situation.definition, situation.batch
    return Situation(definition, Batch(chosen(definition, batch.inputs, kept), batch.settings), weights)


def _calm_rows(situation: Situation) -> list[int]:
    request, definition, inputs = situation.request, situation.definition, situation.batch.inputs
    shape = request.oracle.shape(request.tensors)
    kept = []
    for k in range(shape[0]):
        rows = chosen(definition, inputs, [k])
        try:
            tied = any(
                request.oracle.tied(request.tensors, request.scalars, (k, *rest)) for rest in np.ndindex(*shape[1:])
                if request.oracle.counts(request.tensors, request.scalars, (k, *rest))
            )  # fmt: skip
        except Undecided:  # the formula has no value there, and no sum with it has one
            continue
        if (not tied or _decided(situation, rows)) and all(np.abs(rows[n]).max(initial=0) <= CALM for n in rows):
            kept.append(k)
    return kept


def _decided(situation: Situation, rows: dict[str, NDArray[Any]]) -> bool:
    """Tell whether the oracle has derivatives in every parameter at a tie."""
    alone = Situation(situation.definition, Batch(rows, situation.batch.settings), None)
    return not any(np.isnan(alone.truth(q, n)[0]).any() for q in ("gradient", "hessian") for n in alone.parameters)


def _with_nan(definition: Definition, batch: Batch, count: int | None) -> Batch:
    """Return a batch whose first sample has so many last entries that are NaN, or all."""
    name = next(a.name for a in definition.differentiable if owns(definition, a.name))
    moved = batch.inputs[name].copy()
    moved.reshape(len(moved), -1)[0, slice(None if count is None else -count, None)] = np.nan
    return Batch(batch.inputs | {name: moved}, batch.settings)
