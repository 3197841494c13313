"""Errors an author can act on: each names the file, the line and the cause."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

_LANGUAGE = str(Path(__file__).parent)


class DefinitionError(Exception):
    """A definition that does not make sense.

    Parameters
    ----------
    file : str
        The file that holds the definition.
    line : int
        The line that is at fault.
    cause : str
        What is wrong, what was expected and what came.
    """

    def __init__(self, file: str, line: int, cause: str) -> None:
        super().__init__(file, line, cause)  # all three, since it may come from another process
        self.file, self.line, self.cause = file, line, cause

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.cause}"


def display_path(path: str) -> str:
    """Return `path` relative to the working directory where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive on Windows
        return path
    return relative if len(relative) < len(path) else path


def author_line() -> tuple[str, int]:
    """Return the file and line of the innermost frame outside this package: the author's own line."""
    frame = sys._getframe(1)
    # "<string>" is the __init__ that dataclasses write
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_LANGUAGE, "<string>")):
        frame = frame.f_back
    return display_path(frame.f_code.co_filename), frame.f_lineno


def fail(cause: str) -> NoReturn:
    """Raise a `DefinitionError` at the author's line."""
    file, line = author_line()
    raise DefinitionError(file, line, cause)
