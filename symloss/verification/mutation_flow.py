"""Why a mutant means the same: it and the kernel are followed side by side, by the text alone.

A mutant of an assignment comes in; out goes a reason, or an empty string. What both have in a name is *known* (two
constants), *equal* (whatever it is), or may be anything. In the case in which the mistake is evaluated, the tests of
that case are decided, and constants decide others; a number that differs is harmless where it is not chosen, or where
it is multiplied by 0. Everything that is stored, tested or returned must be equal.
"""

from __future__ import annotations

import ast
import copy
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symloss.verification.mutation_both import (
    ANY,
    ARITHMETIC,
    COMPARE,
    EQUAL,
    UNSIGNED_ZERO,
    Both,
    Fact,
    Facts,
    Text,
    assigned_in,
    canonical,
    choice_of,
    constants_of,
    entry_of,
    equality,
    facts_of,
    is_lasting,
    is_same,
    joined,
    names_in,
    number_of,
    reading_of,
    text_of,
    unheard,
    unknown,
)  # fmt: skip
from symloss.verification.mutation_places import LeftOut, left_out
from symloss.verification.mutation_plain import ELEMENTARY, Plain
from symloss.verification.mutation_sites import Site

ROUNDS = 4
"""How often a loop is followed until nothing new happens."""
SUMS = ("_plus", "_completed", "_block_sum", "float64", "abs")
"""Functions to which the sign of a 0 is nothing."""


class _Differs(Exception):
    """Something is stored, tested or read elsewhere that may not be equal."""


class _Never(Exception):
    """The case of the mutant is denied by what is known."""


def why_both_are_equal(module: Plain, site: Site) -> str:
    """Return why nothing that depends on a mutant of an assignment differs, or an empty string."""
    function, statement = module.functions[site.function], site.statement
    if site.kind == "dropped statement" or not isinstance(statement, ast.Assign | ast.AugAssign):
        return ""
    with site.applied():
        changed = copy.deepcopy(statement)
    text, places = text_of(function), left_out(function)
    # another choice may be NaN, where the right one never is
    tame = site.kind not in ("comparison", "branch", "operator") or "nan" not in ast.unparse(statement)
    tame = tame and site.kind != "index"  # before or after an array stands any number
    for block in _blocks(function, statement):
        own = _case(statement, changed) if statement in block else ()
        case = {fact: said for fact, said in own if is_lasting(function, fact)}
        flow = _Flow(module, function, text, places, block, statement, changed, case, tame)
        try:
            flow.follow()
        except _Differs:
            continue
        except _Never:
            return "its case never holds: the place of the largest of all but one is not that one"
        return _reason(flow)
    return ""


def _reason(flow: _Flow) -> str:
    if flow.harmless:
        reason = "what differs is constant and the same, or not chosen"
    else:
        reason = "all that reads it multiplies it by 0, or does not choose it"
    return reason + (", where numbers are finite" if flow.finite else "")


def _blocks(function: ast.FunctionDef, statement: ast.stmt) -> list[list[ast.stmt]]:
    """Return the blocks around a statement, the innermost first."""
    found = []
    for node in ast.walk(function):  # outer nodes first
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if isinstance(block, list) and any(s is statement for part in block for s in ast.walk(part)):
                found.append(block)
    return found[::-1]


def _case(usual: ast.AST, changed: ast.AST) -> Iterator[tuple[Fact, bool]]:
    """Yield the comparisons that must hold, or not, for the part that differs to be chosen."""
    if is_same(usual, changed) or type(usual) is not type(changed):
        return
    parts = list(zip(ast.iter_child_nodes(usual), ast.iter_child_nodes(changed), strict=False))
    apart = [(a, b) for a, b in parts if not is_same(a, b)]
    if len(apart) != 1:
        return
    choice = choice_of(usual)
    if choice is not None and apart[0][0] is not choice[0]:
        wanted = apart[0][0] is choice[1]
        yield from facts_of(choice[0], wanted)
    yield from _case(*apart[0])


@dataclass
class _Flow:
    """A block in which a mutated statement stands, followed from its beginning to its end."""

    module: Plain
    function: ast.FunctionDef
    text: Text
    places: LeftOut
    block: list[ast.stmt]
    statement: ast.stmt
    changed: ast.stmt
    case: Facts
    tame: bool
    facts: Facts = field(default_factory=dict)
    names: dict[str, Both] = field(default_factory=dict)
    constants: dict[str, Both] = field(default_factory=dict)
    at: int = 0
    here: bool = False
    harmless: bool = True
    finite: bool = False

    def follow(self) -> None:
        """Follow the block.

        Raises
        ------
        _Differs
            Where anything else may see a difference.
        _Never
            Where the part that differs is never chosen.
        """
        self.facts = {equality(*pair): False for pair in self.places.names}
        site = self.block.index(self.statement) if self.case else 0
        read = {n for fact in self.case for n in names_in(fact)}
        after = max((k for k in range(site) if read & assigned_in(self.block[k])), default=-1)
        for at, statement in enumerate(self.block):
            self.at = at
            if at == after + 1:
                if any(self.facts.get(fact, said) is not said for fact, said in self.case.items()):
                    raise _Never
                self.facts |= self.case
            self._run(statement)

    def _run(self, statement: ast.stmt) -> None:
        self.here = statement is self.statement
        changed = self.changed if self.here else statement
        match statement, changed:
            case ast.Assign(targets=[target], value=value), ast.Assign(targets=[other], value=new):
                self._put(target, other, self.value(value, new))
                self._note_place(target, value)
            case ast.AugAssign(target=target, op=op, value=value), ast.AugAssign(target=other, op=new_op, value=new):
                old = ast.BinOp(reading_of(target), op, value)
                theirs = ast.BinOp(reading_of(other), new_op, new) if self.here else old
                self._put(target, other, self.value(old, theirs))
            case ((ast.For() as loop), _):
                self._must(self.value(loop.iter, loop.iter))
                self._loop(loop)
            case ((ast.While() as loop), _):
                self._loop(loop)
                self._must(self.value(loop.test, loop.test))
            case ((ast.If() as branch), _):
                self._branch(branch)
            case ast.Expr(value=value) | ast.Return(value=value), _ if value is not None:
                self._must(self.value(value, value))
            case ast.Continue() | ast.Break(), _ if not all(v.equal and v.signed for v in self.names.values()):
                raise _Differs
            case ast.Pass() | ast.Continue() | ast.Break() | ast.Return(), _:
                pass
            case _:
                raise _Differs

    def _put(self, target: ast.expr, other: ast.expr, value: Both) -> None:
        if self.here and not (value.equal and value.signed):
            self.harmless = False
        match target:
            case ast.Name(id=name):
                self._name(name, value)
            case ast.Tuple(elts=parts) if all(isinstance(p, ast.Name) for p in parts):
                for part in parts:
                    self._name(part.id, Both(equal=value.equal, signed=value.signed))  # type: ignore[attr-defined]
            case ast.Subscript(slice=index) if isinstance(other, ast.Subscript):
                self._must(self.value(index, other.slice))
                self._must(value)
            case _:
                raise _Differs

    def _name(self, name: str, value: Both) -> None:
        self._forget(name)
        self.names[name] = value
        if not (value.equal and value.signed):  # it must not be read in the next round, or elsewhere
            later = {id(n) for s in self.block[self.at :] for n in ast.walk(s)}
            if any(id(n) not in later for n in self.text.read.get(name, ())):
                raise _Differs

    def _forget(self, name: str) -> None:
        self.facts = {f: said for f, said in self.facts.items() if name not in names_in(f) or f in self.places.facts}

    def _note_place(self, target: ast.expr, value: ast.expr) -> None:
        """Remember of a place that was read what it never is."""
        other = self.places.never(value)
        if other is not None and isinstance(target, ast.Name):
            self.facts[equality(target.id, other)] = False

    @staticmethod
    def _must(value: Both) -> None:
        if not value.equal:
            raise _Differs

    def _loop(self, statement: ast.For | ast.While) -> None:
        """Follow a loop until names are what they were when a round began."""
        own = assigned_in(statement)
        before = self.names
        entry = {n: unknown(before.get(n, EQUAL)) for n in own}
        for _ in range(ROUNDS):
            for name in own:
                self._forget(name)
            self.names = before | entry
            for inner in statement.body:
                self._run(inner)
            for name in own:
                self._forget(name)
            found = {n: joined(entry[n], unknown(self.names[n])) for n in own}
            if found == entry:
                self.names = before | entry
                return
            entry = found
        raise _Differs

    def _branch(self, statement: ast.If) -> None:
        truth = self.truth(statement.test, statement.test)
        if truth is None:
            self._must(self.value(statement.test, statement.test))
        before, facts, ends = self.names, self.facts, []
        for block, said in ((statement.body, True), (statement.orelse, False)):
            if truth is not None and truth is not said:
                continue
            self.names, self.facts = dict(before), facts | dict(facts_of(statement.test, said))
            for inner in block:
                self._run(inner)
            ends.append(self.names)
        self.facts = facts
        for name in assigned_in(statement):
            self._forget(name)
        first, last = ends[0], ends[-1]
        self.names = {n: joined(first.get(n, EQUAL), last.get(n, EQUAL)) for n in first | last}

    def truth(self, usual: ast.expr, changed: ast.expr) -> bool | None:
        """Return what a test says in both, where that is known."""
        match usual:
            case ast.Compare(ops=[_]) if is_same(usual, changed):
                fact, straight = canonical(usual)
                if fact in self.facts:
                    return self.facts[fact] is straight
            case ast.BoolOp(op=op, values=values) if is_same(usual, changed):
                said = [self.truth(v, v) for v in values]
                decisive = isinstance(op, ast.Or)
                if decisive in said:
                    return decisive
                return None if None in said else not decisive
            case ast.UnaryOp(op=ast.Not(), operand=operand) if is_same(usual, changed):
                said_inside = self.truth(operand, operand)
                return None if said_inside is None else not said_inside
        value = self._plain(usual, changed)
        return bool(value.known[0]) if value.known is not None and value.equal else None

    def value(self, usual: ast.expr, changed: ast.expr) -> Both:
        """Return what both have of an expression, of which the mutant's may be another."""
        choice, other = choice_of(usual), choice_of(changed)
        if choice is not None and other is not None:
            return self._chosen(choice, other)
        if isinstance(usual, ast.Compare | ast.BoolOp):
            truth = self.truth(usual, changed)
            if truth is not None:
                return constants_of(truth, truth)
        return self._plain(usual, changed)

    def _chosen(self, choice: tuple[ast.expr, ...], other: tuple[ast.expr, ...]) -> Both:
        truth = self.truth(choice[0], other[0])
        if truth is not None:
            return self.value(choice[1 if truth else 2], other[1 if truth else 2])
        same, facts, found = self.value(choice[0], other[0]).equal, self.facts, []
        for branch, said in ((1, True), (2, False)):
            self.facts = facts | (dict(facts_of(choice[0], said)) if same else {})
            found.append(self.value(choice[branch], other[branch]))
        self.facts = facts
        if same:
            return joined(*found)
        return found[0] if found[0] == found[1] and found[0].known is not None and found[0].equal else ANY

    def _plain(self, usual: ast.expr, changed: ast.expr) -> Both:
        match usual, changed:
            case ast.Constant(value=first), ast.Constant(value=second):
                return constants_of(number_of(first), number_of(second))
            case ast.Attribute(), ast.Attribute() if is_same(usual, changed):
                number = {"np.inf": math.inf, "np.nan": math.nan}.get(ast.unparse(usual))
                return EQUAL if number is None else constants_of(number, number)
            case ast.Name(id=name), ast.Name(id=second) if name == second:
                return self.names[name] if name in self.names else self._constant(name)
            case ast.UnaryOp(op=op, operand=one), ast.UnaryOp(op=other, operand=two) if type(op) is type(other):
                return self._computed(operator.neg if isinstance(op, ast.USub) else operator.not_, self.value(one, two))
            case ast.BinOp(left=a, op=op, right=b), ast.BinOp(left=c, op=other, right=d) if type(op) is type(other):
                return self._arithmetic(op, self.value(a, c), self.value(b, d))
            case ast.Compare(left=a, ops=[op], comparators=[b]), ast.Compare(left=c, ops=[other], comparators=[d]) if (
                type(op) is type(other) and type(op) in COMPARE
            ):
                return self._computed(COMPARE[type(op)], self.value(a, c), self.value(b, d))
            case ast.Subscript(value=a, slice=b), ast.Subscript(value=c, slice=d):
                return self._computed(entry_of, self.value(a, c), self.value(b, d))
            case ast.Tuple(elts=some), ast.Tuple(elts=others) if len(some) == len(others):
                return self._computed(lambda *parts: parts, *map(self.value, some, others))
            case ast.Call(func=f, args=some), ast.Call(func=g, args=others) if _fits(f, g, some, others):
                return self._call(f, list(map(self.value, some, others)))
        if is_same(usual, changed):
            parts = [self.value(p, p) for p in ast.iter_child_nodes(usual) if isinstance(p, ast.expr)]
            return EQUAL if all(p.equal and p.signed for p in parts) else ANY
        ours, theirs = self.value(usual, usual), self.value(changed, changed)
        if ours.known is not None and theirs.known is not None:
            return constants_of(ours.known[0], theirs.known[1])
        if (ours.zero and theirs.zero) or self._is_without_zero(usual, changed):
            self.finite = True
            return Both(zero=ours.zero, signed=False)
        return ANY

    def _is_without_zero(self, usual: ast.expr, changed: ast.expr) -> bool:
        """Tell whether a 0 is left out of a sum, or taken away in the place of being added."""
        match usual:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                if isinstance(changed, ast.BinOp) and isinstance(changed.op, ast.Add | ast.Sub):
                    parts = (left, changed.left), (right, changed.right)
                    if all(is_same(a, b) for a, b in parts):
                        return self.value(left, left).equal and self.value(right, right).zero
                for kept, dropped in ((left, right), (right, left)):
                    if is_same(kept, changed) and not (kept is right and isinstance(usual.op, ast.Sub)):
                        return self.value(kept, kept).equal and self.value(dropped, dropped).zero
        return False

    def _constant(self, name: str) -> Both:
        """Return what a name is that is assigned once, if that does not depend on anything."""
        if name not in self.constants:
            self.constants[name] = EQUAL
            assigned = self.text.assigned.get(name, [])
            given = any(a.arg == name for a in self.function.args.args)
            match assigned:
                case [ast.Assign(targets=[ast.Name()], value=value)] if not given and assigned[0] is not self.statement:
                    outer = self.names, self.facts
                    self.names, self.facts = {}, {}
                    found = self.value(value, value)
                    self.names, self.facts = outer
                    self.constants[name] = found if found.known is not None else EQUAL
        return self.constants[name]

    def _computed(self, function: Callable[..., Any], *parts: Both) -> Both:
        """Return what a function gives: known of known arguments, else as equal as these are."""
        if all(p.known is not None for p in parts):
            try:
                with np.errstate(all="ignore"):
                    return constants_of(*(function(*(p.known[k] for p in parts)) for k in (0, 1)))  # type: ignore[index]
            except (ArithmeticError, TypeError, ValueError, IndexError):
                return ANY
        if function is operator.neg and parts[0].equal:
            return Both(zero=parts[0].zero, signed=parts[0].signed)
        equal = all(p.equal for p in parts)
        signed = function in COMPARE.values() or all(p.signed for p in parts)
        return EQUAL if equal and signed else ANY

    def _arithmetic(self, op: ast.operator, left: Both, right: Both) -> Both:
        function = ARITHMETIC.get(type(op))
        if function is None or (left.known is not None and right.known is not None):
            return self._computed(function or unheard, left, right)
        if isinstance(op, ast.Mult) and (left.zero or right.zero):
            return self._zero_times(*((left, right) if left.zero else (right, left)))
        if not (left.equal and right.equal) or (isinstance(op, ast.Div) and not right.signed):
            return ANY
        zero = left.zero and (right.zero or isinstance(op, ast.Div)) and not (isinstance(op, ast.Div) and right.zero)
        return Both(zero=zero, signed=left.signed and right.signed)

    def _zero_times(self, zero: Both, other: Both) -> Both:
        """Return 0 times a number: of two that differ, both are taken to be finite where they are not known."""
        if other.equal:
            return Both(zero=True, signed=zero.signed and other.signed)
        if other.known is None:
            self.finite = True
            return UNSIGNED_ZERO if self.tame else ANY
        if not all(isinstance(x, float) and math.isfinite(x) for x in other.known):
            return ANY
        first, second = (math.copysign(1.0, x) for x in other.known)
        return Both(zero=True, signed=zero.signed and first == second)

    def _call(self, function: ast.expr, parts: list[Both]) -> Both:
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name == "_ratio" and len(parts) == 2 and parts[0].zero and parts[1].equal and parts[1].signed:
            return Both(zero=True, signed=parts[0].signed)
        if name == "float64" and len(parts) == 1:
            return parts[0]
        pure = name in self.module.functions or name in ELEMENTARY or ast.unparse(function) == f"math.{name}"
        if pure and parts and all(p.known is not None for p in parts):
            owner = self.module.namespace["math"] if isinstance(function, ast.Attribute) else None
            return self._computed(getattr(owner, name) if owner else self.module.namespace[name], *parts)
        equal = all(p.equal for p in parts)
        signed = all(p.signed for p in parts)
        if name in SUMS and equal:
            return Both(signed=signed)
        return EQUAL if equal and signed else ANY


def _fits(function: ast.expr, other: ast.expr, some: list[ast.expr], others: list[ast.expr]) -> bool:
    """Tell whether two calls differ in their arguments alone."""
    return is_same(function, other) and len(some) == len(others)
