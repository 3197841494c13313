"""symloss: loss functions written once as mathematics, with exact derivatives and evidence.

``symloss.losses()`` lists what there is; ``symloss.focal`` and ``symloss.load("focal")`` are the same object.
"""

from __future__ import annotations

from pathlib import Path

from symloss.runtime.loader import folder_of, names_in
from symloss.runtime.loss import Loss, load_loss
from symloss.runtime.threads import set_threads

__version__ = "0.1.0"
__all__ = ["Loss", "__version__", "load", "losses", "set_threads"]


def losses() -> tuple[str, ...]:
    """Return the names of the losses, sorted."""
    return names_in(folder_of(None))


def load(name: str, package: str | Path | None = None, accuracy: str = "exact") -> Loss:
    """Return a loss by name.

    Parameters
    ----------
    name : str
        Such as ``"focal"``.
    package : str or Path, optional
        A folder of modules generated from a user's own definitions.
    accuracy : str
        ``"exact"``: float32 is computed in float64 and rounded once. ``"fast"``: float32 is computed in
        float32, to the accuracy that the evidence states; float64 is as in ``"exact"``.

    Returns
    -------
    Loss
        The same object for the same name.

    Raises
    ------
    TypeError
        Where the name is not text.
    ValueError
        Where there is no such loss or accuracy; the message lists those there are.
    """
    if not isinstance(name, str):
        message = f"load: the name of a loss must be a string, got {name!r}"
        raise TypeError(message)
    if accuracy not in ("exact", "fast"):
        message = f"{name}: accuracy must be 'exact' or 'fast', got {accuracy!r}"
        raise ValueError(message)
    return load_loss(name, None if package is None else str(Path(package).resolve()), accuracy)


def __getattr__(name: str) -> Loss:
    if name.startswith("_") or name not in losses():
        message = f"module 'symloss' has no attribute {name!r}"
        raise AttributeError(message)
    loss = globals()[name] = load(name)  # the next look-up finds it without coming here
    return loss


def __dir__() -> list[str]:
    return sorted({*globals(), *losses()})
