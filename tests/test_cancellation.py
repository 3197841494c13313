"""Sums over rows that cancel, what rules are for, and points next to zero crossings."""

from __future__ import annotations

import flint
import mpmath
import numpy as np
import pytest

import symloss
from symloss import catalogue
from symloss.ablation import UnknownRule, effect
from symloss.cli import main
from symloss.rendering.primitives import _completed, _plus
from symloss.verification.crossings import crossings
from symloss.verification.oracle import oracle_of
from symloss.verification.quantities import Request, split
from symloss.verification.sampling import batches
from tests.fixtures import textbook

FOUND = catalogue.find()


def test_a_compensated_sum_keeps_what_rounding_takes() -> None:
    rng = np.random.default_rng(1)
    terms = (rng.normal(0, 1, 4000) * 2.0 ** rng.integers(-40, 40, 4000)).tolist()
    total = lost = 0.0
    for x in terms:
        total, lost = _plus(total, lost, x)
    exact = float(mpmath.fsum(map(mpmath.mpf, terms)))
    assert _completed(total, lost) == pytest.approx(exact, rel=1e-15)
    assert sum(terms) != pytest.approx(exact, rel=1e-15)


@pytest.mark.parametrize("end", [np.inf, -np.inf, np.nan])
def test_a_compensated_sum_may_be_infinite(end: float) -> None:
    total = lost = 0.0
    for x in (1.0, end, 2.0):
        total, lost = _plus(total, lost, x)
    np.testing.assert_equal(_completed(total, lost), end)


@pytest.mark.parametrize("squared", [False, True])
def test_dice_of_nearly_equal_masks_keeps_its_digits(squared: bool) -> None:
    """The formula takes a quotient of nearly 1 from 1."""
    rng = np.random.default_rng(2)
    target = rng.integers(0, 2, (3, 50)).astype(float)
    probability = np.abs(target - 2.0 ** rng.uniform(-45, -30, target.shape))
    found = symloss.dice.value(probability, target, squared=squared, reduction="none")
    with mpmath.workdps(60):
        for p, t, value in zip(probability.tolist(), target.tolist(), found.tolist(), strict=True):
            pairs = [(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(p, t, strict=True)]
            sizes = mpmath.fsum(a**2 + b**2 if squared else a + b for a, b in pairs)
            exact = 1 - (2 * mpmath.fsum(a * b for a, b in pairs) + 1) / (sizes + 1)
            assert value == pytest.approx(float(exact), rel=4e-16)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_of_empty_masks(smooth: float) -> None:
    """A quotient by 0 is 0, so that without smoothing nothing in common is a loss of 1."""
    nothing = np.zeros((2, 4))
    np.testing.assert_array_equal(symloss.dice.value(nothing, nothing, smooth=smooth, reduction="none"), 1 - smooth)


def test_a_saturated_softmax_still_pulls() -> None:
    """Where one class has all of the probability, the gradient is small but no zero."""
    logits = np.zeros((1, 3, 2))
    logits[0, 0] = 90.0
    logits[0, 1] = [20.0, -30.0]
    label = np.array([[1, 0]])
    gradient = symloss.softmax_dice.gradient(logits, label, reduction="sum")
    inputs = {"logits": logits, "label": label}
    request = Request(oracle_of(FOUND["softmax_dice"]), *split(FOUND["softmax_dice"], inputs, {}))
    for at in np.ndindex(*logits.shape):
        assert gradient[at] == pytest.approx(float(request.entry("logits", at, 1)[1]), rel=1e-13)
    assert (gradient != 0).all()


@pytest.mark.parametrize("name", ["binary_cross_entropy", "focal"])
def test_points_beside_zero_crossings_lie_on_both_sides(name: str) -> None:
    definition = FOUND[name]
    batch = next(iter(batches(definition, 3, 60, np.dtype(np.float64))))
    close = crossings(definition, batch, 30)
    assert close is not None
    target = definition.differentiable[0].name
    request = Request(oracle_of(definition), *split(definition, close.inputs, close.settings))
    order = {"binary_cross_entropy": 1, "focal": 2}[name]
    x = close.inputs[target]
    signs = [request.entry(target, (k,), order)[order] > flint.arb(0) for k in range(len(x))]
    beside = [k for k in range(len(x) - 1) if x[k + 1] == np.nextafter(x[k], np.inf)]
    assert len(beside) > 5
    assert all(signs[k] != signs[k + 1] for k in beside)


def test_what_a_rule_is_for() -> None:
    """Without it, numbers become wrong, and the effect says which and where."""
    found = effect(textbook.textbook_brier, "logistic", 60)
    assert any("gradient in z: nans 0 ->" in line and "'z'" in line for line in found.what), found.what
    assert effect(FOUND["squared_error"], "complement", 60).what == ()
    with pytest.raises(UnknownRule, match=r"no rule 'complements'; there are .*complement"):
        effect(FOUND["squared_error"], "complements", 60)


def test_the_command_tells_what_a_rule_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["verify", "hinge", "--without", "kink_atoms"])
    assert stop.value.code == 1
    assert "hinge without kink_atoms: no kernel" in capsys.readouterr().err


def test_the_exponential_of_a_sum_keeps_what_rounding_takes_from_it() -> None:
    """The sum of two scores is off by up to half a unit of its last place, which the exponential makes 200."""
    rng = np.random.default_rng(4)
    inputs = {
        "data_score": rng.uniform(300, 600, 8), "noise_score": rng.uniform(-600, -300, (8, 3)),
        "data_log_noise": rng.uniform(-3, 0, 8), "noise_log_noise": rng.uniform(-3, 0, (8, 3)),
    }  # fmt: skip
    gradient = symloss.nce.gradient(*inputs.values(), reduction="sum")
    request = Request(oracle_of(FOUND["nce"]), *split(FOUND["nce"], inputs, {}))
    for name in ("data_score", "noise_score"):
        found = getattr(gradient, name)
        for at in np.ndindex(*found.shape):
            assert found[at] == pytest.approx(float(request.entry(name, at, 1)[1]), rel=1e-15)
