"""Mutants of symbolic derivatives: the derived program, changed in one place and interpreted, against the oracle.

A definition and its program come in: statements, and value, gradients, Hessian diagonals and products that read them.
Signs, constants, operators, functions, indices and branches are changed and terms dropped, in every expression. What
comes of it in 30 digits at a few points is compared with the oracle's numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symloss.language import atoms
from symloss.language.axes import Index
from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval, OneOf
from symloss.language.nodes import Access
from symloss.program.interpreter import interpret
from symloss.program.statement import Output, Program
from symloss.program.terms import Term
from symloss.verification.mutation import SAMPLED, Mutant, Outcome, sample
from symloss.verification.mutation_probes import Situation
from symloss.verification.oracle import oracle_of
from symloss.verification.proof_form import exact
from symloss.verification.proof_ranges import Ranges, ranges_of
from symloss.verification.sampling import Batch, settings_of, sizes_for

DIGITS = 30
NEAR = 1e-9
"""Relative to the largest number of its array and 1: what a number of the right formula stays within."""
SAMPLES, EXTENT, DRAWS = 4, 3, 3
QUANTITIES = {"value": "value", "gradient": "gradient", "hessian": "hessian", "product": "full product"}
RELATED: dict[type, type] = {
    sympy.cos: sympy.sin, sympy.sin: sympy.cos, sympy.Max: sympy.Min, sympy.Min: sympy.Max,
    atoms.sigmoid: atoms.softplus, atoms.softplus: atoms.sigmoid,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One changed expression of a program.

    Parameters
    ----------
    where : str
        The statement or output.
    kind : str
        What was changed.
    old, new : sympy.Basic
        The whole expression before and after.
    part : str
        ``"body"`` or ``"where"``.
    term : int
        Which term of an output; -1 for a statement.
    """

    where: str
    kind: str
    old: sympy.Basic
    new: sympy.Basic
    part: str = "body"
    term: int = -1


def changes(program: Program) -> Iterator[Change]:
    """Yield every mutant of a program."""
    for statement in program.statements:
        for kind, new in mutants(statement.body, statement.free + statement.bound):
            yield Change(statement.name, kind, statement.body, new)
        if statement.where is not sympy.true:
            yield Change(statement.name, "branch", statement.where, sympy.Not(statement.where), "where")
    for output in program.outputs:
        for number, term in enumerate(output.terms):
            for kind, new in mutants(term.body, output.free):
                yield Change(output.name, kind, term.body, new, "body", number)
            if term.where is not sympy.true:
                yield Change(output.name, "branch", term.where, sympy.Not(term.where), "where", number)
            if len(output.terms) > 1:
                yield Change(output.name, "dropped term", term.body, sympy.S.Zero, "body", number)


def mutants(node: sympy.Basic, scope: Sequence[Index]) -> Iterator[tuple[str, sympy.Basic]]:
    """Yield the kind and the changed expression, for one change at one place each."""
    if node != 0:
        yield "sign", -node
    for kind, new in _within(node, scope):
        if new != node:
            yield kind, new


def _within(node: sympy.Basic, scope: Sequence[Index]) -> Iterator[tuple[str, sympy.Basic]]:
    match node:
        case Access():
            yield from _indices(node, scope)
            return
        case sympy.Rational():
            yield "constant", node + 1
        case sympy.Add():
            for a in node.args:
                yield "dropped term", node - a
                yield "sign", node - 2 * a
            first, *rest = node.args
            yield "operator", first * sympy.Add(*rest)
        case sympy.Mul():
            for place in range(len(node.args)):
                rest = node.args[:place] + node.args[place + 1 :]
                if node.args[place] != -1:
                    yield "dropped term", sympy.Mul(*rest)
            if not node.args[0].is_number:
                yield "operator", node.args[0] + sympy.Mul(*node.args[1:])
        case sympy.Pow():
            yield "dropped term", node.base
            yield "sign", node.base ** (-node.exp)
        case sympy.Piecewise() if len(node.args) == 2:
            (first, condition), (second, _) = node.args
            yield "branch", sympy.Piecewise((second, condition), (first, True))
        case sympy.Function() if type(node) in RELATED:
            yield "operator", RELATED[type(node)](*node.args)
    if isinstance(node, sympy.Function | sympy.exp) and len(node.args) == 1:
        yield "sign", node.func(-node.args[0])
    if isinstance(node, sympy.Piecewise):
        for place, (value, condition) in enumerate(node.args):
            for kind, new in _within(value, scope):
                cases = [*node.args[:place], (new, condition), *node.args[place + 1 :]]
                yield kind, sympy.Piecewise(*cases)
        return
    for place, a in enumerate(node.args):
        if isinstance(a, sympy.Expr):
            for kind, new in _within(a, scope):
                yield kind, node.func(*node.args[:place], new, *node.args[place + 1 :])


def _indices(node: Access, scope: Sequence[Index]) -> Iterator[tuple[str, sympy.Basic]]:
    """Put another index in scope, of the same axis, in the place of one, or for a label one that is not it."""
    for place, slot in enumerate(node.slots):
        for other in scope:
            if isinstance(slot, Index) and other != slot and other.axis == slot.axis:
                yield "index", Access(node.name, *node.slots[:place], other, *node.slots[place + 1 :])


@dataclass(eq=False)
class _Point:
    """Inputs and settings, what is true there, and what the statements of the program give."""

    situation: Situation
    program: Program
    sizes: dict[str, int]
    usual: dict[str, NDArray[Any]] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> dict[str, Any]:
        """Inputs, weights and directions."""
        request, direction = self.situation.request, self.situation.direction
        given = {n: x for n, x in request.tensors.items() if x is not None}
        given |= {
            a.name: np.full([self.sizes[x.name] for x in a.axes], a.fill)
            for a in self.situation.definition.parameters if a.axes and a.name not in given
        }  # fmt: skip
        moves = {f"direction_{n}": np.asarray(direction[n]) for n in self.situation.inputs}
        return given | moves | {"seed": self.weights / self.situation.mean}

    @cached_property
    def weights(self) -> NDArray[Any]:
        """The weights of the samples, 0 for those that do not count."""
        request = self.situation.request
        weights = np.array(self.situation.weights)
        for at in np.ndindex(*weights.shape):
            weights[at] *= request.oracle.counts(request.tensors, request.scalars, at)
        return weights

    @cached_property
    def scalars(self) -> dict[str, Any]:
        """Parameters, flags and directions in parameters."""
        found: dict[str, Any] = {}
        for name, value in self.situation.request.scalars.items():
            found |= {f"{name}_given": value is not None, name: 0.0 if value is None else value}
        moves = {f"direction_{a.name}": 0.0 for a in self.situation.definition.continuous}
        moves |= {f"direction_{n}": float(self.situation.direction[n]) for n in self.situation.parameters}
        return found | moves

    @cached_property
    def known(self) -> dict[str, Any]:
        """The tensors of all statements."""
        outputs = tuple(Output(s.name, s.free, (Term(sympy.true, s.access),)) for s in self.program.statements)
        return self.run(replace(self.program, outputs=outputs), {})

    def run(self, program: Program, known: dict[str, Any]) -> dict[str, Any]:
        """Interpret a program that may read statements known from before."""
        return interpret(program, self.tensors | known, self.scalars, self.sizes, DIGITS)

    def accepts(self, found: dict[str, Any]) -> bool:
        """Tell whether outputs are what the oracle says."""
        for name, array in found.items():
            kind, _, wrt = name.partition("_")
            if wrt and wrt not in (*self.situation.inputs, *self.situation.parameters):
                continue  # a parameter that is left out
            truth, _ = self.situation.truth(QUANTITIES[kind], wrt)
            numbers = np.asarray(array, np.float64) * (self.weights if kind == "value" else 1.0)
            scale = max(1.0, float(np.nan_to_num(np.abs(truth)).max(initial=0.0)))
            if not ((np.abs(numbers - truth) <= NEAR * scale) | np.isnan(truth)).all():
                return False
        return True

    def rejects(self, change: Change) -> bool:
        """Tell whether a mutant is noticed here."""
        names = [s.name for s in self.program.statements]
        try:
            if change.term >= 0:
                output = self.program.output(change.where)
                terms = list(output.terms)
                terms[change.term] = replace(terms[change.term], **{change.part: change.new})
                found = self.run(Program((), (replace(output, terms=tuple(terms)),)), self.known)
            else:
                at = names.index(change.where)
                statements = list(self.program.statements[at:])
                statements[0] = replace(statements[0], **{change.part: change.new})
                before = {n: x for n, x in self.known.items() if n in names[:at]}
                found = self.run(replace(self.program, statements=tuple(statements)), before)
            return not self.accepts(found)
        except Exception:  # whatever it is, a reader of the derivative would notice
            return True


def _points(definition: Definition, program: Program, seed: int) -> Iterator[_Point]:
    """Yield a point for each setting of the parameters that this variant of the definition has."""
    rng = np.random.default_rng(seed)
    separable = oracle_of(definition).separable
    sizes = sizes_for(definition, *((SAMPLES, EXTENT) if separable else (3, 2)))
    choice = {name: value for name, value in definition.choice if isinstance(value, str | bool | int | float)}
    own = {a.name for a in definition.parameters}
    # where samples interact every number hangs on all of them: one point says as much, and costs more
    for setting in (*({},) * DRAWS, *settings_of(definition)) if separable else ({},):
        settings = {n: v for n, v in choice.items() if n in own and v != "general"} | dict(setting)
        inputs = {a.name: _drawn(a, rng, definition, sizes) for a in definition.inputs}
        if definition.chosen(settings, inputs).choice != definition.choice:
            continue
        for a in definition.parameters:
            if a.axes:
                settings[a.name] = rng.uniform(0.25, 2, tuple(sizes[x.name] for x in a.axes))
        weights = rng.uniform(0.5, 2, tuple(sizes[k.axis.name] for k in definition.per))
        yield _Point(Situation(definition, Batch(inputs, settings), weights), program, sizes)


def _drawn(argument: Argument, rng: np.random.Generator, definition: Definition, sizes: dict[str, int]) -> NDArray[Any]:
    axes = argument.axes or ((definition.per[0].axis,) if definition.elementwise else ())
    shape = tuple(sizes[a.name] for a in axes)
    if argument.kind == "label":
        return rng.integers(0, sizes[argument.into.name] if argument.into is not None else 1, shape)
    match argument.domain:
        case OneOf(values=values):
            return rng.permutation(np.resize(np.asarray(values, np.float64), int(np.prod(shape)))).reshape(shape)
        case Interval(low=low, high=high) if np.isfinite(low) and np.isfinite(high):
            return rng.uniform(low, high, shape)
        case Interval(low=low) if np.isfinite(low):
            return low + rng.uniform(0.5, 2, shape)
    return rng.normal(0, 1.2, shape)


def mutate_derivatives(
    programs: Iterable[tuple[Definition, Program]], seed: int, count: int | None = SAMPLED
) -> Outcome:
    """Mutate the derived program of each variant of a loss.

    Parameters
    ----------
    programs : iterable of (Definition, Program)
        Variants, with everything that is derived.
    seed : int
        Of the points, and of the sample.
    count : int, optional
        How many mutants are drawn; all where it is None.

    Raises
    ------
    RuntimeError
        Where a program itself is rejected: nothing could be learnt from its mutants.
    """
    every: list[tuple[Definition, list[_Point], Change]] = []
    for definition, program in programs:
        points = list(_points(definition, program, seed))
        every += [(definition, points, change) for change in changes(program)]
    chosen = sample(every, seed, count)
    for points in {id(points): points for _, points, _ in chosen}.values():
        for point in points:
            if not point.accepts(point.run(replace(point.program, statements=()), point.known)):
                message = f"{point.situation.definition.name}: the derivatives themselves are rejected"
                raise RuntimeError(message)
    return Outcome("derivative", len(every), tuple(_judged(*each) for each in chosen))


def _judged(definition: Definition, points: list[_Point], change: Change) -> Mutant:
    status, reason = "survived", f"{len(points)} points see no change"
    if any(point.rejects(change) for point in points):
        status, reason = "killed", ""
    elif same := _same(definition, change, points[0].program) or _any_place(points, change):
        status, reason = "equivalent", same
    return Mutant(change.where, change.kind, str(change.old)[:200], str(change.new)[:200], status, reason)


def _same(definition: Definition, change: Change, program: Program) -> str:
    """Return why both expressions mean the same, or an empty string."""
    if change.part != "body":
        return ""
    ranges = ranges_of(definition, {})
    norms = {s.name: (sympy.S.Zero, sympy.oo) for s in program.statements if s.op == "norm"}
    ranges = Ranges({**ranges.known, **norms})
    gap = _plain(change.new, ranges) - _plain(change.old, ranges)
    if sympy.expand(gap) == 0:
        return "the same expression: multiplied out, sizes without signs, steps that are 0 or 1 taken once"
    few = {a.name: a.domain.values for a in definition.inputs if isinstance(a.domain, OneOf)}
    reads = {a for a in gap.atoms(Access) if a.name in few}
    for read in reads:
        if all(sympy.expand(gap.xreplace({read: exact(v)})) == 0 for v in few[read.name]) and len(reads) == 1:
            return f"the same for each of the values of {read.name}"
    return ""


def _plain(node: sympy.Expr, ranges: Ranges) -> sympy.Expr:
    """Write sizes so that the sign of what they are of does not show, and steps once, and not beside what has them."""
    node = node.replace(lambda n: isinstance(n, atoms.magnitude), lambda n: sympy.Abs(sympy.expand(n.args[0])))
    node = node.replace(
        lambda n: isinstance(n, sympy.Pow) and isinstance(n.base, atoms.step) and n.exp.is_positive, lambda n: n.base
    )

    def implied(factor: sympy.Expr, product: sympy.Mul) -> bool:
        parts = [a.args[0] for a in product.args if isinstance(a, atoms.positive_part)]
        return isinstance(factor, atoms.step) and any(ranges.of(factor.args[0] - u)[0] >= 0 for u in parts)

    return node.replace(
        lambda n: isinstance(n, sympy.Mul), lambda n: sympy.Mul(*(a for a in n.args if not implied(a, n)))
    )


def _any_place(points: list[_Point], change: Change) -> str:
    """Find a place of the largest entry that only says what others are taken relative to: any place will do."""
    statement = next((s for s in points[0].program.statements if s.name == change.where), None)
    if statement is None or statement.op not in ("argmax", "argmin"):
        return ""
    for point in points:
        for place in range(min(point.sizes[k.axis.name] for k in statement.bound)):
            shape = np.shape(point.known[statement.name])
            known = {statement.name: np.full(shape, place)}
            rest = tuple(s for s in point.program.statements if s.name != statement.name)
            if not point.accepts(point.run(replace(point.program, statements=rest), known)):
                return ""
    return "the numbers are the same for every place: it is only what others are taken relative to"
