"""Other libraries, called as their users call them: what `symloss verify --peers` measures beside our kernels.

Each module imports its library at the top; `available` imports the modules whose libraries are installed.
"""

from __future__ import annotations

import importlib
import importlib.util

from symloss.peers.peer import Peer

MODULES = {"torch": "torch", "optax": "optax", "sklearn": "sklearn", "scipy": "scipy"}
"""Our module for each library."""

__all__ = ["MODULES", "Peer", "available"]


def available(loss: str) -> tuple[Peer, ...]:
    """Return the peers of a loss whose libraries are installed."""
    found: list[Peer] = []
    for module, library in MODULES.items():
        if importlib.util.find_spec(library) is not None:
            found += importlib.import_module(f"symloss.peers.{module}").PEERS
    return tuple(peer for peer in found if peer.loss == loss)
