"""The verify stage: what is wrong is told and kept as evidence, and does not keep others from being verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from symloss import pipeline, verifying

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("hinge", "squared_error")


def silent(_name: str, _done: int, _all: int) -> None:
    """Show nothing."""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Modules of two losses, of which the first gives wrong numbers."""
    (tmp_path / "fast").mkdir()
    for name in NAMES:
        shutil.copy(ROOT / "generated" / f"{name}.py", tmp_path)
        shutil.copy(ROOT / "generated" / "fast" / f"{name}.py", tmp_path / "fast")
    module = tmp_path / "hinge.py"
    text = module.read_text(encoding="utf-8")
    wrong = text.replace("factor = loss * sample_weight", "factor = loss + sample_weight")
    assert wrong != text
    module.write_text(wrong, encoding="utf-8")
    return tmp_path


def ladder(name: str, *_: object, **__: object) -> dict[str, Any]:
    """Return what the rungs that compile kernels found when they were last run."""
    found: dict[str, Any] = json.loads((ROOT / "generated" / "evidence" / f"{name}.json").read_text(encoding="utf-8"))
    return found | {"mutants": []}


def test_a_rejected_module_is_a_failure_with_evidence(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_climb", ladder)
    wrong, right = verifying.verify(NAMES, None, output, full=False, check=False, progress=silent)
    assert (wrong.status, right.status) == ("failed", "passed")
    evidence, other = (json.loads((output / "evidence" / f"{n}.json").read_text(encoding="utf-8")) for n in NAMES)
    schema = json.loads((ROOT / "docs" / "schema" / "evidence.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(evidence)
    assert evidence["status"] == "failed"
    assert evidence["accuracy"] == ladder("hinge")["accuracy"]
    (check,) = (c for c in evidence["checks"] if c["status"] == "failed")
    assert check["check"] == "mutants (source)"
    assert check["detail"].startswith("mutants were not run: the module itself gives a wrong number in value")
    assert "\n" not in check["detail"]
    assert [row["level"] for row in evidence["mutants"]] == ["derivative"]
    assert [row["level"] for row in other["mutants"]] == ["source", "derivative"]


def test_what_is_not_generated_is_told(tmp_path: Path) -> None:
    with pytest.raises(pipeline.StaleOutput, match="no module of hinge; run symloss generate hinge"):
        verifying.verify(("hinge",), None, tmp_path, full=False, check=False, progress=silent)
