"""Mutation: whether a small mistake in a generated module would be noticed.

The text of a module and its definition come in. Each mutant is run as plain Python on tiny arrays, and what it gives is
compared with the oracle's numbers. It is *killed* where a number is wrong, an error rises or a loop does not end. One
that passes is *equivalent* where a rule shows it, *tolerated* where it moves numbers by no more than the accuracy bar,
*unreached* where no probe runs its line, and else it *survived*: the checks have a hole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.declarations import GENERAL
from symloss.language.definition import Definition
from symloss.verification.mutation_equivalent import why_equivalent
from symloss.verification.mutation_helpers import HelperProbe, closer_probes, helper_probes, outside_probes
from symloss.verification.mutation_looks import why_looks_suffice
from symloss.verification.mutation_plain import Plain, plain
from symloss.verification.mutation_probes import Probe, probes
from symloss.verification.mutation_sites import Site

SAMPLED = 60
"""Mutants of each loss that are run by default."""

SHORT = ("_few",)
"""In the names of the kernels that short rows are given to, where there are any."""
PHASES = ("_sums", "_rest")
"""In the names of the kernels that are two phases of another."""
PARAMETRIC = ("parameter_gradient_and_hessian", "full_hessian_product")
"""Kernels that differentiate in parameters."""
STATUSES = ("killed", "equivalent", "tolerated", "unreached", "survived")


@dataclass(frozen=True)
class Mutant:
    """What became of one mutant.

    Parameters
    ----------
    where : str
        The function or derivative it is in.
    kind : str
        What was changed.
    before, after : str
        The text before and after.
    status : str
        One of `STATUSES`.
    reason : str
        Why it is equivalent, or by how much it moves numbers.
    """

    where: str
    kind: str
    before: str
    after: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """The mutants of one loss, of one level.

    Parameters
    ----------
    level : str
        ``"source"`` or ``"derivative"``.
    possible : int
        How many mutants there are.
    mutants : tuple of Mutant
        Those that were run.
    masked : int
        Expected numbers that were not compared, at jumps.
    """

    level: str
    possible: int
    mutants: tuple[Mutant, ...]
    masked: int = 0

    def row(self, seed: int) -> dict[str, Any]:
        """Return what evidence holds: counts, and every mutant that was not killed."""
        counts = Counter(m.status for m in self.mutants)
        return {
            "level": self.level, "possible": self.possible, "run": len(self.mutants), "seed": seed,
            "masked": self.masked, **{status: counts[status] for status in STATUSES},
            "remaining": [
                {"where": m.where, "kind": m.kind, "before": m.before, "after": m.after, "status": m.status,
                 "reason": m.reason}
                for m in self.mutants if m.status != "killed"
            ],
        }  # fmt: skip


class Rejected(RuntimeError):
    """What is to be mutated is itself wrong somewhere: nothing could be learnt from its mutants."""


class _Bench:
    """A module, its probes, and which of them reach a line."""

    def __init__(
        self, module: Plain, load: Callable[[ModuleType], Any], found: Iterable[Probe | HelperProbe],
        uncalled: frozenset[str],
    ) -> None:  # fmt: skip
        self.module, self.uncalled = module, uncalled
        self.losses = {lacking: load(_without(module.module, lacking)) for lacking in _forms(module)}
        self.probes: list[Probe | HelperProbe] = []
        self.reach: dict[tuple[str, int], list[Probe | HelperProbe]] = {}
        for probe in (*helper_probes(module), *found):
            with suppress(ArithmeticError):  # of Python's own floats, which compiled code has not: nothing is learnt
                self._take(probe)

    def _take(self, probe: Probe | HelperProbe) -> None:
        """Take up a probe, and again for each form of the module in which it runs other lines."""
        lines = self._reached(probe)
        for lacking in self.losses if isinstance(probe, Probe) else ():
            twin = replace(probe, lacking=lacking, usual=[])
            if lacking and self._traced(twin) != lines:
                self._reached(twin)

    def _reached(self, probe: Probe | HelperProbe) -> set[tuple[str, int]]:
        """Take up a probe, and return the lines that it runs."""
        lines = self._traced(probe)
        self.probes.append(probe)
        for line in lines:
            self.reach.setdefault(line, []).append(probe)
        return lines

    def _traced(self, probe: Probe | HelperProbe) -> set[tuple[str, int]]:
        with self.module.traced() as lines:
            try:
                probe.usual = self.call(probe)
            except ArithmeticError:
                raise
            except Exception as error:  # whatever it is, a caller would meet it too
                message = f"the module itself raises {type(error).__name__} in {probe.call_text}: {error}"
                raise Rejected(message) from error
        return lines

    def call(self, probe: Probe | HelperProbe) -> list[NDArray[Any]]:
        """Return what the loss gives where a probe asks."""
        return probe.call(self.losses[probe.lacking])

    def reaching(self, site: Site) -> list[Probe | HelperProbe]:
        """Return the probes that run the line of a site."""
        return self.reach.get((site.function, site.line), [])

    def judge(self, site: Site) -> Mutant:
        """Run one mutant until a probe kills it."""
        near = self.reaching(site)
        moved = 0.0
        for probe in near:
            with self.module.mutated(site):
                try:
                    found = self.call(probe)
                except Exception:  # whatever it is, a caller would notice
                    return self._mutant(site, "killed")
            if not probe.accepts(found):
                _must_accept(probe)
                near.remove(probe)
                near.insert(0, probe)  # what killed one mutant of a line is likely to kill the next
                return self._mutant(site, "killed")
            moved = max(moved, probe.distance(found))
        if not near:
            if site.function in self.uncalled:
                return self._mutant(site, "equivalent", "proved: never called, this variant fixes every parameter")
            return self._mutant(site, "unreached", "no probe runs this line")
        reason = why_equivalent(self.module, site, lambda: [self.call(probe) for probe in near])
        if reason:
            return self._mutant(site, "equivalent", reason)
        status, reason = why_looks_suffice(self.module, site, [partial(self.call, probe) for probe in near])
        if status:
            return self._mutant(site, status, reason)
        if moved:
            return self._mutant(site, "tolerated", f"numbers move by at most {moved:.3g} units of the last place")
        return self._mutant(site, "survived", f"{len(near)} probes see no change")

    @staticmethod
    def _mutant(site: Site, status: str, reason: str = "") -> Mutant:
        before, after = site.texts()
        return Mutant(f"{site.function}:{site.line}", site.kind, before, after, status, reason)


def _forms(module: Plain) -> list[tuple[str, ...]]:
    """Return what is left out of a module, in turn, so that each of its kernels gets calls: first nothing."""
    short, phased = (any(part in n for n in module.functions for part in parts) for parts in (SHORT, PHASES))
    return [(), *([SHORT] if short else []), *([SHORT + PHASES] if phased else [])]


def _without(module: ModuleType, lacking: tuple[str, ...]) -> ModuleType:
    """Return a module without the kernels that have any of some parts in their names."""
    found = ModuleType(module.__name__)
    found.__dict__.update({n: x for n, x in module.__dict__.items() if not any(part in n for part in lacking)})
    return found


def mutate_source(
    definition: Definition, source: str, load: Callable[[ModuleType], Any], seed: int, count: int | None = SAMPLED
) -> Outcome:
    """Mutate a generated module.

    Parameters
    ----------
    definition : Definition
        What is true.
    source : str
        The text of the module.
    load : callable
        From a module to a loss that can be called.
    seed : int
        Of the points, and of the sample.
    count : int, optional
        How many mutants are drawn; all where it is None.

    Raises
    ------
    Rejected
        Where the module itself gives a wrong number or raises an error: nothing could be learnt from its mutants.
    """
    module = plain(source, definition.name)
    bench = _Bench(
        module,
        load,
        (*outside_probes(module, definition), *closer_probes(module, definition), *probes(definition, seed)),
        _uncalled(definition),
    )
    every = tuple(module.sites())
    chosen = sample(every, seed, count)
    reached = {id(p): p for site in chosen for p in bench.reaching(site)}
    for probe in reached.values() if count is None else ():
        _must_accept(probe)
    mutants = tuple(map(bench.judge, chosen))
    return Outcome("source", len(every), mutants, sum(p.masked for p in bench.probes))


def _must_accept(probe: Probe | HelperProbe) -> None:
    """Check that a probe accepts the module itself: what it rejects then tells nothing of a mutant.

    Raises
    ------
    Rejected
        Where it does not.
    """
    if not probe.accepts(probe.usual):
        message = f"the module itself gives a wrong number in {probe.call_text}"
        raise Rejected(message)


def _uncalled(definition: Definition) -> frozenset[str]:
    """Return the kernels that no call reaches: a parameter that is differentiated in has no special value."""
    found = []
    for written in (definition, *definition.variants):
        special = {name for name, value in written.choice if value != GENERAL}
        if special.issuperset(a.name for a in written.continuous):
            found += [f"{kernel}{written.suffix}" for kernel in PARAMETRIC]
    return frozenset(found)


def sample(every: Sequence[Any], seed: int, count: int | None) -> list[Any]:
    """Return a seeded sample in its order, or everything."""
    if count is None or count >= len(every):
        return list(every)
    chosen = np.random.default_rng(seed).choice(len(every), count, replace=False)
    return [every[k] for k in sorted(chosen)]
