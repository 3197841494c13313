"""Peers, measured: the errors of other libraries on the points on which our own kernels are measured.

A definition and its peers come in; out go rows for the evidence: the largest error in units of
the last place of the correctly rounded result, where it is, and the errors that no unit excuses. Nothing is left out
for being at a jump of a peer's own making; what is left out is what the oracle cannot decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.peers.peer import Peer
from symloss.verification.oracle import Undecided, oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import Batch, batches
from symloss.verification.ulp import ulp_error

COLUMNS = 4
"""Columns of a row that are compared."""
POINTS = 300
"""As in our own measurement."""
NEAR = 2.0
"""Relative distance to a jump, in units of the last place, within which rounding decides the side for anybody."""

Place = tuple[int, ...]


@dataclass
class _Tally:
    points: int = 0
    max_ulp: float = 0.0
    worst: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=lambda: {"false zero": 0, "nan": 0, "inf": 0, "sign": 0})

    def add(self, computed: Any, exact: Any, dtype: Any, sample: dict[str, str]) -> None:
        """Compare one number."""
        error = ulp_error(computed, exact, dtype)
        self.points += 1
        if error.kind:
            self.kinds[error.kind] += 1
        if error.ulp > self.max_ulp:
            self.max_ulp, self.worst = error.ulp, sample


@dataclass(frozen=True)
class _Truth:
    """A batch without tensor parameters, and the oracle's balls for it."""

    definition: Definition
    batch: Batch
    dtype: Any
    places: dict[str, list[Place]]
    balls: dict[tuple[str, str, Place], Any]

    def describe(self, at: Place) -> dict[str, str]:
        """Return the sample at a place."""
        with np.printoptions(floatmode="unique", threshold=8, precision=17):
            shown = {n: str(x[at[0]] if x.ndim else x) for n, x in self.batch.inputs.items()}
        return shown | {n: repr(v) for n, v in self.batch.settings.items()}


def measure(definition: Definition, peers: Sequence[Peer], seed: int, digest: str) -> list[dict[str, Any]]:
    """Return the rows of every peer of a loss.

    Parameters
    ----------
    definition : Definition
        What is true.
    peers : sequence of peers
        What is called.
    seed : int
        Of the points: that of our own measurement.
    digest : str
        The hash of the definition, by which rows are kept or dropped later.
    """
    tallies: dict[tuple[int, str, str, str], _Tally] = {}
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        for truth in _truths(definition, seed, dtype):
            for number, peer in enumerate(peers):
                settings, inputs = truth.batch.settings, truth.batch.inputs
                if set(settings) <= set(peer.settings) and peer.accepts(settings, inputs):
                    _compare(peer, truth, tallies, number)
    return [_row(peers[k], digest, seed, dtype, q, n, tally) for (k, dtype, q, n), tally in tallies.items()]


def _compare(peer: Peer, truth: _Truth, tallies: dict[tuple[int, str, str, str], _Tally], number: int) -> None:
    with np.errstate(all="ignore"):
        found = peer.evaluate(truth.batch.inputs, truth.batch.settings, truth.places)
    for (quantity, name, at), ball in truth.balls.items():
        given = found.get((quantity, name))
        if given is not None:
            tally = tallies.setdefault((number, truth.dtype.name, quantity, name), _Tally())
            tally.add(truth.dtype.type(given[at]), ball, truth.dtype, truth.describe(at))


def _truths(definition: Definition, seed: int, dtype: Any) -> Iterator[_Truth]:
    for batch in batches(definition, seed, POINTS, dtype):
        settings = {n: v for n, v in batch.settings.items() if not isinstance(v, np.ndarray)}
        written = definition.chosen(settings, batch.inputs)
        request = Request(oracle_of(written), *split(written, batch.inputs, settings))
        names = [a.name for a in written.differentiable if batch.inputs[a.name].ndim]
        places = {n: _places(batch.inputs[n], seed) for n in names}
        near = NEAR * float(np.finfo(dtype).eps)
        balls = dict(_values(request, near))
        for name in names:
            balls |= dict(_entries(request, name, places[name], near))
        yield _Truth(written, Batch(batch.inputs, settings), dtype, places, balls)


def _values(request: Request, near: float) -> Iterator[tuple[tuple[str, str, Place], Any]]:
    oracle, tensors, scalars = request.oracle, request.tensors, request.scalars
    for sample in np.ndindex(*oracle.shape(tensors)):
        try:
            if oracle.counts(tensors, scalars, sample) and not 0 < oracle.gap(tensors, scalars, sample) < near:
                yield ("value", "", sample), oracle.along(tensors, scalars, {}, 0, sample)[0]
        except Undecided:
            continue


def _entries(
    request: Request, name: str, places: list[Place], near: float
) -> Iterator[tuple[tuple[str, str, Place], Any]]:
    for at in places:
        try:
            if any(_at_kink(request, s, near) for s, _ in request.samples(name, at)):
                continue  # at a kink libraries choose differently, and rightly so
            _, slope, curvature = request.entry(name, at)
        except Undecided:
            continue
        yield ("gradient", name, at), slope
        yield ("hessian_diagonal", name, at), curvature


def _at_kink(request: Request, sample: Place, near: float) -> bool:
    oracle, tensors, scalars = request.oracle, request.tensors, request.scalars
    return oracle.tied(tensors, scalars, sample) or oracle.gap(tensors, scalars, sample) < near


def _places(array: NDArray[Any], seed: int) -> list[Place]:
    """Return the entries to compare: a few columns of every row."""
    columns = list(np.ndindex(*array.shape[1:]))
    if len(columns) > COLUMNS:
        chosen = np.random.default_rng(seed).choice(len(columns), COLUMNS, replace=False)
        columns = [columns[k] for k in sorted(chosen)]
    return [(row, *column) for row in range(len(array)) for column in columns]


def _row(
    peer: Peer, digest: str, seed: int, dtype: str, quantity: str, wrt: str, tally: _Tally
) -> dict[str, Any]:  # fmt: skip
    return {
        "library": peer.library, "version": peer.version, "function": peer.function, "dtype": dtype,
        "quantity": quantity, "wrt": wrt, "points": tally.points,
        "max_ulp": float(f"{tally.max_ulp:.6g}") if np.isfinite(tally.max_ulp) else "inf", "worst": tally.worst,
        "false_zeros": tally.kinds["false zero"], "nans": tally.kinds["nan"] + tally.kinds["inf"],
        "wrong_signs": tally.kinds["sign"], "definition": digest, "seed": seed,
    }  # fmt: skip


def kept(rows: Sequence[dict[str, Any]], digest: str, seed: int) -> list[dict[str, Any]]:
    """Return the stored rows that speak of this definition and these points."""
    return [row for row in rows if row["definition"] == digest and row["seed"] == seed]
