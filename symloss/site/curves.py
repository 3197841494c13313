"""Curves: what the pictures of a loss show, as plain numbers, taken from its kernels.

A loss comes in; out comes a mapping that `symloss.site.plots` draws and that pages may carry along. Losses of numbers
and of scores give value, gradient and Hessian along one prediction; losses of vectors give vectors in the plane, with
the way in which descent moves each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = {"n": 1, "c": 3, "k": 3, "m": 4, "d": 2, "s": 3, "u": 4}
"""The extents of the axes in an example."""
SPAN = 4.0
"""How far a prediction without bounds is followed to either side."""
POINTS = 321
Array = NDArray[np.float64]


def curves_of(loss: Any) -> dict[str, Any]:
    """Return what the picture of a loss shows.

    Parameters
    ----------
    loss : Loss
        As `symloss.load` returns it.

    Returns
    -------
    dict
        ``kind`` is ``"lines"`` (with ``x``, ``label`` and ``curves``, each with its ``name``, ``value``, ``gradient`` and
        ``hessian``) or ``"arrows"`` (with ``groups``, each with its ``name``, points ``at`` and moves ``by``).
    """
    spec = loss.plan.spec
    moving = [a for a in spec.inputs if a.differentiable and a.axes]
    if not spec.elementwise and all("d" in a.axes for a in moving):
        return _arrows(loss, spec)
    return _lines(loss, spec)


def role_of(loss: Any) -> str:
    """Return what a loss of numbers measures: ``"margin"``, ``"residual"``, or nothing that others do too."""
    spec = loss.plan.spec
    if not spec.elementwise or len(spec.inputs) != 2:
        return ""
    return "margin" if _members(spec.inputs[1]) or _bounds(spec.inputs[1]) == (0.0, 1.0) else "residual"


def _members(argument: Any) -> tuple[float, ...]:
    return tuple((argument.domain or {}).get("values", ()))


def _bounds(argument: Any) -> tuple[float, float]:
    domain = argument.domain or {}
    return domain.get("low", -math.inf), domain.get("high", math.inf)


def _lines(loss: Any, spec: Any) -> dict[str, Any]:
    first = next(a for a in spec.inputs if a.differentiable)
    low, high = _bounds(first)
    bounded = math.isfinite(low) and math.isfinite(high)
    x = np.linspace(low, high, POINTS)[1:-1] if bounded else np.linspace(-SPAN, SPAN, POINTS)
    found = {"kind": "lines", "x": _rounded(x), "label": first.name.replace("_", " "), "curves": []}
    for name, settings in _sweep(spec):
        rows = _along(loss, spec, first, x, settings)
        found["curves"].append({"name": name} | {k: _rounded(row) for k, row in rows.items()})
    return found


def _sweep(spec: Any) -> list[tuple[str, dict[str, float]]]:
    """Return settings of the first parameter that can move, the default among them."""
    for a in spec.parameters:
        if a.differentiable and not a.axes and a.default is not None:
            low, high = _bounds(a)
            wanted = (a.default, 2 * a.default, a.default / 2) if a.default else (0.0, 0.1, 0.5)
            known = dict.fromkeys(float(v) for v in wanted if low <= v <= high and not (v == low and a.default != low))
            return [(f"{a.name.replace('_', ' ')} = {v:g}", {a.name: v}) for v in known]
    return [(spec.title, {})]


def _example(argument: Any, spec: Any) -> Any:
    """Return an input for a picture: the usual target, and a prediction that is still to be set."""
    shape = () if spec.elementwise else tuple(SIZES[axis] for axis in argument.axes)
    if argument.kind == "label":
        return np.zeros(shape, np.int64)
    low, high = _bounds(argument)
    if not argument.differentiable and (_members(argument) or (low, high) == (0.0, 1.0)):
        values = np.ones(shape)
        if shape:
            values[..., shape[-1] // 2 :] = 0.0
        return values
    return np.full(shape, 0.5 if math.isfinite(low) and math.isfinite(high) else 0.0)


def _along(loss: Any, spec: Any, first: Any, x: Array, settings: dict[str, float]) -> dict[str, Array]:
    """Return value, gradient and Hessian along the first entry of an input."""
    inputs = {a.name: _example(a, spec) for a in spec.inputs}
    if spec.elementwise:
        every = [np.broadcast_to(v, x.shape) if n != first.name else x for n, v in inputs.items()]
        options = {"reduction": "none", "wrt": first.name, **settings}
        value = loss.value(*every, reduction="none", **settings)
        return {"value": value, "gradient": loss.gradient(*every, **options),
                "hessian": loss.hessian_diagonal(*every, **options)}  # fmt: skip
    rows: dict[str, list[float]] = {"value": [], "gradient": [], "hessian": []}
    for number in x:
        moved = np.array(inputs[first.name])
        moved.flat[0] = number
        every = [moved if n == first.name else v for n, v in inputs.items()]
        options = {"reduction": "sum", **settings}
        rows["value"].append(float(loss.value(*every, **options)))
        rows["gradient"].append(float(loss.gradient(*every, wrt=first.name, **options).flat[0]))
        rows["hessian"].append(float(loss.hessian_diagonal(*every, wrt=first.name, **options).flat[0]))
    return {k: np.asarray(row) for k, row in rows.items()}


def _arrows(loss: Any, spec: Any) -> dict[str, Any]:
    """Return vectors in the plane and the way in which descent moves them, group by group."""
    rng = np.random.default_rng(4)
    sizes = SIZES | {"n": 6}
    centres = np.array([[1.0, 0.25], [-0.6, 0.85], [-0.35, -0.95]])
    inputs: dict[str, Any] = {}
    for a in spec.inputs:
        shape = tuple(sizes[axis] for axis in a.axes)
        if a.kind == "label":
            inputs[a.name] = np.arange(shape[0]) % sizes["c"]
        elif not a.axes:
            inputs[a.name] = {"w": 10.0, "b": -5.0}.get(a.name, 1.0)
        elif "d" not in a.axes:
            inputs[a.name] = np.resize([0.0, 1.0], shape)
        elif a.axes[0] == "c":
            inputs[a.name] = centres
        else:
            base = centres[:, None] if len(shape) == 3 else centres[np.arange(shape[0]) % 3]
            inputs[a.name] = base + rng.normal(0.0, 0.35, shape)
    names = [a.name for a in spec.inputs if a.differentiable and a.axes]
    slopes = loss.gradient(*inputs.values(), wrt=tuple(names), reduction="sum")
    groups = []
    for name, slope in zip(names, slopes, strict=True):
        places, moves = inputs[name], -np.asarray(slope)
        if places.ndim == 3:
            groups += [_group(f"speaker {k + 1}", places[k], moves[k]) for k in range(len(places))]
        else:
            groups.append(_group(name, places, moves))
    return {"kind": "arrows", "groups": groups}


def _group(name: str, places: Array, moves: Array) -> dict[str, Any]:
    return {"name": name, "at": [_rounded(p) for p in places], "by": [_rounded(m) for m in moves]}


def _rounded(numbers: Array) -> list[float]:
    """Return numbers with the digits that a picture can show."""
    return [float(f"{v:.6g}") for v in np.asarray(numbers, np.float64)]
