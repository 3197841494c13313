"""The ladder on losses written by hand in NumPy: a right one passes every rung, each kind of mistake is caught."""

# ruff: noqa: B008 - definitions stand in signatures

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest

from symloss.language import (
    Expr,
    Max,
    Reference,
    can_be_negative,
    convex,
    data,
    equals,
    exp,
    lipschitz,
    log,
    loss,
    nonnegative,
    not_convex,
    one_of,
    prediction,
    symmetric,
)
from symloss.language.definition import Definition
from symloss.verification.claims import check_claims
from symloss.verification.evidence import file_hash, stale, verify_loss, write
from symloss.verification.ladder import Accuracy, accuracy, kinks, taylor, variants
from symloss.verification.series import working
from symloss.verification.ulp import round_to, ulp_error

SOURCE = Reference("@misc{test, author = {Nobody}, title = {None}, year = {2000}}")
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
Scalar = Callable[[Any, Any], Any]


@loss(
    title="Logistic", family="test", references=(SOURCE,),
    claims=(nonnegative(), convex("x"), lipschitz("x", 1), not_convex("x"), equals("logistic")),
)  # fmt: skip
def logistic(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y", domain=one_of(-1, 1))) -> Expr:
    """The logistic loss as a textbook has it."""
    return log(1 + exp(-y * x))


@loss(
    title="Ramp", family="test", references=(SOURCE,),
    claims=(nonnegative(), lipschitz("x", 0.5), convex("x"), can_be_negative(), symmetric("x", "y")),
)  # fmt: skip
def ramp(x: Expr = prediction(symbol="x"), y: Expr = data(symbol="y")) -> Expr:
    """A kink where the two agree; half of its claims are false."""
    return Max(0, x - y) - 1


@dataclass(frozen=True)
class Fake:
    """A loss by NumPy formulas, computed in double precision and rounded once."""

    curve: Scalar
    slope: Scalar
    bend: Scalar
    broken: str = ""

    def _run(self, function: Scalar, x: Any, y: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64), y.astype(np.float64))).astype(x.dtype)

    def value(self, x: Any, y: Any, reduction: str = "mean") -> Any:
        found = self._run(self.curve, x, y)
        return found if reduction == "none" else found.sum(dtype=np.float64)

    def gradient(self, x: Any, y: Any, reduction: str = "mean", wrt: Any = None) -> Any:
        found = self._run(self.slope, x, y)
        return (found,) if isinstance(wrt, tuple) else found

    def hessian_diagonal(self, x: Any, y: Any, reduction: str = "mean") -> Any:
        return self._run(self.bend, x, y)

    def value_and_gradient(self, x: Any, y: Any, reduction: str = "mean") -> Any:
        found = self.gradient(x, y)
        return self.value(x, y, reduction), found * (
            1 + 2.0**-50 * (self.broken == "fused")
        ) if x.itemsize > 4 else found

    def gradient_and_hessian(self, x: Any, y: Any, reduction: str = "mean") -> Any:
        return self.gradient(x, y), self.hessian_diagonal(x, y)

    def hessian_product(self, x: Any, y: Any, direction: Any, reduction: str = "mean", wrt: Any = None) -> Any:
        v = direction[0] if isinstance(direction, tuple) else direction
        found = self._run(lambda a, b: self.bend(a, b) * v, x, y)
        return (found,) if isinstance(wrt, tuple) else found


def sigma(x: Any) -> Any:
    """The logistic function without overflow, accurate on both sides."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


GOOD = Fake(
    lambda x, y: np.maximum(-y * x, 0) + np.log1p(np.exp(-np.abs(x))),
    lambda x, y: -y * sigma(-y * x),
    lambda x, y: sigma(x) * sigma(-x),
)


def by_quantity(rows: tuple[Accuracy, ...]) -> dict[tuple[str, str], Accuracy]:
    """Return rows by dtype and quantity."""
    return {(r.dtype, r.quantity): r for r in rows}


def test_a_right_loss_passes_every_rung() -> None:
    for row in accuracy(logistic, GOOD, 1, 150):
        assert row.points == 150
        assert row.max_ulp < (4 if row.dtype == "float64" else 0.51), row
        assert row.false_zeros == row.nans == row.wrong_signs == row.undecided == row.wrong == 0
    assert taylor(logistic, GOOD, 1).status == "passed"
    assert variants(logistic, GOOD, 1, lambda _: None).status == "passed"
    assert kinks(logistic, GOOD, 1).status == "passed"


def test_the_same_seed_gives_the_same_rows() -> None:
    assert accuracy(logistic, GOOD, 4, 60) == accuracy(logistic, GOOD, 4, 60)


def test_a_flipped_sign_is_caught() -> None:
    rows = by_quantity(accuracy(logistic, replace(GOOD, slope=lambda x, y: y * sigma(-y * x)), 1, 60))
    for dtype in ("float32", "float64"):
        assert rows[dtype, "gradient"].wrong_signs > 10
        assert rows[dtype, "gradient"].wrong > 10
        assert rows[dtype, "gradient"].max_ulp == np.inf
        assert rows[dtype, "value"].max_ulp < 4
    assert taylor(logistic, replace(GOOD, slope=lambda x, y: y * sigma(-y * x)), 1).status == "failed"


def test_a_false_zero_is_caught_and_located() -> None:
    naive = replace(GOOD, curve=lambda x, y: np.maximum(-y * x, 0) + np.log(1 + np.exp(-np.abs(x))))
    row = by_quantity(accuracy(logistic, naive, 1, 150))["float64", "value"]
    assert row.false_zeros > 0
    assert row.max_ulp == np.inf
    # the digits of the worst input give back the point
    x, y = np.array([float(row.worst["x"])]), np.array([float(row.worst["y"])])
    assert naive.value(x, y, "none")[0] == 0.0 != GOOD.value(x, y, "none")[0]


def test_an_overflow_is_caught() -> None:
    textbook = replace(GOOD, curve=lambda x, y: np.log(1 + np.exp(-y * x)), bend=lambda x, y: np.full_like(x, np.nan))
    rows = by_quantity(accuracy(logistic, textbook, 1, 150))
    assert rows["float64", "value"].nans > 0
    assert rows["float64", "hessian_diagonal"].nans == rows["float64", "hessian_diagonal"].points


def test_a_wrong_hessian_is_caught_by_the_third_order() -> None:
    check = taylor(logistic, replace(GOOD, bend=lambda x, y: 1.001 * sigma(x) * sigma(-x)), 1)
    assert check.status == "failed"
    assert "2 and 3 expected" in check.detail


def test_variants_that_differ_are_caught() -> None:
    check = variants(logistic, replace(GOOD, broken="fused"), 1, None)
    assert check.status == "failed"
    assert "value_and_gradient" in check.detail


RAMP = Fake(lambda x, y: np.maximum(x - y, 0) - 1, lambda x, y: (x > y) * 1.0, lambda x, y: 0 * x)


def test_a_subgradient_outside_its_limits_is_caught() -> None:
    check = kinks(ramp, RAMP, 1)
    assert check.status == "passed"
    assert int(check.detail.split()[0]) > 5
    assert kinks(ramp, replace(RAMP, slope=lambda x, y: np.where(x == y, 0.5, x > y)), 1).status == "passed"
    check = kinks(ramp, replace(RAMP, slope=lambda x, y: np.where(x == y, -0.5, x > y)), 1)
    assert check.status == "failed"
    assert "-0.5 is not between 0.0 and 1.0" in check.detail


def statuses(definition: Definition) -> dict[str, str]:
    """Return the status of each claim by its kind."""
    lookup = {"logistic": logistic, "ramp": ramp}.__getitem__
    return {c["kind"]: c["status"] for c in check_claims(definition, lookup, 1, 80)}


def test_claims_get_the_status_they_deserve() -> None:
    assert statuses(logistic) == {
        "nonnegative": "proved", "convex": "proved", "lipschitz": "tested", "equals": "proved",
        "not_convex": "claimed",  # no witness: never counts as holding
    }  # fmt: skip
    assert statuses(ramp) == {
        "nonnegative": "refuted", "lipschitz": "refuted", "convex": "proved", "can_be_negative": "certified",
        "symmetric": "refuted",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_balls_are_rounded_as_the_format_rounds(dtype: np.dtype[Any]) -> None:
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    exact = 2.0 ** rng.uniform(-160, 127, 400) * rng.choice([-1, 1], 400)
    for number in exact:
        assert round_to(flint.arb(float(number)), dtype)[0] == float(np.float64(number).astype(dtype))
    with working(256, 0):
        one, last = flint.arb(1), flint.arb(2) ** -int(info.nmant)
        assert round_to(one + last / 2, dtype)[0] == 1.0  # ties go to even
        assert round_to(one + 3 * last / 2, dtype)[0] == float(1 + 2 * info.eps)
        assert round_to(flint.arb(2) - last / 8, dtype) == (2.0, 1 - int(info.nmant))
        smallest = flint.arb(float(info.smallest_subnormal))
        assert round_to(smallest * 0.75, dtype)[0] == float(info.smallest_subnormal)
        assert round_to(smallest * 0.5, dtype)[0] == 0.0
        assert round_to(flint.arb(float(info.max)), dtype)[0] == float(info.max)
        assert round_to(flint.arb(2) ** int(info.maxexp), dtype)[0] == np.inf
        assert round_to(-(flint.arb(2) ** int(info.maxexp + 5)), dtype)[0] == -np.inf


def test_errors_in_units_of_the_last_place() -> None:
    third = flint.arb(1) / 3
    assert ulp_error(1.0, flint.arb(1), DOUBLE).ulp == 0
    assert ulp_error(1.0 + 2**-52, flint.arb(1), DOUBLE).ulp == pytest.approx(1)
    assert ulp_error(1.0 - 2**-53, flint.arb(1), DOUBLE).ulp == pytest.approx(0.5)
    assert ulp_error(np.float32(1) / np.float32(3), third, SINGLE).ulp < 0.5
    assert ulp_error(1e-310 + 5e-324, flint.arb(1e-310), DOUBLE).ulp == pytest.approx(1)
    assert ulp_error(0.0, flint.arb("1e-200"), DOUBLE).kind == "false zero"
    assert ulp_error(0.0, flint.arb("1e-400"), DOUBLE).kind == ""
    assert ulp_error(np.nan, flint.arb(1), DOUBLE).kind == "nan"
    assert ulp_error(-1e-3, flint.arb("1e-3"), DOUBLE).kind == "sign"
    assert ulp_error(np.inf, flint.arb("1e39"), SINGLE).ulp == 0
    assert ulp_error(np.inf, flint.arb("1e38"), SINGLE).kind == "inf"
    assert ulp_error(1e38, flint.arb("1e39"), SINGLE).kind == "inf"
    assert ulp_error(np.inf, flint.arb(float(np.finfo(np.float64).max)), DOUBLE).ulp == pytest.approx(1)


def test_evidence_is_assembled_and_goes_stale(tmp_path: Path) -> None:
    module = tmp_path / "logistic.py"
    module.write_text("first")
    hashes = {"definition": "a" * 16, "rules": "b" * 16, "kernel": file_hash(module)}
    lookup = {"logistic": logistic}.__getitem__
    evidence = verify_loss(logistic, GOOD, lookup, hashes, count=60)
    assert evidence["status"] == "short"  # the claim without a witness
    assert {c["check"] for c in evidence["checks"]} == {"taylor", "variants", "kinks"}
    path = tmp_path / "evidence" / "logistic.json"
    assert stale(path, hashes)
    write(evidence, path)
    first = path.read_bytes()
    write(verify_loss(logistic, GOOD, lookup, hashes, count=60), path)
    assert path.read_bytes() == first
    assert stale(path, hashes) == ""
    module.write_text("second")
    assert "kernel" in stale(path, hashes | {"kernel": file_hash(module)})
    broken = verify_loss(logistic, replace(GOOD, slope=lambda x, y: y * sigma(-y * x)), lookup, hashes, count=60)
    assert broken["status"] == "failed"
    write(broken, path)
    assert "failed" in stale(path, hashes)
