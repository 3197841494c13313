"""What the pictures of a loss show, as plain numbers, taken from its kernels and its program.

A loss comes in; out comes a mapping that `symloss.site.plots` draws and that pages may carry along. Which picture
explains a loss follows from the shape of its inputs: numbers give lines, scores give bars, vectors that only have a
direction give a circle, other vectors a map of the plane; where the program compares all pairs, the matrix and its
gradient come beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.program.statement import Program
from symloss.site.matrices import similarities

SIZES = {"n": 1, "c": 4, "k": 3, "m": 6, "d": 2, "s": 3, "u": 4}
"""The extents of the axes in an example of one sample."""
SPAN = 4.0
"""How far a prediction without bounds is followed to either side."""
GENTLE = {"scale": 8.0, "temperature": 0.25}
"""What multiplies or divides similarities, and the values for pictures."""
POINTS, ANGLES, GRID = 321, 181, 41
CENTRES = np.array([[1.0, 0.25], [-0.6, 0.85], [-0.35, -0.95]])
Array = NDArray[np.float64]
Inputs = dict[str, Any]


def curves_of(loss: Any, program: Program) -> dict[str, Any]:
    """Return what the pictures of a loss show.

    Parameters
    ----------
    loss : Loss
        As `symloss.load` returns it.
    program : Program
        Of its values, before differentiation.

    Returns
    -------
    dict
        ``sweep``: ``x``, ``label`` and ``curves``, each with ``name``, ``value``, ``gradient`` and ``hessian``; and
        ``picture``, whose ``kind`` is ``"lines"``, ``"bars"``, ``"circle"`` or ``"plane"``.
    """
    spec = loss.plan.spec
    moving = [a for a in spec.inputs if a.differentiable and a.axes]
    if spec.elementwise:
        return {"sweep": _sweep_of(loss, spec), "picture": _targets(loss, spec)}
    if not all("d" in a.axes for a in moving):
        return {"sweep": _sweep_of(loss, spec), "picture": _bars(loss, spec)}
    inputs = _vectors(spec)
    settings = _gentle(spec)
    if not _direction_only(loss, spec, inputs):
        return {"sweep": _turned(loss, spec, inputs, _straight), "picture": _plane(loss, spec, inputs)}
    sizes = {"n": 6, "c": 3, "d": 2, "s": 3, "u": 4}
    scalars = {a.name: settings.get(a.name, a.default) for a in spec.parameters}
    matrix = similarities(program, {k: np.asarray(v) for k, v in inputs.items()}, scalars, sizes)
    circle = _circle(loss, spec, inputs, settings)
    return {"sweep": _turned(loss, spec, inputs, _around), "picture": circle | {"matrix": matrix}}


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


def _first(spec: Any) -> Any:
    return next(a for a in spec.inputs if a.differentiable)


def _along_axis(first: Any) -> Array:
    low, high = _bounds(first)
    if math.isfinite(low) and math.isfinite(high):
        return np.linspace(low, high, POINTS)[1:-1]
    return np.linspace(-SPAN, SPAN, POINTS)


def _lines(label: str, x: Array, curves: list[tuple[str, dict[str, Array]]]) -> dict[str, Any]:
    listed = [{"name": name} | {k: _rounded(row) for k, row in rows.items()} for name, rows in curves]
    return {"x": _rounded(x), "label": label, "curves": listed}


def _sweep_of(loss: Any, spec: Any) -> dict[str, Any]:
    """Return value and derivatives along one prediction, for some values of the first parameter."""
    first = _first(spec)
    x = _along_axis(first)
    return _lines(_spoken(first.name), x, [(n, _moved(loss, spec, first, x, s, {})) for n, s in _sweep(spec)])


def _targets(loss: Any, spec: Any) -> dict[str, Any]:
    """Return value and derivatives along one prediction, for some targets."""
    first, *others = spec.inputs
    x = _along_axis(first)
    given = [a for a in others if not a.differentiable]
    cases: list[tuple[str, Inputs]] = [(spec.title, {})]
    if given:
        name = given[0].name
        values = _members(given[0]) or ((0.0, 0.3, 1.0) if _bounds(given[0]) == (0.0, 1.0) else (0.0,))
        cases = [(f"{_spoken(name)} {v:g}", {name: v}) for v in sorted(values, reverse=True)]
    return {"kind": "lines"} | _lines(
        _spoken(first.name), x, [(name, _moved(loss, spec, first, x, {}, fixed)) for name, fixed in cases]
    )


def _sweep(spec: Any) -> list[tuple[str, dict[str, float]]]:
    """Return settings of the first parameter that can move, the default among them.

    A scale stretches a loss and leaves its form: where another parameter changes the form, that one is shown.
    """
    for a in sorted(spec.parameters, key=lambda a: a.name in GENTLE):
        if a.differentiable and not a.axes and a.default is not None:
            low, high = _bounds(a)
            wanted = (a.default, 2 * a.default, a.default / 2) if a.default else (0.0, 0.1, 0.5)
            known = dict.fromkeys(float(v) for v in wanted if low <= v <= high and not (v == low and a.default != low))
            return [(f"{_spoken(a.name)} {v:g}", {a.name: v}) for v in known]
    return [(spec.title, {})]


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _example(argument: Any, spec: Any) -> Any:
    """Return an input for a picture: the usual target, and a prediction that is still to be set."""
    shape = () if spec.elementwise else tuple(SIZES[axis] for axis in argument.axes)
    if argument.kind == "label":
        return np.zeros(shape, np.int64) if len(shape) < 2 else np.arange(shape[-1]) % SIZES["c"] + np.zeros(shape, int)
    low, high = _bounds(argument)
    if not argument.differentiable and (_members(argument) or (low, high) == (0.0, 1.0)):
        values = np.ones(shape)
        if shape:
            values[..., shape[-1] // 2 :] = 0.0
        return values
    return np.full(shape, 0.5 if math.isfinite(low) and math.isfinite(high) else 0.0)


def _moved(loss: Any, spec: Any, first: Any, x: Array, settings: Inputs, fixed: Inputs) -> dict[str, Array]:
    """Return value, gradient and Hessian along the first entry of an input."""
    inputs = {a.name: _example(a, spec) for a in spec.inputs} | fixed
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


def _bars(loss: Any, spec: Any) -> dict[str, Any]:
    """Return one sample: what goes in, and the derivatives in each entry."""
    rng = np.random.default_rng(3)
    inputs: Inputs = {}
    for a in spec.inputs:
        usual = _example(a, spec)
        low, high = _bounds(a)
        if a.differentiable:
            inside = math.isfinite(low) and math.isfinite(high)
            usual = np.round(rng.uniform(0.1, 0.9, usual.shape) if inside else rng.normal(0.0, 1.5, usual.shape), 1)
        inputs[a.name] = usual
    groups = []
    for a in (a for a in spec.inputs if a.differentiable):
        options = {"wrt": a.name, "reduction": "sum"}
        parts = {
            "input": inputs[a.name], "gradient": loss.gradient(*inputs.values(), **options),
            "hessian": loss.hessian_diagonal(*inputs.values(), **options),
        }  # fmt: skip
        rows = {
            k: np.asarray(v, np.float64).reshape(-1, np.shape(v)[-1] if np.ndim(v) > 1 else 1) for k, v in parts.items()
        }
        groups.append({"name": _spoken(a.name)} | {k: [_rounded(r) for r in v] for k, v in rows.items()})
    others = {a.name: np.asarray(inputs[a.name]).tolist() for a in spec.inputs if not a.differentiable}
    told = ", ".join(f"{_spoken(n)} {v[0] if np.ndim(v) == 1 and len(v) == 1 else v}" for n, v in others.items())
    return {"kind": "bars", "groups": groups, "given": told.replace(".0", ""),
            "total": float(f"{loss.value(*inputs.values(), reduction='sum'):.4g}")}  # fmt: skip


def _vectors(spec: Any) -> Inputs:
    """Return vectors in the plane, in three groups."""
    rng = np.random.default_rng(4)
    sizes = SIZES | {"n": 6, "c": 3}
    inputs: Inputs = {}
    for a in spec.inputs:
        shape = tuple(sizes[axis] for axis in a.axes)
        if a.kind == "label":
            inputs[a.name] = np.arange(shape[0]) % sizes["c"]
        elif not a.axes:
            inputs[a.name] = {"w": 10.0, "b": -5.0}.get(a.name, 1.0)
        elif "d" not in a.axes:
            inputs[a.name] = np.resize([0.0, 1.0], shape)
        elif a.axes[0] == "c":
            inputs[a.name] = CENTRES
        else:
            base = CENTRES[:, None] if len(shape) == 3 else CENTRES[np.arange(shape[0]) % 3]
            inputs[a.name] = base + rng.normal(0.0, 0.3, shape)
    return {n: v for n, v in inputs.items() if not _optional(spec, n)}


def _optional(spec: Any, name: str) -> bool:
    return bool(next(a for a in spec.inputs if a.name == name).optional)


def _gentle(spec: Any) -> Inputs:
    """Return settings under which a picture has slopes one can see: scales and temperatures near those of a cosine."""
    return {a.name: GENTLE[a.name] for a in spec.parameters if a.name in GENTLE}


def _direction_only(loss: Any, spec: Any, inputs: Inputs) -> bool:
    """Tell whether doubling the vectors of the first input leaves the loss as it is."""
    doubled = inputs | {_first(spec).name: 2 * inputs[_first(spec).name]}
    return math.isclose(loss.value(*inputs.values()), loss.value(*doubled.values()), rel_tol=1e-12)


def _groups(loss: Any, spec: Any, inputs: Inputs, settings: Inputs) -> list[dict[str, Any]]:
    """Return vectors and the way in which descent moves each, by the kind of vector."""
    names = [a.name for a in spec.inputs if a.differentiable and a.axes and a.name in inputs]
    slopes = loss.gradient(*inputs.values(), wrt=tuple(names), reduction="sum", **settings)
    groups = []
    for name, slope in zip(names, slopes, strict=True):
        places, moves = np.asarray(inputs[name]), -np.asarray(slope)
        if places.ndim == 3:
            groups += [_group(f"group {k + 1}", places[k], moves[k]) for k in range(len(places))]
        else:
            groups.append(_group(_spoken(name), places, moves))
    return groups


def _group(name: str, places: Array, moves: Array) -> dict[str, Any]:
    return {"name": name, "at": [_rounded(p) for p in places], "by": [_rounded(m) for m in moves]}


def _at(loss: Any, spec: Any, inputs: Inputs, settings: Inputs, place: Array) -> tuple[float, Array, Array]:
    """Return the whole loss, and its derivatives in the first vector, with that vector at a place."""
    first = _first(spec).name
    moved = np.array(inputs[first])
    moved.reshape(-1, 2)[0] = place
    every = [moved if n == first else v for n, v in inputs.items()]
    options = {"reduction": "sum", **settings}
    value = float(loss.value(*every, **options))
    slope, bend = loss.gradient(*every, wrt=first, **options), loss.hessian_diagonal(*every, wrt=first, **options)
    return value, slope.reshape(-1, 2)[0], bend.reshape(-1, 2)[0]


def _around(angle: float) -> tuple[Array, Array]:
    """Return a place on the unit circle, and the direction in which it moves with its angle."""
    return np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])


def _straight(x: float) -> tuple[Array, Array]:
    """Return a place on the first axis, and its direction."""
    return np.array([x, 0.0]), np.array([1.0, 0.0])


def _turned(loss: Any, spec: Any, inputs: Inputs, path: Callable[[float], tuple[Array, Array]]) -> dict[str, Any]:
    """Return value and slope along a path of the first vector, and the Hessian's entry for its first coordinate."""
    round_trip = path is _around
    x = np.linspace(-math.pi, math.pi, ANGLES) if round_trip else np.linspace(-3.0, 3.0, ANGLES)
    found = []
    for name, settings in _sweep(spec):
        rows: dict[str, list[float]] = {"value": [], "gradient": [], "hessian": []}
        for number in x:
            place, direction = path(number)
            value, slope, bend = _at(loss, spec, inputs, _gentle(spec) | settings, place)
            rows["value"].append(value)
            rows["gradient"].append(float(slope @ direction))
            rows["hessian"].append(float(bend[0]))
        found.append((name, {k: np.asarray(row) for k, row in rows.items()}))
    noun = _spoken(_first(spec).name)
    return _lines(f"angle of the first {noun}" if round_trip else f"first coordinate of the first {noun}", x, found)


def _circle(loss: Any, spec: Any, inputs: Inputs, settings: Inputs) -> dict[str, Any]:
    """Return the vectors, all of length 1, and the loss as the first of them turns, with and without a margin."""
    unit = {n: v / np.hypot(v[..., 0], v[..., 1])[..., None] if np.ndim(v) > 1 else v for n, v in inputs.items()}
    angles = np.linspace(-math.pi, math.pi, ANGLES)
    margins = [a for a in spec.parameters if a.name == "margin"]
    cases = [(f"margin {v:g}", {"margin": v}) for v in (margins[0].default, 0.0)] if margins else [("", {})]
    rings = [
        {"name": name, "value": [_at(loss, spec, unit, settings | own, _around(t)[0])[0] for t in angles]}
        for name, own in cases
    ]
    for ring in rings:
        ring["value"] = _rounded(np.asarray(ring["value"]))
    told = ", ".join(f"{_spoken(n)} {v:g}" for n, v in settings.items())
    return {"kind": "circle", "groups": _groups(loss, spec, unit, settings), "angles": _rounded(angles),
            "rings": rings, "settings": told, "first": _spoken(_first(spec).name)}  # fmt: skip


def _plane(loss: Any, spec: Any, inputs: Inputs) -> dict[str, Any]:
    """Return a map of the loss as the first vector of the first sample moves through the plane."""
    one = {n: v[:1] if np.ndim(v) else v for n, v in inputs.items()}
    x = np.linspace(-2.5, 2.5, GRID)
    heights = [[_at(loss, spec, one, {}, np.array([a, b]))[0] for a in x] for b in x]
    return {"kind": "plane", "groups": _groups(loss, spec, inputs, {}), "x": _rounded(x),
            "first": _spoken(_first(spec).name), "heights": [_rounded(np.asarray(row)) for row in heights],
            "marks": [{"name": _spoken(n), "at": _rounded(v[0])} for n, v in one.items()
                      if np.ndim(v) > 1 and n != _first(spec).name]}  # fmt: skip


def _rounded(numbers: Array) -> list[float]:
    """Return numbers with the digits that a picture can show."""
    return [float(f"{v:.5g}") for v in np.asarray(numbers, np.float64)]
