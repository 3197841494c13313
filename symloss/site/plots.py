"""The pictures: curves come in as JSON, vector graphics go out, in the colours of a light and of a dark page.

It runs in a process of its own, ``python -m symloss.site.plots CURVES FOLDER``: Matplotlib keeps global state.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

THEMES = {
    "light": {
        "ink": "#1f2430",
        "faint": "#d5d9e2",
        "back": "#ffffff",
        "lines": ("#2457c5", "#b3401f", "#19794a", "#7a3fa8"),
    },
    "dark": {
        "ink": "#d7dae2",
        "faint": "#3d4350",
        "back": "#131416",
        "lines": ("#82aaff", "#ff9e64", "#7fd8a4", "#cba6f7"),
    },
}
"""Colours that can be told apart by everyone and read on their background."""
PANELS = (("value", "value"), ("gradient", "gradient"), ("hessian", "Hessian"))
STYLES = ("-", "--", ":", "-.")


def main(source: Path, folder: Path) -> None:
    """Draw the picture, the sweep and the small picture of every loss."""
    mpl.rcParams |= {
        "svg.hashsalt": "symloss", "svg.fonttype": "path", "font.size": 9, "axes.spines.top": False,
        "axes.spines.right": False, "figure.constrained_layout.use": True, "savefig.transparent": True,
        "axes.titlesize": 10, "path.simplify_threshold": 0.3,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    light, dark = THEMES["light"], THEMES["dark"]
    pairs = dict(zip(_colours(light), _colours(dark), strict=True))
    for name, curves in json.loads(source.read_text(encoding="utf-8")).items():
        drawn = {
            "": _picture(curves["picture"], light),
            "-sweep": _panels(curves["sweep"], light),
            "-small": _small(curves, light),
        }
        for kind, figure in drawn.items():
            path = folder / f"{name}{kind}-light.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            text = path.read_text(encoding="utf-8")
            # Laying out twice takes twice as long: the dark picture is the light one in other colours.
            dark_text = re.sub("|".join(pairs), lambda found: pairs[found.group()], text)
            (folder / f"{name}{kind}-dark.svg").write_text(dark_text, encoding="utf-8")


def _colours(theme: dict[str, Any]) -> list[str]:
    return [theme["ink"], theme["faint"], theme["back"], *theme["lines"]]


def _tinted(axes: Any, colours: dict[str, Any], *, grid: bool = True) -> None:
    axes.tick_params(colors=colours["ink"])
    for spine in axes.spines.values():
        spine.set_color(colours["faint"])
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(colours["ink"])
    if grid:
        axes.grid(color=colours["faint"], linewidth=0.5)
        axes.set_axisbelow(True)


def _picture(picture: dict[str, Any], colours: dict[str, Any]) -> Figure:
    match picture["kind"]:
        case "lines":
            return _panels(picture, colours)
        case "bars":
            return _bars(picture, colours)
        case "circle":
            return _circle(picture, colours)
    return _plane(picture, colours)


def _panels(lines: dict[str, Any], colours: dict[str, Any]) -> Figure:
    """Draw value, gradient and Hessian side by side, a line for each setting."""
    figure = Figure(figsize=(8.4, 2.7))
    for axes, (key, title) in zip(figure.subplots(1, 3), PANELS, strict=True):
        for n, curve in enumerate(lines["curves"]):
            axes.plot(lines["x"], _apart(curve[key]), STYLES[n], color=colours["lines"][n], label=curve["name"])
        axes.set_title(title)
        axes.set_xlabel(lines["label"])
        _tinted(axes, colours)
    if len(lines["curves"]) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, labelcolor=colours["ink"])
    return figure


def _apart(numbers: list[float]) -> Any:
    """Break a line where it jumps: a step is no slope."""
    y = np.array(numbers)
    jumps = np.abs(np.diff(y))
    y[1:][jumps > 0.2 * (np.ptp(y) or 1.0)] = np.nan
    return y


def _bars(picture: dict[str, Any], colours: dict[str, Any]) -> Figure:
    """Draw one sample: its scores, and the derivatives in each; a matrix where a sample is one."""
    groups = picture["groups"]
    figure = Figure(figsize=(8.4, 2.5 * len(groups)))
    for row, group in zip(figure.subplots(len(groups), 3, squeeze=False), groups, strict=True):
        for axes, (key, title) in zip(row, (("input", group["name"]), *PANELS[1:]), strict=True):
            numbers = np.array(group[key])
            if min(numbers.shape) > 1:
                _heat(figure, axes, numbers, colours)
                _tinted(axes, colours, grid=False)
            else:
                flat = numbers.ravel()
                axes.bar(range(len(flat)), flat, color=[colours["lines"][int(v < 0)] for v in flat], width=0.6)
                axes.axhline(0.0, color=colours["ink"], linewidth=0.6)
                axes.set_xticks(range(len(flat)))
                _tinted(axes, colours)
            axes.set_title(title if key == "input" else f"{title} in the {group['name']}" if len(groups) > 1 else title)
    return figure


def _heat(figure: Figure, axes: Any, numbers: Any, colours: dict[str, Any]) -> None:
    size = float(np.abs(numbers).max()) or 1.0
    shown = axes.pcolormesh(numbers, cmap="RdBu_r", vmin=-size, vmax=size, edgecolors=colours["faint"], linewidth=0.4)
    axes.invert_yaxis()
    axes.set_xticks(np.arange(numbers.shape[1]) + 0.5, range(1, numbers.shape[1] + 1))
    axes.set_yticks(np.arange(numbers.shape[0]) + 0.5, range(1, numbers.shape[0] + 1))
    bar = figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.ax.tick_params(colors=colours["ink"])
    bar.outline.set_edgecolor(colours["faint"])


def _circle(picture: dict[str, Any], colours: dict[str, Any]) -> Figure:
    """Draw vectors on the circle, the loss around it, and the matrix of similarities beside its gradient."""
    figure = Figure(figsize=(8.4, 3.3))
    left, *others = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    turn = np.array(picture["angles"])
    left.plot(np.cos(turn), np.sin(turn), color=colours["faint"], linewidth=1)
    highest = max(max(ring["value"]) for ring in picture["rings"])
    lowest = min(min(ring["value"]) for ring in picture["rings"])
    for n, ring in enumerate(picture["rings"]):
        radius = 1.15 + 0.6 * (np.array(ring["value"]) - lowest) / ((highest - lowest) or 1.0)
        line = colours["ink"] if n == 0 else colours["lines"][3]
        left.plot(
            radius * np.cos(turn),
            radius * np.sin(turn),
            STYLES[n],
            color=line,
            linewidth=1,
            label=ring["name"] or "loss",
        )
    _arrows(left, picture["groups"], colours)
    _bare(left)
    left.set_title(f"loss as the first {picture['first']} turns", color=colours["ink"])
    left.legend(
        frameon=False, labelcolor=colours["ink"], fontsize=7, loc="lower center", bbox_to_anchor=(0.5, -0.16), ncols=3
    )
    matrix = picture["matrix"]
    for axes, key, title in zip(others, ("value", "gradient"), ("similarities", "gradient in them"), strict=True):
        if matrix is None:
            axes.axis("off")
            continue
        _heat(figure, axes, np.array(matrix[key]), colours)
        axes.set_title(title)
        axes.set_xlabel(matrix["columns"])
        axes.set_ylabel(matrix["rows"] if key == "value" else "")
        _tinted(axes, colours, grid=False)
    return figure


def _plane(picture: dict[str, Any], colours: dict[str, Any]) -> Figure:
    """Draw where descent moves vectors, and the loss as one of them moves through the plane."""
    figure = Figure(figsize=(8.4, 3.6))
    left, right = figure.subplots(1, 2)
    _arrows(left, picture["groups"], colours)
    left.margins(0.2)
    left.set_aspect("equal", adjustable="datalim")
    left.set_title("where descent moves each vector")
    left.legend(frameon=False, labelcolor=colours["ink"], fontsize=8, loc="best")
    _tinted(left, colours)
    shown = right.contourf(picture["x"], picture["x"], picture["heights"], levels=14, cmap="cividis")
    for n, mark in enumerate(picture["marks"]):
        right.plot(*mark["at"], "s^D"[n % 3], color="white", markeredgecolor="black", label=mark["name"])
    right.set_aspect("equal")
    right.set_title(f"loss as the first {picture['first']} moves")
    right.legend(
        fontsize=8, loc="upper right", facecolor=colours["back"], edgecolor=colours["faint"], labelcolor=colours["ink"]
    )
    _tinted(right, colours, grid=False)
    bar = figure.colorbar(shown, ax=right, shrink=0.9)
    bar.ax.tick_params(colors=colours["ink"])
    bar.outline.set_edgecolor(colours["faint"])
    return figure


def _small(curves: dict[str, Any], colours: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(2.2, 1.3))
    axes = figure.subplots()
    lines = curves["picture"] if curves["picture"]["kind"] == "lines" else curves["sweep"]
    for n, curve in enumerate(lines["curves"]):
        axes.plot(lines["x"], curve["value"], STYLES[n], color=colours["lines"][n])
    axes.axis("off")
    return figure


def _arrows(axes: Any, groups: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    moves = np.concatenate([np.array(g["by"]) for g in groups])
    longest = float(np.hypot(*moves.T).max()) or 1.0
    for n, group in enumerate(groups):
        at, by = np.array(group["at"]), np.array(group["by"]) / longest
        colour = colours["lines"][n % len(colours["lines"])]
        axes.scatter(*at.T, color=colour, marker="os^D"[n % 4], s=18, label=group["name"], zorder=3)
        axes.quiver(*at.T, *by.T, color=colour, angles="xy", scale_units="xy", scale=1.6, width=0.008, zorder=4)


def _bare(axes: Any) -> None:
    axes.set_aspect("equal")
    axes.axis("off")
    axes.margins(0.05)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
