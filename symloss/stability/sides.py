"""Sums with what a probability lacks to 1, from the side on which less cancels.

``a + b (1 - p) + c p`` is ``(a + b) + (c - b) p``, and ``(a + c) + (b - c) (1 - p)``. Where terms merge, one of the two
forms cancels at p near 0, the other at p near 1: each is taken where p, or what it lacks, is at most a half.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.atoms import complement
from symloss.language.nodes import Access
from symloss.program.statement import Program, accesses
from symloss.program.terms import Term
from symloss.stability.rules import left_out

NAME = "nearer_side"
"""What it is called where it is left out."""
_LACK, _HAS = sympy.Dummy("lack", real=True), sympy.Dummy("p", real=True)


def by_sides(program: Program) -> Program:
    """Write such sums in statements and outputs by cases; for programs that are differentiated no more."""
    if NAME in left_out():
        return program
    weights = {s.name for s in program.statements if s.op == "softmax"}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access | complement) or not node.args:
            return node
        node = node.func(*map(walk, node.args))
        return _cases(node, weights) if isinstance(node, sympy.Add) else node

    statements = tuple(replace(s, body=walk(s.body)) if s.op in ("let", "sum") else s for s in program.statements)
    outputs = tuple(replace(o, terms=tuple(Term(t.where, walk(t.body)) for t in o.terms)) for o in program.outputs)
    return replace(program, statements=statements, outputs=outputs)


def _cases(node: sympy.Add, weights: set[str]) -> sympy.Expr:
    """Return a sum by cases if it is linear in one probability or what that lacks, and its terms may merge."""
    gathered = {a for a in accesses(node) if a.name in weights and isinstance(a.slots[-1], Access)}
    if not node.has(complement) and len(gathered) == 1:
        return _of_label(node, *gathered)
    lacks = [f for f in node.atoms(complement) if isinstance(f.args[0], Access) and f.args[0].name in weights]
    if len(lacks) != 1:
        return node
    lack, probability = lacks[0], lacks[0].args[0]
    hidden = node.xreplace({lack: _LACK}).xreplace({probability: _HAS})
    b, c = hidden.diff(_LACK), hidden.diff(_HAS)
    a = hidden.xreplace({_LACK: sympy.S.Zero, _HAS: sympy.S.Zero})
    if a == 0 or (b.free_symbols | c.free_symbols) & {_LACK, _HAS} or not (_merge(a, b) or _merge(-b, c)):
        return node
    low, high = (
        sympy.expand(a + b) + sympy.expand(c - b) * probability,
        sympy.expand(a + c) + sympy.expand(b - c) * lack,
    )
    return sympy.Piecewise((low, probability <= sympy.S.Half), (high if c != 0 else node, True))


def _of_label(node: sympy.Add, probability: Access) -> sympy.Expr:
    """Return ``a + c p`` by cases for p of a label, one in a row, where a parameter may make a of -c."""
    hidden = node.xreplace({probability: _HAS})
    a, c = hidden.xreplace({_HAS: sympy.S.Zero}), hidden.diff(_HAS)
    if not (a.is_Number and a != 0 and c.as_coeff_Mul()[1].is_Symbol):
        return node
    high = (a + c) - c * complement(probability)
    return sympy.Piecewise((node, probability <= sympy.S.Half), (high, True))


def _merge(left: sympy.Expr, right: sympy.Expr) -> bool:
    """Tell whether a sum has fewer terms than its two parts."""
    return right != 0 and _terms(left + right) < _terms(left) + _terms(right)


def _terms(node: sympy.Expr) -> int:
    expanded = sympy.expand(node)
    return 0 if expanded == 0 else len(sympy.Add.make_args(expanded))
