"""The tangent sweep: from a program with gradients to Hessian-vector products, first statement to last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sympy

from symloss.calculus.partials import partials
from symloss.language.atoms import difference, ratio
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.means import mean_of
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term, merge
from symloss.program.winners import has_winner, softmax_of, winner_of

NAMED_TANGENT = 6
"""Operations from which a tangent becomes a statement of its own."""


def tangent(program: Program, targets: Collection[str]) -> Program:
    """Append the tangent of every gradient along ``direction_<target>``.

    Returns
    -------
    Program
        With one more output, ``product_<target>``, for each gradient: the Hessian times the direction.
    """
    builder = Builder(program)
    forward = _Forward(builder, frozenset(targets))
    gradients = [o.name for o in program.outputs if o.name.startswith("gradient_")]
    for statement in program.keep(*gradients).statements:
        forward.tangents[statement.name] = (statement, forward.of(statement))
    products = []
    for output in program.outputs:
        if output.name.startswith("gradient_"):
            name = output.name.replace("gradient_", "product_", 1)
            products.append(
                Output(name, output.free, merge(Term(t.where, forward.along(t.body)) for t in output.terms))
            )
    return replace(program, statements=tuple(builder.statements), outputs=program.outputs + tuple(products))


def slope(program: Program, targets: Collection[str]) -> Program:
    """Return the values of the samples with their derivatives along ``direction_<target>``, as the output ``slope``."""
    part = program.keep("value")
    builder = Builder(part)
    forward = _Forward(builder, frozenset(targets))
    for statement in part.statements:
        forward.tangents[statement.name] = (statement, forward.of(statement))
    value = part.output("value")
    found = Output("slope", value.free, merge(Term(t.where, forward.along(t.body)) for t in value.terms))
    return replace(part, statements=tuple(builder.statements), outputs=(value, found))


def _apart(change: sympy.Expr, centre: sympy.Expr) -> sympy.Expr:
    """Return the change less its centre, as one difference that nothing is added to first."""
    return change - centre if sympy.S.Zero in (change, centre) else difference(change, centre)


class _Forward:
    """The state of one forward sweep: each statement with its tangent in the statement's own indices."""

    def __init__(self, builder: Builder, targets: frozenset[str]) -> None:
        self.builder, self.targets = builder, targets
        self.tangents: dict[str, tuple[Statement, sympy.Expr]] = {}
        self.centres: dict[str, tuple[sympy.Expr, sympy.Expr]] = {}

    def along(self, expression: sympy.Expr) -> sympy.Expr:
        """Return the derivative of an expression along the direction."""
        live = {name for name, (_, change) in self.tangents.items() if change != 0} | self.targets
        slopes = dict(partials(expression, live))
        apart = [self._less_average(read, slopes) for read in tuple(slopes) if read in slopes]
        changes = (self.builder.shared(slope) * self.change(read) for read, slope in slopes.items())
        return sympy.Add(*apart, *changes)

    def _less_average(self, read: sympy.Expr, slopes: dict[sympy.Expr, sympy.Expr]) -> sympy.Expr:
        """Take a logsumexp and what it is subtracted from out of the slopes; return the change of their difference.

        That is a change less the average of others, which cancels where the largest weight is near 1 unless both are
        taken relative to that weight's.
        """
        if not isinstance(read, Access) or self.tangents.get(read.name, (None,))[0] is None:
            return sympy.S.Zero
        statement = self.tangents[read.name][0]
        if statement.op != "logsumexp":
            return sympy.S.Zero
        entry = next((r for r, s in slopes.items() if r != read and s + slopes[read] == 0), None)
        if entry is None:
            return sympy.S.Zero
        slope = slopes.pop(entry)
        slopes.pop(read)
        at = dict(statement.at(read.slots))
        centre, average = (part.xreplace(at) for part in self.centres[statement.name])
        return self.builder.shared(slope) * (_apart(self.change(entry), centre) - average)

    def change(self, read: sympy.Expr) -> sympy.Expr:
        """Return the tangent of one access or parameter."""
        if not isinstance(read, Access):
            return sympy.Symbol(f"direction_{read.name}", real=True)
        if read.name in self.targets:
            return Access(f"direction_{read.name}", *read.slots)
        statement, change = self.tangents[read.name]
        return change.xreplace(dict(statement.at(read.slots)))

    def of(self, statement: Statement) -> sympy.Expr:
        """Return the tangent of a statement, in its own indices."""
        change = self.along(statement.body)
        match statement.op:
            case "softmax":
                centre, average = self.centres[statement.source]
                return self._named(statement, statement.access * (_apart(change, centre) - average))
            case "argmax" | "argmin":
                return sympy.S.Zero
            case _ if change == 0:
                self.centres[statement.name] = (change, change)
                return change
            case "let":
                return self._named(statement, change)
            case "sum":
                found = self._mean(statement)
                return self._sum(statement, change) if found is None else found
            case "logsumexp":
                self.centres[statement.name] = self._centred(statement, change)
                return sympy.Add(*self.centres[statement.name])
            case "norm":
                return self._sum(statement, self.builder.shared(ratio(statement.body, statement.access)) * change)
            case "max" | "min":
                winner = self.builder.add(winner_of(statement))
                at_winner = change.xreplace({statement.bound[0]: winner})
                return sympy.Piecewise((at_winner, has_winner(statement, winner)), (sympy.S.Zero, True))
        message = f"no tangent is known for the operation {statement.op!r}"
        raise ValueError(message)

    def _sum(self, statement: Statement, body: sympy.Expr) -> sympy.Expr:
        """Sum over the statement's bound indices, term by term where the terms share factors with nothing else."""
        where, total = self.builder.total(f"{statement.name}_tangent", statement.bound, statement.where, body)
        return total if where is sympy.true else sympy.Piecewise((total, where), (sympy.S.Zero, True))

    def _mean(self, statement: Statement) -> sympy.Expr | None:
        """Return the change of a mean by softmax weights: the mean of changes, and what the weights' changes do.

        The weights' changes add up to 0, so that only what numbers are more than that of the largest weight counts;
        and a mean of changes is one that its entries can be compared with.
        """
        weights = {n: s for n, (s, _) in self.tangents.items() if s.op == "softmax" and s.where is sympy.true}
        mean = mean_of(statement, weights)
        if mean is None:
            return None
        weight, weighed = mean
        softmax = weights[weight.name]
        top = winner_of(self.tangents[softmax.source][0])
        here = self.builder.add(top).xreplace(dict(zip(softmax.free[:-1], weight.slots[:-1], strict=True)))
        (own,) = statement.bound
        known = weighed
        if sympy.count_ops(weighed) >= NAMED_TANGENT:
            free = tuple(k for k in (*statement.free, own) if k in weighed.free_symbols)
            known = self.builder.add(Statement(f"{statement.name}_weighed", free, "let", (), weighed))
        away = self.change(weight) * (known - known.xreplace({own: here}))
        parts = [(sympy.Ne(own, here), away)]
        parts += [(sympy.true, weight * part) for part in sympy.Add.make_args(sympy.expand_mul(self.along(weighed)))]
        changes = []
        for where, part in parts:
            if part != 0:
                fresh = self.builder.fresh_index(own)
                name, again = f"{statement.name}_tangent", {own: fresh}
                _, total = self.builder.total(name, (fresh,), where.xreplace(again), part.xreplace(again))
                changes.append(total)
        return sympy.Add(*changes)

    def _centred(self, statement: Statement, change: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
        """Return the change of the largest entry, and the average, by the softmax weights, of changes less that.

        The weights sum to 1, so any centre gives the same; with this one, what the largest entry lacks to the average
        is a sum of small terms and not a difference of large ones.
        """
        weight = self.builder.add(softmax_of(statement))
        if statement.where is not sympy.true:
            return sympy.S.Zero, self._sum(statement, weight * change)
        centre = change.xreplace({statement.bound[0]: self.builder.add(winner_of(statement))})
        return centre, self._sum(statement, weight * _apart(change, centre))

    def _named(self, statement: Statement, change: sympy.Expr) -> sympy.Expr:
        if change == 0 or sympy.count_ops(change) < NAMED_TANGENT:
            return change
        free = tuple(k for k in statement.free if k in change.free_symbols)
        return self.builder.add(
            Statement(self.builder.fresh_name(f"{statement.name}_tangent"), free, "let", (), change)
        )
