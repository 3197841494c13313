"""Every page of the site in a headless Chromium, at three widths, light and dark; `make browser` runs this."""

from __future__ import annotations

import functools
import http.server
import json
import re
import resource
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
from axe_playwright_python import sync_playwright as axe
from playwright import sync_api as playwright

from symloss import pipeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS, THEMES = (360, 768, 1440), ("light", "dark")
BUDGET = 90.0
"""Seconds of processor time for site and book: an idle machine with two cores needs less than that by the clock."""
LEFT = r"""() => {
  const article = document.querySelector("article").cloneNode(true);
  article.querySelectorAll("pre, code, script, annotation").forEach((node) => node.remove());
  const text = article.textContent.match(/\$\$|\\[a-zA-Z]{2,}|\\\(|\\\[/);
  const empty = [...document.querySelectorAll("article math")].filter((node) => node.children.length === 0);
  return [text && text[0], empty.length, document.querySelectorAll("merror").length];
}"""


SHORTER = """() => {
  document.querySelectorAll("math").forEach((node) => node.replaceChildren(node.textContent));
  document.querySelectorAll("details:not([open]) pre").forEach((node) => node.replaceChildren(node.textContent));
}"""
"""Formulas and folded code as plain text: axe takes minutes over tens of thousands of their parts, all of one kind."""


def spent() -> float:
    return sum(
        part
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for part in (resource.getrusage(who).ru_utime, resource.getrusage(who).ru_stime)
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Build everything, as ``symloss docs`` does; return the folder and the processor time."""
    folder, start = tmp_path_factory.mktemp("site"), spent()
    pipeline.docs(None, None, folder, progress=lambda name, done, total: None)
    return folder, spent() - start


@pytest.fixture(scope="session")
def html(built: tuple[Path, float]) -> Path:
    return built[0] / "html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def address(html: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    assert CHROMIUM is not None, "no Chromium here; `make docs-tools` installs it"
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield found
        found.close()


def pages(html: Path) -> list[str]:
    return sorted(str(p.relative_to(html)) for p in html.rglob("*.html"))


def problems(browser: Any, address: str, path: str) -> list[str]:
    """Return what is wrong with one page."""
    found: list[str] = []
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("request", lambda sent: sent.url.startswith((address, "data:")) or found.append(f"outside: {sent.url}"))
    page.goto(f"{address}/{path}", wait_until="load")
    text, empty, errors = page.evaluate(LEFT)
    if text or empty or errors:
        found.append(f"math: {text!r}, {empty} empty, {errors} errors")
    sizes(page, found)
    page.evaluate(SHORTER)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        rules = {} if theme == "light" else {"runOnly": ["color-contrast"]}  # all else is alike
        result = axe.Axe().run(page, options={"resultTypes": ["violations"], **rules}).response
        found += [
            f"axe, {theme}: {v['id']} {v['nodes'][0]['html'][:120]}"
            for v in result["violations"]
            if v["impact"] in ("serious", "critical")
        ]
    context.close()
    return found


def sizes(page: Any, found: list[str]) -> None:
    """Note where a page scrolls sideways."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                found.append(f"scrolls: {wide} px at {width} px, {theme}")


def test_every_page_is_sound(browser: Any, address: str, html: Path) -> None:
    found = {path: problems(browser, address, path) for path in pages(html)}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert len(found) > 30


@pytest.mark.parametrize(
    "content, word",
    [
        ("<p>$$ a $$</p>", "math"),
        ("<p><img src='http://example.invalid/x.png' alt='x'></p>", "outside"),
        ("<div style='width: 3000px'>wide</div>", "scrolls"),
        ("<script>throw new Error('broken')</script>", "error"),
        ("<p style='color: #ccc; background: #fff'>hardly there</p>", "axe"),
    ],
)
def test_what_is_wrong_is_seen(browser: Any, address: str, html: Path, content: str, word: str) -> None:
    broken = html / "broken.html"
    frame = (
        "<!doctype html><html lang='en'><title>broken</title><main><h1>broken</h1><article>{}</article></main></html>"
    )
    broken.write_text(frame.format(content), encoding="utf-8")
    try:
        assert any(wrong.startswith(word) for wrong in problems(browser, address, "broken.html"))
    finally:
        broken.unlink()


SECTIONS = {
    "formula": "math", "gradient": "math", "hessian-diagonal": "math", "derivation": ".checked", "stable-form": "math",
    "kinks": "p, li", "limits": "table, p", "claims": "table, p", "plots": "img.only-light-image, img.only-dark-image",
    "certified-values": "table, pre", "accuracy": "table", "how-libraries-differ": "table, li, p", "cost": "table",
    "kernel": "a.download", "recipes": "pre", "references": "li", "files-and-identity": "a.download",
    "tests-that-verify-it": "li",
}  # fmt: skip
"""The sections of a loss's page in the order of reading, and what each must hold."""
HELD = """(sections) => {
  const article = document.querySelector("article");
  const wrong = [];
  const places = Object.keys(sections).map((id) => document.getElementById(id));
  Object.entries(sections).forEach(([id, kinds], k) => {
    if (!places[k]) { wrong.push(`no ${id}`); return; }
    if (!places[k].querySelector(kinds)) wrong.push(`empty ${id}`);
    const after = k && places[k - 1] && !(places[k - 1].compareDocumentPosition(places[k]) & 4);
    if (after) wrong.push(`${id} comes too early`);
  });
  const lead = article.querySelector(".lead");
  const picture = article.querySelector("figure.picture");
  if (!lead || !lead.textContent.trim() || !picture) wrong.push("no sentence or picture");
  else if (!(lead.compareDocumentPosition(picture) & 4)) wrong.push("the picture comes before the sentence");
  if (picture && !(picture.compareDocumentPosition(places[0]) & 4)) wrong.push("the picture comes late");
  const said = (id) => document.getElementById(id).textContent;
  for (const id of ["gradient", "hessian-diagonal"]) {
    const parts = document.getElementById(id).querySelectorAll("section");
    for (const part of parts) {
      const raw = [...part.querySelectorAll("details")].filter((d) => d.textContent.includes("The raw form"));
      if (raw.length !== 1 || raw[0].open) wrong.push(`${id}: no toggle for the raw form`);
    }
  }
  for (const image of article.querySelectorAll("img")) {
    const name = image.getAttribute("src");
    if (!name.endsWith(".svg") || !image.alt) wrong.push(`${name} is no described vector picture`);
  }
  for (const kind of ["float64", "float32"]) if (!said("accuracy").includes(kind)) wrong.push(`no accuracy in ${kind}`);
  const files = [...article.querySelectorAll("a.download")].map((link) => link.getAttribute("href").split(".").pop());
  for (const kind of ["py", "json", "tex"]) if (!files.includes(kind)) wrong.push(`no link to ${kind}`);
  if (!document.querySelector("#kernel .highlight button.copybtn")) wrong.push("the kernel has no copy button");
  if (!document.querySelector("#kernel .highlight span")) wrong.push("the kernel has no colours");
  if (!said("references").includes("@")) wrong.push("no BibTeX");
  const digits = said("certified-values").match(/[1-9][0-9.]{29,}/g) || [];
  if (!digits.length && !/\\b[0-9]+\\.0+/.test(said("certified-values"))) wrong.push("no number with thirty digits");
  if (!said("files-and-identity").match(/symloss:\\w+/)) wrong.push("no permanent id");
  if (!said("files-and-identity").match(/\\b[0-9a-f]{16}\\b/)) wrong.push("no hash of the content");
  const told = said("recipes");
  for (const kind of ["NumPy", "SciPy", "torch"]) if (!told.includes(kind)) wrong.push(`no recipe for ${kind}`);
  for (const kind of ["XGBoost", "LightGBM", "scikit-learn"]) {
    if (!said("recipes").includes(kind)) wrong.push(`nothing about ${kind}`);
  }
  return wrong;
}"""
"""What is missing on a loss's page, or out of order."""


def test_every_loss_has_everything_in_the_order_of_reading(browser: Any, address: str, html: Path) -> None:
    page = browser.new_page()
    wrong = {}
    losses = [path for path in pages(html) if path.startswith("losses/")]
    for path in losses:
        page.goto(f"{address}/{path}")
        wrong[path] = page.evaluate(HELD, SECTIONS)
    page.close()
    assert {path: missing for path, missing in wrong.items() if missing} == {}
    assert len(losses) == len(list((pipeline.OWN_OUTPUT / "records").glob("*.json")))


WIDE = """() => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  const kinds = "article div.math, article math[display=block], article p math, article td math";
  const boxes = [...document.querySelectorAll(kinds)];
  return boxes.filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.textContent.slice(0, 80));
}"""
"""Formulas wider than their box, folded parts and steps of derivations included."""


def test_no_formula_is_wider_than_a_page(browser: Any, address: str, html: Path) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    wide = {}
    for path in pages(html):
        if path.startswith("losses/"):
            page.goto(f"{address}/{path}")
            assert page.locator("article div.math").count() > 3
            wide[path] = page.evaluate(WIDE)
    page.close()
    assert {path: found for path, found in wide.items() if found} == {}


PRINTED = """() => {
  const hidden = [".sidebar-drawer", ".toc-drawer", ".mobile-header", ".skip-to-content", ".filters", ".copybtn"];
  const shown = hidden.filter((kind) => [...document.querySelectorAll(kind)].some((node) => node.checkVisibility()));
  dispatchEvent(new Event("beforeprint"));
  const folded = [...document.querySelectorAll("details:not([open]) div.math")].length;
  const boxes = [...document.querySelectorAll("article div.math, article pre, .table-wrapper, figure.picture")];
  const cut = boxes.filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1);
  const dark = [...document.querySelectorAll(".only-dark-image")].filter((node) => node.checkVisibility());
  const light = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const code = document.querySelector("article pre");
  const text = [document.querySelector("article p"), code].filter(Boolean);
  const ink = text.map((node) => light(getComputedStyle(node).color));
  const behind = code ? light(getComputedStyle(code).backgroundColor) : 255;
  return [shown, folded, cut.map((box) => box.textContent.slice(0, 60)), dark.length, paper, Math.max(...ink), behind];
}"""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_printed_whole_and_light(browser: Any, address: str, html: Path, theme: str) -> None:
    """On A4 paper: no navigation, no formula, code or table cut off, and dark ink on white whatever the screen has."""
    context = browser.new_context(viewport={"width": 688, "height": 1000}, color_scheme=theme)
    page = context.new_page()
    wrong = {}
    few = ("index.html", "gallery.html", "losses/focal.html")  # in light, all else is alike
    for path in (p for p in pages(html) if theme == "dark" or p in few):
        page.goto(f"{address}/{path}")
        page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
        page.emulate_media(media="print")
        shown, folded, cut, dark, paper, ink, behind = page.evaluate(PRINTED)
        if shown or folded or cut or dark or paper < 250 or ink > 90 or behind < 200:
            wrong[path] = (shown, folded, cut, dark, paper, ink, behind)
        page.emulate_media(media="screen")
    page.goto(f"{address}/losses/focal.html")
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
    assert wrong == {}


class Links(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {str(given[key]) for key in ("id", "name") if given.get(key)}
        self.links += [str(given[key]) for key in ("href", "src") if given.get(key)]


def test_all_internal_links_are_alive(html: Path) -> None:
    parsed: dict[Path, Links] = {}
    for path in html.rglob("*.html"):
        parsed[path] = Links()
        parsed[path].feed(path.read_text(encoding="utf-8"))
    dead = []
    for path, own in parsed.items():
        for link in own.links:
            target, anchor = urldefrag(unquote(link))
            if re.match(r"[a-z]+:", target):
                continue
            file = path if not target else (path.parent / target.split("?")[0]).resolve()
            known = parsed[file].anchors if file in parsed else set()
            if not file.is_file() or (anchor and file in parsed and anchor not in known):
                dead.append(f"{path.relative_to(html)}: {link}")
    assert dead == []


def test_search_finds_each_loss_by_name_and_alias(browser: Any, address: str) -> None:
    page = browser.new_page()
    missing = []
    for file in sorted((pipeline.OWN_OUTPUT / "records").glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        for words in (record["name"], record["title"], *record["aliases"]):
            page.goto(f"{address}/search.html?q={words.replace(' ', '+')}")
            try:
                page.wait_for_selector(f"#search-results a[href*='losses/{record['name']}.html']", timeout=10_000)
            except playwright.TimeoutError:
                missing.append((record["name"], words))
    page.close()
    assert missing == []


def test_copy_buttons_copy(browser: Any, address: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/losses/focal.html")
    block = page.locator("div.highlight:has(button.copybtn):visible").first
    block.hover()
    block.locator("button.copybtn").click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.strip() == block.locator("pre").inner_text().strip()
    assert len(copied) > 40
    context.close()


def test_math_needs_no_script(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/losses/focal.html")
    formula = page.locator("article math").first
    box = formula.bounding_box()
    assert box is not None
    assert box["width"] > 50
    assert "ℓ" in (formula.text_content() or "")
    context.close()


def test_cards_are_filtered_and_curves_are_chosen(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/gallery.html")
    every = page.locator(".card:visible").count()
    page.get_by_role("button", name="robust", exact=True).click()
    assert 0 < page.locator(".card:visible").count() < every
    page.goto(f"{address}/compare.html")
    figure = page.locator("[data-compare]").first
    drawn = figure.locator("svg path").count()
    figure.locator("input[type=checkbox]").first.uncheck()
    assert figure.locator("svg path").count() == drawn - 2  # value and gradient
    page.close()


def test_a_page_can_be_used_by_keyboard(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/gallery.html")
    button = page.get_by_role("button", name="convex", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    page.close()


def test_the_book_has_every_loss_and_every_formula_fits(built: tuple[Path, float]) -> None:
    log = (built[0] / "book" / "symloss.log").read_text(encoding="utf-8", errors="replace").replace("\n", "")
    assert re.findall(r"! [A-Z][^.]*|undefined|multiply defined|A formula is too wide: [\d.]+", log) == []
    assert max(map(float, re.findall(r"Overfull \\[hv]box \(([\d.]+)pt too", log)), default=0.0) <= 1.0
    contents = (built[0] / "book" / "symloss.toc").read_text(encoding="utf-8")
    for file in (pipeline.OWN_OUTPUT / "records").glob("*.json"):
        assert json.loads(file.read_text(encoding="utf-8"))["title"] in contents


def test_building_stays_within_its_budget(built: tuple[Path, float]) -> None:
    assert built[1] < BUDGET


def test_the_whole_site_and_book_are_the_same_bytes_again(
    built: tuple[Path, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    again = tmp_path_factory.mktemp("again")
    pipeline.docs(None, None, again, progress=lambda name, done, total: None)
    first, second = (
        {
            p.relative_to(f): p.read_bytes()
            for p in f.rglob("*")
            if p.is_file() and p.suffix in (".html", ".svg", ".js", ".css", ".pdf")
        }
        for f in (built[0], again)
    )
    assert sorted(first) == sorted(second)
    assert [str(name) for name in first if first[name] != second[name]] == []
