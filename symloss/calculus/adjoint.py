"""The adjoint sweep: from a program to its gradients, statement by statement, last to first.

A read's contribution is the reader's adjoint, times the weight of the reader's reduction, times the partial derivative.
Plain distinct slots of a read become the target's own indices; the indices left over are summed; a repeated or gathered
slot leaves a condition. That renaming is the whole of delta elimination.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy

from symloss.calculus.partials import cases, partials
from symloss.language.atoms import ratio
from symloss.language.axes import Axis, Index
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term, merge
from symloss.program.winners import has_winner, softmax_of, winner_of

NAMED_PARTIAL = 40
"""Operations from which an adjoint read in several places becomes a statement of its own."""


def seed(per: tuple[Index, ...]) -> Access:
    """Return the adjoint of one sample's loss: its weight in the batch reduction."""
    return Access("seed", *per)


def slots_of(axes: tuple[Axis, ...], builder: Builder, per: tuple[Index, ...]) -> tuple[Index, ...]:
    """Return the indices in which a derivative with respect to an input is written."""
    used: list[Index] = []
    for axis in axes:
        own = next((k for k in per if k.axis == axis and k not in used), None)
        used.append(own if own is not None else builder.fresh_index(Index(axis.name[0], axis)))
    return tuple(used)


def gradient(program: Program, targets: Mapping[str, tuple[Axis, ...]]) -> Program:
    """Append the gradient with respect to each target to a program whose output is ``value``.

    Parameters
    ----------
    program : Program
        The program of the per-sample loss.
    targets : mapping of str to tuple of Axis
        The inputs and parameters to differentiate in, with their axes.

    Returns
    -------
    Program
        With one more output, ``gradient_<target>``, for each target: the derivative of the seeded sum of the losses.
    """
    builder = Builder(program)
    value = program.output("value")
    slots = {name: slots_of(axes, builder, value.free) for name, axes in targets.items()}
    slots |= {s.name: s.free for s in program.statements}
    found: dict[str, list[Term]] = {name: [] for name in slots}
    sweep = _Sweep(builder, slots, found)
    for term in value.terms:
        sweep.read(term.body, value.free, term.where, seed(value.free))
    for statement in reversed(program.statements):
        for term in _named(_by_cases(merge(found[statement.name]), builder), statement, builder):
            sweep.through(statement, term)
    outputs = tuple(Output(f"gradient_{name}", slots[name], merge(found[name])) for name in targets)
    return replace(program, statements=tuple(builder.statements), outputs=program.outputs + outputs)


def _by_cases(terms: tuple[Term, ...], builder: Builder) -> tuple[Term, ...]:
    """Split a softmax weight with something more on one entry into that entry and the others.

    Summed apart, the weights and what is taken off one of them would cancel where that weight is nearly 1.
    """
    weights = {s.name for s in builder.statements if s.op == "softmax"}
    dense = [t for t in terms if t.where is sympy.true and any(a.name in weights for a in accesses(t.body))]
    deltas = [t for t in terms if isinstance(t.where, sympy.Eq)]
    if len(terms) != 2 or not dense or not deltas:
        return terms
    (every,), (one,) = dense, deltas
    own = dict([one.where.args])
    return Term(one.where, every.substitute(own).body + one.body), Term(sympy.Not(one.where), every.body)


def _named(terms: tuple[Term, ...], statement: Statement, builder: Builder) -> tuple[Term, ...]:
    """Give a large unconditional adjoint a statement; one made of deltas alone is substituted, never stored."""
    named = []
    for term in terms:
        if term.where is sympy.true and sympy.count_ops(term.body) >= NAMED_PARTIAL and statement.op != "softmax":
            free = tuple(k for k in statement.free if k in term.body.free_symbols)
            name = builder.fresh_name(f"adjoint_{statement.name}")
            named.append(Term(term.where, builder.add(Statement(name, free, "let", (), term.body))))
        else:
            named.append(term)
    return tuple(named)


class _Sweep:
    """The state of one reverse sweep: the builder, each target's own indices, and the terms found so far."""

    def __init__(self, builder: Builder, slots: Mapping[str, tuple[Index, ...]], found: dict[str, list[Term]]) -> None:
        self.builder, self.slots, self.found = builder, slots, found

    def through(self, statement: Statement, adjoint: Term) -> None:
        """Pass the adjoint of a statement on to what the statement reads."""
        where = sympy.And(statement.where, adjoint.where)
        indices = statement.free + statement.bound
        match statement.op:
            case "let" | "sum":
                self.read(statement.body, indices, where, adjoint.body)
            case "logsumexp":
                weight = self.builder.add(softmax_of(statement))
                self.read(statement.body, indices, where, adjoint.body * weight)
            case "softmax":
                self.read(statement.body, indices, where, adjoint.body * statement.access)
                source = Access(statement.source, *statement.free[:-1])
                self.add(source, indices, where, -adjoint.body * statement.access)
            case "max" | "min":
                winner = self.builder.add(winner_of(statement))
                chosen = {statement.bound[0]: winner}
                found = sympy.And(adjoint.where, has_winner(statement, winner))
                self.read(statement.body.xreplace(chosen), statement.free, found, adjoint.body)
            case "norm":
                direction = self.builder.shared(ratio(statement.body, statement.access))
                self.read(statement.body, indices, where, adjoint.body * direction)
            case "argmax" | "argmin":
                pass
            case _:
                message = f"no adjoint is known for the operation {statement.op!r}"
                raise ValueError(message)

    def read(self, expression: sympy.Expr, indices: tuple[Index, ...], where: sympy.Basic, weight: sympy.Expr) -> None:
        """Add the contribution of every read in an expression."""
        for target, partial in partials(expression, self.slots):
            for case, slope in cases(partial):
                self.add(target, indices, sympy.And(where, case), weight * self.builder.shared(slope))

    def add(self, target: sympy.Expr, indices: tuple[Index, ...], where: sympy.Basic, body: sympy.Expr) -> None:
        """Add one contribution, renamed into the target's own indices."""
        name = target.name
        slots: tuple[sympy.Expr, ...] = target.slots if isinstance(target, Access) else ()
        if name not in self.found:
            self.slots = {**self.slots, name: self.builder.statements[-1].free}
            self.found[name] = []
        renaming: dict[sympy.Basic, sympy.Basic] = {}
        conditions: list[tuple[Index, sympy.Expr]] = []
        for own, slot in zip(self.slots[name], slots, strict=True):
            if slot in indices and slot not in renaming:
                renaming[slot] = own
            else:
                conditions.append((own, slot))
        for index in indices:
            renaming.setdefault(index, self.builder.fresh_index(index))
        rest = tuple(renaming[k] for k in indices if renaming[k] not in self.slots[name])
        deltas = sympy.And(*(sympy.Eq(own, slot.xreplace(renaming)) for own, slot in conditions))
        condition, total = self.builder.total(
            f"sum_{name}", rest, sympy.And(where.xreplace(renaming), deltas), body.xreplace(renaming)
        )
        self.found[name].append(Term(condition, total))
