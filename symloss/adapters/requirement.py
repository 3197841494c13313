"""Requirements: the library an adapter stands in front of, or an error that says how to get it."""

from __future__ import annotations

import importlib
from typing import Any


def require(library: str, extra: str) -> Any:
    """Import a library, or say which extra installs it.

    Parameters
    ----------
    library : str
        What to import, such as ``"dask.array"``.
    extra : str
        The extra of symloss that brings it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        Where it is not there; the message names the extra.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        message = f"symloss.adapters.{extra} needs {library}: pip install symloss[{extra}]"
        raise ImportError(message) from error
