"""Losses that are softmax cross entropy of scores, or a sum of binary cross entropies, written out or not.

An opened formula comes in. ``logsumexp(s[k] over k) - s[y]`` is softmax cross entropy of the scores s; what is known of
cosines, which are products of unit vectors and lie between -1 and 1, then bounds the loss and its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import S

from symloss.language import atoms
from symloss.language.axes import Axis, Index
from symloss.language.definition import Definition
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, opened, slots_in, written
from symloss.verification.proof_ranges import ranges_of


@dataclass(frozen=True)
class Scores:
    """The scores that a loss is the softmax cross entropy of.

    Parameters
    ----------
    axis : Axis
        Over which the softmax runs.
    factor : sympy.Expr
        What cosines are multiplied by.
    vectors : tuple of str
        Whose cosines.
    """

    axis: Axis
    factor: sympy.Expr
    vectors: tuple[str, ...]


def scores_of(definition: Definition, settings: Settings) -> Scores | None:
    """Return the scaled cosines that a loss is the softmax cross entropy of, or None."""
    formula = _with_products(written(definition, settings))
    for term in sympy.Add.make_args(formula):
        if isinstance(term, Reduction) and term.operation == "logsumexp" and term.where is sympy.true:
            (own, *more), rest = term.bound, formula - term
            body = _at_all(term.body, own)
            slots = [s for s in slots_in(formula) if getattr(s, "axis", own.axis) == own.axis]
            if more or not any(opened(body.xreplace({own: s})) == -rest for s in slots if s != own):
                continue
            found = _cosine(body)
            if found is not None and ranges_of(definition, settings).of(found[0])[0] >= 0:
                return Scores(own.axis, *found)
    return None


def _with_products(node: sympy.Basic) -> sympy.Basic:
    """Write the cosine of the angle between two unit vectors as their product; both are not 0."""
    match node:
        case Reduction():
            body, where = _with_products(node.body), _with_products(node.where)
            return opened(Reduction(node.args[0], body, node.bound, where, node.empty))
        case sympy.cos(args=(angle,)):
            pair = _between(angle)
            return node if pair is None else pair
        case Access() | sympy.Symbol():
            return node
        case _ if node.args:
            return node.func(*map(_with_products, node.args))
    return node


def _between(angle: sympy.Expr) -> sympy.Expr | None:
    """Return the product of the unit vectors of which an angle is twice the arctangent of |a - b| over |a + b|."""
    factor, part = angle.as_coeff_Mul()
    if factor != 2 or not isinstance(part, atoms.arctangent):
        return None
    across, along = part.args
    if not (isinstance(across, Reduction) and isinstance(along, Reduction) and across.bound == along.bound):
        return None
    first, second = (along.body + across.body) / 2, (along.body - across.body) / 2
    first, second = sympy.expand(first), sympy.expand(second)
    if not (across.operation == along.operation == "norm" and _is_unit(first) and _is_unit(second)):
        return None
    product: sympy.Expr = opened(Reduction(sympy.core.symbol.Str("sum"), first * second, along.bound, S.true, S.NaN))
    return product


def _is_unit(node: sympy.Basic) -> bool:
    """Tell whether a node is an entry of a vector divided by the vector's norm."""
    if not isinstance(node, atoms.ratio):
        return False
    top, bottom = node.args
    if not (isinstance(bottom, Reduction) and bottom.operation == "norm" and isinstance(top, Access)):
        return False
    body = bottom.body
    if not isinstance(body, Access) or body.name != top.name or len(bottom.bound) != 1 or bottom.where is not S.true:
        return False
    pairs = [(a, b) for a, b in zip(body.slots, top.slots, strict=True) if a != b]
    return len(pairs) == 1 and pairs[0][0] == bottom.bound[0] and isinstance(pairs[0][1], Index)


def _at_all(body: sympy.Expr, own: Index) -> sympy.Expr:
    """Leave out a case of one index in which a body is what it is in general."""
    swap = {}
    for node in body.atoms(sympy.Piecewise):
        match [tuple(pair) for pair in node.args]:
            case [(special, sympy.Eq() as test), (general, sympy.true)] if own in test.args:
                (other,) = [a for a in test.args if a != own]
                if opened(general.xreplace({own: other})) == special:
                    swap[node] = general
    return body.xreplace(swap)


def _cosine(body: sympy.Expr) -> tuple[sympy.Expr, tuple[str, ...]] | None:
    """Return what a cosine is multiplied by, and of which vectors it is."""
    sums = [a for a in sympy.Mul.make_args(body) if isinstance(a, Reduction) and a.operation == "sum"]
    if len(sums) != 1 or sums[0].where is not S.true or len(sums[0].bound) != 1:
        return None
    parts = sympy.Mul.make_args(sums[0].body)
    if len(parts) != 2 or not all(map(_is_unit, parts)):
        return None
    names = tuple(sorted(p.args[0].name for p in parts))
    return sympy.Mul(*(a for a in sympy.Mul.make_args(body) if a is not sums[0])), names


def is_sum_of(formula: sympy.Expr, other: Definition, settings: Settings, label: str) -> bool:
    """Tell whether each term of a formula, summed over an axis or not, is another loss where its label is 0 or 1."""
    (wrt,) = [a.name for a in other.differentiable]
    form = written(other, settings)
    forms = [form.xreplace({a: value for a in form.atoms(Access) if a.name == label}) for value in (S.Zero, S.One)]
    return all(any(_is_one(_inside(term), form, wrt) for form in forms) for term in sympy.Add.make_args(formula))


def _inside(term: sympy.Expr) -> sympy.Expr:
    """Return the body of a sum, a factor of 1 or -1 included."""
    factor, part = term.as_coeff_Mul()
    is_sum = isinstance(part, Reduction) and part.operation == "sum" and part.where is S.true
    return factor * part.body if is_sum else term


def _is_one(term: sympy.Expr, form: sympy.Expr, wrt: str) -> bool:
    odds = [node.args[0] for node in term.atoms(atoms.sigmoid)]
    (entry,) = {a for a in form.atoms(Access) if a.name == wrt}
    return len(odds) == 1 and bool(sympy.expand(form.xreplace({entry: odds[0]}) - term) == 0)
