"""The loader: generated modules as real files, so that Numba can cache what it compiles."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

from symloss.runtime.cache import forget_older

OWN = Path(__file__).resolve().parent.parent.parent / "generated"

_LOCK = threading.RLock()
"""One module at a time: a second thread must not find the first one's half-run module."""


def folder_of(package: str | Path | None) -> Path:
    """Return the folder that holds the generated modules."""
    if package is not None:
        return Path(package).resolve()
    spec = importlib.util.find_spec("symloss.generated")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return OWN


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the losses a folder holds, sorted."""
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


FOLDERS = {"exact": "", "fast": "fast", "pairs": "pairs", "jax": "jax", "torch": "torch"}
"""For each arithmetic or library, where its modules are in the folder."""


def has_module(name: str, package: str | Path | None, accuracy: str) -> bool:
    """Tell whether a loss has a module in one of the arithmetics or libraries."""
    return (folder_of(package) / FOLDERS[accuracy] / f"{name}.py").is_file()


def load_module(name: str, package: str | Path | None, accuracy: str = "exact") -> ModuleType:
    """Import the generated module of a loss, in one of its arithmetics or for JAX or torch.

    Raises
    ------
    ValueError
        Where there is no such loss; the message lists those there are.
    """
    folder = folder_of(package) / FOLDERS[accuracy]
    path = folder / f"{name}.py"
    if not name.isidentifier() or name.startswith("_") or not path.is_file():
        known = ", ".join(names_in(folder)) or "none"
        place = "" if package is None else f" in {folder}"
        message = f"no loss {name!r}{place}; there are {known}"
        raise ValueError(message)
    parts = ("symloss.generated", *filter(None, (FOLDERS[accuracy],)), name)
    with _LOCK:
        module = importlib.import_module(".".join(parts)) if package is None else _import_file(path)
        _start_numba(module)
    return module


def _start_numba(module: ModuleType) -> None:
    """Let Numba do here what it does once a process, so that the first call of a kernel only loads that kernel.

    And have it find no code of an older module under the names that it looks for.
    """
    kernel = getattr(module, "value", None)
    if kernel is not None:
        forget_older(kernel)
    for name in ("typingctx", "targetctx"):
        context = getattr(kernel, name, None)
        if context is not None:
            context.refresh()


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name that is its own, so that folders may hold losses of the same name."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    qualified = f"symloss_generated_{digest}_{path.stem}"
    if qualified in sys.modules:
        return sys.modules[qualified]
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None:
        message = f"{path} cannot be imported"
        raise ValueError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[qualified]
        raise
    return module
