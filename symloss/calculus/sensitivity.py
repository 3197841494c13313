"""Exact Hessian diagonals: first-order sensitivities to one entry of an input, carried as terms.

The sensitivity of a statement to ``x[star]`` is a sum of terms, each under conditions on the statement's own indices;
``z[i, k]`` is sensitive to ``z[i*, k*]`` by 1 where ``i = i*`` and ``k = k*``. At the end the gradient's own indices
are the star, and the conditions collapse.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.calculus.joining import joined
from symloss.calculus.partials import cases, partials
from symloss.language.atoms import complement, ratio
from symloss.language.axes import Index
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement
from symloss.program.terms import Term, conjuncts, merge, separated
from symloss.program.winners import has_winner, softmax_of, winner_of

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
                changes = merge(sweep.of(statement))
                sweep.known[statement.name] = (statement, tuple(sweep.shortened(statement, t) for t in changes))
            at_star = dict(zip(output.free, star, strict=True))
            own = dict(zip(star, output.free, strict=True))
            terms = [
                change.times(sympy.S.One, term.where).substitute(at_star).substitute(own)
                for term in output.terms
                for change in sweep.along(term.body)
            ]
            own_terms = [Term(t.where, sweep.specialised(t.body)) for t in merge(terms)]
            own_terms = [Term(t.where, joined(builder, t.body, sweep.made)) for t in own_terms]
            outputs.append(Output(f"hessian_{target}", output.free, merge(own_terms)))
    return replace(program, statements=tuple(builder.statements), outputs=tuple(outputs))


NAMED_PARTIAL = 12
"""Operations from which what several terms are multiplied by becomes a statement of its own."""


class _Sensitivities:
    """The state of one sweep: the input, its star indices, and each statement's terms."""

    def __init__(self, builder: Builder, target: str, star: tuple[Index, ...]) -> None:
        self.builder, self.target, self.star = builder, target, star
        self.known: dict[str, Sensitivity] = {}
        self.before = len(builder.statements)

    def along(self, expression: sympy.Expr) -> list[Term]:
        """Return the sensitivity of an expression."""
        live = {name for name, (_, terms) in self.known.items() if terms} | {self.target}
        found = []
        for read, partial in partials(expression, live):
            changes = self.to(read)
            for case, slope in cases(partial):
                factor = self.builder.shared(slope)
                if len(changes) > 1 and sympy.count_ops(factor) >= NAMED_PARTIAL:
                    factor = self._named(f"{read.name}_slope", factor)
                found += [term.times(factor, case) for term in changes]
        return found

    def _named(self, base: str, body: sympy.Expr) -> sympy.Expr:
        """Return what several terms share as a statement of its own."""
        free = tuple(sorted((k for k in body.free_symbols if isinstance(k, Index)), key=str))
        return self.builder.add(Statement(self.builder.fresh_name(base), free, "let", (), body))

    def shortened(self, statement: Statement, term: Term) -> Term:
        """Return the sensitivity of a statement by name where it is long; what needs a third dimension is left open.

        Those of a softmax stay open too: the rules pair a weight with the 1 that it is subtracted from.
        """
        indices = [k for k in term.body.free_symbols if isinstance(k, Index)]
        weighed = statement.op in ("logsumexp", "softmax")
        if weighed or len(indices) > 2 or sympy.count_ops(term.body) < NAMED_PARTIAL:
            return term
        return Term(term.where, self._named(f"{statement.name}_change", term.body))

    def to(self, read: sympy.Expr) -> tuple[Term, ...]:
        """Return the sensitivity of one access or parameter."""
        if read.name == self.target:
            slots = read.slots if isinstance(read, Access) else ()
            same = sympy.And(*(sympy.Eq(slot, own) for slot, own in zip(slots, self.star, strict=True)))
            return (Term(same, sympy.S.One),)
        statement, terms = self.known[read.name]
        return merge(t.substitute(statement.at(read.slots)) for t in terms)

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
                return self._sums(statement, terms, self.builder.shared(ratio(statement.body, statement.access)))
            case "softmax" if (centred := self._centred(statement, terms)) is not None:
                return centred
            case "softmax" if (pinned := _pinned(statement, terms)) is not None:
                return pinned
            case "softmax":
                total = self.to(Access(statement.source, *statement.free[:-1]))
                # term by term, so that a rule sees p c - p (p c + ...) as p (1 - p) c - ...
                parts = [Term(t.where, -part) for t in total for part in sympy.Add.make_args(t.body)]
                return [t.times(statement.access) for t in terms + parts]
            case "max" | "min" if terms:
                winner = self.builder.add(winner_of(statement))
                found = has_winner(statement, winner)
                return [t.substitute({statement.bound[0]: winner}).times(sympy.S.One, found) for t in terms]
            case _:
                return []

    def _centred(self, statement: Statement, terms: list[Term]) -> list[Term] | None:
        """Return the sensitivity of a softmax by changes less that of the largest entry, or None where that is no gain.

        The weights sum to 1, so any centre gives the same. With this one the largest weight, which may round to 1, is
        multiplied by 0 and by a sum of small terms, where a variance would be a difference of large ones. A change of
        one entry alone has a better form: the weight's complement.
        """
        *rows, own = statement.free
        if not terms or statement.where is not sympy.true or any(own in t.where.free_symbols for t in terms):
            return None
        logsumexp, _ = self.known[statement.source]
        winner = self.builder.add(winner_of(logsumexp)).xreplace(dict(logsumexp.at(tuple(rows))))
        apart = [
            Term(sympy.And(t.where, sympy.Ne(own, winner)), t.body - t.body.xreplace({own: winner}))
            for t in merge(terms)
        ]
        apart = [t for t in apart if t.body != 0]
        fresh = self.builder.fresh_index(own)
        entry = Access(statement.name, *rows, fresh)
        base = f"{statement.source}_centred"
        average = [
            found for t in (t.substitute({own: fresh}) for t in apart)
            for found in self._total(base, (fresh,), t.where, t.body * entry)
        ]  # fmt: skip
        return [t.times(statement.access) for t in apart] + [Term(t.where, -t.body * statement.access) for t in average]

    def _sums(self, statement: Statement, terms: list[Term], weight: sympy.Expr) -> list[Term]:
        """Sum each term over the statement's bound indices; a pinned index is substituted instead."""
        base = f"{statement.name}_sensitivity"
        return [
            found
            for term in merge(terms)
            for found in self._total(base, statement.bound, sympy.And(term.where, statement.where), term.body * weight)
        ]

    def _total(self, base: str, bound: tuple[Index, ...], where: sympy.Basic, body: sympy.Expr) -> list[Term]:
        """Sum over `bound`; what is itself a sum is summed over `bound` first, so that it needs no third dimension.

        The sum over f of a[f] times the sum over j of u[d, j] v[f, j] is the sum over j of u[d, j] times the sum over
        f of a[f] v[f, j]: products of two matrices, where the sums as they stand need one entry for each d and f.
        """
        if self._nested(body, bound) is None:
            return [Term(*self.builder.total(base, bound, where, body))]
        found: list[Term] = []
        for factor, coefficient in separated(body, bound):
            access = self._nested(factor, bound)
            if access is None:
                found.append(Term(*self.builder.total(base, bound, where, coefficient * factor)))
                continue
            inner = self.wide[access.name]
            fresh = {k: self.builder.fresh_index(k) for k in inner.bound}
            swap = dict(inner.at(access.slots)) | fresh
            whole = factor.xreplace({access: inner.body.xreplace(swap)})
            mask = sympy.And(where, inner.where.xreplace(swap))
            once = [
                total.times(coefficient * left)
                for part, left in separated(whole, bound)
                for total in self._total(base, bound, mask, part)
            ]
            outer = tuple(fresh.values())
            found += [Term(*self.builder.total(base, outer, t.where, t.body)) for t in merge(once)]
        return found

    def _nested(self, body: sympy.Expr, bound: tuple[Index, ...]) -> Access | None:
        """Return a read, in a product, of a sum with three slots or more over one of the indices to sum over."""
        for term in sympy.Add.make_args(body):
            for factor in sympy.Mul.make_args(term):
                if isinstance(factor, sympy.Add):
                    nested = self._nested(factor, bound)
                    if nested is not None:
                        return nested
                elif isinstance(factor, Access) and factor.name in self.wide and set(factor.slots) & set(bound):
                    return factor
        return None

    @property
    def wide(self) -> dict[str, Statement]:
        """The sums with three slots or more that this sweep has made."""
        return {name: s for name, s in self.made.items() if len(s.free) > 2}

    @property
    def made(self) -> dict[str, Statement]:
        """The sums that this sweep has made."""
        return {s.name: s for s in self.builder.statements[self.before :] if s.op == "sum"}

    def specialised(self, node: sympy.Basic) -> sympy.Basic:
        """Return an expression in which sums read at one index in two slots are made for those entries alone."""
        if isinstance(node, Access):
            statement = self.made.get(node.name)
            if statement is None or len(set(node.slots)) == len(node.slots):
                return node
            swap = dict(statement.at(node.slots)) | {k: self.builder.fresh_index(k) for k in statement.bound}
            bound = tuple(swap[k] for k in statement.bound)
            body = self.specialised(statement.body.xreplace(swap))
            where, total = self.builder.total(f"{node.name}_own", bound, statement.where.xreplace(swap), body)
            return total if where is sympy.true else sympy.Piecewise((total, where), (sympy.S.Zero, True))
        if not node.args:
            return node
        return node.func(*(self.specialised(a) for a in node.args))


def _pinned(statement: Statement, terms: list[Term]) -> list[Term] | None:
    """Return the sensitivity of softmax weights to single exponents, entry by entry, or None where a change is wider.

    That of the weight itself is p (1 - p), the others' are -p times their own: nothing that is summed elsewhere must
    cancel where the weight is near 1.
    """
    own, weight = statement.free[-1], statement.access
    found: list[Term] = []
    for term in merge(terms):
        parts = conjuncts(term.where)
        equations = (p for p in parts if isinstance(p, sympy.Eq) and own in p.args)
        pins = [p for p in equations if own not in _other(p, own).free_symbols]
        if not pins:
            return None
        entry = {own: _other(pins[0], own)}
        rest = sympy.And(*(p for p in parts if p != pins[0])).xreplace(entry)
        body = term.body.xreplace(entry)
        found.append(Term(term.where, term.body * weight * complement(weight)))
        found.append(Term(sympy.And(rest, sympy.Ne(own, entry[own])), -body * weight.xreplace(entry) * weight))
    return found or None


def _other(equation: sympy.Eq, side: sympy.Expr) -> sympy.Expr:
    """Return the other side of an equation."""
    left, right = equation.args
    return right if left == side else left
