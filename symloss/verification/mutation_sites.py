"""Mutants of a function's syntax tree: one small change each, of the kinds that people make.

A function comes in; out come `Site` objects, each of which can be put into the tree and taken out again. Signs,
operators, comparisons, constants, indices, arguments, branches and loops are changed, and terms and statements dropped.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

STEP = "_mutation_round"
"""The call that counts the rounds of loops."""
UNCHANGED = (STEP, "_interleave", "_lanes")
"""Calls that change nothing that a kernel gives: never mutated."""
OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
}  # fmt: skip
RELATED = {
    "log1p": "log", "log": "log1p", "exp": "expm1", "expm1": "exp", "sin": "cos", "cos": "sin", "min": "max",
    "max": "min",
}  # fmt: skip
CONVERSIONS = ("float64", "float32", "int64", "uint64", "bool_")


@dataclass(frozen=True, eq=False)
class Site:
    """One change at one place.

    Parameters
    ----------
    function : str
        The function it is in.
    kind : str
        ``"operator"``, ``"sign"``, ``"comparison"``, ``"constant"``, ``"index"``, ``"argument"``, ``"dropped term"``,
        ``"dropped statement"``, ``"branch"`` or ``"loop"``.
    statement : ast.stmt
        The statement that is changed; its text before and after says what the mutant is.
    owner : ast.AST
        The node of which a field is changed.
    field : str
        Which.
    place : int or None
        Where in the field, if it is a list.
    new : object
        What stands there in the mutant.
    """

    function: str
    kind: str
    statement: ast.stmt
    owner: ast.AST
    field: str
    place: int | None
    new: Any

    @property
    def line(self) -> int:
        """The line of the statement."""
        return self.statement.lineno

    @property
    def old(self) -> Any:
        """What stands there now."""
        found = getattr(self.owner, self.field)
        return found if self.place is None else found[self.place]

    def _put(self, value: Any) -> None:
        if self.place is None:
            setattr(self.owner, self.field, value)
        else:
            getattr(self.owner, self.field)[self.place] = value

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Change the tree for as long as the context lasts."""
        old = self.old
        for new in self.new if isinstance(self.new, list) else [self.new]:
            ast.copy_location(new, self.statement)
            ast.fix_missing_locations(new)
        self._put(self.new)
        try:
            yield
        finally:
            self._put(old)

    def texts(self) -> tuple[str, str]:
        """Return the first line of the statement before and after."""
        before = _first_line(self.statement)
        if self.old is self.statement:
            return before, ast.unparse(self.new).splitlines()[0]
        with self.applied():
            return before, _first_line(self.statement)


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def sites(function: ast.FunctionDef) -> Iterator[Site]:
    """Yield every mutant of a function, in the order of its text."""
    yield from _block(function.name, function, "body")


def _block(name: str, owner: Any, field: str) -> Iterator[Site]:
    for place, statement in enumerate(getattr(owner, field)):
        if isinstance(statement, ast.Expr) and (isinstance(statement.value, ast.Constant) or _is_step(statement)):
            continue
        yield from _statement(name, owner, field, place, statement)


def _is_step(statement: ast.Expr) -> bool:
    call = statement.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in UNCHANGED


def _statement(name: str, owner: Any, field: str, place: int, statement: ast.stmt) -> Iterator[Site]:
    def site(kind: str, node: ast.AST, where: str, at: int | None, new: Any) -> Site:
        return Site(name, kind, statement, node, where, at, new)

    dropped = Site(name, "dropped statement", statement, owner, field, place, ast.Pass())
    match statement:
        case (
            ast.Assign(targets=[ast.Name("block")])
            | ast.Assign(value=ast.Call(func=ast.Attribute(attr="empty") | ast.Name("_scratch" | "_strips")))
        ):
            return  # blocks of any size give the same, and what is in one before it is written does not matter
        case ast.Assign(targets=[target], value=value):
            if isinstance(target, ast.Subscript):
                yield dropped
                yield from _expression(site, target, "slice", None)
            if not isinstance(value, ast.Constant | ast.Compare | ast.BoolOp | ast.Tuple):
                yield site("sign", statement, "value", None, ast.UnaryOp(ast.USub(), value))
            yield from _expression(site, statement, "value", None)
        case ast.AugAssign(op=op, target=target):
            yield dropped
            if type(op) in OPPOSITE:
                yield site("operator", statement, "op", None, OPPOSITE[type(op)]())
            if isinstance(target, ast.Subscript):
                yield from _expression(site, target, "slice", None)
            yield from _expression(site, statement, "value", None)
        case ast.If(test=test):
            yield site("branch", statement, "test", None, ast.UnaryOp(ast.Not(), test))
            yield from _expression(site, statement, "test", None)
            yield from _block(name, statement, "body")
            yield from _block(name, statement, "orelse")
        case ast.For(iter=ast.Call(args=arguments) as call):
            last = len(arguments) - 1 if len(arguments) < 3 else 1
            short = ast.BinOp(arguments[last], ast.Sub(), ast.Constant(1))
            yield site("loop", call, "args", last, short)
            if last == 0:
                yield site("loop", call, "args", None, [ast.Constant(1), arguments[0]])
            for at in range(len(arguments)):
                yield from _expression(site, call, "args", at)
            yield from _block(name, statement, "body")
        case ast.While():
            yield from _expression(site, statement, "test", None)
            yield from _block(name, statement, "body")
        case ast.Continue() | ast.Break():
            yield dropped
        case ast.Expr():
            yield dropped
            yield from _expression(site, statement, "value", None)
        case ast.Return(value=value) if value is not None:
            yield from _expression(site, statement, "value", None)


def _expression(site: Any, owner: Any, field: str, place: int | None) -> Iterator[Site]:
    """Yield the mutants of the expression in a field, outermost first."""
    node = getattr(owner, field)
    node = node if place is None else node[place]

    def change(kind: str, new: ast.expr) -> Site:
        found: Site = site(kind, owner, field, place, new)
        return found

    match node:
        case ast.BinOp(left=left, op=op, right=right):
            if type(op) in OPPOSITE:
                yield site("operator", node, "op", None, OPPOSITE[type(op)]())
            yield change("dropped term", left)
            if isinstance(op, ast.Add | ast.Mult):
                yield change("dropped term", right)
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield change("sign" if isinstance(node.op, ast.USub) else "branch", operand)
        case ast.Compare(ops=[op]):
            for other in COMPARISONS.get(type(op), ()):
                yield site("comparison", node, "ops", 0, other())
        case ast.BoolOp(op=op, values=values):
            yield site("operator", node, "op", None, ast.Or() if isinstance(op, ast.And) else ast.And())
            for at in range(len(values)):
                rest = values[:at] + values[at + 1 :]
                yield change("dropped term", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield change("branch", ast.IfExp(test, orelse, body))
        case ast.Constant(value=bool() as value):
            yield change("constant", ast.Constant(not value))
        case ast.Constant(value=int() | float() as value):
            yield change("constant", ast.Constant(value + 1 if abs(value) < 1e300 else 1.0))
        case ast.Call():
            yield from _call(change, site, node)
        case ast.Subscript(slice=ast.Tuple(elts=slots)):
            for first, second in pairwise(range(len(slots))):
                swapped = list(slots)
                swapped[first], swapped[second] = slots[second], slots[first]
                yield site("index", node.slice, "elts", None, swapped)
            for at, slot in enumerate(slots):
                if isinstance(slot, ast.Name):
                    yield site("index", node.slice, "elts", at, ast.BinOp(slot, ast.Sub(), ast.Constant(1)))
        case ast.Subscript(slice=ast.Name() as slot):
            yield site("index", node, "slice", None, ast.BinOp(slot, ast.Sub(), ast.Constant(1)))
    yield from _children(site, node)


def _call(change: Any, site: Any, node: ast.Call) -> Iterator[Site]:
    function = node.func
    called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if called in RELATED:
        yield site("operator", node, "func", None, _renamed(function, RELATED[called]))
    arguments = node.args
    if len(arguments) == 1 and called not in CONVERSIONS:
        yield change("dropped term", arguments[0])
    if len(arguments) == 2 and called not in ("min", "max", *ALLOCATIONS):
        yield site("argument", node, "args", None, arguments[::-1])
    if called in ("min", "max"):
        yield from (change("dropped term", a) for a in arguments)


def _renamed(function: ast.expr, name: str) -> ast.expr:
    if isinstance(function, ast.Attribute):
        return ast.Attribute(function.value, name, ast.Load())
    return ast.Name(name, ast.Load())


ALLOCATIONS = ("empty", "zeros", "full", "ones")


def _children(site: Any, node: ast.AST) -> Iterator[Site]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ALLOCATIONS:
        return  # a larger buffer is as good
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.expr):
            yield from _expression(site, node, field, None)
        elif isinstance(value, list):
            for at, part in enumerate(value):
                if isinstance(part, ast.expr):
                    yield from _expression(site, node, field, at)
