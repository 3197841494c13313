"""The unrolled oracle: a definition written out at tiny sizes as one expression of plain symbols, for `sympy.diff`.

It walks the author's tree and shares nothing with programs, sweeps or rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import sympy

from symloss.language.atoms import Atom, ratio
from symloss.language.axes import Index, Size
from symloss.language.definition import Definition
from symloss.language.nodes import Access, Flag, LabelAccess, Let, Reduction


def total(definition: Definition, sizes: Mapping[str, int], labels: Mapping[str, Any]) -> sympy.Expr:
    """Return the sum of the losses of all samples, in symbols such as ``x_0_1``."""
    ranges = [range(sizes[k.axis.name]) for k in definition.per]
    terms = []
    for position in itertools.product(*ranges):
        env = dict(zip(definition.per, position, strict=True))
        terms.append(write_out(definition.formula, env, sizes, labels))
    return sympy.Add(*terms)


def symbol(name: str, slots: tuple[int, ...]) -> sympy.Symbol:
    """Return the symbol of one entry."""
    return sympy.Symbol("_".join([name, *map(str, slots)]), real=True)


def write_out(node: Any, env: Mapping[Any, int], sizes: Mapping[str, int], labels: Mapping[str, Any]) -> Any:
    """Return a node with every index set and every reduction written out."""

    def run(part: Any, inner: Mapping[Any, int] = env) -> Any:
        return write_out(part, inner, sizes, labels)

    match node:
        case Index():
            return sympy.Integer(env[node])
        case Size():
            return sympy.Integer(sizes[node.name])
        case LabelAccess():
            return sympy.Integer(int(labels[node.name][tuple(int(run(s)) for s in node.slots)]))
        case Access():
            return symbol(node.name, tuple(int(run(s)) for s in node.slots))
        case Let():
            return run(node.inlined)
        case ratio():
            return run(node.args[0]) / run(node.args[1])  # points are away from 0
        case Atom():
            return run(node.textbook())
        case Reduction():
            entries = []
            for position in itertools.product(*(range(sizes[k.axis.name]) for k in node.bound)):
                inner = {**env, **dict(zip(node.bound, position, strict=True))}
                if run(node.where, inner) == sympy.true:
                    entries.append(run(node.body, inner))
            match node.operation:
                case "sum":
                    return sympy.Add(*entries)
                case "logsumexp":
                    return sympy.log(sympy.Add(*map(sympy.exp, entries)))
                case "norm":
                    return sympy.sqrt(sympy.Add(*(e**2 for e in entries)))
                case "max":
                    best = entries[0]
                    for entry in entries[1:]:
                        best = sympy.Piecewise((entry, entry > best), (best, True))
                    return best
        case Flag():
            return sympy.false  # options are off
        case _ if node.args:
            return node.func(*(run(part) for part in node.args))
    return node
