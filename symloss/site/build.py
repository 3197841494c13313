"""The builders: a Sphinx site from one page for each loss and the guides, and one PDF through LaTeX."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symloss.program.statement import Program
from symloss.site.fitting import fitted
from symloss.site.pages import EPOCH, build_html, digits, environment, page_of


@dataclass(frozen=True)
class DocsResult:
    """What was built.

    Parameters
    ----------
    html : Path
        The front page.
    pdf : Path or None
        The book, None where there is no TeX.
    notes : tuple of str
        What was skipped, and how to get it.
    """

    html: Path
    pdf: Path | None
    notes: tuple[str, ...]


def build_site(
    output: Path, names: tuple[str, ...], site: Path, *, losses: Callable[[str], Any],
    programs: Callable[[str], Program], progress: Callable[[str, int, int], None],
) -> DocsResult:  # fmt: skip
    """Build the site and the book from records, evidence and modules.

    Parameters
    ----------
    output : Path
        The folder of generated files.
    names : tuple of str
        The losses to document.
    site : Path
        Where the results go.
    losses : callable
        Returns a loss by its name: pictures are drawn from its kernels.
    programs : callable
        Returns the program of a loss's value by its name.
    progress : callable
        Called with what is being built, how much is done and how much there is.

    Raises
    ------
    RuntimeError
        Where Sphinx or LaTeX fails.
    """
    pages = [page_of(output, name) for name in names]
    progress("html, pdf", 0, 1)
    with ThreadPoolExecutor(1) as pool:  # LaTeX runs beside Sphinx
        book = pool.submit(_pdf, pages, site)
        html = build_html(pages, site, losses, programs)
        pdf, notes = book.result()
    progress("", 1, 1)
    return DocsResult(html, pdf, notes)


def _pdf(pages: list[dict[str, Any]], site: Path) -> tuple[Path | None, tuple[str, ...]]:
    latexmk = shutil.which("latexmk")
    if latexmk is None or shutil.which("pdflatex") is None:
        return None, ("no TeX on this machine, so the PDF was skipped; `make docs-tools` installs what it needs",)
    folder = site / "book"
    folder.mkdir(parents=True, exist_ok=True)
    template = environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
    )  # fmt: skip
    template.filters |= {"tex": _escape, "digits": digits, "fitted": fitted}
    cited = {r["key"]: r for page in pages for r in page["record"]["references"]}
    references = [cited[key] for key in sorted(cited)]
    text = template.get_template("book.tex.jinja").render(pages=pages, references=references)
    (folder / "symloss.tex").write_text(text, encoding="utf-8")
    command = [latexmk, "-pdf", "-interaction=nonstopmode", "-halt-on-error", "symloss.tex"]
    fixed = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "FORCE_SOURCE_DATE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", env=fixed, check=False)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("!")] or done.stdout.splitlines()[-3:]
        message = f"latex: {' '.join(lines)}; see {folder / 'symloss.log'}"
        raise RuntimeError(message)
    return folder / "symloss.pdf", ()


def _escape(text: object) -> str:
    """Escape text for LaTeX."""
    table = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    table |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(table.get(c, c) for c in str(text))
