r"""Lines of formulas: LaTeX of any width comes in, and LaTeX that is no wider than a page goes out.

A formula that is too wide is broken where a mathematician would break it: at a relation, then before a sum's terms,
then before a product's large factors, then within brackets, each level aligned below its own beginning. Widths are
estimates, in ems, that err on the wide side; nothing is lost but the length of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

PAGE, SMALL = 41.0, 0.72
"""Ems of a line on a page at its full width, and the size of what stands above or below a line."""
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[{}_^&]|\s+|.", re.DOTALL)
WIDTHS = {
    r"\quad": 1.0, r"\,": 0.17, r"\;": 0.3, r"\sum": 1.5, r"\left": 0.0, r"\right": 0.0, r"\operatorname": 0.3,
    r"\log": 1.5, r"\exp": 1.6, r"\max": 2.0, r"\min": 1.8, r"\sin": 1.5, r"\cos": 1.6, r"\tan": 1.6, r"\to": 2.0,
    r"\displaystyle": 0.0, r"\mathrm": 0.0, r"\text": 0.0, r"\mathbb": 0.0, r"\overline": 0.0, r"\|": 0.6,
    r"\leq": 1.4, r"\geq": 1.4, r"\neq": 1.4, r"\wedge": 1.3, r"\vee": 1.3, r"\in": 1.3, r"\times": 1.4, r"\cdot": 1.0,
}  # fmt: skip
PREFIX = re.compile(r"[-+]|\{\}|\\(?:log|sin|cos|quad|times)|(?:\\sum|\\max|\\min|\\operatorname)\S*(?:_\{.*\})?")
"""What begins a factor and is none by itself."""
RELATIONS, SIGNS = (" = ", r" \;\to\; "), (" + ", " - ")
ALIGNED = r"\begin{aligned} %s \end{aligned}"


def fitted(latex: str, page: float = PAGE) -> str:
    """Return a formula in as many lines as it needs.

    Parameters
    ----------
    latex : str
        The formula, in one line.
    page : float
        The width of a line in ems.

    Returns
    -------
    str
        The same formula, or an ``aligned`` environment with its parts.
    """
    if width(latex) <= page:
        return latex
    for relation in RELATIONS:
        left, found, right = _parted(latex, relation)
        if found:
            break
    else:
        return ALIGNED % r" \\ ".join(f"& {row}" for row in _rows(latex, page))
    sign = relation.strip().replace(r"\;", "").strip()
    if width(left) + width(sign) > page / 2:  # both sides are wide: the relation begins a line of its own
        upper = [f"& {row}" for row in _rows(left, page - 2.0)]
        lower = _rows(right, page - 2.0)
        return ALIGNED % r" \\ ".join((*upper, f"{sign} {{}} & {lower[0]}", *(f"& {row}" for row in lower[1:])))
    first, *others = _rows(right, page - width(left) - width(sign) - 0.6)
    return ALIGNED % r" \\ ".join((f"{left} {sign} {{}} & {first}", *(f"& {row}" for row in others)))


def _rows(latex: str, room: float) -> list[str]:
    """Return an expression in rows that fit: each takes as many terms as there is room for."""
    if width(latex) <= room:
        return [latex]
    rows: list[str] = []
    for term in _pieces(latex):
        shown = "{} " + term if rows else term
        if rows and width(rows[-1]) + width(shown) <= room:
            rows[-1] += f" {term}"
        elif width(shown) <= room:
            rows.append(shown)
        else:
            rows += _product(shown, room)
    return rows


def _product(term: str, room: float) -> list[str]:
    """Return one term in rows: its factors, where there are several, else what its widest bracket holds in rows."""
    rows = [""]
    for factor in _factors(term):
        own = factor if width(factor) <= room - 2.0 else _opened(factor, room - 2.0)
        if not rows[-1].strip("{} +-") or width(rows[-1]) + width(own) <= room:
            rows[-1] = f"{rows[-1]} {own}".strip()
        else:
            rows.append(rf"\quad {{}} \times {own}")
    return rows


def _opened(factor: str, room: float) -> str:
    """Return a factor in which what stands within the widest bracket, fraction or case is in rows."""
    for place, content in sorted(_groups(factor), key=lambda group: -width(group[1])):
        rows = _rows(content.strip(), max(room - (width(factor) - width(content)), 6.0))
        if len(rows) > 1:
            inner = ALIGNED % r" \\ ".join(f"& {row}" for row in rows)
            return f"{factor[:place]} {inner} {factor[place + len(content) :]}"
    return factor


def _depths(latex: str) -> Iterator[tuple[int, str, int]]:
    r"""Yield places, tokens and how many braces, ``\left`` brackets and environments are open before each."""
    depth = place = 0
    for token in TOKEN.findall(latex):
        if token in ("}", r"\right", r"\end"):
            depth -= 1
        yield place, token, depth
        if token in ("{", r"\left", r"\begin"):
            depth += 1
        place += len(token)


def _parted(latex: str, relation: str) -> tuple[str, str, str]:
    for place, _, depth in _depths(latex):
        if depth == 0 and latex.startswith(relation, place):
            return latex[:place], relation, latex[place + len(relation) :]
    return latex, "", ""


def _pieces(latex: str) -> list[str]:
    """Return the terms of a sum, each with its sign."""
    starts = [p for p, _, depth in _depths(latex) if p and depth == 0 and latex.startswith(SIGNS, p)]
    return [latex[a:b].strip() for a, b in zip([0, *starts], [*starts, len(latex)], strict=True)]


def _factors(term: str) -> list[str]:
    """Return the factors of a product: what blanks divide, a sign, a sum or a function going with what follows."""
    places = [p for p, token, depth in _depths(term) if depth == 0 and token.isspace()]
    parts = [term[a:b].strip() for a, b in zip([0, *places], [*places, len(term)], strict=True)]
    found: list[str] = []
    for part in filter(None, parts):
        if found and PREFIX.fullmatch(found[-1].rpartition(" ")[2]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def _groups(factor: str) -> list[tuple[int, str]]:
    """Return what stands within brackets, fractions and cases, each with its place."""
    found: list[tuple[int, str]] = []
    opened: list[tuple[str, int]] = []
    before = ""
    for place, token, _ in _depths(factor):
        match token:
            case "{":
                opened.append((before, place + 1))
            case r"\left":
                opened.append((token, place + len(token) + (2 if factor[place + len(token)] == "\\" else 1)))
            case r"\begin":
                opened.append((token, place + len(r"\begin{cases}")))
            case "&" | "}" | r"\right" | r"\end" if opened:
                kind, start = opened.pop()
                if kind in (r"\left", r"\begin", r"\frac"):
                    found.append((start, factor[start:place]))
                if token == "&":
                    opened.append(("&", place))
            case r"\\" if opened:
                opened[-1] = (r"\begin", place + 2)
        before = before if token.isspace() else token
    return found


@cache
def width(latex: str) -> float:
    """Return the width of a formula as it is printed, in ems, about."""
    return _measured(TOKEN.findall(latex), 0, "")[0]


def _measured(tokens: list[str], start: int, stop: str) -> tuple[float, int]:
    """Return the width of tokens up to a brace or a word that ends them, and where they end."""
    total, k = 0.0, start
    rows: list[float] = []
    while k < len(tokens):
        token = tokens[k]
        k += 1
        if token == stop:
            if stop == r"\end":
                _, k = _group(tokens, k)
            break
        match token:
            case "{":
                more, k = _measured(tokens, k, "}")
                total += more
            case r"\begin":
                _, k = _group(tokens, k)
                more, k = _measured(tokens, k, r"\end")
                total += more + 0.6
            case r"\\":
                rows.append(total)
                total = 0.0
            case r"\frac":
                top, k = _group(tokens, k)
                bottom, k = _group(tokens, k)
                total += max(top, bottom) + 0.25
            case "_" | "^":
                below, k = _group(tokens, k)
                while k < len(tokens) and tokens[k] in "_^":  # both stand one above the other
                    other, k = _group(tokens, k + 1)
                    below = max(below, other)
                total += SMALL * below
            case r"\sum" | r"\max" | r"\min":
                own = WIDTHS[token]
                if k < len(tokens) and tokens[k] == "_":
                    below, k = _group(tokens, k + 1)
                    own = max(own, SMALL * below)
                total += own + 0.2
            case "&":
                total += 1.0
            case _:
                total += _letter(token)
    return max((*rows, total)), k


def _group(tokens: list[str], k: int) -> tuple[float, int]:
    while k < len(tokens) and tokens[k].isspace():
        k += 1
    if k < len(tokens) and tokens[k] == "{":
        return _measured(tokens, k + 1, "}")
    return (_letter(tokens[k]), k + 1) if k < len(tokens) else (0.0, k)


def _letter(token: str) -> float:
    if token.isspace() or token == "}":
        return 0.0
    if token in WIDTHS:
        return WIDTHS[token]
    if token in "+-=<>":
        return 1.4
    if token in "()[],.|'":
        return 0.55 if token in "()" else 0.4
    if token in "mwMW":
        return 0.95
    return 0.62 if token.isalnum() or token.startswith("\\") else 0.5
