"""Functions of one number made of pieces: what they are between the points where they switch, and at those.

A formula with absolute values, positive parts, maxima and comparisons comes in, in `X`; where each of these switches is
solved for, so that between two such points one formula is left. Nothing is said where an order of points is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy
from sympy import S, oo

from symloss.language import atoms
from symloss.language.axes import Index, Size
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, exact, label_cases, lets, written

X = sympy.Symbol("@x", real=True)
KINKED = (sympy.Abs, atoms.magnitude, atoms.positive_part, sympy.Max, sympy.Min, sympy.Piecewise)
ORDERED = (sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge)


@dataclass(frozen=True)
class Pieces:
    """A function of one number.

    Parameters
    ----------
    ends : tuple of sympy.Expr
        The points where it switches in rising order, between the two ends of where it is defined.
    formulas : tuple of sympy.Expr
        What it is between each two of them.
    values : tuple of sympy.Expr
        What it is at those points, the two outer ones left out.
    """

    ends: tuple[sympy.Expr, ...]
    formulas: tuple[sympy.Expr, ...]
    values: tuple[sympy.Expr, ...]

    def jumps(self, order: int) -> list[sympy.Expr]:
        """Return by how much a derivative jumps at each point."""
        slopes = [sympy.diff(f, X, order) for f in self.formulas]
        pairs = zip(self.ends[1:-1], slopes[:-1], slopes[1:], strict=True)
        return [sympy.simplify((right - left).subs(X, at)) for at, left, right in pairs]

    @property
    def continuous(self) -> bool:
        """Whether it is proved continuous."""
        sides = zip(self.ends[1:-1], self.values, self.formulas[:-1], strict=True)
        return not any(self.jumps(0)) and all(sympy.simplify(f.subs(X, at) - v) == 0 for at, v, f in sides)

    @property
    def degree(self) -> int | None:
        """The largest degree of its pieces, or None where one is no polynomial."""
        forms = [sympy.expand(f) for f in self.formulas]
        return max(int(sympy.degree(f, X)) if f.has(X) else 0 for f in forms) if all(
            f.is_polynomial(X) for f in forms
        ) else None  # fmt: skip


def sign(node: sympy.Expr) -> int | None:
    """Return the sign of an expression, or None where it is not known."""
    for form in (node, sympy.expand(node), sympy.factor(node)):
        for known, found in ((form.is_zero, 0), (form.is_positive, 1), (form.is_negative, -1)):
            if known:
                return found
    return None


def pieces_of(formula: sympy.Expr, low: sympy.Expr = -oo, high: sympy.Expr = oo) -> Pieces | None:
    """Return the pieces of a formula in `X` between two ends, or None where they are not known."""
    found = _split(formula, low, high)
    if found is None:
        return None
    ends, formulas = [low], [found[0][1]]
    values: list[sympy.Expr] = []
    for (_, before), (at, after) in zip([(low, found[0][1]), *found[1:]], found[1:], strict=False):
        value = _value(formula, at)
        if value is None:
            return None
        if sympy.expand(before - after) == 0 and sympy.expand(after.subs(X, at) - value) == 0:
            continue  # nothing changes there
        ends, formulas, values = [*ends, at], [*formulas, after], [*values, value]
    return Pieces((*ends, high), tuple(formulas), tuple(values))


def _split(formula: sympy.Expr, low: sympy.Expr, high: sympy.Expr) -> list[tuple[sympy.Expr, sympy.Expr]] | None:
    """Return where pieces begin, and what they are."""
    node = _innermost(formula)
    if node is None:
        return [(low, formula)]
    u = _compared(node)
    rate = S.Zero if u is None else sympy.diff(u, X)
    if u is None or rate.has(X) or sign(rate) is None:
        return None
    if sign(rate) == 0:
        side = sign(u)
        return None if side is None else _split(formula.xreplace({node: _branch(node, side)}), low, high)
    at, turn = sympy.expand(-u.subs(X, 0) / rate), sign(rate) or 0
    after, before = (1 if end in (oo, -oo) else sign(gap) for end, gap in ((low, at - low), (high, high - at)))
    left, right = (formula.xreplace({node: _branch(node, side * turn)}) for side in (-1, 1))
    if after is None or before is None:
        return None
    if after <= 0:
        return _split(right, low, high)
    if before <= 0:
        return _split(left, low, high)
    first, second = _split(left, low, at), _split(right, at, high)
    return None if first is None or second is None else first + second


def _innermost(node: sympy.Basic) -> sympy.Basic | None:
    """Return a part that switches, in which no other does."""
    for part in node.args:
        if (found := _innermost(part)) is not None:
            return found
    return node if isinstance(node, KINKED) else None


def _compared(node: sympy.Basic) -> sympy.Expr | None:
    """Return the number at whose zero a part switches."""
    match node:
        case sympy.Abs() | atoms.magnitude() | atoms.positive_part():
            return node.args[0]
        case sympy.Max() | sympy.Min():
            return node.args[0] - node.args[1]
        case sympy.Piecewise() if len(node.args) == 2 and node.args[1][1] is sympy.true:
            condition = node.args[0][1]
            return condition.lhs - condition.rhs if isinstance(condition, ORDERED) else None
    return None


def _branch(node: sympy.Basic, side: int) -> Any:
    """Return what a part is on one side of the zero of what it compares, or at it."""
    match node:
        case sympy.Abs() | atoms.magnitude():
            return side * node.args[0]
        case atoms.positive_part():
            return node.args[0] if side > 0 else S.Zero
        case sympy.Max() | sympy.Min():
            first = (side >= 0) == isinstance(node, sympy.Max)
            return node.func(node.args[0 if first else 1], *node.args[2:])
    (then, condition), (otherwise, _) = node.args
    return then if condition.func(side, 0) else otherwise


def _value(formula: sympy.Expr, at: sympy.Expr) -> sympy.Expr | None:
    """Return what a formula is at a point, or None where a comparison is not decided there."""
    while (node := _innermost(formula)) is not None:
        u = _compared(node)
        side = None if u is None else sign(u.subs(X, at))
        if side is None:
            return None
        formula = formula.xreplace({node: _branch(node, side)})
    return formula.subs(X, at)


def cases_in(definition: Definition, settings: Settings, wrt: str) -> Iterator[Pieces | None]:
    """Yield the pieces of a loss in an input or named value, for every value of the labels."""
    parts = {part for part in lets(definition.formula) if part.name == wrt}
    formula = written(replace(definition, formula=definition.formula.xreplace(dict.fromkeys(parts, X))), settings)
    inputs = {a.name for a in definition.inputs} & set(settings)
    given = {a: exact(float(settings[a.name] or 0)) for a in formula.atoms(Access) if a.name in inputs}
    for case in label_cases(definition, formula.xreplace(given)):
        reads = {a for a in case.atoms(Access) if a.name == wrt}
        single = (len(reads) == 1 and not parts) or not reads
        low = S.Zero if any(isinstance(p.body, Reduction) and p.body.operation == "norm" for p in parts) else -oo
        form = plain(definition, case.xreplace(dict.fromkeys(reads, X)))
        yield pieces_of(form, low) if single and form is not None and form.has(X) else None


def plain(definition: Definition, formula: sympy.Expr) -> sympy.Expr | None:
    """Return a formula with symbols for all that it reads, of the sign that domains give; None with `X` in a sum."""
    signs = {a.name: known_sign(a.domain) for a in definition.arguments}
    swap: dict[sympy.Basic, sympy.Basic] = {}
    for node in (*_outer_sums(formula), *formula.atoms(Access), *formula.atoms(sympy.Symbol)):
        if isinstance(node, Reduction) and node.has(X):
            return None
        if isinstance(node, Reduction):
            swap[node] = _symbol(node, "nonnegative" if node.operation == "norm" else "real")
        elif node != X and not isinstance(node, sympy.Dummy | Index):
            swap[node] = _symbol(node, "positive" if isinstance(node, Size) else signs.get(node.name, "real"))
    return formula.xreplace(swap)


@lru_cache(maxsize=4096)
def _symbol(node: sympy.Basic, assumption: str) -> sympy.Dummy:
    """Return the one symbol that stands for what a formula reads."""
    name = f"@{node.operation}" if isinstance(node, Reduction) else str(node.name)
    return sympy.Dummy(name, **{"real": True, assumption: True})


def _outer_sums(node: sympy.Basic) -> Iterator[Reduction]:
    if isinstance(node, Reduction):
        yield node
        return
    for part in node.args:
        yield from _outer_sums(part)


def known_sign(domain: object) -> str:
    """Return what a domain says of the sign of its members, as SymPy calls it."""
    if not isinstance(domain, Interval):
        return "real"
    if domain.low > 0 or (domain.low == 0 and domain.low_open):
        return "positive"
    if domain.high < 0 or (domain.high == 0 and domain.high_open):
        return "negative"
    return "nonnegative" if domain.low >= 0 else "real"


def in_parameters(definition: Definition, settings: Settings, text: str) -> sympy.Expr:
    """Return an expression in parameters, those of `settings` at their values."""
    own = {a.name: sympy.Symbol(a.name, real=True) for a in definition.parameters}
    values = {own[n]: exact(float(v)) for n, v in settings.items() if n in own and v is not None}
    return sympy.sympify(text, locals=own).xreplace(values)


def smooth(definition: Definition, settings: Settings, wrt: str, times: int) -> bool:
    """Tell whether the loss is proved so many times continuously differentiable, and not once more, for each label."""
    found = list(cases_in(definition, settings, wrt))
    return bool(found) and all(
        p is not None
        and p.continuous
        and p.degree is not None
        and not any(j for k in range(1, times + 1) for j in p.jumps(k))
        and any(j.is_nonzero for j in p.jumps(times + 1))
        for p in found
    )


def piecewise(definition: Definition, settings: Settings, wrt: str, degree: int) -> bool:
    """Tell whether the loss is proved continuous and made of polynomials, the largest of that degree."""
    found = list(cases_in(definition, settings, wrt))
    return bool(found) and all(p is not None and p.continuous and p.degree == degree for p in found)


def steepest(definition: Definition, settings: Settings, wrt: str, bound: str) -> bool:
    """Tell whether the largest slope of pieces of degree 2 at most is proved to be an expression in parameters."""
    largest = plain(definition, in_parameters(definition, settings, bound))
    found = list(cases_in(definition, settings, wrt))
    if largest is None or not found or any(p is None or not p.continuous or (p.degree or 3) > 2 for p in found):
        return False
    slopes = [s for p in found if p is not None for s in _extreme_slopes(p)]
    within = all(
        (sign(largest - s) or 0) >= 0 and sign(largest - s) is not None for s in (*slopes, *(-s for s in slopes))
    )
    return within and any(sign(largest - s) == 0 for s in (*slopes, *(-s for s in slopes)))


def _extreme_slopes(pieces: Pieces) -> Iterator[sympy.Expr]:
    """Yield the slopes, each linear, at both ends of every piece; infinite where a piece has no end."""
    for left, right, formula in zip(pieces.ends[:-1], pieces.ends[1:], pieces.formulas, strict=True):
        slope = sympy.expand(sympy.diff(formula, X))
        yield from ((slope.subs(X, end) if end not in (oo, -oo) or not slope.has(X) else oo) for end in (left, right))
