"""The functions that kernels are made of: each beside ball arithmetic, in units of the last place of its format."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from symloss.elementary import functions
from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.elementary.functions import RAISED, SHORTER, TEXTS
from symloss.elementary.minimax import minimax
from symloss.rendering.intrinsics import INTRINSICS

Array = NDArray[Any]
FORMATS = {"float64": FLOAT64, "float32": FLOAT32, "float64 for float32": FLOAT64}
BARS = {"float64": 1.0, "float32": 2.0}
"""Units of the last place that a function may be off."""
NARROW = {"_exp": 64.0, "_exp_down": 64.0, "_raised_decay": 64.0, "_log1p_unit": 4.0}
"""The same for results that are rounded to float32, of whose units one is 2**29 of float64's."""
REACH = 200.0
"""Numbers beyond whose exponentials, times the largest of float32, float32 is 0 or infinite."""

HEAD = """import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

f32 = np.float32
"""
EACH = """

@njit(forceinline=True, error_model="numpy")
{source}


@njit(error_model="numpy")
def each{name}(x, found):
    for k in range(x.size):
        found[k] = {name}(x[k]{wide})
"""


@dataclass(frozen=True)
class Compiled:
    """The functions in one arithmetic, compiled.

    Parameters
    ----------
    real : Format
        The arithmetic.
    module : module
        With a function for each, over arrays.
    narrow : bool
        Whether results are for float32, though the arithmetic is not.
    """

    real: Format
    module: ModuleType
    narrow: bool

    def bar(self, name: str) -> float:
        """Return by how many units of the last place a function may be off."""
        return NARROW.get(name, BARS[self.real.name]) if self.narrow else BARS[self.real.name]


@pytest.fixture(scope="session", params=FORMATS)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return _compiled(request.param, tmp_path_factory)


@pytest.fixture(scope="session", params=BARS)
def complete(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Return functions whose results may be subnormal: for float32 none is in float64."""
    return _compiled(request.param, tmp_path_factory)


def _compiled(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    real = FORMATS[kind]
    path = tmp_path_factory.mktemp("elementary") / f"{real.name}.py"
    wide = ", None" if kind != real.name else ", 0" if real is FLOAT64 else ""
    parts = [
        EACH.format(source=text(real), name=name, wide=wide if name in SHORTER else "") for name, text in TEXTS.items()
    ]
    path.write_text(
        HEAD + "\n\n" + "\n\n".join(INTRINSICS[n] for n in ("_fma", "_bits_of", "_of_bits")) + "".join(parts),
        encoding="utf-8",
    )
    return Compiled(real, imported(path), kind != real.name)


def imported(path: Path) -> ModuleType:
    """Return a file as a module."""
    spec = importlib.util.spec_from_file_location(f"elementary_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, name: str, x: Array) -> Array:
    found = np.empty_like(x)
    getattr(module, f"each{name}")(x, found)
    return found


TRUTHS: dict[str, Callable[[arb], arb]] = {
    "_exp": lambda x: x.exp(),
    "_exp_down": lambda x: x.exp(),
    "_raised_decay": lambda x: (-abs(x)).exp() * arb(2) ** RAISED,
    "_log1p_unit": lambda x: x.log1p(),
    "_log": lambda x: x.log(),
    "_log1p": lambda x: x.log1p(),
}


@cache
def points(name: str, real: Format) -> Array:
    """Return where a function is looked at: all over its domain, and closely where it is reduced or crosses 0."""
    rng = np.random.default_rng(20261124)
    low, high = (-745.0, 709.7) if real is FLOAT64 else (-103.9, 88.7)
    least, most = (-307, 308) if real is FLOAT64 else (-37, 38)
    wide = 10.0 ** rng.uniform(least, most, 2000)
    halves = (np.arange(-60, 60) + 0.5) * math.log(2)
    found: dict[str, list[Any]] = {
        "_exp": [rng.uniform(low, high, 4000), rng.normal(size=2000), 10.0 ** rng.uniform(least, 0, 500), halves],
        "_exp_down": [rng.uniform(low, 0, 6000), -abs(rng.normal(size=2000)), -(10.0 ** rng.uniform(least, 0, 500))],
        "_raised_decay": [rng.uniform(low, -low, 4000), rng.normal(size=2000), halves],
        "_log1p_unit": [rng.uniform(0, 1, 6000), wide[wide < 1], [0.5625, 1.0]],
        "_log": [rng.uniform(0.4, 2.2, 6000), wide, 1 + rng.normal(size=500) * 1e-6, 2.0 ** np.arange(-120, 120)],
        "_log1p": [rng.uniform(-0.999, 3, 6000), wide, -(10.0 ** rng.uniform(least, -1, 500))],
    }
    return np.unique(np.concatenate(found[name]).astype(real.name))


@pytest.mark.parametrize("name", TEXTS)
def test_a_function_is_as_near_as_its_bar_says(compiled: Compiled, name: str) -> None:
    real, module = compiled.real, compiled.module
    x = points(name, real)
    if compiled.narrow and "log" not in name:
        x = x[abs(x) <= REACH]
    found = run(module, name, x)
    tiny = np.finfo(real.name).tiny
    ctx.prec = 160
    worst = 0.0
    for at, got in zip(x.tolist(), found.tolist(), strict=True):
        truth = TRUTHS[name](arb(at))
        near = float(truth.mid())
        unit = float(np.spacing(np.dtype(real.name).type(max(abs(near), tiny))))
        if abs(near) < float(np.finfo(real.name).max):
            worst = max(worst, float(abs((arb(got) - truth) / unit).upper()))
    assert 0.4 < worst <= compiled.bar(name), (name, worst)


LIMITS = {
    "_exp": [(0.0, 1.0), (-0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (1e4, math.inf), (-1e4, 0.0)],
    "_exp_down": [(0.0, 1.0), (-0.0, 1.0), (-math.inf, 0.0), (-1e4, 0.0)],
    "_raised_decay": [(0.0, 2.0**64), (math.inf, 0.0), (-math.inf, 0.0), (1e4, 0.0)],
    "_log1p_unit": [(0.0, 0.0)],
    "_log": [(1.0, 0.0), (0.0, -math.inf), (-0.0, -math.inf), (math.inf, math.inf), (-1.0, math.nan)],
    "_log1p": [(0.0, 0.0), (math.inf, math.inf), (-1.0, -math.inf), (-1.5, math.nan)],
}


@pytest.mark.parametrize("name", TEXTS)
def test_limits_and_nan(compiled: Compiled, name: str) -> None:
    real, module = compiled.real, compiled.module
    at, wanted = np.array([*LIMITS[name], (math.nan, math.nan)], real.name).T.copy()
    found = run(module, name, at)
    if name == "_raised_decay" and real is FLOAT32:  # nothing reads it but shrunk, when e**-104 is 0
        found, wanted = (x * np.float32(2.0**-RAISED) for x in (found, wanted))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["_log1p_unit", "_log1p"])
def test_subnormal_arguments_come_back(complete: Compiled, name: str) -> None:
    real, module = complete.real, complete.module
    least = np.finfo(real.name).smallest_subnormal
    x = (least * np.arange(1, 50)).astype(real.name)
    np.testing.assert_array_equal(run(module, name, x), x)


def test_subnormal_results_are_rounded_once(complete: Compiled) -> None:
    real, module = complete.real, complete.module
    low, high = (-745.0, -708.5) if real is FLOAT64 else (-103.8, -87.5)
    x = np.linspace(low, high, 2000).astype(real.name)
    ctx.prec = 160
    truth = np.array([float(arb(v).exp().mid() / arb(2) ** -1074) for v in x.tolist()])
    least = float(np.finfo(real.name).smallest_subnormal)
    found = run(module, "_exp", x).astype(np.longdouble) / least
    wanted = truth * (2.0**-1074 / least)
    assert np.abs(found - wanted).max() <= 1.0


def test_packed_instructions_and_no_call(compiled: Compiled) -> None:
    real, module = compiled.real, compiled.module
    for name in TEXTS:
        run(module, name, np.ones(1, real.name))
        (text,) = getattr(module, f"each{name}").inspect_llvm().values()
        lanes = 2 if real is FLOAT64 else 4
        kind = "double" if real is FLOAT64 else "float"
        assert any(f"fmul <{n} x {kind}>" in text for n in (lanes, 2 * lanes, 4 * lanes)), name
        assert not any(f"@{called}(" in text for called in ("exp", "expf", "log", "logf", "log1p", "log1pf"))


def test_a_fit_is_level() -> None:
    """The error of a minimax polynomial is as large at one extremum as at the next: nothing is left to gain."""
    with mpmath.workprec(200):
        low, high = mpmath.mpf(-1), mpmath.mpf(1)
        found = minimax(mpmath.exp, lambda _: mpmath.mpf(1), low, high, 3)
        grid = [low + (high - low) * mpmath.mpf(k) / 4000 for k in range(4001)]
        errors = [mpmath.polyval(found[::-1], x) - mpmath.exp(x) for x in grid]
        runs = [max((e for e in errors if mpmath.sign(e) == s), key=abs) for s in (1, -1)]
        assert abs(abs(runs[0]) - abs(runs[1])) < mpmath.mpf("1e-3") * abs(runs[0])
        assert abs(float(abs(runs[0])) - 0.005528) < 1e-5  # the known error of the best cubic of exp on [-1, 1]


def test_a_polynomial_of_too_low_a_degree_is_seen(compiled: Compiled) -> None:
    """The bar can fail: with two degrees less, the exponential is off by more."""
    real = compiled.real
    with mpmath.workprec(200):
        half = mpmath.log(2) / 2
        short = minimax(functions._exp_rest, functions._exp_weight, -half, half, 7 if real is FLOAT64 else 2)
        error = max(
            abs(mpmath.polyval(short[::-1], x) - functions._exp_rest(x)) * functions._exp_weight(x)
            for x in (half, -half)
        )
        assert error > BARS[real.name] * mpmath.mpf(2) ** -real.digits
