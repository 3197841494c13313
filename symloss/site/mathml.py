"""A Sphinx extension that turns LaTeX into MathML at build time: no script and no request at reading time."""

from __future__ import annotations

from typing import Any

import latex2mathml.converter
from docutils import nodes

ALIGNED = '<mtable><mtr><mtd columnalign="right"'
"""How the converter begins a table whose first column is on the right."""


def to_mathml(latex: str, display: str = "inline") -> str:
    """Return LaTeX as MathML; ``aligned``, which the converter does not know, becomes a table of full-sized cells."""
    if r"\begin{aligned}" not in latex:
        return str(latex2mathml.converter.convert(latex, display=display))
    table = latex.replace(r"\begin{aligned}", r"\begin{array}{rl}").replace(r"\end{aligned}", r"\end{array}")
    text = str(latex2mathml.converter.convert(table, display=display))
    return text.replace(ALIGNED, f'<mtable class="aligned" displaystyle="true">{ALIGNED.removeprefix("<mtable>")}')


def _inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True}
