"""The command: what it prints, where, and with which exit code."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symloss import cli, verifying

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def scaffolded(tmp_path: Path, run: Run) -> Path:
    assert run("new", "my_loss", "--definitions", tmp_path / "my")[0] == 0
    return tmp_path


def verdict(status: str) -> verifying.Verdict:
    rows = tuple(
        {"dtype": dtype, "quantity": quantity, "wrt": "x", "max_ulp": 0.5, "false_zeros": 0, "wrong": 0, "nans": 0}
        for dtype in ("float32", "float64") for quantity in ("value", "gradient", "hessian_diagonal", "hessian_product")
    )  # fmt: skip
    checks: tuple[dict[str, Any], ...] = ({"check": "taylor", "status": status, "detail": "slope 1.0 of 2"},)
    return verifying.Verdict("focal", status, rows, checks, (), Path("evidence/focal.json"))


def test_every_command_is_there(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("build", "generate", "verify", "docs", "show", "new"))


@pytest.mark.parametrize("command", ["build", "generate", "verify", "docs", "show", "new"])
def test_every_command_has_the_common_options(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert all(o in out for o in ("--definitions", "--output", "--check", "--json", "--quiet", "--traceback"))


@pytest.mark.parametrize("arguments", [("nonsense",), ("generate", "--wrong"), ("show",), ("new",)])
def test_wrong_usage_is_two(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_generate_then_check_then_stale(run: Run, scaffolded: Path) -> None:
    where = ("--definitions", scaffolded / "my", "--output", scaffolded / "out")
    code, out, err = run("generate", *where, "--check")
    assert code == 1
    assert "+def value(" in out
    assert "stale: my_loss" in err
    assert not (scaffolded / "out").exists()
    assert run("generate", *where)[0] == 0
    assert run("generate", *where, "--check", "--quiet") == (0, "", "")
    module = scaffolded / "out" / "my_loss.py"
    module.write_text(module.read_text(encoding="utf-8") + "# edited by hand\n", encoding="utf-8")
    code, out, _ = run("generate", *where, "--check")
    assert code == 1
    assert "-# edited by hand" in out


def test_json_is_all_there_is_on_stdout(run: Run, scaffolded: Path) -> None:
    where = ("--definitions", scaffolded / "my", "--output", scaffolded / "out")
    code, out, _ = run("generate", *where, "--json")
    (outcome,) = json.loads(out)
    assert (code, outcome["name"], len(outcome["files"])) == (0, "my_loss", 6)


def test_show_prints_the_mathematics(run: Run) -> None:
    code, out, _ = run("show", "squared_error")
    assert code == 0
    assert "Squared error" in out
    assert "gradient" in out
    assert "hessian" in out
    assert json.loads(run("show", "squared_error", "--json")[1])["id"] == "symloss:squared_error"


def test_a_broken_definition_is_one_line_with_file_line_and_cause(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from symloss.language import *\n\nsigma = undefined_name\n", encoding="utf-8")
    code, out, err = run("generate", "--definitions", tmp_path, "--output", tmp_path / "out")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "broken.py:3: NameError" in err
    assert "Traceback" in run("generate", "--definitions", tmp_path, "--traceback")[2]


RECURSIVE = "def endless():\n    return endless()\n\n\nendless()\n"
BROKEN = {
    "d = {}\nd['x']\n": "2: KeyError: 'x'",
    "\n\nx = 1 / 0\n": "3: ZeroDivisionError: division by zero",
    "open('/nonexistent')\n": "1: FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent'",
    "\nassert False\n": "2: AssertionError",
    "raise RuntimeError('two\\nlines')\n": "1: RuntimeError: two lines",
    "raise SystemExit(3)\n": "1: SystemExit: 3",
    RECURSIVE: "2: RecursionError: maximum recursion depth exceeded",
}


@pytest.mark.parametrize("text", BROKEN)
def test_whatever_a_definition_raises_is_one_line(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")
    code, out, err = run("generate", "--definitions", tmp_path, "--output", tmp_path / "out")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"broken.py:{BROKEN[text]}" in err
    assert "Traceback" in run("generate", "--definitions", tmp_path, "--traceback")[2]


def test_a_folder_that_cannot_be_is_one_line(run: Run, scaffolded: Path) -> None:
    (scaffolded / "afile").write_text("", encoding="utf-8")
    for path in (scaffolded / "afile", scaffolded / "afile" / "below"):
        for arguments in (
            ("generate", "my_loss", "--definitions", scaffolded / "my", "--output", path),
            ("new", "x", "--definitions", path),
        ):
            code, out, err = run(*arguments)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert str(path) in err
            assert "Traceback" in run(*arguments, "--traceback")[2]


def test_verify_before_generate_is_told_what_to_run(run: Run, scaffolded: Path) -> None:
    never = scaffolded / "never"
    code, out, err = run("verify", "my_loss", "--definitions", scaffolded / "my", "--output", never)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"{never}: no module of my_loss; run symloss generate my_loss" in err


def test_new_refuses_what_exists_and_what_is_no_name(run: Run, scaffolded: Path) -> None:
    for name in ("my_loss", "not-a-name", "class", "lambda", "None", "__init__", "_hidden"):
        code, out, err = run("new", name, "--definitions", scaffolded / "my")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert name in err
    assert [path.name for path in (scaffolded / "my").glob("*.py")] == ["my_loss.py"]


@pytest.mark.parametrize("status, code", [("passed", 0), ("short", 1), ("failed", 1)])
def test_verify_fails_where_a_check_fails(run: Run, monkeypatch: pytest.MonkeyPatch, status: str, code: int) -> None:
    monkeypatch.setattr(verifying, "verify", lambda *a, **k: (verdict(status),))
    found, out, err = run("verify")
    assert found == code
    assert "focal" in out
    assert ("slope 1.0 of 2" in err) == (status == "failed")


def test_a_failure_says_which_numbers_are_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = verdict("failed")
    wrong = dataclasses.replace(failed, rows=tuple(row | {"wrong": 2} for row in failed.rows[:2]))
    monkeypatch.setattr(verifying, "verify", lambda *a, **k: (wrong,))
    assert "focal: wrong numbers in value, gradient; slope 1.0 of 2" in run("verify")[2]


def test_docs_without_fresh_evidence_are_refused(run: Run, scaffolded: Path) -> None:
    where = ("--definitions", scaffolded / "my", "--output", scaffolded / "out")
    run("generate", *where)
    code, _, err = run("docs", *where)
    assert (code, err.count("\n")) == (1, 1)
    assert "my_loss: there is no evidence" in err


def test_a_pipe_sees_no_progress() -> None:
    command = [sys.executable, "-c", "from symloss.cli import main; main()", "generate", "squared_error", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
