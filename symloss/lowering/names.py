"""Names: each new one is free, and taken from then on."""

from __future__ import annotations


def fresh_name(base: str, taken: set[str]) -> str:
    """Return `base`, with a number where it is taken, and add it to the names in use."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
