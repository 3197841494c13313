"""Formulas as proofs read them: names written out, summed indices canonical, one formula for each case of the labels.

A definition comes in, SymPy trees go out. Two formulas that differ only in the names of summed indices are equal trees.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import sympy

from symloss.language.axes import Index
from symloss.language.definition import Definition
from symloss.language.domains import OneOf
from symloss.language.nodes import Access, LabelAccess, Let, Reduction, given_flag

Settings = Mapping[str, float | None]


def lets(node: sympy.Basic) -> Iterator[Let]:
    """Yield the named values in a formula, those inside others too."""
    if isinstance(node, Let):
        yield node
    for part in (node.inlined,) if isinstance(node, Let) else node.args:
        yield from lets(part)


def opened(node: sympy.Basic) -> Any:
    """Return a formula without names for its parts, each summed index named by how deep the sums below it go."""
    match node:
        case Let():
            return opened(node.inlined)
        case Reduction():
            body, where = opened(node.body), opened(node.where)
            height = _height(body)
            fresh = {k: Index(f"@{height}.{n}", k.axis) for n, k in enumerate(node.bound)}
            return Reduction(
                node.args[0], body.xreplace(fresh), list(fresh.values()), where.xreplace(fresh), opened(node.empty)
            )
        case Access() | sympy.Symbol():
            return node
        case _ if node.args and all(isinstance(a, sympy.Basic) for a in node.args):
            return node.func(*(opened(a) for a in node.args))
    return node


def _height(node: sympy.Basic) -> int:
    return 1 + max((_height(r.body) for r in node.atoms(Reduction)), default=-1) if node.has(Reduction) else 0


def exact(number: float) -> sympy.Expr:
    """Return a float as the number it is."""
    infinite = number in (float("inf"), float("-inf"))
    return (sympy.oo if number > 0 else -sympy.oo) if infinite else sympy.Rational(number)


def written(definition: Definition, settings: Settings) -> Any:
    """Return the formula with parameters at given values; None takes away what it is optional for."""
    swap: dict[sympy.Basic, sympy.Basic] = {}
    for argument in definition.parameters:
        if argument.name in settings:
            value = settings[argument.name]
            swap[given_flag(argument.name)] = sympy.false if value is None else sympy.true
            if value is not None:
                swap[sympy.Symbol(argument.name, real=True)] = exact(float(value))
    formula = opened(definition.formula)
    absent = {a.name: exact(a.fill) for a in definition.parameters if a.axes and settings.get(a.name, 0) is None}
    swap |= {a: absent[a.name] for a in formula.atoms(Access) if a.name in absent}
    return opened(formula.xreplace(swap))


def label_cases(definition: Definition, formula: Any) -> Iterator[Any]:
    """Yield a formula for every value of the inputs that have few: labels such as 0 and 1."""
    few: dict[Access, tuple[float, ...]] = {}
    for argument in definition.inputs:
        reads = [a for a in formula.atoms(Access) if a.name == argument.name]
        if isinstance(argument.domain, OneOf) and len(reads) == 1:
            few[reads[0]] = argument.domain.values
    for values in itertools.product(*few.values()):
        yield opened(formula.xreplace({a: exact(v) for a, v in zip(few, values, strict=True)}))


def named(node: sympy.Basic, name: str) -> bool:
    """Tell whether a node is an entry of an input, or a parameter, of that name."""
    return isinstance(node, Access | sympy.Symbol) and node.name == name


def depends(node: sympy.Basic, name: str) -> bool:
    """Tell whether a formula reads an input or parameter."""
    return named(node, name) or any(depends(a, name) for a in node.args)


def slots_in(node: sympy.Basic) -> list[sympy.Basic]:
    """Return the indices and labels at which a formula reads its tensors, in a fixed order."""
    found = {s for a in node.atoms(Access) for s in a.slots} | node.atoms(LabelAccess)
    return sorted(found, key=sympy.default_sort_key)
