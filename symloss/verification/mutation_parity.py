"""Parity: whether what a loop writes stays the same where one of its numbers has the other sign.

Rounding to nearest treats both signs alike, so the numbers are the same bits, not only near.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

ODD = ("_clipped", "_signum")
"""Functions that change the sign with their first argument."""
EVEN = ("abs", "_raised_decay")
"""Functions of the size of their first argument."""
KEEPING = ("float64", "f32", "f64", "own")
"""What turns a number into one of another format."""


def is_without_sign(after: Iterable[ast.stmt], name: str) -> bool:
    """Tell whether statements write the same where a number has the other sign.

    Parameters
    ----------
    after : iterable of ast.stmt
        What follows the statement that sets the number, in one round of a loop.
    name : str
        Of the number.
    """
    return _run(after, {name})


def _run(statements: Iterable[ast.stmt], odd: set[str]) -> bool:
    """Follow statements, with the names that have the other sign, which is brought up to date."""
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                parity = _parity(value, odd)
                if parity is None:
                    return False
                (odd.add if parity else odd.discard)(target)
            case ast.If(test=test, body=body, orelse=orelse):
                if _mentions(test, odd):
                    return False
                for part in (body, orelse):
                    own = set(odd)
                    if not _run(part, own) or own != odd:  # a name has the other sign after one of them alone
                        return False
            case ast.Assign(targets=[ast.Subscript() as place], value=value):
                if _mentions(place, odd) or _parity(value, odd) is not False:
                    return False
            case ast.AugAssign(target=place, value=value):
                if _mentions(place, odd) or _parity(value, odd) is not False:
                    return False
            case _:
                if _mentions(statement, odd):
                    return False
    return True


def _parity(node: ast.expr, odd: set[str]) -> bool | None:
    """Return whether an expression has the other sign too, or None where that cannot be told."""
    if not _mentions(node, odd):
        return False
    match node:
        case ast.Name():
            return True
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _parity(operand, odd)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            first, second = _parity(left, odd), _parity(right, odd)
            return None if first is None or second is None else first != second
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            first, second = _parity(left, odd), _parity(right, odd)
            return first if first == second else None
        case ast.Call(func=function, args=[argument, *others]) if not any(_mentions(x, odd) for x in others):
            called = ast.unparse(function).rpartition(".")[2]
            if called in ODD or called in KEEPING:
                return _parity(argument, odd)
            return False if called in EVEN and _parity(argument, odd) is not None else None
        case ast.Call(func=ast.Name(id="_add_in_lanes"), args=[first, second]) if not _mentions(first, odd):
            return False if _parity(second, odd) is False else None
    return None


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))
