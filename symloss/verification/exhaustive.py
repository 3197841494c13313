"""Every float32 there is: the kernels of a loss of one prediction, on all 2**32 inputs.

A definition and its loss come in; out comes, for each label and quantity, how many results are not the float64 kernel's
rounded once, and by how much at most. That kernel is what the certified balls are compared with. Sweeps take minutes:
their state is written after each block, so that one that was stopped goes on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf

BLOCK = 1 << 24
BLOCKS = (1 << 32) // BLOCK
QUANTITIES = ("value", "gradient", "hessian_diagonal")

Progress = Callable[[str, int, int], None]


def labels(definition: Definition) -> Iterator[dict[str, float]]:
    """Yield the other inputs that a sweep fixes: each of few values, the ends of an interval, or 0."""
    choices: dict[str, tuple[float, ...]] = {}
    for argument in definition.inputs[1:]:
        match argument.domain:
            case OneOf(values=values):
                choices[argument.name] = tuple(values)
            case Interval(low=low, high=high) if np.isfinite((low, high)).all():
                choices[argument.name] = (low, high)
            case _:
                choices[argument.name] = (0.0,)
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def can_sweep(definition: Definition) -> bool:
    """Tell whether a loss has one number per sample and one prediction."""
    return definition.elementwise and len(definition.differentiable) == 1


def sweep(definition: Definition, loss: Any, state: Path, kernel: str, progress: Progress) -> list[dict[str, Any]]:
    """Compare float32 with float64, rounded once, on all inputs.

    Parameters
    ----------
    definition : Definition
        Of a loss for which `can_sweep` holds.
    loss : Loss
        What is called.
    state : Path
        Where the state is kept; of another kernel it is not used.
    kernel : str
        The hash of the generated module.
    progress : callable
        Called with a name, how many blocks are done and how many there are.

    Returns
    -------
    list of dict
        One row for each label and quantity: the number of inputs, of results that are not the rounded ones, the
        largest error in units of the last place (0.5 where all are) and the input it was seen at.
    """
    cases = list(labels(definition))
    stored = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    if stored.get("kernel") != kernel:
        stored = {"kernel": kernel, "done": 0, "rows": [
            {"label": case, "quantity": q, "inputs": 0, "unequal": 0, "max_ulp": 0.5, "worst": ""}
            for case in cases for q in QUANTITIES
        ]}  # fmt: skip
    while stored["done"] < BLOCKS * len(cases):
        case, block = divmod(stored["done"], BLOCKS)
        progress(definition.name, stored["done"], BLOCKS * len(cases))
        x = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        own = stored["rows"][case * len(QUANTITIES) : (case + 1) * len(QUANTITIES)]
        found = _computed(loss, x, cases[case], np.float32)
        for row, computed, exact in zip(own, found, _computed(loss, x, cases[case], np.float64), strict=True):
            _compare(row, x, computed, exact)
        stored["done"] += 1
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text(json.dumps(stored), encoding="utf-8")
    rows: list[dict[str, Any]] = stored["rows"]
    return rows


def _computed(loss: Any, x: NDArray[Any], case: dict[str, float], dtype: Any) -> tuple[NDArray[Any], ...]:
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
    others = [np.full(x.shape, number, dtype) for number in case.values()]
    value = loss.value(x, *others, reduction="none")
    return (value, *loss.gradient_and_hessian(x, *others, reduction="sum"))


def _compare(row: dict[str, Any], x: NDArray[Any], computed: NDArray[Any], exact: NDArray[Any]) -> None:
    with np.errstate(all="ignore"):
        unequal = computed != exact.astype(np.float32)
    unequal &= ~(np.isnan(computed) & np.isnan(exact))
    row["inputs"] += len(x)
    row["unequal"] += int(unequal.sum())
    if not unequal.any():
        return
    seen, truth, at = computed[unequal].astype(np.float64), exact[unequal], x[unequal]
    with np.errstate(all="ignore"):
        size = np.clip(np.abs(truth), np.finfo(np.float32).tiny, np.finfo(np.float32).max)
        off = np.abs(seen - truth) / 2.0 ** (np.floor(np.log2(size)) - 23)
    off = np.nan_to_num(off, nan=np.inf)
    worst = int(off.argmax())
    if off[worst] > row["max_ulp"]:
        row["max_ulp"] = round(float(off[worst]), 9) if np.isfinite(off[worst]) else "inf"
        row["worst"] = repr(float(at[worst]))
