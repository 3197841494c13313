"""The site: Markdown pages from records, evidence, kernels and curves, and Sphinx, which makes HTML of them."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from symloss.program.statement import Program
from symloss.site.curves import curves_of, role_of
from symloss.site.fitting import fitted
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
LIMITS = (
    "limit", "unbounded_slope", "at_most", "flat_at_zero", "least_at", "least_lipschitz", "least_at_mean",
    "least_at_quantile", "least_at_frequencies", "steepest", "approaches", "saturates",
)  # fmt: skip
"""Kinds of claims that say how far values and slopes go, and where they are least."""
AXES = {
    "margin": ("Classification losses over the margin", "The margin y·f(x): the prediction of a positive example."),
    "residual": ("Regression losses over the residual", "The residual: prediction minus target."),
}


def page_of(output: Path, name: str) -> dict[str, Any]:
    """Return everything that a page shows of a loss, from the folder of generated files."""

    def read(folder: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((output / folder / f"{name}.json").read_text(encoding="utf-8"))
        return content

    record, evidence = read("records"), read("evidence")
    elementwise = not any(a["axes"] for a in record["inputs"])
    return {
        "steps": _steps(record), "elementwise": elementwise,
        "first": next(a["name"] for a in record["inputs"] if a["differentiable"]),
        "record": record, "evidence": evidence, "beside": _beside(evidence), "outline": outline(record["source"]),
        "symbols": {a["name"]: a["symbol"] for a in (*record["inputs"], *record["parameters"])},
        "claims": evidence["claims"],
        "tails": [r for r in record["values"] if "1000" in r["at"]],
        "rules": sorted({s["rule"].replace("_", " ") for s in record["stable"]["rules"]}),
        "ties": any(r"\max_" in d["latex"] for d in (*record["definitions"], record["formula"])),
        "limits": [c for c in evidence["claims"] if c["kind"] in LIMITS],
        "libraries": sorted({p["library"] for p in evidence["peers"]}),
        "recipes": (recipes := recipes_of(record)), "boosted": any(r["title"] == "XGBoost" for r in recipes),
        "kernel": (output / f"{name}.py").read_text(encoding="utf-8"), "tags": _tags(record, evidence),
        "files": tuple(output / part for part in (f"{name}.py", f"latex/{name}.tex", f"records/{name}.json")),
        "more": {kind: file for kind in ("fast", "jax", "torch") if (file := output / kind / f"{name}.py").is_file()},
        "proof": output / "evidence" / f"{name}.json",
    }  # fmt: skip


def _steps(record: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the steps of the derivation: those on the formula itself, and those on its derivatives."""
    rules = record["stable"]["rules"]
    return {stage: [step for step in rules if step["stage"] == stage] for stage in ("formula", "derivatives")}


def _tags(record: dict[str, Any], evidence: dict[str, Any]) -> tuple[str, ...]:
    """Return what the gallery filters by: the family, what is proved or certified of the loss, and what it takes."""
    shown = {
        "convex": "convex", "not_convex": "not convex", "nonnegative": "never negative", "at_most": "bounded",
        "lipschitz": "Lipschitz", "least_lipschitz": "Lipschitz", "calibrated": "calibrated", "symmetric": "symmetric",
    }  # fmt: skip
    sure = {c["kind"] for c in evidence["claims"] if c["status"] in ("proved", "certified")}
    sure -= {"convex"} if "not_convex" in sure else set()  # at some settings only
    sure -= {"nonnegative"} if "can_be_negative" in sure else set()
    kinds = [text for kind, text in shown.items() if kind in sure]
    if sure & {"lipschitz", "least_lipschitz"} and record["family"] == "regression":
        kinds.append("robust")  # no residual pulls harder than a constant
    if any(a["name"] == "margin" for a in record["parameters"]):
        kinds.append("needs a margin")
    kinds += ["has kinks"] if record["kinks"] else []
    rows = any(a["axes"] for a in record["inputs"])
    return tuple(dict.fromkeys((record["family"], "arrays" if rows else "elementwise", *kinds)))


def _beside(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the accuracy of each quantity, its peers' beside it."""
    rows = []
    for own in evidence["accuracy"]:
        key = (own["dtype"], own["quantity"], own["wrt"])
        peers = [p for p in evidence["peers"] if (p["dtype"], p["quantity"], p["wrt"]) == key]
        rows.append(own | {"peers": {p["library"]: p for p in peers}})
    return rows


def outline(source: str) -> str:
    """Return the mathematics of a definition: the names of its arguments, and its body without the docstring."""
    tree = ast.parse(source)
    function = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    spec = function.args
    plain = [a.arg for a in spec.args]
    named = [
        f"{a.arg}={ast.unparse(d.args[0])}" if isinstance(d, ast.Call) and d.args else a.arg
        for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    ]
    head = ", ".join((*plain, *(["*", *named] if named else [])))
    lines = source.splitlines()[function.body[1].lineno - 1 : function.end_lineno]
    return "\n".join((f"def {function.name}({head}):", *lines))


def loop_of(kernel: str) -> str:
    """Return the longest run of statements of a kernel that have their mathematics beside them, as a taste of it."""
    best: list[str] = []
    run: list[str] = []
    for line in (*kernel.splitlines(), ""):
        if "  # " in line and " = " in line.split("  # ")[0]:
            run.append(line)
            continue
        best = run if len(run) > len(best) else best
        run = []
    return textwrap.dedent("\n".join(best[:9]))


def environment(**options: Any) -> jinja2.Environment:
    """Return the templates, strict about names."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False, **options,
    )  # fmt: skip


def build_html(
    pages: list[dict[str, Any]], site: Path, losses: Callable[[str], Any], programs: Callable[[str], Program]
) -> Path:
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
    curves = {name: curves_of(loss, programs(name)) for name, loss in found.items()}
    guides = _guides(source)
    template = environment()
    template.filters |= {"md": _markdown, "digits": digits, "fitted": fitted, "shortly": shortly}
    _write_losses(pages, source, template)
    comparisons = [_comparison(kind, found, curves) for kind in AXES]
    shared = {"pages": pages, "guides": guides, "comparisons": [c for c in comparisons if c["curves"]],
              "own": GUIDES.is_dir()}  # fmt: skip
    for name in ("index", "gallery", "compare", "api"):
        if name != "api" or shared["own"]:
            text = template.get_template(f"{name}.md.jinja").render(**shared)
            (source / f"{name}.md").write_text(text, encoding="utf-8")
    (source / "conf.py").write_text(template.get_template("conf.py.jinja").render(project="symloss"), encoding="utf-8")
    data = site / "curves.json"
    data.write_text(json.dumps(curves), encoding="utf-8")
    pictures = site / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    # Processes of their own: Sphinx and Matplotlib keep global state and would not build twice alike in one.
    sphinx = ["sphinx", "-b", "html", "-q", "-W", "--keep-going", "--no-color", "-E", "-d", str(site / "doctrees")]
    plots = ["symloss.site.plots", str(data), str(pictures)]
    jobs = {job[0]: _started(job) for job in ([*sphinx, str(source), str(html)], plots)}
    for name, job in jobs.items():
        _finished(name, job)
    shutil.copytree(pictures, html / "_images", dirs_exist_ok=True)
    for page in html.rglob("*.html"):
        page.write_text(_lean(page.read_text(encoding="utf-8")), encoding="utf-8")
    return html / "index.html"


def _lean(text: str) -> str:
    """Drop the marks of tokens that have no colour of their own, and give headings the level they lack.

    Kernels are long: without these marks a page with one is half as large.
    """
    text = re.sub(r'<span class="(?:n|p|w)">([^<]*)</span>', r"\1", text)
    return text.replace('role="heading">', 'role="heading" aria-level="2">')


def _started(module: list[str]) -> subprocess.Popen[str]:
    fixed = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", *module], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=fixed
    )


def _finished(name: str, job: subprocess.Popen[str]) -> None:
    _, error = job.communicate()
    if job.returncode:
        message = f"{name}: {error.strip()}"
        raise RuntimeError(message)


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
        {"name": name, "title": loss.plan.spec.title, "x": curves[name]["sweep"]["x"][::4]}
        | {k: curves[name]["sweep"]["curves"][0][k][::4] for k in ("value", "gradient")}
        for name, loss in found.items()
        if role_of(loss) == kind
    ]  # fmt: skip
    title, about = AXES[kind]
    return {"kind": kind, "title": title, "about": about, "curves": chosen, "data": json.dumps(chosen)}


def digits(number: float | str) -> str:
    """Return a number as a table shows it."""
    value = float(number)
    return f"{value:.3g}" if math.isfinite(value) else str(number)


def shortly(number: str) -> str:
    """Return a number of many digits with few of them, and its power of ten."""
    digits_, mark, power = number.partition("e")
    return f"{digits_[:12]}{mark}{power}"


def _markdown(text: object) -> str:
    """Escape text for Markdown, tables included."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>|$#{}~" else c for c in " ".join(str(text).split()))
