"""The matrix of similarities inside a loss, and the loss's gradient in it: which cosines it wants larger or smaller.

A program comes in. Where one of its sums over features has a value for each pair of vectors, the program is cut there:
the sum becomes an input, and the adjoint sweep gives the derivative in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symloss.calculus.adjoint import gradient
from symloss.language.nodes import Access
from symloss.program.interpreter import interpret
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term

Array = NDArray[np.float64]


def similarities(
    program: Program, tensors: Mapping[str, Any], scalars: Mapping[str, Any], sizes: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return the matrix of similarities and the gradient of the summed loss in it, or None where there is none.

    Parameters
    ----------
    program : Program
        Of values, before differentiation.
    tensors, scalars, sizes : mapping
        Inputs and tensor parameters, scalar parameters and flags, extents of axes.

    Returns
    -------
    dict or None
        ``value`` and ``gradient`` as lists of rows, ``rows`` and ``columns`` as the names of the axes.
    """
    pairs = [s for s in program.statements if _pairs(s)]
    if not pairs:
        return None
    table = max(pairs, key=lambda s: len(s.free))
    others = [s for s in program.statements if s.op == "sum" and _beside(s, table)]
    cut = (table, *others[:1])
    shown = interpret(_showing(program, cut), tensors, scalars, sizes, 25)
    seeds = {"seed": np.ones(tuple(sizes[k.axis.name] for k in program.output("value").free))}
    given = {s.name: shown[f"shown_{s.name}"] for s in cut}
    opened = replace(program, statements=tuple(s for s in program.statements if s not in cut))
    names = [f"gradient_{s.name}" for s in cut]
    swept = gradient(opened, {s.name: tuple(k.axis for k in s.free) for s in cut}).keep(*names)
    slopes = interpret(swept, {**tensors, **given, **seeds}, scalars, sizes, 25)
    values, found = (
        _joined([np.asarray(source[f"{kind}_{s.name}"], np.float64) for s in cut], cut)
        for source, kind in ((shown, "shown"), (slopes, "gradient"))
    )
    *rows, column = table.free
    order = sorted(range(len(rows)), key=lambda k: rows[k].axis != column.axis)  # by speaker, then by utterance
    values, found = (part.transpose(*order, len(rows)) for part in (values, found))
    row = rows[order[-1]].axis.noun
    return {"value": _flat(values), "gradient": _flat(found), "rows": row, "columns": column.axis.noun}


def _pairs(statement: Statement) -> bool:
    """Tell whether a statement is a sum of products over one axis, with a value for each pair of two others."""
    product = isinstance(statement.body, sympy.Mul) and len(statement.body.atoms(Access)) >= 2
    return statement.op == "sum" and len(statement.free) >= 2 and len(statement.bound) == 1 and product


def _beside(statement: Statement, table: Statement) -> bool:
    """Tell whether a sum is the table's own entries: for a vector's own class, computed in another way."""
    own = {k.axis for k in statement.free} == {k.axis for k in table.free}
    return own and len(statement.free) == len(table.free) - 1 and statement.bound[0].axis == table.bound[0].axis


def _showing(program: Program, cut: tuple[Statement, ...]) -> Program:
    outputs = tuple(Output(f"shown_{s.name}", s.free, (Term(sympy.true, s.access),)) for s in cut)
    return replace(program, outputs=outputs).keep(*(o.name for o in outputs))


def _joined(parts: list[Array], cut: tuple[Statement, ...]) -> Array:
    """Put the entries of the second statement where two indices over one axis are equal."""
    table = parts[0].copy()
    if len(parts) == 2:
        for place in np.ndindex(*parts[1].shape):
            known = {k.axis: v for k, v in zip(cut[1].free, place, strict=True)}
            table[tuple(known[k.axis] for k in cut[0].free)] = parts[1][place]
    return table


def _flat(array: Array) -> list[list[float]]:
    return [[float(f"{v:.5g}") for v in row] for row in array.reshape(-1, array.shape[-1])]
