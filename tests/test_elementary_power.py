"""Powers: beside ball arithmetic, at the ends of the format, and where numbers are 0, negative or not finite."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from numpy.typing import NDArray

from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.rendering.primitives import source_of
from tests.test_elementary import HEAD, imported

Array = NDArray[Any]
EACH = """

@njit(error_model="numpy")
def each(base, by, found):
    for k in range(base.size):
        found[k] = _power(base[k], by[k]{wide})
"""
KINDS = {"float64": (FLOAT64, ", 0"), "float64 for float32": (FLOAT64, ", None"), "float32": (FLOAT32, "")}
BARS = {"float64": 1.0, "float64 for float32": 256.0, "float32": 0.5001}
"""Units of the last place that a power may be off: of float32's, one is 2**29 of float64's."""
NEAR = {"float64": 4e-16, "float64 for float32": 1e-13, "float32": 1.2e-7}
"""The same, relative to the result."""


@pytest.fixture(scope="module", params=KINDS)
def power(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Format, ModuleType]:
    real, wide = KINDS[request.param]
    path: Path = tmp_path_factory.mktemp("power") / f"{request.param.replace(' ', '_')}.py"
    path.write_text(HEAD + "\n\n" + "\n\n\n".join(source_of({"_power"}, real)) + EACH.format(wide=wide), "utf-8")
    return request.param, real, imported(path)


@cache
def points(kind: str) -> tuple[Array, Array]:
    """Return bases all over the format and close to 1, with exponents small and as large as results allow."""
    rng = np.random.default_rng(20261130)
    far, most = (307, 707.0) if kind == "float64" else (37, 86.0)
    n = 1500
    base = np.concatenate([
        10.0 ** rng.uniform(-far, far, n), rng.uniform(0, 1, n), rng.uniform(0.4, 2.5, n),
        1 + rng.normal(size=n) * 10.0 ** rng.uniform(-12, -1, n), 2.0 ** rng.integers(-100, 100, n),
    ])  # fmt: skip
    name = "float64" if kind == "float64" else "float32"
    base = np.abs(base).astype(name).astype(np.float64)
    size = np.abs(np.log(base))
    reach = np.minimum(most / np.maximum(size, 1e-12), 1e9) * rng.uniform(-1, 1, base.size)
    by = np.choose(
        rng.integers(0, 3, base.size), [reach, rng.uniform(-5, 5, base.size), rng.integers(-4, 9, base.size)]
    )
    by = by.astype(name).astype(np.float64)
    inside = size * np.abs(by) < most
    own = "float32" if kind == "float32" else "float64"
    return base[inside].astype(own), by[inside].astype(own)


def test_a_power_is_as_near_as_its_bar_says(power: tuple[str, Format, ModuleType]) -> None:
    kind, real, module = power
    base, by = points(kind)
    found = np.empty_like(base)
    module.each(base, by, found)
    ctx.prec = 300
    worst = 0.0
    for x, y, got in zip(base.tolist(), by.tolist(), found.tolist(), strict=True):
        truth = arb(x) ** arb(y)
        unit = float(np.spacing(np.dtype(real.name).type(float(truth.mid()))))
        worst = max(worst, float(abs((arb(got) - truth) / unit).upper()))
    assert 0.4 < worst <= BARS[kind], (kind, worst)
    assert base.size > 5000


def test_zero_infinity_and_negative_bases(power: tuple[str, Format, ModuleType]) -> None:
    """0 to a negative power is 0, the convention for derivatives; to the power of 0 NaN and infinity give NaN."""
    kind, real, module = power
    inf, nan = math.inf, math.nan
    largest = FLOAT64.largest if kind != "float32" else FLOAT32.largest
    cases = [
        (0.0, 0.0, 1.0), (0.0, 2.0, 0.0), (0.0, 0.3, 0.0), (-0.0, 3.0, 0.0), (0.0, -1.0, 0.0), (0.0, nan, nan),
        (nan, 2.0, nan), (nan, 0.0, nan), (2.0, nan, nan), (inf, 2.0, inf), (inf, -2.0, 0.0), (inf, 0.0, nan),
        (1.0, 1e5, 1.0), (7.0, 0.0, 1.0), (2.0, 5000.0, inf), (2.0, -5000.0, 0.0), (1e-30, -100.0, largest),
        (-2.0, 2.0, 4.0), (-2.0, 3.0, -8.0), (-4.0, -2.0, 0.0625), (-2.0, 0.5, nan), (-inf, 3.0, -inf),
        (-1.0, 1e15, 1.0),
    ]  # fmt: skip
    base, by, wanted = np.array(cases, real.name).T.copy()
    found = np.empty_like(base)
    module.each(base, by, found)
    np.testing.assert_allclose(found, wanted, rtol=NEAR[kind], atol=0.0)


def test_a_subnormal_base(power: tuple[str, Format, ModuleType]) -> None:
    kind, real, module = power
    least = float(np.finfo(real.name).smallest_subnormal)
    base = (least * np.array([1.0, 3.0, 1000.0])).astype(real.name)
    by, found = np.full_like(base, 0.5), np.empty_like(base)
    module.each(base, by, found)
    np.testing.assert_allclose(found, np.sqrt(base), rtol=NEAR[kind])


def test_packed_instructions_and_no_call(power: tuple[str, Format, ModuleType]) -> None:
    _, real, module = power
    one = np.ones(1, real.name)
    module.each(one, one, one.copy())
    (text,) = module.each.inspect_llvm().values()
    assert any(f"fmul <{n} x double>" in text for n in (2, 4, 8))
    assert not any(f"@{name}(" in text for name in ("pow", "powf", "exp", "log", "expf", "logf"))
