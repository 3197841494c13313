"""The site: Markdown pages from records, evidence, kernels and curves, and Sphinx, which makes HTML of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from symloss.site.curves import curves_of, role_of
from symloss.site.recipes import recipes_of

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
PROJECT = HERE.parent.parent
GUIDES = PROJECT / "docs"
EPOCH = "1767225600"
"""The date in what is built, so that the same records give the same bytes."""
ORDER = (
    "quickstart", "define-your-own", "adapters", "how-it-works", "numerics", "performance", "verified", "contributing"
)  # fmt: skip
"""The guides in reading order; others follow."""
AXES = {
    "margin": ("Classification losses over the margin", "The prediction of a positive example, target 1."),
    "residual": ("Regression losses over the residual", "Prediction minus target."),
}


def page_of(output: Path, name: str) -> dict[str, Any]:
    """Return everything that a page shows of a loss, from the folder of generated files."""

    def read(folder: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((output / folder / f"{name}.json").read_text(encoding="utf-8"))
        return content

    record, evidence = read("records"), read("evidence")
    elementwise = not any(a["axes"] for a in record["inputs"])
    return {
        "steps": _steps(record), "elementwise": elementwise, "first": next(a["name"] for a in record["inputs"] if a["differentiable"]),
        "picture": "value, gradient and Hessian" if elementwise else "value and derivatives, or where descent leads",
        "record": record, "evidence": evidence, "recipes": recipes_of(record),
        "kernel": (output / f"{name}.py").read_text(encoding="utf-8"), "tags": _tags(record, evidence),
        "files": tuple(output / part for part in (f"{name}.py", f"latex/{name}.tex", f"records/{name}.json")),
        "more": {"fast": output / "fast" / f"{name}.py", "jax": output / "jax" / f"{name}.py"},
        "proof": output / "evidence" / f"{name}.json",
    }  # fmt: skip


def _steps(record: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the steps of the derivation: those on the formula itself, and those on its derivatives."""
    rules = record["stable"]["rules"]
    later = [step for step in rules if "seed" in step["before"] or "direction" in step["before"]]
    return {"formula": [step for step in rules if step not in later], "derivatives": later}


def _tags(record: dict[str, Any], evidence: dict[str, Any]) -> tuple[str, ...]:
    """Return what the gallery filters by: the family, and what is proved or certified of the loss."""
    shown = {
        "convex": "convex", "not_convex": "not convex", "nonnegative": "never negative", "lipschitz": "Lipschitz",
        "even": "symmetric", "monotone": "monotone",
    }  # fmt: skip
    sure = {c["kind"] for c in evidence["claims"] if c["status"] in ("proved", "certified")}
    kinds = tuple(text for kind, text in shown.items() if any(k == kind or k.startswith(kind) for k in sure))
    rows = any(a["axes"] for a in record["inputs"])
    return (record["family"], "arrays" if rows else "elementwise", *kinds)


def environment(**options: Any) -> jinja2.Environment:
    """Return the templates, strict about names."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False, **options,
    )  # fmt: skip


def build_html(pages: list[dict[str, Any]], site: Path, losses: Callable[[str], Any]) -> Path:
    """Build the site and return its front page.

    Raises
    ------
    RuntimeError
        Where Sphinx or the drawing of pictures fails.
    """
    source, html = site / "source", site / "html"
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(html, ignore_errors=True)
    (source / "losses").mkdir(parents=True)
    shutil.copytree(HERE / "static", source / "_static")
    found = {page["record"]["name"]: losses(page["record"]["name"]) for page in pages}
    curves = {name: curves_of(loss) for name, loss in found.items()}
    guides = _guides(source)
    template = environment()
    template.filters |= {"md": _markdown, "digits": digits}
    _write_losses(pages, source, template)
    comparisons = [_comparison(kind, found, curves) for kind in AXES]
    shared = {"pages": pages, "guides": guides, "comparisons": [c for c in comparisons if c["curves"]],
              "own": GUIDES.is_dir()}  # fmt: skip
    for name in ("index", "gallery", "compare", "api"):
        if name != "api" or shared["own"]:
            text = template.get_template(f"{name}.md.jinja").render(**shared)
            (source / f"{name}.md").write_text(text, encoding="utf-8")
    (source / "conf.py").write_text(template.get_template("conf.py.jinja").render(project="symloss"), encoding="utf-8")
    # A process of its own: Sphinx keeps global state and would not build twice alike in one.
    command = ["sphinx", "-b", "html", "-q", "-W", "--keep-going", "--no-color", "-E"]
    _run([*command, "-d", str(site / "doctrees"), str(source), str(html)])
    _draw(curves, source, html / "_images")
    return html / "index.html"


def _run(module: list[str]) -> None:
    fixed = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-m", *module], capture_output=True, text=True, env=fixed, check=False)
    if done.returncode:
        message = f"{module[0]}: {done.stderr.strip()}"
        raise RuntimeError(message)


def _draw(curves: dict[str, Any], source: Path, pictures: Path) -> None:
    data = source / "_static" / "curves.json"
    data.write_text(json.dumps(curves), encoding="utf-8")
    _run(["symloss.site.plots", str(data), str(pictures)])
    data.unlink()


def _guides(source: Path) -> list[str]:
    """Copy the guides and what they refer to; return their names in reading order."""
    if not GUIDES.is_dir():
        return []
    for guide in GUIDES.glob("*.md"):
        shutil.copy(guide, source / guide.name)
    shutil.copy(PROJECT / "CONTRIBUTING.md", source / "contributing.md")
    shutil.copytree(GUIDES / "examples", source / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    names = sorted(p.stem for p in source.glob("*.md"))
    return sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))


def _write_losses(pages: list[dict[str, Any]], source: Path, template: jinja2.Environment) -> None:
    for page in pages:
        name, folder = page["record"]["name"], source / "losses"
        (folder / f"{name}.md").write_text(template.get_template("loss.md.jinja").render(**page), encoding="utf-8")
        for file in page["files"]:
            shutil.copy(file, folder / file.name)
        shutil.copy(page["proof"], folder / f"{name}-evidence.json")
        for kind, file in page["more"].items():
            shutil.copy(file, folder / f"{name}-{kind}.py")


def _comparison(kind: str, found: dict[str, Any], curves: dict[str, Any]) -> dict[str, Any]:
    """Return the losses that have one axis in common, with their curves at the defaults."""
    chosen = [
        {"name": name, "x": curves[name]["x"][::4]} | {k: curves[name]["curves"][0][k][::4] for k in ("value", "gradient")}
        for name, loss in found.items()
        if role_of(loss) == kind
    ]  # fmt: skip
    title, about = AXES[kind]
    return {"kind": kind, "title": title, "about": about, "curves": chosen, "data": json.dumps(chosen)}


def digits(number: float | str) -> str:
    """Return a number as a table shows it."""
    return f"{float(number):.3g}"


def _markdown(text: object) -> str:
    """Escape text for Markdown, tables included."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>|$#{}~" else c for c in " ".join(str(text).split()))
