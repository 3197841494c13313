"""The rungs that need only a definition and a loss that can be called: Taylor order, variants, kinks; and accuracy.

Each takes a definition and anything with the methods of a loss, and returns a frozen record of what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import REALS, Interval, OneOf
from symloss.verification.accuracy import Accuracy, accuracy, full_settings
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch, batches
from symloss.verification.ulp import round_to

__all__ = ["Accuracy", "Check", "accuracy", "full_settings", "kinks", "smooth_inputs", "taylor", "variants"]

SHORTEST = 5
"""How many of the shortest steps of a Taylor remainder are fitted."""
ORDERS = (1.8, 2.8)
"""The least orders of the Taylor remainder, without and with the Hessian."""
STEP = 2.0**-30
"""How far from a kink its one-sided limits are read, relative to the larger of 1 and the entry."""
MANY = 4000
"""How many times a batch is repeated where thread counts are compared; for losses whose samples interact, once."""


@dataclass(frozen=True)
class Check:
    """The outcome of one rung.

    Parameters
    ----------
    check : str
        Its name.
    status : str
        ``"passed"`` or ``"failed"``.
    detail : str
        What was measured, or the first thing that failed and where.
    """

    check: str
    status: str
    detail: str


def taylor(definition: Definition, loss: Any, seed: int) -> Check:
    """Check the order of the Taylor remainder: 2 without the Hessian, 3 with it; in float64, away from kinks."""
    rng = np.random.default_rng(seed)
    inputs = smooth_inputs(definition, rng)
    names = [a.name for a in definition.differentiable]
    scale = {a.name: 1.0 if a.domain == REALS else 0.2 for a in definition.differentiable}  # stay inside the domain
    direction = {n: rng.normal(0, scale[n], inputs[n].shape) for n in names}
    gradients = loss.gradient(*inputs.values(), wrt=tuple(names), reduction="sum")
    products = loss.hessian_product(
        *inputs.values(), wrt=tuple(names), direction=tuple(direction[n] for n in names), reduction="sum"
    )
    slope = sum(float((g * direction[n]).sum()) for n, g in zip(names, gradients, strict=True))
    bend = sum(float((p * direction[n]).sum()) for n, p in zip(names, products, strict=True))
    start = float(loss.value(*inputs.values(), reduction="sum"))
    steps = 2.0 ** -np.arange(3, 13)
    first, second = [], []
    for step in steps:
        moved = [inputs[n] + step * direction[n] if n in names else inputs[n] for n in inputs]
        gap = float(loss.value(*moved, reduction="sum")) - start - step * slope
        first.append(abs(gap))
        second.append(abs(gap - step * step * bend / 2))
    floor = 1e-13 * max(1.0, abs(start))
    slopes = [_slope(steps, np.asarray(r), floor) for r in (first, second)]
    good = all(s is None or s > need for s, need in zip(slopes, ORDERS, strict=True))
    shown = ", ".join("below rounding" if s is None else f"{s:.2f}" for s in slopes)
    return Check("taylor", "passed" if good else "failed", f"remainder orders {shown} (2 and 3 expected)")


def smooth_inputs(
    definition: Definition, rng: np.random.Generator, samples: int = 6, others: int = 5
) -> dict[str, NDArray[Any]]:
    """Return inputs away from kinks by more than the longest step, with so many samples and of everything else."""
    own = definition.per[0].axis
    found: dict[str, NDArray[Any]] = {}
    for argument in definition.inputs:
        axes = argument.axes or ((own,) if definition.elementwise else ())
        shape = tuple(samples if a.name == own.name else others for a in axes)
        found[argument.name] = _smooth(argument, rng, shape, 1 + len(found), others)
    return found


def _smooth(
    argument: Argument, rng: np.random.Generator, shape: tuple[int, ...], place: int, labels: int
) -> NDArray[Any]:
    if argument.kind == "label":
        return rng.integers(0, labels, shape)
    if not argument.differentiable:
        members = argument.domain.values if isinstance(argument.domain, OneOf) else (0.0, 1.0)
        return rng.choice(np.asarray(members, np.float64), shape)
    match argument.domain:
        case Interval(low=low, high=high) if np.isfinite(low) and np.isfinite(high):
            return low + (high - low) * rng.uniform(0.35, 0.65, shape)
        case Interval(low=low) if np.isfinite(low):
            return low + rng.uniform(1.5, 2.5, shape)
        case Interval(high=high) if np.isfinite(high):
            return high - rng.uniform(1.5, 2.5, shape)
    return rng.choice([-1, 1], shape) * rng.uniform(2.0, 2.4, shape) * place


def _slope(steps: NDArray[Any], remainders: NDArray[Any], floor: float) -> float | None:
    """Return the order at which remainders shrink, or None where they are rounding error.

    Of the steps whose remainders are more than that, the shortest count: a long one may cross a kink.
    """
    keep = np.flatnonzero(remainders > floor)[-SHORTEST:]
    if len(keep) < 3:
        return None
    return float(np.polyfit(np.log(steps[keep]), np.log(remainders[keep]), 1)[0])


def variants(definition: Definition, loss: Any, seed: int, set_threads: Callable[[int], None] | None) -> Check:
    """Check that the same numbers come out bit for bit, however they are asked for."""
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        for batch in batches(definition, seed + 7, 90, dtype):
            wrong = _variants_of(definition, loss, batch, set_threads)
            if wrong:
                return Check("variants", "failed", f"{dtype}: {wrong} at {batch.settings}")
    return Check("variants", "passed", "value, gradient, Hessian: fused, strided, alone, any thread count: same bits")


def _same(left: Any, right: Any) -> bool:
    pairs = zip(_leaves(left), _leaves(right), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) for a, b in pairs)


def _close(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether values agree to half of their digits; how exact they are, the samples tell."""
    return bool(np.allclose(left, right, rtol=float(np.finfo(right.dtype).eps) ** 0.5, atol=0.0, equal_nan=True))


def _leaves(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, tuple) else [value]


def _strided(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same numbers, not next to each other in memory."""
    return np.repeat(array, 2, axis=0)[::2] if array.ndim else array


def _variants_of(definition: Definition, loss: Any, batch: Batch, set_threads: Callable[[int], None] | None) -> str:
    inputs, settings = list(batch.inputs.values()), batch.settings
    options = {"reduction": "none", **settings}
    value, gradient = loss.value(*inputs, **options), loss.gradient(*inputs, **options)
    hessian = loss.hessian_diagonal(*inputs, **options)
    if not _same(loss.value_and_gradient(*inputs, **options), (value, gradient)):
        return "value_and_gradient differs from value and gradient"
    if not _same(loss.gradient_and_hessian(*inputs, **options), (gradient, hessian)):
        return "gradient_and_hessian differs from gradient and hessian_diagonal"
    spread = [_strided(x) for x in inputs]
    if not _same(loss.value(*spread, **options), value):
        return "strided inputs give another value"
    if not _same(loss.gradient(*spread, **options), gradient):
        return "strided inputs give another gradient"
    written = definition.chosen(settings, batch.inputs)
    own = written.per[0].axis
    sampled = [not a.axes or a.axes[0] == own for a in written.inputs]
    separable = oracle_of(written).separable
    if separable:
        alone = [x[:1] if has else x for x, has in zip(inputs, sampled, strict=True)]
        # a matrix that all samples share is multiplied by a library, which adds a lone row in an order of its own
        shared = any(len(a.axes) > 1 and not has for a, has in zip(written.inputs, sampled, strict=True))
        agrees = _close if shared else _same
        if not agrees(loss.value(*alone, **options), value[:1]):
            return "a sample alone has another value than in a batch"
    if set_threads is not None:
        repeats = [MANY if separable and has else 1 for has in sampled]
        many = [
            np.tile(x, (r, *(1 for _ in x.shape[1:]))) if x.ndim else x for x, r in zip(inputs, repeats, strict=True)
        ]
        results = []
        for count in (1, 2):
            set_threads(count)
            results.append(loss.value_and_gradient(*many, reduction="sum", **settings))
        if not _same(*results):
            return "two threads give other numbers than one"
    return ""


def kinks(definition: Definition, loss: Any, seed: int, count: int = 120) -> Check:
    """Check that where a comparison is tied, the gradient lies between its limits from either side.

    The limits are the oracle's, `STEP` to the left and right of the tie along the first entries of the sample.
    """
    found = 0
    for batch in batches(definition, seed + 13, count, np.dtype(np.float64)):
        written = definition.chosen(batch.settings, batch.inputs)
        request = Request(oracle_of(written), *split(written, batch.inputs, batch.settings))
        gradients = _leaves(loss.gradient(*batch.inputs.values(), reduction="sum", **batch.settings))
        for sample in np.ndindex(*request.oracle.shape(request.tensors)):
            if not _tied(request, sample):
                continue
            for argument, gradient in zip(written.differentiable, gradients, strict=True):
                if gradient.ndim < len(sample):
                    continue
                at = sample + (0,) * (gradient.ndim - len(sample))
                limits = _limits(request, argument, at)
                if limits is None:
                    continue
                found += 1
                low, high = min(limits), max(limits)
                slack = 1e-6 * (1 + max(abs(low), abs(high)))
                if not low - slack <= float(gradient[at]) <= high + slack:
                    where = {n: str(x[sample[0]]) for n, x in batch.inputs.items() if x.ndim}
                    detail = f"{argument.name}: {float(gradient[at])!r} is not between {low!r} and {high!r} at {where}"
                    return Check("kinks", "failed", detail)
    detail = f"{found} ties: the chosen subgradient lies between the one-sided limits" if found else "no tie was met"
    return Check("kinks", "passed", detail)


def _tied(request: Request, sample: tuple[int, ...]) -> bool:
    try:
        counted = request.oracle.counts(request.tensors, request.scalars, sample)
        return counted and request.oracle.tied(request.tensors, request.scalars, sample)
    except Undecided:
        return False


def _limits(request: Request, argument: Argument, at: tuple[int, ...]) -> tuple[float, float] | None:
    """Return the slope in one entry just below and just above, or None where the oracle or the domain has none."""
    array = np.asarray(request.tensors[argument.name], np.float64)
    found = []
    for side in (-1.0, 1.0):
        moved = array.copy()
        moved[at] += side * STEP * max(1.0, abs(moved[at]))
        if not argument.domain.contains(float(moved[at])):
            return None
        tensors = dict(request.tensors) | {argument.name: moved}
        try:
            slope = Request(request.oracle, tensors, request.scalars).entry(argument.name, at, 1)[1]
        except Undecided:
            return None
        found.append(round_to(slope)[0])
    return found[0], found[1]
