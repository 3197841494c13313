"""Records, evidence, site and book: they follow their schemas, ask for nothing from outside, and lose no formula."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import sympy
from sklearn.linear_model import LogisticRegression

import symloss
from symloss.language.atoms import Atom, sigmoid, softplus
from symloss.language.axes import Index
from symloss.language.nodes import Access, Flag, Reduction
from symloss.pipeline import StaleOutput, derivatives, docs, program_of, select
from symloss.rendering.derivatives import author_named, shortened
from symloss.rendering.latex_format import bracket, plainly
from symloss.site import mathml
from symloss.site.build import DocsResult, build_site
from symloss.site.fitting import fitted
from symloss.site.matrices import similarities
from symloss.verification.steps import WrongStep, rule_holds, slope_holds

ROOT = Path(__file__).resolve().parent.parent
GENERATED, SCHEMAS = ROOT / "generated", ROOT / "docs" / "schema"
NAMES = tuple(sorted(p.stem for p in (GENERATED / "records").glob("*.json")))
PAGES = ("focal", "poly_cross_entropy", "huber")
TEX = shutil.which("latexmk") is not None and shutil.which("pdflatex") is not None


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def validator(kind: str) -> Any:
    schema = read(SCHEMAS / f"{kind}.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def formulas(node: Any) -> list[str]:
    """Return everything in a record that is LaTeX."""
    match node:
        case dict():
            own = [v for k, v in node.items() if k in ("latex", "before", "after", "symbol", "domain", "where")]
            return [v for v in own if isinstance(v, str)] + [f for v in node.values() for f in formulas(v)]
        case list():
            return [f for v in node for f in formulas(v)]
    return []


@pytest.mark.parametrize("name", NAMES)
def test_a_record_follows_its_schema(name: str) -> None:
    record = read(GENERATED / "records" / f"{name}.json")
    assert [e.message for e in validator("record").iter_errors(record)] == []
    assert (record["name"], record["id"]) == (name, f"symloss:{name}")


@pytest.mark.parametrize("name", NAMES)
def test_evidence_follows_its_schema_and_speaks_of_this_kernel(name: str) -> None:
    evidence = read(GENERATED / "evidence" / f"{name}.json")
    assert [e.message for e in validator("evidence").iter_errors(evidence)] == []
    assert evidence["hashes"]["kernel"] == hashlib.sha256((GENERATED / f"{name}.py").read_bytes()).hexdigest()
    assert evidence["status"] != "failed"
    claims = {claim["claim"] for claim in read(GENERATED / "records" / f"{name}.json")["claims"]}
    assert {claim["claim"] for claim in evidence["claims"]} == claims


@pytest.mark.parametrize("damage", [{"name": "No Name"}, {"gradient": []}, {"surplus": 1}, {"references": []}])
def test_the_schema_rejects(damage: dict[str, Any]) -> None:
    assert not validator("record").is_valid(read(GENERATED / "records" / "focal.json") | damage)


@pytest.mark.parametrize("name", NAMES)
def test_every_formula_becomes_mathml(name: str) -> None:
    for latex in formulas(read(GENERATED / "records" / f"{name}.json")):
        rendered = mathml.to_mathml(latex, "block")
        assert rendered.startswith("<math")
        assert "\\" not in rendered, latex


def build(names: tuple[str, ...], folder: Path) -> DocsResult:
    return build_site(
        GENERATED, names, folder, losses=symloss.load, progress=lambda name, done, total: None,
        programs=lambda name: program_of(select((name,), None)[0]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> DocsResult:
    return build(PAGES, tmp_path_factory.mktemp("site"))


def letters(math: str) -> str:
    """Return what a formula says however many lines it takes: its letters, without the crosses at breaks."""
    return html.unescape(re.sub(r"<[^>]*>|\s", "", math)).replace("×", "")


def test_each_loss_has_a_page_with_its_formulas(site: DocsResult) -> None:
    for name in PAGES:
        page = (site.html.parent / "losses" / f"{name}.html").read_text(encoding="utf-8")
        record = read(GENERATED / "records" / f"{name}.json")
        symbols = {a["name"]: a["symbol"] for a in (*record["inputs"], *record["parameters"])}
        shown = [letters(m) for m in re.findall(r"<math.*?</math>", page, re.DOTALL)]
        for part, order in (("gradient", ""), ("hessian", "^2")):
            for entry in record[part]:
                left = rf"\frac{{\partial{order} \ell}}{{\partial {symbols[entry['wrt']]}{order}}}"
                assert letters(mathml.to_mathml(f"{left} = {entry['latex']}", "block")) in shown
        assert letters(mathml.to_mathml(rf"\ell = {record['formula']['latex']}", "block")) in shown
        for entry in (*record["references"], *record["conventions"]):
            assert (entry.get("key") or entry["topic"]) in page
        assert page.count("_downloads/") >= 4


def test_no_page_asks_for_anything_from_outside(site: DocsResult) -> None:
    pages = list(site.html.parent.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*", text) == []
        assert re.findall(r"<link\b[^>]*\bhref=\"(?:https?:)?//[^\"]*", text) == []
    for sheet in site.html.parent.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == []


def test_the_book_holds_every_loss_and_no_line_is_too_wide(site: DocsResult) -> None:
    if not TEX:
        assert (site.pdf, len(site.notes)) == (None, 1)
        return
    assert site.pdf is not None
    log = site.pdf.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    too_wide = [float(w) for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    assert max(too_wide, default=0.0) <= 1.0
    assert site.pdf.read_bytes().startswith(b"%PDF")
    assert (
        re.findall(r"^!.*|LaTeX Warning: (?:Reference|Citation).*undefined.*|multiply defined", log, re.MULTILINE) == []
    )
    contents = site.pdf.with_suffix(".toc").read_text(encoding="utf-8")
    for name in PAGES:
        assert read(GENERATED / "records" / f"{name}.json")["title"] in contents


def test_the_same_records_give_the_same_bytes(site: DocsResult, tmp_path: Path) -> None:
    again = build(PAGES, tmp_path)
    pages = {p.relative_to(site.html.parent): p.read_bytes() for p in site.html.parent.rglob("*.html")}
    assert {p.relative_to(again.html.parent): p.read_bytes() for p in again.html.parent.rglob("*.html")} == pages
    assert (again.pdf and again.pdf.read_bytes()) == (site.pdf and site.pdf.read_bytes())


def test_without_tex_the_book_is_skipped_with_a_line_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = build(PAGES[:1], tmp_path)
    assert result.html.is_file()
    assert result.pdf is None
    assert "make docs-tools" in result.notes[0]


@pytest.mark.parametrize("damage", ["missing", "stale"])
def test_missing_and_stale_evidence_fail(tmp_path: Path, damage: str) -> None:
    shutil.copytree(GENERATED, tmp_path / "out", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "out" / "evidence" / "huber.json"
    if damage == "missing":
        file.unlink()
    else:
        evidence = read(file)
        evidence["hashes"]["kernel"] = "0" * 64
        file.write_text(json.dumps(evidence), encoding="utf-8")
    with pytest.raises(StaleOutput, match=r"huber: .*run symloss verify huber"):
        docs(None, tmp_path / "out", tmp_path / "site", progress=lambda name, done, total: None)
    assert not (tmp_path / "site").exists()


def test_losses_of_ones_own_get_the_same_site(tmp_path: Path) -> None:
    """The definition that the guide shows, built as the guide says, gets this project's pages, gallery and book."""
    definitions = tmp_path / "my"
    definitions.mkdir()
    guide = (ROOT / "docs" / "define-your-own.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- definition: smooth_quantile -->\n```python\n(.*?)```", guide, re.DOTALL)
    (definitions / "smooth_quantile.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-c", "from symloss.cli import main; main()"]
    shared = ["--definitions", str(definitions), "--output", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run([*command, "build", *shared], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "site" / "html"
    page = (folder / "losses" / "smooth_quantile.html").read_text(encoding="utf-8")
    assert "losses/smooth_quantile.html" in (folder / "gallery.html").read_text(encoding="utf-8")
    assert "losses/focal.html" not in (folder / "index.html").read_text(encoding="utf-8")
    assert 'id="certified-values"' in page
    assert "<math" in page
    assert (folder / "_images" / "smooth_quantile-dark.svg").is_file()


def test_headings_come_in_the_order_of_reading(site: DocsResult) -> None:
    page = (site.html.parent / "losses" / "focal.html").read_text(encoding="utf-8")
    order = (
        "formula", "gradient", "hessian-diagonal", "derivation", "stable-form", "kinks", "limits", "claims", "plots",
        "certified-values", "accuracy", "how-libraries-differ", "cost", "kernel", "recipes", "references",
        "files-and-identity", "tests-that-verify-it",
    )  # fmt: skip
    places = [page.find(f'<section id="{name}">') for name in order]
    assert min(places) > 0
    assert places == sorted(places)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_formula_says_what_the_line_says(name: str) -> None:
    """Lines are broken at signs and factors, and nothing is lost: the letters of both are the same."""
    for latex in formulas(read(GENERATED / "records" / f"{name}.json")):
        for page in (12.0, 41.0):
            assert letters(mathml.to_mathml(fitted(latex, page))) == letters(mathml.to_mathml(latex)), latex


@pytest.mark.parametrize("name", NAMES)
def test_what_a_derivative_reads_is_explained_below_it(name: str) -> None:
    """Every part has a name of its own, is used above the line that says what it is, and the derivative is whole."""
    record = read(GENERATED / "records" / f"{name}.json")
    for entry in (*record["gradient"], *record["hessian"]):
        heads = [piece["latex"].split(" = ")[0] for piece in entry["where"]]
        assert len(set(heads)) == len(heads), heads
        told = set(re.findall(r"t_\{(\d+)", " ".join(heads)))
        used = set(re.findall(r"t_\{(\d+)", " ".join([entry["latex"], *(p["latex"] for p in entry["where"])])))
        assert used == told, entry["wrt"]


def number(part: sympy.Basic, values: dict[sympy.Basic, sympy.Basic]) -> sympy.Basic:
    """Return an expression's number, atoms and brackets by what they mean."""
    if part in values:
        return values[part]
    if isinstance(part, Access):
        values[part] = sympy.Rational(2 + hash_of(part) % 89, 97)
        return values[part]
    if isinstance(part, Index):
        return sympy.Integer(hash_of(part) % 2)
    if isinstance(part, Flag):
        return sympy.true
    if isinstance(part, Reduction):
        return sympy.Rational(2 + hash_of(part.func(part.operation, part.body, part.bound, part.where)) % 89, 97)
    if isinstance(part, sympy.Symbol):
        return sympy.Rational(2 + hash_of(part) % 89, 97)
    if not part.args:
        return part
    args = [number(a, values) for a in part.args]
    if isinstance(part, bracket):
        return sympy.Piecewise((1, args[0]), (0, True))
    return part.func(*args).textbook() if isinstance(part, Atom) and part.func(*args).args else part.func(*args)


def hash_of(part: sympy.Basic) -> int:
    return int(hashlib.sha256(str(part).encode()).hexdigest()[:8], 16)


@pytest.mark.parametrize("name", ["focal", "contrastive", "triplet", "info_nce"])
def test_what_is_shown_means_what_was_derived(name: str) -> None:
    """Guards left out, brackets for cases, and parts put back where their names stand: the same number."""
    program = derivatives(select((name,), None)[0])[0][1]
    lines = {o.name: author_named(o.expression, program)[0] for o in program.outputs}
    lines |= {s.name: author_named(s.body, program)[0] for s in program.statements}
    short, parts = shortened(lines)
    assert parts
    for line, expected in lines.items():
        whole = short[line]
        for _ in parts:  # parts are made of parts
            whole = whole.xreplace(dict(parts))
        shown, derived = (sympy.N(number(e, {}), 30) for e in (plainly(whole), expected))
        assert abs(shown - derived) <= sympy.Float("1e-25") * (1 + abs(derived)), line


@pytest.mark.parametrize("name", NAMES)
def test_a_parameters_derivative_is_that_of_one_sample(name: str) -> None:
    """No sum over a sample's own index is left in what pages call the derivative for one sample."""
    record = read(GENERATED / "records" / f"{name}.json")
    shared = {a["name"] for a in record["parameters"]}
    for entry in (*record["gradient"], *record["hessian"]):
        if entry["wrt"] in shared and not entry["latex"].startswith("0"):
            for index in record["sample"]["indices"]:
                assert rf"\sum_{{{index}}}" not in entry["latex"]
                assert not [p for p in entry["where"] if re.match(rf"\w+ = \\sum_{{{index}\b", p["latex"])], entry[
                    "wrt"
                ]


@pytest.mark.parametrize("name", NAMES)
def test_every_step_of_a_derivation_is_checked(name: str) -> None:
    stable = read(GENERATED / "records" / f"{name}.json")["stable"]
    assert [s for s in (*stable["rules"], *stable["partials"]) if s["checked"] < 4] == []


def test_a_wrong_step_stops_the_derivation() -> None:
    definition = select(("focal",), None)[0]
    x = Access("logit")
    with pytest.raises(WrongStep):
        rule_holds(definition, softplus(x), softplus(-x), frozenset())
    with pytest.raises(WrongStep):
        slope_holds(definition, softplus(x), x, softplus(x), frozenset())
    assert rule_holds(definition, softplus(x), softplus(-x) + x, frozenset()) == 8
    assert slope_holds(definition, softplus(x), x, sigmoid(x), frozenset()) == 8


def test_the_gradient_in_the_similarities_is_that_of_a_softmax() -> None:
    """Cross entropy over cosines: its gradient in them is softmax minus identity, over the temperature."""
    rng = np.random.default_rng(5)
    query, key = rng.normal(size=(2, 4, 2))
    tensors, scalars = {"query": query, "key": key}, {"temperature": 0.5, "symmetric": False}
    found = similarities(program_of(select(("info_nce",), None)[0]), tensors, scalars, {"n": 4, "d": 2})
    assert found is not None
    cosines = query @ key.T / np.outer(np.linalg.norm(query, axis=1), np.linalg.norm(key, axis=1))
    weights = np.exp(cosines / 0.5)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["value"], cosines, rtol=1e-4)
    np.testing.assert_allclose(found["gradient"], (weights - np.eye(4)) / 0.5, rtol=1e-4)


def blocks_of(path: Path) -> list[str]:
    """Return the Python blocks of a guide that a reader is told to run."""
    return re.findall(r"<!-- tested -->\n```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_runs_and_reaches_scikit_learns_optimum() -> None:
    quick, fit = blocks_of(ROOT / "README.md")
    exec(compile(quick, "README.md", "exec"), {})
    names: dict[str, Any] = {}
    exec(compile(fit, "README.md", "exec"), names)
    design = names["design"][:, :-1]
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(design, names["target"])
    expected = np.append(model.coef_[0], model.intercept_)
    np.testing.assert_allclose(names["fit"].x, expected, atol=1e-5)


def test_the_quick_start_runs() -> None:
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8"), re.DOTALL
    )
    exec(compile(block, "quickstart.md", "exec"), {})


@pytest.mark.parametrize("name, parameter", [("softmax_cross_entropy", "label_smoothing"), ("triplet", "p")])
def test_a_special_value_hides_no_derivative(name: str, parameter: str) -> None:
    """Kernels of their own for label_smoothing = 0 or p = 2 do not mean that nothing changes with the parameter."""
    record = json.loads((GENERATED / "records" / f"{name}.json").read_text(encoding="utf-8"))
    (entry,) = [e for e in record["gradient"] if e["wrt"] == parameter]
    assert entry["latex"] != "0"


def test_what_holds_at_some_settings_only_is_no_tag(site: DocsResult) -> None:
    gallery = (site.html.parent / "losses" / "focal.html").read_text(encoding="utf-8")
    tags = re.findall(r'<span class="tag[^"]*">([^<]*)</span>', gallery)
    assert "not convex" in tags
    assert "convex" not in tags  # it is, at gamma = 0
