"""The oracle shares no code with the compiler: what it imports, followed to the end, is read off the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_imports import PACKAGE, imported

ORACLE = ("oracle", "tree", "series", "point", "quantities", "ulp", "sampling")
COMPILER = ("calculus", "stability", "lowering", "rendering", "program", "elementary")


def file_of(name: str) -> Path | None:
    """Return the file of a module, or of the module that a name is in; of other packages there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = PACKAGE.parent.joinpath(*parts[:length])
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file() and parts[0] == "symloss":
                return found
    return None


def reached(start: Path) -> set[Path]:
    """Return every file that a module imports, by way of others too."""
    found, waiting = {start}, [start]
    while waiting:
        tree = ast.parse(waiting.pop().read_text(encoding="utf-8"))
        new = {path for _, name in imported(tree) if (path := file_of(name)) is not None} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("module", ORACLE)
def test_the_oracle_imports_nothing_of_the_compiler(module: str) -> None:
    rooms = {path.relative_to(PACKAGE).parts[0] for path in reached(PACKAGE / "verification" / f"{module}.py")}
    assert rooms <= {"verification", "language"}


@pytest.mark.parametrize("room", COMPILER[:4])
def test_the_compiler_imports_nothing_of_the_oracle(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        assert not {p for p in reached(path) if "verification" in p.parts}


def test_what_is_imported_by_way_of_others_is_found() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0] for path in reached(PACKAGE / "pipeline.py")}
    assert set(COMPILER) <= rooms
