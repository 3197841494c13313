"""What generated modules of arrays carry along whatever their library is: how a call finds its case and its sizes.

Their source is copied in; here nothing runs.
"""

from __future__ import annotations

from typing import Any

# A name of the generated module.
SPEC: Any = None

CARRIED = {
    name: f"_{name}"
    for name in (
        "positive_part", "raised_decay", "exp_difference", "power", "ratio", "sigmoid_power", "magnified", "step",
        "decay_of_sum", "unless_zero",
    )
}  # fmt: skip
"""Atoms that no library has: each dialect has a function for them."""


def _check(reduction: Any, accuracy: Any) -> None:
    """Fail for a reduction or an accuracy that is not known."""
    known = {"reduction": (reduction, ("none", "sum", "mean")), "accuracy": (accuracy, ("exact", "fast"))}
    for what, (given, choices) in known.items():
        if given not in choices:
            message = f"{SPEC['name']}: {what} must be one of {', '.join(map(repr, choices))}, got {given!r}"
            raise ValueError(message)


def _variant(settings: Any, inputs: Any) -> Any:
    """Return the specification of the case that a call asks for."""
    parameters = {a["name"]: a for a in SPEC["parameters"]}

    def chosen(name: Any) -> Any:
        if name not in parameters:
            return name in inputs
        given, special = settings[name], parameters[name].get("special")
        if special is None:
            return given
        known = isinstance(given, (int, float)) and float(given) in special
        return given if known else "general"

    wanted = {name: chosen(name) for name in SPEC["choice"]}
    found = [case for case in (SPEC, *SPEC["variants"]) if case["choice"] == wanted]
    if not found:
        expected = ", ".join(str(case["choice"]) for case in (SPEC, *SPEC["variants"]))
        message = f"{SPEC['name']}: there is no such case: expected one of {expected}, got {wanted}"
        raise ValueError(message)
    return found[0]


def _sizes(spec: Any, inputs: Any) -> Any:
    """Return the extent of each axis."""
    sizes: dict[str, int] = {}
    for argument in spec["inputs"]:
        name, axes = argument["name"], argument["axes"]
        shape = inputs[name].shape
        wrong = len(shape) != len(axes) or any(sizes.get(a, n) != n for a, n in zip(axes, shape, strict=False))
        if wrong:
            expected = ", ".join(f"{a}={sizes[a]}" if a in sizes else a for a in axes)
            message = f"{spec['name']}: {name} must have shape ({expected}), got {shape}"
            raise ValueError(message)
        sizes.update(zip(axes, shape, strict=False))
    return sizes
