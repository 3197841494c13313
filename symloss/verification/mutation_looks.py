"""Mutants of the sizes that decide where a sum is looked at twice: whether any sum goes without a look that it needs.

A sum is looked at twice where it is small beside the size of its terms. A mutant that passes every probe may still have
changed those sizes. The decisions of the kernel and of the mutant are compared, sum by sum.

More looks than needed change nothing but time. Fewer may: but a size that lacks one of its terms is at least half of
what the whole size exceeds the sum by, since that term is at most the sum and the other terms together. Such a mutant
is as accurate but for a factor that its reason states.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from symloss.verification.mutation_plain import Plain
from symloss.verification.mutation_sites import Site
from symloss.verification.mutation_watch import MANY

SMALL, CANCELS = "_is_small", "_cancels"
"""What tells whether a chunk has a sum to be looked at twice, and whether a sum is one."""
ROUNDED = 1 + 1e-9
ENOUGH = 40
"""Of how many probes the sums are looked at."""
MOST = 1e290
"""The largest size at which a sum is looked at."""


@dataclass(frozen=True)
class Look:
    """How a sum was judged.

    Parameters
    ----------
    size : float
        Of its terms.
    near : float
        The part of the size below which it is looked at twice.
    again : bool
        Whether it is.
    """

    size: float
    near: float
    again: bool


def why_looks_suffice(module: Plain, site: Site, calls: list[Callable[[], Any]]) -> tuple[str, str]:
    """Return a status and a reason for a mutant that only changes where sums are looked at twice, or empty strings.

    Parameters
    ----------
    module : Plain
        The module.
    site : Site
        The mutant, not applied.
    calls : list of callable
        The probes that reach it.
    """
    if CANCELS not in module.namespace or site.function in (SMALL, CANCELS):
        return "", ""
    calls = calls[:: max(1, len(calls) // ENOUGH)]
    with module.afresh():
        usual = [_looks(module, call) for call in calls]
        with module.mutated(site):
            changed = [_looks(module, call) for call in calls]
    pairs: list[tuple[float, Look, Look]] = []
    for ours, theirs in zip(usual, changed, strict=True):
        if [x for x, _ in ours[0]] != [x for x, _ in theirs[0]]:
            return "", ""
        pairs += _paired(ours[0], theirs[0])
        for each, same in zip(ours[1:], theirs[1:], strict=True):
            if len(each) == len(same):  # else some look was left out, or added, and was judged before
                pairs += [pair for one, other in zip(each, same, strict=True) for pair in _paired(one, other)]
    pairs = [(value, a, b) for value, a, b in pairs if a.size <= MOST]
    if all(a == b for _, a, b in pairs):
        return "", ""
    if all(b.again or b.near * b.size >= a.near * a.size for _, a, b in pairs):
        return "equivalent", f"observed: none of {len(pairs)} sums goes without its second look, one more is idle"
    if all(b.again or (b.near == a.near and a.size <= (2 * b.size + x) * ROUNDED) for x, a, b in pairs):
        most = max(2 / a.near + 1 for _, a, _ in pairs)
        return "tolerated", (
            f"at each of {len(pairs)} sums the size is at least half of the whole less the sum: "
            f"one that goes without its second look has a condition below {most:.3g}"
        )
    left = sum(a.again and not b.again for _, a, b in pairs)
    if left >= MANY:
        return "tolerated", f"{left} of {len(pairs)} sums go without their second look, and each is within its bar"
    return "", ""


Judged = list[tuple[float, Look]]


def _paired(ours: Judged, theirs: Judged) -> list[tuple[float, Look, Look]]:
    """Return how the same sums were judged by both, as long as they are the same."""
    return [(x, a, b) for (x, a), (y, b) in zip(ours, theirs, strict=False) if x == y]


def _looks(module: Plain, call: Callable[[], Any]) -> tuple[Judged, list[Judged], list[Judged]]:
    """Return how each sum of a call was judged, with its absolute value.

    By the kernel for the chunk it is in; then, where one of these has to be looked at, each of them; and in each look.
    """
    found: tuple[Judged, list[Judged], list[Judged]] = [], [], []
    last: list[Any] = [None]
    usual = {name: module.namespace[name] for name in (SMALL, CANCELS) if name in module.namespace}

    def watched(name: str, value: Any, size: Any, near: Any) -> Any:
        again = usual[name](value, size, near)
        if value == value:
            frame = sys._getframe(1)
            judged = found[0]
            if frame.f_code.co_name.startswith("_careful_"):
                if frame is not last[0]:
                    found[2].append([])
                last[0], judged = frame, found[2][-1]
            elif name == CANCELS:
                found[1].append([])
                judged = found[1][-1]
            judged.append((abs(float(value)), Look(float(size), float(near), bool(again))))
        return again

    module.namespace.update({name: partial(watched, name) for name in usual})
    try:
        call()
    finally:
        module.namespace.update(usual)
    return found
