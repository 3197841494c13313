"""Sums that may cancel are computed once more, with two or three floats for every number, where they do.

What a program says stays what it was; its kernels get, beside such a sum, the size of its terms and a recipe. Where
the sum is small beside its terms, rounding of the terms is most of it, and the recipe gives it anew from the inputs,
which are exact: next to a zero crossing and to a kink the result is still right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import sympy

from symloss.language.atoms import magnitude, positive_part, sigmoid, softplus
from symloss.language.definition import Definition
from symloss.language.domains import OneOf
from symloss.language.nodes import Access, Flag
from symloss.program.statement import Program
from symloss.program.terms import Term
from symloss.stability.expansion import magnified, shrunk, unsigned
from symloss.stability.ranges import Range, declared, range_of

LARGEST = 160
"""Operations up to which a sum is worth a recipe."""
NEAR_ZERO = sympy.Rational(1, 2)
"""Arguments of a sigmoid up to which it is written as 1/2 and a rest."""
OPERATIONS = (sigmoid, softplus, sympy.exp, sympy.log, positive_part, magnitude)


class Recipe(sympy.AtomicExpr):
    """An expression to be computed with more digits, as a function of its leaves; opaque to every pass."""

    expression: sympy.Expr
    leaves: tuple[sympy.Expr, ...]

    def __new__(cls, expression: sympy.Expr, leaves: tuple[sympy.Expr, ...]) -> Recipe:
        """Return the recipe for an expression."""
        node: Recipe = sympy.AtomicExpr.__new__(cls)
        node.expression, node.leaves = expression, leaves
        return node

    def _hashable_content(self) -> tuple[object, ...]:
        return (self.expression, self.leaves)

    @property
    def name(self) -> str:
        """A name that follows from the expression."""
        return f"_careful_{hashlib.sha256(sympy.srepr(self.expression).encode()).hexdigest()[:6]}"

    def _sympystr(self, _printer: object) -> str:
        return self.name


class careful(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """A sum, the size of its terms, and the recipe and leaves to compute it again: ``(recipe, sum, size, *leaves)``."""


class cancels(sympy.Function):  # noqa: N801
    """Whether a sum is small beside the size of its terms: of both."""

    nargs = 2


class half_tanh(sympy.Function):  # noqa: N801
    """tanh(x / 2) / 2, which is sigmoid(x) - 1/2 without the difference."""

    nargs = 1


def carefully(definition: Definition, program: Program) -> Program:
    """Give every sum of an elementwise loss that may cancel its recipe.

    Parameters
    ----------
    definition : Definition
        For the domains of what is added up.
    program : Program
        Stable; of other losses it comes back as it was, since rows and sums are no leaves.
    """
    if not definition.elementwise:
        return program
    known = declared(definition)
    signs = frozenset(
        a.name for a in definition.inputs if isinstance(a.domain, OneOf) and set(a.domain.values) <= {-1, 0, 1}
    )
    outputs = tuple(
        replace(o, terms=tuple(Term(t.where, _magnified(_walked(t.body, known, signs))) for t in o.terms))
        for o in program.outputs
    )
    return replace(program, outputs=outputs)


Facts = tuple[tuple[sympy.Expr, sympy.Expr], ...]
"""Pairs of which the first is at least the second."""


def _walked(node: sympy.Basic, known: Mapping[str, Range], signs: frozenset[str], facts: Facts = ()) -> sympy.Basic:
    if isinstance(node, Access) or not node.args:
        return node
    if isinstance(node, sympy.Piecewise):
        cases = []
        for value, condition in node.args:
            cases.append((_walked(value, known, signs, facts), condition))
            if isinstance(condition, sympy.Le | sympy.Lt | sympy.Ge | sympy.Gt):
                facts = (*facts, (condition.lts, condition.gts))  # further cases: it does not hold
        return sympy.Piecewise(*cases)
    apart = isinstance(node, sympy.Add) and any(_far_apart(node, fact, known) for fact in facts)
    if isinstance(node, sympy.Add) and not apart and _may_cancel(node, known, signs) and _can_repeat(node, known):
        leaves = _leaves(node)
        return careful(Recipe(_near_zero(node), leaves), node, _size(node, known), *leaves)
    return node.func(*(_walked(a, known, signs, facts) for a in node.args))


def _far_apart(node: sympy.Add, fact: tuple[sympy.Expr, sympy.Expr], known: Mapping[str, Range]) -> bool:
    """Tell whether a difference a x - b y keeps a third of its terms' size where x is at least y, not negative."""
    large, small = fact
    parts = [t.as_coeff_Mul() for t in node.args]
    weights = [(c, e) for wanted in (large, small) for c, e in parts if e == wanted]
    if len(parts) != 2 or len(weights) != 2 or range_of(small, known)[0] < 0:
        return False
    (a, _), (b, _) = weights
    return bool(a > 0 > b and a >= -2 * b)


def _magnified(node: sympy.Basic) -> sympy.Basic:
    """Return products with a sigmoid in them taken at 2**64 times their size: a subnormal factor has lost its bits."""
    if isinstance(node, sympy.Add):
        return node.func(*map(_magnified, node.args))
    if not isinstance(node, sympy.Mul):
        return node
    small = [f for f in node.args if isinstance(f, sigmoid)]
    if not small:
        return node.func(*map(_magnified, node.args))
    x = small[0].args[0]
    pair = [f for f in small if f.args[0] in (x, -x)]
    both = len(pair) == 2
    rest = [f for f in node.args if f not in pair]
    return shrunk(sympy.Mul(magnified(sympy.Mul(*pair), -magnitude(x) if both else x), *rest))


def _may_cancel(node: sympy.Add, known: Mapping[str, Range], signs: frozenset[str]) -> bool:
    """Tell whether terms of both signs meet, and more is rounded than their sum."""
    ranges = [range_of(t, known) for t in node.args]
    if all(low >= 0 for low, _ in ranges) or all(high <= 0 for _, high in ranges):
        return False
    return len(node.args) > 2 or not all(_is_exact(t, signs) for t in node.args)


def _is_exact(term: sympy.Expr, signs: frozenset[str]) -> bool:
    """Tell whether a term is an input, a parameter or a number, up to a factor that rounds nothing."""
    number, factors = term.as_coeff_mul()
    if not (number.is_Rational and all(n & (n - 1) == 0 for n in (abs(number.p), number.q))):
        return False  # no power of 2
    rest = [f for f in factors if not (isinstance(f, Access) and f.name in signs)]
    return len(rest) <= 1 and all(isinstance(f, Access) or f.is_Atom for f in rest)


def _can_repeat(node: sympy.Expr, known: Mapping[str, Range]) -> bool:
    """Tell whether pairs have every operation, and the leaves are arguments, which no rounding has touched.

    Directions are not among these: a kernel that moves inputs alone sets those of parameters to 0 in what it prints.
    """
    leaves = _leaves(node)
    if sympy.count_ops(node) > LARGEST or not all(leaf.name in known or isinstance(leaf, Flag) for leaf in leaves):
        return False

    def has(part: sympy.Basic) -> bool:
        match part:
            case Access() | Flag() | sympy.Symbol() | sympy.Rational():
                return True
            case sympy.Pow():
                return bool(part.exp.is_Integer and 0 < part.exp <= 8) and has(part.base)
            case sympy.Piecewise():
                return all(isinstance(c, Flag | sympy.logic.boolalg.BooleanTrue) and has(v) for v, c in part.args)
            case sympy.Add() | sympy.Mul():
                return all(map(has, part.args))
        return isinstance(part, OPERATIONS) and all(map(has, part.args))

    return has(node)


def _leaves(node: sympy.Expr) -> tuple[sympy.Expr, ...]:
    found: dict[sympy.Expr, None] = {}

    def walk(part: sympy.Basic) -> None:
        if isinstance(part, Access | sympy.Symbol):
            found.setdefault(part)
        else:
            for argument in part.args:
                walk(argument)

    walk(node)
    return tuple(found)


def _size(node: sympy.Expr, known: Mapping[str, Range]) -> sympy.Expr:
    """Return a bound of what the terms add up to with every sign the same."""
    if range_of(node, known)[0] >= 0:
        return node
    match node:
        case sympy.Number():
            return abs(node)
        case sympy.Add() | sympy.Mul():
            return node.func(*(_size(a, known) for a in node.args))
        case sympy.Piecewise():
            return sympy.Piecewise(*((_size(value, known), condition) for value, condition in node.args))
        case sympy.Pow():
            return sympy.Pow(_size(node.base, known), node.exp)
    return magnitude(node)


def _near_zero(node: sympy.Expr) -> sympy.Expr:
    """Return a sum in which sigmoids of a small argument are 1/2 and a rest, so that constants cancel exactly."""
    found = sorted(node.atoms(sigmoid), key=sympy.default_sort_key)
    if not found or node.has(softplus) or len({unsigned(s.args[0]) for s in found}) > 1:
        return node
    x = unsigned(found[0].args[0])
    halves = {s: sympy.S.Half + (half_tanh(x) if s.args[0] == x else -half_tanh(x)) for s in found}
    poly = sympy.expand(node.xreplace(halves))
    rest = poly.coeff(half_tanh(x), 1)
    if sympy.expand(poly - rest * half_tanh(x)).has(half_tanh):
        return node
    apart = sympy.factor_terms(sympy.expand(poly - rest * half_tanh(x))) + rest * half_tanh(x)
    return sympy.Piecewise((apart, magnitude(x) <= NEAR_ZERO), (node, True))
