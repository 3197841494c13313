"""JAX: every loss as a function of jax.numpy arrays, generated from the same definition as the compiled kernels.

``symloss.adapters.jax.focal(logit, target, gamma=2.0)`` takes and gives JAX arrays, on any device, and works under
`jit`, `grad`, `hessian`, `jvp` and `vmap`: JAX is told to use the derived gradient and Hessian-vector product. Its
module, ``generated/jax/focal.py``, needs JAX only and works when it is copied alone. Tested with JAX 0.10.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from symloss import losses
from symloss.adapters.requirement import require
from symloss.runtime.loader import load_module

require("jax", "jax")


def load(name: str, package: str | Path | None = None) -> Callable[..., Any]:
    """Return a loss as a function of JAX arrays.

    Parameters
    ----------
    name : str
        Such as ``"focal"``.
    package : str or Path, optional
        A folder generated from a user's own definitions.

    Returns
    -------
    callable
        Inputs come first, in the order of the loss; parameters, ``reduction``, ``sample_weight`` and ``accuracy`` are
        keywords. float32 in, float32 out; ``accuracy="exact"`` computes it in float64, whatever JAX's setting, and
        rounds once, as the kernels do; ``"fast"`` computes it in float32. Half precision gives float32.

    Raises
    ------
    ValueError
        Where there is no such loss; the message lists those there are.
    """
    function: Callable[..., Any] = getattr(load_module(name, package, "jax"), name)
    return function


def __getattr__(name: str) -> Callable[..., Any]:
    if name in losses():
        found = globals()[name] = load(name)  # the next look-up finds it without coming here
        return found
    message = f"module {__name__!r} has no attribute {name!r}; there are {', '.join(losses())}"
    raise AttributeError(message)
