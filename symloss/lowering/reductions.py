"""Stable reductions: logsumexp and softmax as a maximum, exponentials of differences, the sum of all but the largest.

With ``rest`` the sum over all entries but the largest, ``logsumexp = max + log1p(rest)``, a softmax weight is
``e / (1 + rest)``, and what it lacks to 1 is ``rest / (1 + rest)`` at the maximum: nothing is ever subtracted from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy

from symloss.language.atoms import complement, difference, magnitude, positive_part, ratio
from symloss.language.nodes import Access
from symloss.lowering.conditions import written_out
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term
from symloss.program.winners import winner_of
from symloss.stability.expansion import SERIES, log1p


class exp_difference(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """exp(a - b), with the rounding error of the difference carried along."""

    nargs = 2


class wide_square(sympy.Function):  # noqa: N801
    """The square of a number as a float64, which no square of a float32 leaves."""

    nargs = 1


class root(sympy.Function):  # noqa: N801
    """The square root of a float64 in the arithmetic of the kernel."""

    nargs = 1


@dataclass(frozen=True)
class _Group:
    """The accesses that stand for one logsumexp, each a function of its slots."""

    statement: Statement
    peak: Access
    winner: Access
    exponential: Access
    rest: Access


@dataclass(frozen=True)
class _Tables:
    """What has been lowered so far, by the name of the statement it replaces."""

    groups: dict[str, _Group]
    weights: dict[str, str]
    masked: dict[str, tuple[Access, Access, sympy.Expr]]
    norms: dict[str, tuple[Access, ...]]


def lower_reductions(program: Program, *, narrow: bool = False) -> Program:
    """Replace logsumexp, softmax, norms and complements by statements that neither overflow nor cancel.

    Parameters
    ----------
    program : Program
        With these reductions.
    narrow : bool
        The arithmetic is float32, and rows are what takes time, not products of matrices: norms take no pass of
        their own for the largest number.
    """
    builder = Builder(taken=[s.name for s in program.statements])
    source = Builder(program)
    weights = {s.name: s.source for s in program.statements if s.op == "softmax"}
    tables = _Tables({}, weights, {}, {})
    for statement in program.statements:
        body, where = _rewrite(statement.body, tables), _rewrite(statement.where, tables)
        current = replace(statement, body=body, where=where)
        match statement.op:
            case "logsumexp":
                tables.groups[statement.name] = _lower(current, builder, source)
            case "softmax":
                pass
            case "max" | "min" if statement.where is not sympy.true:
                found = builder.add(current), _added(winner_of(current), builder, source)
                tables.masked[statement.name] = (*found, statement.empty)
            case "norm":
                plain = narrow and _is_plain(current)
                squares = _squares if plain else _norm
                tables.norms[statement.name] = squares(current, builder, source)
            case _:
                builder.keep(current)
    outputs = tuple(
        Output(o.name, o.free, tuple(Term(t.where, _rewrite(t.body, tables)) for t in o.terms)) for o in program.outputs
    )
    names = tuple((_rewrite(e, tables), n) for e, n in program.names)
    return replace(program, statements=tuple(builder.statements), outputs=outputs, names=names)


def _lower(statement: Statement, builder: Builder, source: Builder) -> _Group:
    (bound,) = statement.bound
    subject = statement.name.removeprefix("logsumexp_")
    largest = replace(statement, name=f"max_{subject}", op="max")
    peak, winner = (_added(s, builder, source) for s in (largest, winner_of(largest)))
    own = source.fresh_index(bound)
    exponent, mask = exp_difference(statement.body.xreplace({bound: own}), peak), statement.where.xreplace({bound: own})
    if mask is not sympy.true:  # what does not count may be far above all that does
        exponent = sympy.Piecewise((exponent, mask), (sympy.S.Zero, True))
    exponential = _added(Statement(f"exp_{subject}", (*statement.free, own), "let", (), exponent), builder, source)
    other = source.fresh_index(bound)
    where = sympy.And(sympy.Ne(other, winner), statement.where.xreplace({bound: other}))
    body = Access(exponential.name, *statement.free, other)
    rest = _added(Statement(f"rest_{subject}", statement.free, "sum", (other,), body, where), builder, source)
    return _Group(statement, peak, winner, exponential, rest)


def _added(statement: Statement, builder: Builder, source: Builder) -> Access:
    """Add a statement of our own, under the name of the one of the program that computes the same, or a new one."""
    name = source.name_of(statement) or builder.fresh_name(statement.name)
    return builder.add(replace(statement, name=name))


def _is_plain(statement: Statement) -> bool:
    """Tell whether squares are added up in registers: along one index, all of them, of what takes no function."""
    computed = written_out(statement.body).has(*SERIES, exp_difference)
    return len(statement.bound) == 1 and statement.where is sympy.true and not computed


def _squares(statement: Statement, builder: Builder, source: Builder) -> tuple[Access, ...]:
    """Return the sum of squares of float32, in float64."""
    name = statement.name.replace("norm", "squared_norm")
    squares = replace(statement, name=name, op="sum", body=wide_square(statement.body), scales=True)
    return (_added(squares, builder, source),)


def _norm(statement: Statement, builder: Builder, source: Builder) -> tuple[Access, ...]:
    """Return the largest size and the sum of squares relative to it: no square underflows or overflows.

    Squares of float32 do neither in float64, where the largest size may as well be 1.
    """
    peak_name = statement.name.replace("norm", "peak")
    sizes = replace(statement, name=peak_name, op="max", body=magnitude(statement.body), scales=True)
    peak = _added(sizes, builder, source)
    fresh = {k: source.fresh_index(k) for k in statement.bound}
    body = ratio(statement.body.xreplace(fresh), peak) ** 2
    where = statement.where.xreplace(fresh)
    name = statement.name.replace("norm", "scaled")
    return peak, _added(Statement(name, statement.free, "sum", tuple(fresh.values()), body, where), builder, source)


def _rewrite(node: sympy.Basic, tables: _Tables) -> sympy.Basic:
    groups, weights = tables.groups, tables.weights
    match node:
        case complement() if isinstance(node.args[0], Access) and node.args[0].name in weights:
            probability = node.args[0]
            group = groups[weights[probability.name]]
            *slots, at = (_rewrite(s, tables) for s in probability.slots)
            rest, top = _at(group.rest, slots), _at(group.winner, slots)
            others = 1 + rest - Access(group.exponential.name, *slots, at)
            return sympy.Piecewise((rest, sympy.Eq(at, top)), (others, True)) / (1 + rest)
        case Access() if node.name in weights:
            group = groups[weights[node.name]]
            *slots, at = (_rewrite(s, tables) for s in node.slots)
            return Access(group.exponential.name, *slots, at) / (1 + _at(group.rest, slots))
        case Access() if node.name in groups:
            group = groups[node.name]
            slots = [_rewrite(s, tables) for s in node.slots]
            return _unless_empty(group, slots, _at(group.peak, slots) + log1p(_at(group.rest, slots)), sympy.S.Zero)
        case Access() if node.name in tables.masked:
            extreme, winner, empty = (
                _at(a, list(node.slots)) if isinstance(a, Access) else a for a in tables.masked[node.name]
            )
            return sympy.Piecewise((extreme, sympy.Ge(winner, 0)), (empty, True))
        case Access() if node.name in tables.norms:
            *peaks, squares = (_at(a, list(node.slots)) for a in tables.norms[node.name])
            return positive_part(peaks[0]) * sympy.sqrt(squares) if peaks else root(squares)
        case Access():
            return node
        case sympy.Add() if (pair := _from_logsumexp(node, groups)) is not None:
            totals, entry = pair
            rest, near = node, sympy.S.Zero
            for factor, total in totals:
                slots = [_rewrite(s, tables) for s in total.slots]
                group = groups[total.name]
                rest += factor * (entry - total)
                above = difference(_at(group.peak, slots), entry) + log1p(_at(group.rest, slots))
                near += factor * _unless_empty(group, slots, above, entry)
            return near + _rewrite(rest, tables)
        case _ if node.args:
            return node.func(*(_rewrite(a, tables) for a in node.args))
        case _:
            return node


_Totals = tuple[tuple[sympy.Number, Access], ...]


def _from_logsumexp(node: sympy.Add, groups: dict[str, _Group]) -> tuple[_Totals, sympy.Expr] | None:
    """Return logsumexps with their factors, and an entry of each that is subtracted as often, where a sum has such."""
    parts = [t.as_coeff_Mul() for t in node.args]
    totals = tuple((c, a) for c, a in parts if isinstance(a, Access) and a.name in groups)
    others = [(c, e) for c, e in parts if not (isinstance(e, Access) and e.name in groups)]
    others.sort(key=lambda part: not isinstance(part[1], Access))  # a plain entry first
    for chosen in (*((t,) for t in totals), totals):
        for factor, entry in others:
            every = all(isinstance(entry, Access) or _is_entry(entry, a, groups[a.name].statement) for _, a in chosen)
            if chosen and every and sympy.Add(*(c for c, _ in chosen)) == -factor:
                return chosen, entry
    return None


def _is_entry(expression: sympy.Expr, total: Access, statement: Statement) -> bool:
    """Tell whether an expression is one of those whose exponentials are summed."""
    (bound,) = statement.bound
    body = statement.body.xreplace(dict(statement.at(total.slots)))
    slots = {s for a in (*accesses(expression), *accesses(body)) for s in (*a.slots, a) if s.is_integer}
    return any(body.xreplace({bound: s}) == expression for s in sorted(slots, key=str))


def _unless_empty(group: _Group, slots: list[sympy.Basic], found: sympy.Expr, less: sympy.Expr) -> sympy.Expr:
    """Return what a logsumexp is above a number, also where its mask lets nothing through."""
    if group.statement.where is sympy.true:
        return found
    return sympy.Piecewise((found, sympy.Ge(_at(group.winner, slots), 0)), (group.statement.empty - less, True))


def _at(access: Access, slots: list[sympy.Basic]) -> Access:
    return Access(access.name, *slots)
