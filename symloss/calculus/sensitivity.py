"""Exact Hessian diagonals: first-order sensitivities to one entry of an input, carried as terms.

The sensitivity of a statement to ``x[star]`` is a sum of terms, each under conditions on the statement's own indices;
``z[i, k]`` is sensitive to ``z[i*, k*]`` by 1 where ``i = i*`` and ``k = k*``. At the end the gradient's own indices
are the star, and the conditions collapse.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.calculus.adjoint import has_winner, softmax_of, winner_of
from symloss.calculus.partials import partials
from symloss.language.atoms import ratio
from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term, merge

Sensitivity = tuple[Statement, tuple[Term, ...]]


def hessian_diagonal(program: Program) -> Program:
    """Append the exact diagonal of the Hessian for every gradient of a program.

    Returns
    -------
    Program
        With one more output, ``hessian_<target>``, for each ``gradient_<target>``.
    """
    outputs = list(program.outputs)
    builder = Builder(program)
    for output in program.outputs:
        if output.name.startswith("gradient_"):
            target = output.name.removeprefix("gradient_")
            star = tuple(builder.fresh_index(k) for k in output.free)
            sweep = _Sensitivities(builder, target, star)
            for statement in program.keep(output.name).statements:
                sweep.known[statement.name] = (statement, merge(sweep.of(statement)))
            at_star = dict(zip(output.free, star, strict=True))
            own = dict(zip(star, output.free, strict=True))
            terms = [
                change.times(sympy.S.One, term.where).substitute(at_star).substitute(own)
                for term in output.terms
                for change in sweep.along(term.body)
            ]
            outputs.append(Output(f"hessian_{target}", output.free, merge(terms)))
    return replace(program, statements=tuple(builder.statements), outputs=tuple(outputs))


class _Sensitivities:
    """The state of one sweep: the input, its star indices, and each statement's terms."""

    def __init__(self, builder: Builder, target: str, star: tuple[Index, ...]) -> None:
        self.builder, self.target, self.star = builder, target, star
        self.known: dict[str, Sensitivity] = {}

    def along(self, expression: sympy.Expr) -> list[Term]:
        """Return the sensitivity of an expression."""
        live = {name for name, (_, terms) in self.known.items() if terms} | {self.target}
        return [term.times(partial) for read, partial in partials(expression, live) for term in self.to(read)]

    def to(self, read: sympy.Expr) -> tuple[Term, ...]:
        """Return the sensitivity of one access or parameter."""
        if read.name == self.target:
            slots = read.slots if isinstance(read, Access) else ()
            same = sympy.And(*(sympy.Eq(slot, own) for slot, own in zip(slots, self.star, strict=True)))
            return (Term(same, sympy.S.One),)
        statement, terms = self.known[read.name]
        return tuple(t.substitute(statement.at(read.slots)) for t in terms)

    def of(self, statement: Statement) -> list[Term]:
        """Return the sensitivity of a statement, in its own indices."""
        terms = self.along(statement.body)
        match statement.op:
            case "let":
                return terms
            case "sum":
                return self._sums(statement, terms, sympy.S.One)
            case "logsumexp":
                return self._sums(statement, terms, self.builder.add(softmax_of(statement)))
            case "norm":
                return self._sums(statement, terms, ratio(statement.body, statement.access))
            case "softmax":
                total = self.to(Access(statement.source, *statement.free[:-1]))
                changes = terms + [t.times(sympy.S.NegativeOne) for t in total]
                return [t.times(statement.access) for t in changes]
            case "max" | "min" if terms:
                winner = self.builder.add(winner_of(statement))
                found = has_winner(statement, winner)
                return [t.substitute({statement.bound[0]: winner}).times(sympy.S.One, found) for t in terms]
            case _:
                return []

    def _sums(self, statement: Statement, terms: list[Term], weight: sympy.Expr) -> list[Term]:
        """Sum each term over the statement's bound indices; a pinned index is substituted instead."""
        found = []
        for term in merge(terms):
            where = sympy.And(term.where, statement.where)
            condition, total = self.builder.total(
                f"{statement.name}_sensitivity", statement.bound, where, term.body * weight
            )
            found.append(Term(condition, total))
        return found
