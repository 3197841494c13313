"""The pictures: curves come in as JSON, vector graphics go out, in the colours of a light and of a dark page.

It runs in a process of its own, ``python -m symloss.site.plots CURVES FOLDER``: Matplotlib keeps global state.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

THEMES = {
    "light": {"ink": "#1f2430", "faint": "#d5d9e2", "lines": ("#2457c5", "#b3401f", "#19794a", "#7a3fa8")},
    "dark": {"ink": "#d7dae2", "faint": "#3d4350", "lines": ("#82aaff", "#ff9e64", "#7fd8a4", "#cba6f7")},
}
"""Colours that can be told apart by everyone and read on their background."""
PANELS = (("value", "value"), ("gradient", "gradient"), ("hessian", "Hessian"))
STYLES = ("-", "--", ":", "-.")


def main(source: Path, folder: Path) -> None:
    """Draw the picture and the small picture of every loss."""
    mpl.rcParams |= {
        "svg.hashsalt": "symloss", "svg.fonttype": "path", "font.size": 9, "axes.spines.top": False,
        "axes.spines.right": False, "figure.constrained_layout.use": True, "savefig.transparent": True,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, curves in json.loads(source.read_text(encoding="utf-8")).items():
        for theme, colours in THEMES.items():
            _save(_picture(curves, colours), folder / f"{name}-{theme}.svg")
            _save(_small(curves, colours), folder / f"{name}-small-{theme}.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def _tinted(axes: Any, colours: dict[str, Any]) -> None:
    axes.tick_params(colors=colours["ink"])
    for spine in axes.spines.values():
        spine.set_color(colours["ink"])
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(colours["ink"])
    axes.grid(color=colours["faint"], linewidth=0.5)


def _picture(curves: dict[str, Any], colours: dict[str, Any]) -> Figure:
    if curves["kind"] == "arrows":
        figure = Figure(figsize=(8.4, 4.0))
        left, right = figure.subplots(1, 2)
        _arrows(left, curves, colours, legend=True)
        _cosines(figure, right, curves["groups"], colours)
        return figure
    figure = Figure(figsize=(8.4, 2.7))
    for axes, (key, title) in zip(figure.subplots(1, 3), PANELS, strict=True):
        for n, curve in enumerate(curves["curves"]):
            axes.plot(curves["x"], _apart(curve[key]), STYLES[n], color=colours["lines"][n], label=curve["name"])
        axes.set_title(title)
        axes.set_xlabel(curves["label"])
        _tinted(axes, colours)
    if len(curves["curves"]) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, labelcolor=colours["ink"])
    return figure


def _apart(numbers: list[float]) -> Any:
    """Break a line where it jumps: a step is no slope."""
    y = np.array(numbers)
    jumps = np.abs(np.diff(y))
    y[1:][jumps > 0.2 * (np.ptp(y) or 1.0)] = np.nan
    return y


def _small(curves: dict[str, Any], colours: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(2.2, 1.3))
    axes = figure.subplots()
    if curves["kind"] == "arrows":
        _arrows(axes, curves, colours, legend=False)
    else:
        for n, curve in enumerate(curves["curves"]):
            axes.plot(curves["x"], curve["value"], STYLES[n], color=colours["lines"][n])
    axes.axis("off")
    return figure


def _arrows(axes: Any, curves: dict[str, Any], colours: dict[str, Any], *, legend: bool) -> None:
    moves = np.concatenate([np.array(g["by"]) for g in curves["groups"]])
    longest = float(np.hypot(*moves.T).max()) or 1.0
    for n, group in enumerate(curves["groups"]):
        at, by = np.array(group["at"]), np.array(group["by"]) / longest
        colour = colours["lines"][n % len(colours["lines"])]
        axes.scatter(*at.T, color=colour, marker="os^D"[n % 4], s=18, label=group["name"])
        axes.quiver(*at.T, *by.T, color=colour, angles="xy", scale_units="xy", scale=1.6, width=0.006)
    axes.set_aspect("equal")
    axes.margins(0.25)
    _tinted(axes, colours)
    if legend:
        axes.set_title("where descent moves each vector")
        axes.legend(frameon=False, labelcolor=colours["ink"], loc="best")


def _cosines(figure: Figure, axes: Any, groups: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    """Draw the cosines between the first two kinds of vectors; between all where there are more of one kind."""
    one_kind = groups[0]["name"].startswith("speaker")
    every = np.concatenate([np.array(g["at"]) for g in groups])
    rows, columns = (every, every) if one_kind else (np.array(g["at"]) for g in groups[:2])
    unit_rows, unit_columns = (x / np.hypot(*x.T)[:, None] for x in (rows, columns))
    shown = axes.imshow(unit_rows @ unit_columns.T, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_title("cosines")
    names = ("utterance", "utterance") if one_kind else (groups[0]["name"], groups[1]["name"])
    axes.set_ylabel(names[0])
    axes.set_xlabel(names[1])
    _tinted(axes, colours)
    axes.grid(visible=False)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.ax.tick_params(colors=colours["ink"])
    bar.outline.set_edgecolor(colours["ink"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
