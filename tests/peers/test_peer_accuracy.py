"""The measurement of other libraries: known strengths and known faults of theirs come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symloss import catalogue
from symloss.cli import main
from symloss.peers import Peer, available
from symloss.verification.peers import kept, measure

DEFINITIONS = catalogue.find()
SEED = 20170807
BAD = ("false_zeros", "nans", "wrong_signs")


def rows_of(loss: str, library: str, quantity: str) -> list[dict[str, Any]]:
    peers = [p for p in available(loss) if p.library == library]
    rows = measure(DEFINITIONS[loss], peers, SEED, "0" * 16)
    return [r for r in rows if r["quantity"] == quantity]


def test_torch_squares_well() -> None:
    for row in rows_of("squared_error", "torch", "value"):
        assert row["max_ulp"] < 3
        assert not any(row[key] for key in BAD)
        assert row["points"] == 300


def test_optax_loses_small_gradients_of_huber() -> None:
    """It clips and subtracts: (abs(r) - delta) + delta is 0 for a tiny r."""
    double, single = rows_of("huber", "optax", "gradient")
    assert (double["dtype"], single["dtype"]) == ("float64", "float32")
    assert double["false_zeros"] > 0
    assert double["max_ulp"] == "inf"


def test_the_formula_of_torchvision_has_no_number_for_small_gamma() -> None:
    rows = rows_of("focal", "torch", "gradient")
    assert all(row["nans"] > 0 for row in rows)


def test_a_wrong_peer_is_seen() -> None:
    def evaluate(inputs: Any, settings: Any, places: Any) -> Any:
        return {("value", ""): -((inputs["prediction"] - inputs["target"]) ** 2)}

    peer = Peer("squared_error", "ours", "1", "minus the square", frozenset(), evaluate)
    for row in measure(DEFINITIONS["squared_error"], [peer], SEED, "0" * 16):
        assert row["wrong_signs"] > 100


def test_rows_of_another_definition_or_seed_are_dropped() -> None:
    rows = [{"definition": "a", "seed": 1}, {"definition": "b", "seed": 1}, {"definition": "a", "seed": 2}]
    assert kept(rows, "a", 1) == rows[:1]


def test_what_is_measured_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("optax")
    with pytest.raises(SystemExit):
        main(["generate", "squared_error", "--output", str(tmp_path), "--quiet"])
    stored = tmp_path / "evidence" / "squared_error.json"
    for options in (["--peers"], []):
        with pytest.raises(SystemExit) as done:
            main(["verify", "squared_error", "--output", str(tmp_path), "--quiet", *options])
        assert done.value.code == 0
        libraries = {row["library"] for row in json.loads(stored.read_text(encoding="utf-8"))["peers"]}
        assert {"torch", "optax", "scikit-learn"} <= libraries


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "softmax_cross_entropy", "triplet", "huber"])
def test_peers_mean_the_same(loss: str) -> None:
    """At plain points every peer agrees with the others: what is measured is rounding, not another definition."""
    rng = np.random.default_rng(1)
    definition = DEFINITIONS[loss]
    inputs = {a.name: rng.uniform(0.5, 3, (5, 3) if len(a.axes) == 2 else 5) for a in definition.inputs}
    inputs |= {n: rng.integers(0, 2, 5) for n in ("label",) if n in inputs}
    inputs |= {n: rng.integers(0, 2, 5) * 1.0 for n in ("target",) if n in inputs and loss != "huber"}
    places: dict[str, list[Any]] = {a.name: [] for a in definition.inputs}
    values = [p.evaluate(inputs, {}, places)["value", ""] for p in available(loss)]
    assert len(values) >= 2
    for value in values[1:]:
        np.testing.assert_allclose(value, values[0], rtol=1e-12)
