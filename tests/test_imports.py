"""Who may import whom, read off the syntax trees; and what `import symloss` brings along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "symloss"
# A module may import its own room and rooms of a lower rank; rooms of one rank are siblings.
RANKS = {
    "cli": 9, "ablation": 8, "verifying": 8, "pipeline": 7, "catalogue": 6, "rendering": 5, "verification": 5,
    "site": 5, "lowering": 4, "stability": 3, "calculus": 3, "program": 2, "language": 1,
    "bench": 0,  # the runtime and other libraries, timed
    "elementary": 0,  # functions as text: nothing of ours
    "peers": 0,  # other libraries: nothing of ours
    "adapters": 0,  # beside the runtime: nothing of the toolkit
}  # fmt: skip
RUNTIME = {"", "runtime"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room of a file below ``symloss/``; the package's own face is the empty string."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything a syntax tree imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.ImportFrom():
                yield node.lineno, "relative import"


def violations(path: Path, source: str) -> list[str]:
    """Return the edges of one file that point upward or sideways."""
    room, found = room_of(path), []
    for line, name in imported(ast.parse(source)):
        parts = name.split(".")
        if name == "relative import":
            found.append(f"{path}:{line}: {name}")
        if parts[0] != "symloss":
            continue
        other = parts[1] if len(parts) > 1 and (parts[1] in RANKS or parts[1] == "runtime") else ""
        if room in RUNTIME:
            allowed = other in RUNTIME and not (room == "runtime" and other == "")
        elif other in RUNTIME:
            allowed = room in ("pipeline", "verifying", "ablation", "cli", "adapters", "bench")
        else:
            allowed = other == room or RANKS[other] < RANKS[room]
        if not allowed:
            found.append(f"{path}:{line}: {room or 'symloss'} imports {other or 'symloss'}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    assert violations(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "room, source",
    [
        ("language/axes.py", "from symloss.program.statement import Program"),
        ("calculus/adjoint.py", "import symloss.stability.rules"),
        ("rendering/record.py", "from symloss.verification import oracle"),
        ("verification/ladder.py", "from symloss import pipeline"),
        ("runtime/loss.py", "from symloss.language import atoms"),
        ("runtime/loss.py", "import symloss"),
        ("program/terms.py", "from . import statement"),
        ("stability/rules.py", "from symloss import load"),
    ],
)
def test_a_wrong_edge_is_found(room: str, source: str) -> None:
    assert len(violations(PACKAGE / room, source)) == 1


def test_every_room_has_a_rank() -> None:
    assert {room_of(path) for path in MODULES} - RUNTIME <= set(RANKS)


@pytest.mark.parametrize("path", sorted((ROOT / "definitions").glob("*.py")), ids=lambda p: p.name)
def test_definitions_import_the_language_only(path: Path) -> None:
    names = [name for _, name in imported(ast.parse(path.read_text(encoding="utf-8")))]
    ours = [name for name in names if not name.startswith("__future__.")]
    sisters = [f"symloss.definitions.{p.stem}." for p in path.parent.glob("*.py")]
    assert [n for n in ours if not n.startswith(("symloss.language.", *sisters))] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [line for function in functions for line, _ in imported(function)] == []


def test_the_runtime_brings_no_toolkit() -> None:
    code = "import sys, symloss; symloss.losses(); symloss.load('focal'); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert "symloss" in tops
    assert not tops & {"sympy", "jinja2", "flint", "click", "rich", "jsonschema", "sphinx", "mpmath"}


INDEPENDENT = ("oracle", "tree", "series", "point", "quantities", "ulp", "sampling")
"""Modules of verification that say what is true."""


def reached(module: str) -> set[str]:
    """Return every module of ours that one imports, directly or not."""
    found: set[str] = set()
    stack = [module]
    while stack:
        path = PACKAGE.joinpath(*stack.pop().split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for _, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] != "symloss":
                continue
            known = [".".join(parts[:n]) for n in range(2, len(parts) + 1)]
            ours = [k for k in known if PACKAGE.joinpath(*k.split(".")[1:]).with_suffix(".py").is_file()]
            for other in ours:
                if other not in found:
                    found.add(other)
                    stack.append(other)
    return found


@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_oracle_shares_nothing_with_what_it_judges(name: str) -> None:
    """Neither directly nor through others."""
    rooms = {module.split(".")[1] for module in reached(f"symloss.verification.{name}")}
    assert not rooms & {"calculus", "stability", "lowering", "rendering", "elementary", "runtime", "program"}


def test_imports_of_imports_are_followed() -> None:
    assert {"symloss.stability.rules", "symloss.language.nodes"} <= reached("symloss.pipeline")
