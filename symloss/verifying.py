"""The verify stage: definitions and their compiled kernels in, evidence out, one verdict for each loss."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from symloss import catalogue, load
from symloss.language.definition import Definition
from symloss.peers import available
from symloss.pipeline import OWN_OUTPUT, Progress, StaleOutput, derivatives, digest_of, hashes_of, select
from symloss.runtime.late import serve_whole
from symloss.runtime.loss import Loss
from symloss.runtime.plan import make_plan
from symloss.runtime.threads import share_always
from symloss.verification.evidence import SEED, stale, verify_loss, write
from symloss.verification.exhaustive import can_sweep, sweep
from symloss.verification.mutation import SAMPLED, Outcome, Rejected, mutate_source
from symloss.verification.mutation_symbolic import SAMPLED as SAMPLED_DERIVATIVES
from symloss.verification.mutation_symbolic import mutate_derivatives
from symloss.verification.peers import kept, measure

SAMPLED_PAIRS = 20
"""Mutants of kernels in pair arithmetic, which take seconds each: their loops are those of the others."""


@dataclass(frozen=True)
class Verdict:
    """What verifying one loss found."""

    name: str
    status: str
    rows: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]
    claims: tuple[dict[str, Any], ...]
    file: Path
    peers: tuple[dict[str, Any], ...] = ()
    fast: tuple[dict[str, Any], ...] = ()
    fast_status: str = "passed"


@dataclass(frozen=True)
class Mutated:
    """What became of mistakes in one loss: a row for each level, and a failed check for what is itself wrong."""

    rows: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...] = ()


def verify(
    names: Sequence[str], definitions: Path | None, output: Path | None, *, full: bool, check: bool,
    progress: Progress, peers: bool = False,
) -> tuple[Verdict, ...]:  # fmt: skip
    """Run the ladder of checks and write evidence, or with `check` only tell whether stored evidence is fresh.

    Parameters
    ----------
    names : sequence of str
        Losses; all where it is empty.
    definitions, output : Path, optional
        The folders of definitions and of generated modules.
    full : bool
        Ten times the points, every mutant, and every float32 where there is one prediction.
    check : bool
        Run nothing; a loss whose evidence is missing, stale or failed gets the status ``"stale"``.
    progress : callable
        Called with a loss, how many are done and how many there are.
    peers : bool
        Measure the other libraries too; else what is stored of them is kept while it is fresh.

    Returns
    -------
    tuple of Verdict
        One for each loss.

    Raises
    ------
    UnknownLoss
        Where no definition has one of the names.
    StaleOutput
        Where the modules of a loss have not been generated.
    """
    chosen = select(names, definitions)
    if check:
        return tuple(_fresh(d, output or OWN_OUTPUT) for d in chosen)
    _must_be_generated(chosen, output or OWN_OUTPUT)
    jobs = [(d.name, definitions, output, full, peers) for d in chosen]
    if full or len(jobs) < 4:  # sweeps show their own progress; processes take longer to start
        found = (_verify_one(*job, progress=progress) for job in jobs)
        return tuple(_reported(found, chosen, progress))
    return tuple(_reported(_verified_together(jobs, output or OWN_OUTPUT), chosen, progress))


def _must_be_generated(chosen: Sequence[Definition], folder: Path) -> None:
    """Check that each loss has the modules that are verified."""
    missing = [d.name for d in chosen if not all((folder / p / f"{d.name}.py").is_file() for p in ("", "fast"))]
    if missing:
        names = " ".join(missing)
        message = f"{folder}: no module of {', '.join(missing)}; run symloss generate {names} with this --output first"
        raise StaleOutput(message)


def _verified_together(jobs: Sequence[tuple[Any, ...]], folder: Path) -> Iterator[Verdict]:
    """Yield the verdicts in order; what takes longest to compile begins first, mutants come last: no core waits."""
    longest = sorted(jobs, key=lambda job: -(folder / f"{job[0]}.py").stat().st_size)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        running = {job[0]: pool.submit(_climb, *job) for job in longest}
        mutating = {job[0]: pool.submit(_mutants, *job[:4]) for job in longest}
        for name, *_ in jobs:
            yield _written(running[name].result(), mutating[name].result(), folder)


def _reported(found: Iterable[Verdict], chosen: Sequence[Definition], progress: Progress) -> Iterator[Verdict]:
    """Yield verdicts, telling which loss is next."""
    verdicts = iter(found)
    for number, definition in enumerate(chosen):
        progress(definition.name, number, len(chosen))
        yield next(verdicts)
    progress("", len(chosen), len(chosen))


def _fresh(definition: Definition, folder: Path) -> Verdict:
    """Tell whether stored evidence speaks of what there is now."""
    path = folder / "evidence" / f"{definition.name}.json"
    why = stale(path, hashes_of(definition, folder))
    return Verdict(definition.name, "stale" if why else "passed", (), ({"check": "fresh", "detail": why},), (), path)


def _silent(_name: str, _done: int, _all: int) -> None:
    """Show nothing: a process of its own has no terminal."""


def _verify_one(
    name: str, definitions: Path | None, output: Path | None, full: bool, peers: bool, progress: Progress = _silent
) -> Verdict:
    """Run the ladder for one loss and write its evidence."""
    mutated = _mutants(name, definitions, output, full)
    return _written(_climb(name, definitions, output, full, peers, progress), mutated, output or OWN_OUTPUT)


def _mutants(name: str, definitions: Path | None, output: Path | None, full: bool) -> Mutated:
    """Return what became of mistakes in the modules of one loss, and in its derivatives."""
    (definition,) = select((name,), definitions)
    rows, checks = [], []
    for level, mutate in _levels(definition, output or OWN_OUTPUT, full):
        try:
            rows.append(mutate().row(SEED) | {"level": level})
        except Rejected as error:
            detail = f"mutants were not run: {error}"
            checks.append({"check": f"mutants ({level})", "status": "failed", "detail": detail})
    return Mutated(tuple(rows), tuple(checks))


def _levels(definition: Definition, folder: Path, full: bool) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Yield the levels at which one loss is mutated, and what does it."""

    def load_plain(module: ModuleType) -> Loss:
        return Loss(make_plan(module))

    for part, level, most in (("", "source", None if full else SAMPLED), ("pairs", "pairs", SAMPLED_PAIRS)):
        path = folder / part / f"{definition.name}.py"
        if path.is_file() and (full or level == "source"):
            text = path.read_text(encoding="utf-8")
            yield level, partial(mutate_source, definition, text, load_plain, SEED, most)
    most = None if full else SAMPLED_DERIVATIVES
    yield "derivative", lambda: mutate_derivatives(derivatives(definition), SEED, most)


def _climb(
    name: str, definitions: Path | None, output: Path | None, full: bool, peers: bool, progress: Progress = _silent
) -> dict[str, Any]:
    """Run the rungs that call the compiled kernels of one loss, and return the evidence."""
    folder, every = output or OWN_OUTPUT, catalogue.find(definitions)
    definition = every[name]
    path, hashes = _evidence_file(folder, name), hashes_of(definition, folder)
    package = None if output is None else folder
    loss, fast = _whole(load(name, package=package)), _whole(load(name, package=package, accuracy="fast"))
    return verify_loss(
        definition, loss, every.__getitem__, hashes, count=3000 if full else 300, set_threads=share_always,
        fast=fast, peers=_peers(definition, path, measured=peers),
        exhaustive=_exhaustive(definition, loss, path, hashes, swept=full, progress=progress),
    )  # fmt: skip


def _whole(loss: Loss) -> Loss:
    """Return a loss whose kernels are compiled once, with the second look that some points are sure to need."""
    for plan in (loss.plan, *loss.plan.variants):
        serve_whole(plan.kernels)
        serve_whole(plan.narrow)
    return loss


def _written(evidence: dict[str, Any], mutated: Mutated, folder: Path) -> Verdict:
    """Write the evidence of one loss, and return what it says."""
    evidence |= {"mutants": list(mutated.rows), "checks": [*evidence["checks"], *mutated.checks]}
    if mutated.checks:
        evidence["status"] = "failed"
    path = _evidence_file(folder, evidence["name"])
    write(evidence, path)
    rows, narrow, checks, claims, others = (
        tuple(evidence[key]) for key in ("accuracy", "fast", "checks", "claims", "peers")
    )
    status = "failed" if evidence["fast_status"] == "failed" else evidence["status"]
    name, narrow_status = evidence["name"], evidence["fast_status"]
    return Verdict(name, status, rows, checks, claims, path, others, narrow, narrow_status)


def _evidence_file(folder: Path, name: str) -> Path:
    return folder / "evidence" / f"{name}.json"


def _exhaustive(
    definition: Definition, loss: Loss, path: Path, hashes: dict[str, str], *, swept: bool, progress: Progress
) -> list[dict[str, Any]]:
    """Return what a sweep over every float32 found: run now, or stored and still of this kernel."""
    if swept and can_sweep(definition):
        return sweep(definition, loss, path.with_suffix(".sweep"), hashes["kernel"], progress)
    stored = _stored(path)
    return list(stored.get("exhaustive", ())) if _is_same_code(path, stored, hashes) else []


def _peers(definition: Definition, path: Path, *, measured: bool) -> list[dict[str, Any]]:
    """Return what is known of the peers of a loss: measured now, or stored and still true of this definition."""
    digest = digest_of(definition)
    if measured:
        return measure(definition, available(definition.name), SEED, digest)
    stored = _stored(path)
    rows = stored.get("peers", ())
    if _is_same_code(path, stored, hashes_of(definition, path.parent.parent)):  # the formula and its domain are
        before = stored["hashes"]["definition"]
        rows = [row | {"definition": digest} if row["definition"] == before else row for row in rows]
    return kept(rows, digest, SEED)


def _stored(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _is_same_code(path: Path, stored: dict[str, Any], hashes: dict[str, str]) -> bool:
    """Tell whether a kernel is what it was when evidence was stored, but for the digest of its definition's text."""
    known = stored.get("hashes", {})
    text = (path.parent.parent / f"{path.stem}.py").read_text(encoding="utf-8")
    before = text.replace(hashes["definition"], known.get("definition", ""))
    return bool(hashlib.sha256(before.encode()).hexdigest() == known.get("kernel"))
