"""A peer: another library's function for one loss, and how its value and derivatives are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Place = tuple[int, ...]
Found = dict[tuple[str, str], Any]
"""By quantity and input: an array for ``"value"`` and ``"gradient"``, by place for ``"hessian_diagonal"``."""


@dataclass(frozen=True)
class Peer:
    """A library's function that means the same as one of our losses.

    Parameters
    ----------
    loss, library, version, function : str
        Ours, theirs, and what is called there.
    settings : frozenset of str
        The parameters it takes; where another one is set, it is not measured.
    evaluate : callable
        From inputs, settings and, for each input, the places at which the Hessian's diagonal is wanted, to what it
        gives; quantities that the library has none of are left out.
    accepts : callable
        Whether it takes these settings and inputs.
    """

    loss: str
    library: str
    version: str
    function: str
    settings: frozenset[str]
    evaluate: Callable[[Mapping[str, NDArray[Any]], Mapping[str, Any], Mapping[str, Sequence[Place]]], Found]
    accepts: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], bool] = lambda settings, inputs: True
