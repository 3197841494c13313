"""Evidence: what was measured, for which definition, rules and kernel, so that stale evidence shows."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import flint
import numba
import numpy as np
import sympy

from symloss.language.definition import Definition
from symloss.verification.accuracy import EASY
from symloss.verification.claims import Lookup, check_claims
from symloss.verification.ladder import Accuracy, accuracy, kinks, taylor, variants
from symloss.verification.sampling import geometric

SEED = 20170807


def verify_loss(
    definition: Definition,
    loss: Any,
    lookup: Lookup,
    hashes: dict[str, str],
    *,
    count: int,
    set_threads: Callable[[int], None] | None = None,
    mutants: Sequence[dict[str, Any]] = (),
    peers: Sequence[dict[str, Any]] = (),
    exhaustive: Sequence[dict[str, Any]] = (),
    fast: Any = None,
) -> dict[str, Any]:
    """Run the ladder for one loss and return the evidence.

    Its status is ``"passed"``, ``"short"`` where every number is right but an accuracy bar is missed or a claim is
    still without evidence, or ``"failed"``.

    Parameters
    ----------
    definition : Definition
        What is claimed.
    loss : Loss
        What is called.
    lookup : callable
        From a name to a definition, for identities.
    hashes : dict of str to str
        Of definition, rules and kernel.
    count : int
        Points for each elementwise loss and dtype.
    set_threads : callable, optional
        To compare thread counts.
    mutants, peers, exhaustive : sequences of dict
        What mutation found, what was measured of other libraries, and what a sweep over all float32 inputs found.
    fast : Loss, optional
        The loss with kernels in float32 arithmetic.
    """
    rows = accuracy(definition, loss, SEED, count)
    narrow = () if fast is None else accuracy(definition, fast, SEED, max(1, count // 3), fast=True)
    checks = (
        taylor(definition, loss, SEED),
        variants(definition, loss, SEED, set_threads),
        kinks(definition, loss, SEED),
    )
    claims = check_claims(definition, lookup, SEED, max(60, count // 4))
    right = all(r.wrong == r.nans == 0 and r.points > 0 for r in rows)
    right = right and all(c.status == "passed" for c in checks)
    right = right and all(c["status"] != "refuted" for c in claims)
    bars = BARS if definition.elementwise else ROW_BARS
    within = all(meets_bar(r, geometric(definition), bars) for r in rows) and all(
        c["status"] != "claimed" or c["kind"] == "cited" for c in claims
    )
    status = ("passed" if within else "short") if right else "failed"
    return {
        "name": definition.name, "hashes": hashes, "seed": SEED, "status": status,
        "fast_status": _fast_status(narrow),
        "versions": {
            "python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__,
            "sympy": sympy.__version__, "flint": flint.__version__,
        },
        "accuracy": [_row(r) for r in rows], "fast": [_row(r) for r in narrow],
        "checks": [asdict(c) for c in checks], "claims": claims,
        "mutants": list(mutants), "peers": list(peers), "exhaustive": list(exhaustive),
    }  # fmt: skip


def _fast_status(rows: Sequence[Accuracy]) -> str:
    """Return what the accuracy in float32 arithmetic amounts to; NaN for a finite result is a failure there too."""
    if any(r.nans or not r.points for r in rows):
        return "failed"
    return "passed" if all(meets_bar(r, True) for r in rows) else "short"


BARS = {"value": 4.0, "gradient": 4.0, "hessian_diagonal": 8.0, "hessian_product": 8.0}
"""Units of the last place allowed in float64."""
ROW_BARS = {**BARS, "hessian_diagonal": 4.0}
"""Those of losses whose sample is a row."""
SINGLE_BAR = 0.51


def meets_bar(row: Accuracy, conditioned: bool, bars: Mapping[str, float] = BARS) -> bool:
    """Tell whether a row is within its bar, without a false zero, NaN, infinity or wrong sign."""
    if conditioned:
        within = row.max_conditioned <= EASY
    else:
        within = row.max_ulp <= (bars[row.quantity] if row.dtype == "float64" else SINGLE_BAR)
    return within and row.false_zeros == row.nans == row.wrong_signs == 0


def _row(row: Accuracy) -> dict[str, Any]:
    found = asdict(row)
    found["condition"] = float(f"{row.condition:.3g}")
    for key in ("max_ulp", "max_conditioned"):
        found[key] = round(found[key], 4) if np.isfinite(found[key]) else "inf"
    return found


def file_hash(path: Path) -> str:
    """Return the hash of a file's bytes, or an empty string where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write(evidence: dict[str, Any], path: Path) -> None:
    """Write evidence as JSON with sorted keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evidence, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def stale(path: Path, hashes: dict[str, str]) -> str:
    """Return why stored evidence does not speak of what there is now, or an empty string."""
    if not path.is_file():
        return "there is no evidence"
    stored = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name, digest in hashes.items() if stored["hashes"].get(name) != digest]
    if changed:
        return f"the {' and the '.join(changed)} changed since"
    return "it says that a check failed" if "failed" in (stored["status"], stored["fast_status"]) else ""
