"""The interpreter: a program evaluated directly, entry by entry, in arithmetic of many digits.

It knows nothing of stability, schedules or printers, and is what the compiled kernels are compared with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy.functions.elementary.piecewise import ExprCondPair

from symloss.language.atoms import Atom
from symloss.language.axes import Index, Size
from symloss.language.nodes import Access
from symloss.program.statement import Program, Statement

_FUNCTIONS: dict[type[sympy.Basic], Callable[..., Any]] = {
    sympy.exp: mpmath.exp, sympy.log: mpmath.log, sympy.cos: mpmath.cos, sympy.sin: mpmath.sin,
    sympy.acos: mpmath.acos, sympy.atan2: mpmath.atan2, sympy.tanh: mpmath.tanh,
    sympy.Abs: abs, sympy.Max: max, sympy.Min: min,
}  # fmt: skip
_RELATIONS: dict[type[sympy.Basic], Callable[[Any, Any], bool]] = {
    sympy.Eq: lambda a, b: bool(a == b), sympy.Ne: lambda a, b: bool(a != b),
    sympy.Lt: lambda a, b: bool(a < b), sympy.Le: lambda a, b: bool(a <= b),
    sympy.Gt: lambda a, b: bool(a > b), sympy.Ge: lambda a, b: bool(a >= b),
}  # fmt: skip
_KNOWN: tuple[type[sympy.Basic], ...] = (
    Atom, Size, Index, sympy.Symbol, sympy.Number, sympy.NumberSymbol, sympy.Add, sympy.Mul, sympy.Pow, sympy.Piecewise,
    ExprCondPair, sympy.And, sympy.Or, sympy.Not, sympy.logic.boolalg.BooleanAtom, *_FUNCTIONS, *_RELATIONS,
)  # fmt: skip


def unknown(node: sympy.Basic) -> sympy.Basic | None:
    """Return a part of a scalar expression or condition that has no meaning here, or None where every part has one."""
    if isinstance(node, Access):
        parts: tuple[sympy.Basic, ...] = node.slots
    elif isinstance(node, _KNOWN):
        parts = node.args
    else:
        return node
    return next((found for part in parts if (found := unknown(part)) is not None), None)


def interpret(
    program: Program,
    tensors: Mapping[str, Any],
    scalars: Mapping[str, Any],
    sizes: Mapping[str, int],
    digits: int = 40,
    known: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Evaluate a program.

    Parameters
    ----------
    program : Program
        What to evaluate.
    tensors : mapping of str to array
        Inputs, tensor parameters, directions and seeds.
    scalars : mapping of str to number
        Parameters and flags.
    sizes : mapping of str to int
        The extent of each axis, by its name.
    digits : int
        Decimal digits to work with.
    known : mapping of str to array, optional
        Statements whose entries are known, as `statement_values` returns them.

    Returns
    -------
    dict of str to object array
        Each output as an array of mpmath numbers.
    """
    values = {**tensors, **statement_values(program, tensors, scalars, sizes, digits, known)}
    values = {name: np.asarray(array) for name, array in values.items()}
    with mpmath.workdps(digits):
        return {
            o.name: _fill(o.free, sizes, partial(evaluate, o.expression, values=values, scalars=scalars, sizes=sizes))
            for o in program.outputs
        }


def statement_values(
    program: Program, tensors: Mapping[str, Any], scalars: Mapping[str, Any], sizes: Mapping[str, int],
    digits: int = 40, known: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray[Any, Any]]:  # fmt: skip
    """Evaluate the statements of a program but for those that are known; see `interpret`."""
    values: dict[str, Any] = {name: np.asarray(array) for name, array in tensors.items()}
    with mpmath.workdps(digits):
        for statement in program.statements:
            values[statement.name] = (known or {}).get(statement.name)
            if values[statement.name] is None:
                values[statement.name] = _fill(
                    statement.free, sizes, partial(_run, statement, values=values, scalars=scalars, sizes=sizes)
                )
    return {s.name: values[s.name] for s in program.statements}


def _fill(free: tuple[Index, ...], sizes: Mapping[str, int], entry: Callable[[dict[Any, int]], Any]) -> Any:
    shape = tuple(sizes[k.axis.name] for k in free)
    array = np.empty(shape, dtype=object)
    for position in np.ndindex(*shape):
        array[position] = entry(dict(zip(free, position, strict=True)))
    return array


def _run(
    statement: Statement, env: dict[Any, int], values: Mapping[str, Any], scalars: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> Any:  # fmt: skip
    if statement.op in ("let", "softmax"):
        body = evaluate(statement.body, env, values, scalars, sizes)
        if statement.op == "let":
            return body
        return mpmath.exp(body - values[statement.source][tuple(env[k] for k in statement.free[:-1])])
    ranges = [range(sizes[k.axis.name]) for k in statement.bound]
    entries = []
    for position in itertools.product(*ranges):
        inner = env | dict(zip(statement.bound, position, strict=True))
        if evaluate(statement.where, inner, values, scalars, sizes):
            entries.append((evaluate(statement.body, inner, values, scalars, sizes), position))
    numbers = [e for e, _ in entries]
    match statement.op:
        case "sum":
            return mpmath.fsum(numbers)
        case "norm":
            return mpmath.sqrt(mpmath.fsum(x * x for x in numbers))
        case "argmax" | "argmin" if not numbers:
            return -1
        case _ if not numbers:
            return mpmath.mpf(str(statement.empty).replace("oo", "inf"))
        case "logsumexp":
            return mpmath.log(mpmath.fsum(map(mpmath.exp, numbers)))
        case "max" | "min":
            return max(numbers) if statement.op == "max" else min(numbers)
        case "argmax" | "argmin":
            best = max(numbers) if statement.op == "argmax" else min(numbers)
            return entries[numbers.index(best)][1][0]
    message = f"unknown operation {statement.op!r}"
    raise ValueError(message)


@cache
def _textbook(atom: Any, count: int) -> tuple[tuple[str, ...], sympy.Expr]:
    """Return an atom's definition in arguments of plain names: SymPy would solve the conditions of real ones."""
    names = tuple(f"argument_{k}" for k in range(count))
    return names, atom(*(sympy.Symbol(name, real=True) for name in names)).textbook()


def evaluate(
    node: sympy.Basic, env: Mapping[Any, int], values: Mapping[str, Any], scalars: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> Any:  # fmt: skip
    """Evaluate one scalar expression or condition with the indices set as `env` says."""

    def run(part: sympy.Basic) -> Any:
        match part:
            case Index():
                return env[part]
            case Size():
                return sizes[part.name]
            case Access():
                entry = values[part.name][tuple(int(run(s)) for s in part.slots)]
                return entry if isinstance(entry, int | np.integer) else mpmath.mpf(entry)
            case sympy.Symbol():
                value = scalars[part.name]
                return value if isinstance(value, bool | int) else mpmath.mpf(value)
            case sympy.Rational():
                return mpmath.mpf(int(part.p)) / int(part.q)
            case Atom():
                kind: Any = type(part)
                names, textbook = _textbook(kind, len(part.args))
                own = dict(zip(names, map(run, part.args), strict=True))
                return evaluate(textbook, env, values, own, sizes)
            case sympy.Add():
                return mpmath.fsum(map(run, part.args))
            case sympy.Mul():
                return mpmath.fprod(map(run, part.args))
            case sympy.Pow():
                return run(part.args[0]) ** run(part.args[1])
            case sympy.Piecewise():
                return next(run(value) for value, condition in part.args if run(condition))
            case sympy.And():
                return all(map(run, part.args))
            case sympy.Or():
                return any(map(run, part.args))
            case sympy.Not():
                return not run(part.args[0])
            case sympy.logic.boolalg.BooleanAtom():
                return bool(part)
            case sympy.Number() | sympy.NumberSymbol():
                return mpmath.mpf(str(part.evalf(mpmath.mp.dps + 5)))
        if type(part) in _RELATIONS:
            return _RELATIONS[type(part)](run(part.args[0]), run(part.args[1]))
        return _FUNCTIONS[type(part)](*map(run, part.args))

    return run(node)
