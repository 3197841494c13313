"""The catalogue: where definitions are found and in which order.

A folder of definitions comes in; out go the definitions in it, by name. This repository's own folder is treated as a
user's would be.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from symloss.language.definition import Definition
from symloss.language.errors import DefinitionError, display_path

OWN = Path(__file__).resolve().parent.parent / "definitions"


def find(folder: Path | None = None) -> dict[str, Definition]:
    """Return the definitions of a folder by name, in order.

    Parameters
    ----------
    folder : Path, optional
        A folder of Python files; this project's own where it is left out.

    Raises
    ------
    DefinitionError
        Where a file does not make sense, or a name is defined twice.
    """
    where = (folder or OWN).resolve()
    if not where.is_dir():
        raise DefinitionError(display_path(str(where)), 1, "expected a folder of definitions, found none")
    found: dict[str, Definition] = {}
    for path in sorted(where.glob("*.py")):
        if path.name == "__init__.py":
            continue
        for name, definition in vars(_load(path)).items():
            if not isinstance(definition, Definition):
                continue
            known = found.get(definition.name)
            if known is not None and known.file != definition.file:
                raise DefinitionError(definition.file, definition.line, f"{name} is already defined in {known.file}")
            if definition.file == display_path(str(path)):
                found[definition.name] = definition
    if not found:
        raise DefinitionError(display_path(str(where)), 1, "the folder holds no definition")
    return dict(sorted(found.items()))


def _load(path: Path) -> object:
    """Import a file of definitions.

    Raises
    ------
    DefinitionError
        Where it raises anything at all.
    """
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"_symloss_definition_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DefinitionError(display_path(str(path)), 1, "the file cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise DefinitionError(display_path(str(path)), error.lineno or 1, f"syntax error: {error.msg}") from error
    except DefinitionError:
        raise
    except (Exception, SystemExit) as error:  # a file may do anything, and what goes wrong in it is of that file
        cause = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise DefinitionError(display_path(str(path)), _line_in(path, error), cause) from error
    return module


def _line_in(path: Path, error: BaseException) -> int:
    """Return the innermost line of a file that an error passed through; 1 where it did not get that far."""
    trace, line = error.__traceback__, 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
