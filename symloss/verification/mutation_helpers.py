"""The small functions that modules carry along, checked on their own: one loss uses only a part of what each does.

A module comes in; out come probes that quack like those of the losses. What must come back is stated here in other
arithmetic. A function that is not in the table is seen through the losses alone.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf, is_bounded
from symloss.language.nodes import given_flag
from symloss.verification.mutation_pairs import PAIRS, PairContract
from symloss.verification.mutation_plain import Plain, Strict
from symloss.verification.mutation_points import gentle
from symloss.verification.mutation_tapes import points, run

LARGEST = float(np.finfo(np.float64).max)
REALS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 40.0, 700.0, 1e-300, 5e-324)
SIGNED = (*REALS, *(-x for x in REALS), math.nan)
CLOSER = "_closer_"
"""How the functions begin that are the first step of a second look."""
SEEDS = 4
"""Batches of points that these are tried at."""
NARROW = 4
"""Units of the last place that a function may be off."""


def _difference(a: float, b: float, _wide: Any) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    with mpmath.workdps(60):
        return float(mpmath.exp(mpmath.mpf(a) - mpmath.mpf(b)))


def _rounded_difference(a: float, b: float, wide: Any) -> float:
    return _difference(a - b, 0.0, wide)


def _decay_of_sum(terms: Iterable[float], _wide: Any) -> float:
    with mpmath.workdps(60):
        return float(mpmath.exp(-abs(mpmath.fsum(map(mpmath.mpf, terms)))))


def _sigmoid_power(x: float, _lost: float, exponent: float, _wide: Any) -> float:
    if math.isnan(x):
        return math.nan
    with mpmath.workdps(60):
        found = (1 + mpmath.exp(-mpmath.mpf(x))) ** -mpmath.mpf(exponent)
        return float(min(found, LARGEST) if exponent < 0 else found)


Points = list[tuple[Any, ...]]


def _returned(function: Callable[..., Any], *point: Any) -> Any:
    return function(*point)


@dataclass(frozen=True)
class FloatContract:
    """What a function of floats gives at its points, or what it writes."""

    truth: Callable[..., Any]
    points: Points
    asked: Callable[..., Any] = _returned

    def accepts(self, found: NDArray[Any]) -> bool:
        """Tell whether numbers are near enough, in units of the last place; NaN where NaN is meant."""
        with np.errstate(all="ignore"):
            truth = np.asarray([self.truth(*point) for point in self.points], np.float64)
            near = (found == truth) | (np.abs(found - truth) <= NARROW * _unit(truth))
        return bool((near | (np.isnan(found) & np.isnan(truth))).all())

    @staticmethod
    def distance(found: NDArray[Any], usual: NDArray[Any]) -> float:
        """Return by how many units of the last place at most two results differ."""
        with np.errstate(all="ignore"):
            return float(np.nan_to_num(np.abs(found - usual) / _unit(usual), posinf=0.0).max())


def _times(*grids: tuple[float, ...]) -> Points:
    return list(itertools.product(*(map(np.float64, grid) for grid in grids)))


EITHER = (None, 0)
"""What says that results are rounded to float32, and that they are not."""
DIFFERENCES: Points = [
    *((a, a + d, 0) for a in (0.0, 1.0, -3.3, 1e3, 1e4 + 1 / 3)
      for d in (0.0, 1e-9, 0.1, 1.7, 36.6, 700.1, 745.05, 745.5, 747.0, 1e5)),
    *((a, b, wide) for a, b in ((math.nan, 1.0), (1.0, math.nan), (-1.0, 0.5)) for wide in EITHER),
]  # fmt: skip
POWERS: Points = [
    (np.float64(x), np.float64(math.log1p(math.exp(-abs(x)))), np.float64(exponent), wide)
    for x in (-300.7, -3.3, -0.4, 0.0, 0.3, 2.5, 40.0, math.nan) for exponent in (-3.5, -0.5, 0.0, 0.7, 2.0, 5.0)
    for wide in EITHER if abs(x) < 3 or x * exponent > 1000 or wide is not None or math.isnan(x)
]  # fmt: skip
_ROW = np.cos(np.arange(1, 330) ** 2) + 0.5
"""Numbers without a pattern, more than twice as many as are added in lanes at once."""
ROWS: Points = [(_ROW, n) for n in (1, 2, 5, 63, 64, 65, 127, 128, 130, 200, 256, 320)]
TIES = np.array([0.5, 3.0, -1.0, 3.0, 2.0])
_WITH_TIES = np.where(np.isin(np.arange(329), (70, 100, 190, 300)), 2.0, _ROW)
_MATRIX = np.cos(np.arange(1, 12 * 13 + 1) ** 2).reshape(12, 13)


def _written(function: Callable[..., Any], *point: Any) -> NDArray[Any]:
    """Return what a function writes that gets a matrix to write to in the last place but one."""
    out = np.full((14, 14), math.nan).view(Strict)
    function(*point[:-2], out, point[-1])
    return np.asarray(out)


def _turned(source: NDArray[Any], first: int, rows: int, columns: int, _target: Any, begin: int) -> NDArray[Any]:
    out = np.full((14, 14), math.nan)
    out[begin : begin + columns, :rows] = source[first : first + rows, :columns].T
    return out


CONTRACTS: dict[str, FloatContract | PairContract] = PAIRS | {
    "_positive_part": FloatContract(lambda x: np.maximum(x, 0.0), _times(SIGNED)),
    "_step": FloatContract(lambda x: np.heaviside(x, 0.0), _times(SIGNED)),
    "_signum": FloatContract(np.sign, _times(SIGNED)),
    "_block_sum": FloatContract(lambda block, count: math.fsum(block[:count]), ROWS),
    "_largest": FloatContract(
        lambda row, count: np.max(row[:count]),
        [*ROWS, (-_ROW - 5, 4), (np.array([1.0, math.nan, 2.0]), 3), (np.array([math.nan, 2.0]), 2)],
    ),
    "_place_of": FloatContract(
        lambda x, row, count: [*np.flatnonzero(row[:count] == x), 0][0],
        [(x, TIES, n) for x in (0.5, 3.0, -1.0, 2.0, 7.0, math.nan) for n in (2, 4, 5)],
    ),
    "_first_largest": FloatContract(
        lambda row, count: (np.max(row[:count]), np.isfinite(np.max(row[:count])) and np.argmax(row[:count])),
        [*ROWS, (np.array([1.0, math.nan, 2.0]), 3), (TIES, 5), *((_WITH_TIES, n) for n in (128, 200, 256, 320)),
         (np.where(np.arange(329) == 200, math.nan, _ROW), 320), (np.arange(256.0), 256)],
    ),
    "_is_small": FloatContract(
        lambda value, size, near: float(abs(value) / near < size),
        _times((0.0, 0.2, -0.2, 0.25, -0.25, 0.3, -0.3, math.nan), (0.5, 1.0, math.inf, math.nan), (0.25, 0.5)),
    ),
    "_cancels": FloatContract(
        lambda value, size, near: float(abs(value) / near < size <= 1e290),
        _times(
            (0.0, 0.2, -0.2, 0.25, -0.25, 0.3, -0.3, 2e289, 3e289, math.nan), (0.5, 1.0, 1e290, 1.1e290, math.nan),
            (0.25, 0.5),
        ),
    ),
    "_magnified": FloatContract(
        lambda p, x, raised, wide: raised if x < -690 and wide is not None else p * 2.0**64,
        [(*p, w) for p in _times((0.5, 1e-300), (-700.0, -690.0, 1.0, math.nan), (3.0,)) for w in EITHER],
    ),
    "_turn": FloatContract(
        _turned,
        [(_MATRIX.view(Strict), first, rows, columns, None, begin)
         for rows, columns in ((0, 5), (3, 3), (3, 5), (5, 3), (4, 4), (5, 4), (4, 7), (8, 9), (10, 11), (8, 12))
         for first, begin in ((0, 0), (2, 0), (0, 2), (1, 1))],
        _written,
    ),
    "_closely": FloatContract(run, points()),
    "_ratio": FloatContract(lambda a, b: np.divide(a, b) if b != 0 else 0.0, _times((1.0, -3.0, 0.0), SIGNED)),
    "_decay_of_sum": FloatContract(
        _decay_of_sum,
        [
            ((0.3, -0.1), None), ((600.1, 0.3, -1e-3), 0), ((-500.7, 1.1, 2.2), 0), ((3.3, -3.3), 0),
            ((700.0, 60.0, 1.0), 0),
        ],
    ),
    "_sigmoid_power": FloatContract(_sigmoid_power, POWERS),
    "_exp_difference": FloatContract(_difference, DIFFERENCES),
    "_plain_exp_difference": FloatContract(_rounded_difference, DIFFERENCES),
    "_completed": FloatContract(
        lambda total, lost: np.nansum([lost]) + total, _times((1.0, math.inf, -3.5, math.nan), (0.25, math.nan)),
    ),
}  # fmt: skip


@dataclass(eq=False)
class HelperProbe:
    """One function on the many points of its contract."""

    module: Plain = field(repr=False)
    name: str
    contract: FloatContract | PairContract = field(repr=False)
    masked: int = 0
    lacking: tuple[str, ...] = ()
    usual: Any = field(default_factory=list, repr=False)

    @property
    def call_text(self) -> str:
        """What is called, in a few words."""
        return f"{self.name} at the {len(self.contract.points)} points of its contract"

    def call(self, loss: Any) -> list[NDArray[Any]]:
        """Return what the function gives on its points; the loss is not used."""
        del loss
        self.module.state["steps"] = 0
        function, taken = self.module.namespace[self.name], len(self.module.functions[self.name].args.args)
        asked = self.contract.asked if isinstance(self.contract, FloatContract) else _returned
        with np.errstate(all="ignore"):  # in float32 arithmetic nothing is told of float32 results
            return [np.asarray([asked(function, *p[:taken]) for p in self.contract.points], np.float64)]

    def accepts(self, found: list[NDArray[Any]]) -> bool:
        """Tell whether the numbers are those of the contract."""
        return self.contract.accepts(found[0])

    def distance(self, found: list[NDArray[Any]]) -> float:
        """Return by how many units of the last place at most numbers differ from the unmutated function's."""
        return self.contract.distance(found[0], self.usual[0])


def _unit(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return units of the last place, finite for the largest number too."""
    found: NDArray[Any] = np.spacing(np.clip(np.abs(numbers), np.finfo(np.float64).tiny, LARGEST / 2))
    return found


def helper_probes(module: Plain) -> Iterator[HelperProbe]:
    """Yield a probe for each function of a module that has a contract."""
    for name, function in module.functions.items():
        plain = f"_plain{name}"  # modules of rows have that in its place, under its name
        contract = CONTRACTS.get(plain if plain in CONTRACTS and "lost" not in ast.unparse(function) else name)
        if contract is not None:
            yield HelperProbe(module, name, contract)


def outside_probes(module: Plain, definition: Definition) -> Iterator[HelperProbe]:
    """Yield probes for kernels that tell of elements outside their domain, at the domains' ends and beyond."""
    yield from _verdict_probes(module, definition)
    if "outside" not in module.functions:
        return
    bounded = [a for a in definition.inputs if a.kind == "real" and is_bounded(a.domain)]

    def truth(*arrays: NDArray[Any]) -> float:
        given = dict(zip((a.name for a in definition.inputs), arrays, strict=True))
        good = [all(a.domain.contains(float(given[a.name][k])) for a in bounded) for k in range(len(arrays[0]))]
        return float(len(good) - sum(good))

    points: Points = []
    for argument in bounded:
        ends = argument.domain.values if isinstance(argument.domain, OneOf) else _ends(argument.domain)
        tried = np.array([v for e in ends for v in (e, e - 1, e + 1, e / 2)] + [math.nan], np.float64)
        for values in (tried, *(tried[k : k + 1] for k in range(len(tried)))):
            given = [values if a is argument else np.full(len(values), ends[0]) for a in definition.inputs]
            points.append(tuple(x.astype(np.float64).view(Strict) for x in given))
    yield HelperProbe(module, "outside", FloatContract(truth, points))


def _verdict_probes(module: Plain, definition: Definition) -> Iterator[HelperProbe]:
    """Yield a probe for each kernel that tells on its way whether a number may lie outside its domain.

    One number is at an end or beyond. Where a kernel suspects one inside, no call shows it: it is looked at again.
    """
    for written in (definition, *definition.variants):
        real = (a for a in written.inputs if a.kind == "real" and is_bounded(a.domain))
        domains = {a.name: a.domain for a in real if isinstance(a.domain, Interval)}
        for name in (n for n in module.functions if n.endswith(f"_sums{written.suffix}")):
            order = [a.arg for a in module.functions[name].args.args]
            batch = gentle(written, 0)
            flags = {given_flag(n).name: x is not None for n, x in batch.settings.items()}
            numbers = {n: x if np.ndim(x) else np.float64(x or 0.0) for n, x in batch.settings.items() if n in order}

            def truth(*given: Any, order: list[str] = order, domains: dict[str, Interval] = domains) -> float:
                pairs = [(domains[n], x) for n, xs in zip(order, given, strict=True) if n in domains for x in xs.flat]
                return float(not all(domain.contains(float(x)) and not np.signbit(x) for domain, x in pairs))

            points: Points = []
            for changed, domain in domains.items():
                for value in (y for x in _ends(domain) for y in (x, x - 1, x + 1, x + 2.0**-20, -0.0, math.nan)):
                    arrays = {n: np.array(x, np.float64) for n, x in batch.inputs.items()}
                    arrays[changed].flat[-1] = value
                    arrays |= {"sample_weights": np.empty(0), "sums": np.empty((len(arrays[changed]), 9))}
                    points.append(tuple((_strict(arrays) | numbers | flags)[n] for n in order))
            yield HelperProbe(module, name, FloatContract(truth, points))


def _strict(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {n: x.view(Strict) for n, x in arrays.items()}


def closer_probes(module: Plain, definition: Definition) -> Iterator[HelperProbe]:
    """Yield a probe for each first step of a second look: away from zeros it gives what the last step gives.

    Kernels do not show a wrong one that is small: the last step, which takes long, then computes the number anyway.
    """
    for name, function in module.functions.items():
        if not name.startswith(CLOSER):
            continue
        last = module.namespace[name.replace(CLOSER, "_careful_")]

        def truth(*leaves: Any, last: Any = last) -> Any:
            return last(0.0, 1.0, 1.0, *leaves)

        names = [a.arg for a in function.args.args]
        points = [tuple(given[n] for n in names) for seed in range(SEEDS) for given in _samples(definition, seed)]
        yield HelperProbe(module, name, FloatContract(truth, points))


def _samples(definition: Definition, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the arguments of gentle points, one sample at a time."""
    batch = gentle(definition, seed, spread=2.0)
    settings = {n: 0.0 if v is None else v for n, v in batch.settings.items()}
    flags = {given_flag(n).name: v is not None for n, v in batch.settings.items()}
    for k in range(len(next(iter(batch.inputs.values())))):
        sample = {n: np.float64(x[k]) for n, x in batch.inputs.items()}
        yield sample | flags | {n: np.float64(v) for n, v in settings.items()}


def _ends(domain: Interval) -> tuple[float, ...]:
    """Return the finite ends of an interval."""
    return tuple(float(end) for end in (domain.low, domain.high) if not math.isinf(end))
