"""The builders: a Sphinx site from one page for each loss and the guides, and one PDF through LaTeX."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"
GUIDES = Path(__file__).resolve().parent.parent.parent / "docs"
EPOCH = "1767225600"
"""The date in the PDF, so that the same records give the same bytes."""


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
    output: Path, names: tuple[str, ...], site: Path, *, progress: Callable[[str, int, int], None]
) -> DocsResult:
    """Build the site and the book from records, evidence and modules.

    Parameters
    ----------
    output : Path
        The folder of generated files.
    names : tuple of str
        The losses to document.
    site : Path
        Where the results go.
    progress : callable
        Called with what is being built, how much is done and how much there is.

    Raises
    ------
    RuntimeError
        Where Sphinx or LaTeX fails.
    """
    pages = [_page(output, name) for name in names]
    progress("html", 0, 2)
    html = _html(pages, site)
    progress("pdf", 1, 2)
    pdf, notes = _pdf(pages, site)
    progress("", 2, 2)
    return DocsResult(html, pdf, notes)


def _page(output: Path, name: str) -> dict[str, Any]:
    """Return everything a page shows."""

    def read(folder: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((output / folder / f"{name}.json").read_text(encoding="utf-8"))
        return content

    return {
        "record": read("records"), "evidence": read("evidence"),
        "kernel": (output / f"{name}.py").read_text(encoding="utf-8"),
        "files": tuple(output / part for part in (f"{name}.py", f"latex/{name}.tex", f"records/{name}.json")),
        "proof": output / "evidence" / f"{name}.json",
    }  # fmt: skip


def _environment(**options: Any) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False, **options,
    )  # fmt: skip


def _html(pages: list[dict[str, Any]], site: Path) -> Path:
    source, html = site / "source", site / "html"
    shutil.rmtree(source, ignore_errors=True)
    (source / "losses").mkdir(parents=True)
    environment = _environment()
    environment.filters["md"] = _markdown
    guides = sorted(p for p in GUIDES.glob("*.md")) if GUIDES.is_dir() else []
    for guide in guides:
        shutil.copy(guide, source / guide.name)
    for example in sorted((GUIDES / "examples").glob("*.py")):
        (source / "examples").mkdir(exist_ok=True)
        shutil.copy(example, source / "examples" / example.name)
    for page in pages:
        text = environment.get_template("loss.md.jinja").render(**page)
        (source / "losses" / f"{page['record']['name']}.md").write_text(text, encoding="utf-8")
        for file in page["files"]:
            shutil.copy(file, source / "losses" / file.name)
        shutil.copy(page["proof"], source / "losses" / f"{page['record']['name']}-evidence.json")
    index = environment.get_template("index.md.jinja").render(pages=pages, guides=[g.stem for g in guides])
    (source / "index.md").write_text(index, encoding="utf-8")
    settings = environment.get_template("conf.py.jinja").render(project="symloss")
    (source / "conf.py").write_text(settings, encoding="utf-8")
    # A process of its own: Sphinx keeps global state and would not build twice alike in one.
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "--no-color", "-E"]
    done = subprocess.run(
        [*command, "-d", str(site / "doctrees"), str(source), str(html)], capture_output=True, text=True,
        env={"SOURCE_DATE_EPOCH": EPOCH, **os.environ}, check=False,
    )  # fmt: skip
    if done.returncode:
        message = f"sphinx: {done.stderr.strip()}"
        raise RuntimeError(message)
    return html / "index.html"


def _pdf(pages: list[dict[str, Any]], site: Path) -> tuple[Path | None, tuple[str, ...]]:
    latexmk = shutil.which("latexmk")
    if latexmk is None or shutil.which("pdflatex") is None:
        return None, ("no TeX on this machine, so the PDF was skipped; `make docs-tools` installs what it needs",)
    folder = site / "book"
    folder.mkdir(parents=True, exist_ok=True)
    environment = _environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
    )  # fmt: skip
    environment.filters["tex"] = _escape
    text = environment.get_template("book.tex.jinja").render(pages=pages)
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


def _markdown(text: object) -> str:
    """Escape text for Markdown, tables included."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>|$#{}~" else c for c in " ".join(str(text).split()))
