"""Programs in, stable programs out: the rules applied to every body, softmax recognised, author's names kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy

from symloss.language.definition import Definition, positive_parameters
from symloss.language.domains import OneOf
from symloss.language.nodes import Access
from symloss.program.building import Builder
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term
from symloss.stability.extrema import inner_extrema
from symloss.stability.rules import Context, Step, left_out, rewrite


@dataclass(frozen=True)
class Stable:
    """A program after a pass of the rules, and the trace of the pass."""

    program: Program
    trace: tuple[Step, ...]


def context_of(definition: Definition, program: Program) -> Context:
    """Return what the rules may know of a definition and its program."""

    def among(values: set[float]) -> frozenset[str]:
        return frozenset(
            a.name for a in definition.inputs if isinstance(a.domain, OneOf) and set(a.domain.values) == values
        )

    return Context(
        binary=among({0, 1}),
        signs=among({-1, 1}),
        predictions=frozenset(a.name for a in definition.differentiable),
        probabilities=frozenset(s.name for s in program.statements if s.op == "softmax"),
        logsumexps=frozenset(s.name for s in program.statements if s.op == "logsumexp"),
        positive=positive_parameters(definition),
        without=left_out(),
    )


def lift(definition: Definition, program: Program) -> Stable:
    """Lift textbook formulas to atoms, before differentiation."""
    return stabilise(definition, inner_extrema(square_norms(recognise_softmax(program))))


def stabilise(definition: Definition, program: Program) -> Stable:
    """Apply the rules to every statement, output and name of a program."""
    context = context_of(definition, program)
    trace: list[Step] = []
    statements = tuple(
        replace(s, body=rewrite(s.body, context, trace), where=rewrite(s.where, context, trace))
        for s in program.statements
    )
    outputs = tuple(
        replace(o, terms=tuple(Term(t.where, rewrite(t.body, context, trace)) for t in o.terms))
        for o in program.outputs
    )
    names = tuple((rewrite(e, context), name) for e, name in program.names)
    seen: dict[Step, None] = dict.fromkeys(trace)
    return Stable(replace(program, statements=statements, outputs=outputs, names=names), tuple(seen))


def fold_outputs(definition: Definition, program: Program) -> Stable:
    """Fold the terms of each output into one expression, case by case, and apply the rules to the whole."""
    folded = tuple(Output(o.name, o.free, (Term(sympy.true, o.expression),)) for o in program.outputs)
    return stabilise(definition, replace(program, outputs=folded))


def split_cases(program: Program) -> Program:
    """Turn outputs by cases back into terms, so that derivatives are taken case by case."""

    def terms(expression: sympy.Expr) -> tuple[Term, ...]:
        if isinstance(expression, sympy.Piecewise) and isinstance(expression.args[0][1], sympy.Eq):
            (inside, case), (outside, _) = expression.args
            return Term(case, inside), Term(sympy.Not(case), outside)
        return (Term(sympy.true, expression),)

    return replace(program, outputs=tuple(replace(o, terms=terms(o.expression)) for o in program.outputs))


def recognise_softmax(program: Program) -> Program:
    """Replace exp(x[k] - logsumexp(x)) by an entry of a softmax statement."""
    builder = Builder()

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access) or not node.args:
            return node
        if isinstance(node, sympy.exp):
            for source in [s for s in builder.statements if s.op == "logsumexp"]:
                entry = _softmax_entry(node.args[0], source, builder)
                if entry is not None:
                    return entry
        return node.func(*(walk(a) for a in node.args))

    for statement in program.statements:
        builder.keep(replace(statement, body=walk(statement.body), where=walk(statement.where)))
    outputs = tuple(replace(o, terms=tuple(Term(t.where, walk(t.body)) for t in o.terms)) for o in program.outputs)
    names = tuple((walk(e), name) for e, name in program.names)
    return replace(program, statements=tuple(builder.statements), outputs=outputs, names=names)


def square_norms(program: Program) -> Program:
    """Replace the square of a norm by a sum of squares, which has all its derivatives at 0."""
    builder = Builder()
    norms = {s.name: s for s in program.statements if s.op == "norm"}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access) or not node.args:
            return node
        if isinstance(node, sympy.Pow) and node.exp == 2 and getattr(node.base, "name", "") in norms:
            norm = norms[node.base.name]
            fresh = {k: builder.fresh_index(k) for k in norm.bound}
            squares = replace(
                norm, name=builder.fresh_name(norm.name.replace("norm", "squares")), op="sum",
                bound=tuple(fresh.values()), body=norm.body.xreplace(fresh) ** 2, where=norm.where.xreplace(fresh),
            )  # fmt: skip
            return Access(builder.add(squares).name, *node.base.slots)
        return node.func(*(walk(a) for a in node.args))

    for statement in program.statements:
        builder.keep(replace(statement, body=walk(statement.body)))
    outputs = tuple(replace(o, terms=tuple(Term(t.where, walk(t.body)) for t in o.terms)) for o in program.outputs)
    names = tuple((walk(e), name) for e, name in program.names)
    return replace(program, statements=tuple(builder.statements), outputs=outputs, names=names)


def _softmax_entry(exponent: sympy.Expr, source: Statement, builder: Builder) -> Access | None:
    """Return the softmax entry that exp(exponent) is, or None."""
    total = next((a for a in accesses(exponent) if a.name == source.name), None)
    if total is None:
        return None
    (bound,) = source.bound
    numerator = exponent + total
    body = source.body.xreplace(dict(source.at(total.slots)))
    candidates = {slot for a in accesses(numerator) for slot in a.slots}
    for slot in sorted(candidates, key=sympy.default_sort_key):
        if body.xreplace({bound: slot}) == numerator:
            name = source.name.replace("logsumexp", "softmax")
            weights = Statement(
                name, (*source.free, bound), "softmax", (), source.body, source.where, source=source.name
            )
            return Access(builder.add(weights).name, *total.slots, slot)
    return None
