"""Mutants of symbolic derivatives: small changes in the expressions of gradients and Hessian diagonals.

A derived program comes in, with the definition that it was derived from. One expression is changed at a time, the
interpreter evaluates what depends on it at a few small points, in many digits, and the numbers are compared with the
oracle's. A mutant that passes is *equivalent* where both expressions are the same formula, or where anything may stand
there, and else it *survived*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import mpmath
import numpy as np
import sympy

from symloss.language.axes import Index, Size
from symloss.language.definition import Definition, axes_of
from symloss.language.nodes import Access, LabelAccess
from symloss.program.interpreter import interpret, statement_values
from symloss.program.statement import Output, Program, Statement, accesses
from symloss.program.terms import Term
from symloss.verification.accuracy import full_settings
from symloss.verification.mutation import Mutant, Outcome, Rejected, sample
from symloss.verification.mutation_points import gentle, moves
from symloss.verification.mutation_probes import WEIGHTS, Situation
from symloss.verification.mutation_ties import at_two_ties, defined, near_ties
from symloss.verification.oracle import oracle_of
from symloss.verification.sampling import Batch
from symloss.verification.steps import WrongStep, rule_holds

SAMPLED = 20
"""Mutants of each loss that are run by default."""
SAMPLES, ELEMENTS, EXTENT = 2, 12, 3
"""Samples where each is a matrix or more, and where it is a number or a row; of two classes p (1 - p) is the same."""
SPREADS = (1.0, 0.25, 4.0)
"""Of the numbers: some points lie far from each other, and some near."""
CROWD = 100
"""Samples of which those are taken that are closest to a tie."""
DIGITS = 30
NEAR, LEAST = 1e-12, 1e-25
"""How far numbers may be from the oracle's rounded ones, relatively and where these are 0."""
ABSURD = sympy.Rational(12345, 7)
"""Added where nothing should depend on what stands there."""
OPPOSITE = {
    sympy.Eq: sympy.Ne, sympy.Ne: sympy.Eq, sympy.Ge: sympy.Lt, sympy.Lt: sympy.Ge, sympy.Gt: sympy.Le,
    sympy.Le: sympy.Gt, sympy.Max: sympy.Min, sympy.Min: sympy.Max,
}  # fmt: skip
OTHER = {"max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax"}
UNEVALUATED = (ArithmeticError, LookupError, StopIteration, TypeError, ValueError)
"""What the interpreter raises where an expression has no value."""
Change = tuple[str, sympy.Basic, sympy.Basic]
Path = tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """One change in a program.

    Parameters
    ----------
    name : str
        Of the statement or output.
    field : str
        ``"body"``, ``"where"``, ``"op"`` or ``"output"``.
    kind : str
        What is changed.
    path : tuple of int
        Which argument of which argument, from the whole expression on.
    before, after : object
        What stands there, and what does in the mutant.
    """

    name: str
    field: str
    kind: str
    path: Path
    before: Any
    after: Any

    def applied(self, program: Program) -> Program:
        """Return the program with the change."""
        if self.field == "output":
            outputs = tuple(
                Output(o.name, o.free, (Term(sympy.true, _put(o.expression, self.path, self.after)),))
                if o.name == self.name else o
                for o in program.outputs
            )  # fmt: skip
            return replace(program, outputs=outputs)
        statements = tuple(self._changed(s) if s.name == self.name else s for s in program.statements)
        return replace(program, statements=statements)

    def _changed(self, statement: Statement) -> Statement:
        match self.field:
            case "op":
                return replace(statement, op=self.after)
            case "where":
                return replace(statement, where=_put(statement.where, self.path, self.after))
        return replace(statement, body=_put(statement.body, self.path, self.after))


def _put(node: sympy.Basic, path: Path, new: sympy.Basic) -> sympy.Basic:
    if not path:
        return new
    arguments = list(node.args)
    arguments[path[0]] = _put(arguments[path[0]], path[1:], new)
    return node.func(*arguments)


def sites(program: Program) -> Iterator[Site]:
    """Yield every change in what gradients and Hessian diagonals are made of."""
    names = [o.name for o in program.outputs if o.name.startswith(("gradient_", "hessian_"))]
    kept = program.keep(*names)
    for statement in kept.statements:
        for part in ("body", "where"):
            for path, change in _walk(getattr(statement, part)):
                yield Site(statement.name, part, change[0], path, *change[1:])
        if statement.where is not sympy.true:
            yield Site(statement.name, "where", "dropped term", (), statement.where, sympy.true)
        if statement.op in OTHER:
            yield Site(statement.name, "op", "operator", (), statement.op, OTHER[statement.op])
    for output in kept.outputs:
        for path, change in _walk(output.expression):
            yield Site(output.name, "output", change[0], path, *change[1:])


def _walk(node: sympy.Basic, path: Path = ()) -> Iterator[tuple[Path, Change]]:
    """Yield the changes of a node and its parts, outermost first."""
    for kind, new in _changes(node):
        if new != node:
            yield path, (kind, node, new)
    if not isinstance(node, Access | Index | Size):
        for number, argument in enumerate(node.args):
            yield from _walk(argument, (*path, number))


def _changes(node: sympy.Basic) -> Iterator[tuple[str, sympy.Basic]]:
    match node:
        case Access():
            yield from _indices(node)
        case sympy.Add(args=parts):
            for part in parts:
                rest = [a for a in parts if a is not part]
                yield "dropped term", sympy.Add(*rest)
                yield "operator", sympy.Add(*rest, -part)
        case sympy.Mul(args=parts):
            yield "sign", -node
            for part in parts:
                rest = [a for a in parts if a is not part]
                if not part.is_Number:
                    yield "dropped term", sympy.Mul(*rest)
                    yield "operator", sympy.Mul(*rest, 1 / part)
        case sympy.Pow(args=(base, exponent)):
            yield "constant", sympy.Pow(base, exponent + 1)
        case sympy.Piecewise(args=(chosen, otherwise, *others)):
            (first, condition), (second, rest) = chosen, otherwise
            yield "branch", sympy.Piecewise((second, condition), (first, rest), *others)
            yield "dropped term", first
        case sympy.Number() if node.is_finite:
            yield "constant", node + 1
        case sympy.Function() if len(node.args) == 1:
            yield "sign", node.func(-node.args[0])
    if type(node) in OPPOSITE:
        kind = "operator" if isinstance(node, sympy.Max | sympy.Min) else "comparison"
        yield kind, OPPOSITE[type(node)](*node.args)


def _indices(node: Access) -> Iterator[tuple[str, sympy.Basic]]:
    head, *slots = node.args
    for k in range(len(slots) - 1):
        yield "index", node.func(head, *slots[:k], slots[k + 1], slots[k], *slots[k + 2 :])
    for k, slot in enumerate(slots):
        if isinstance(slot, LabelAccess):
            yield "index", node.func(head, *slots[:k], sympy.S.Zero, *slots[k + 1 :])


@dataclass(frozen=True, eq=False)
class Bench:
    """A program at a few small points, and what is true there."""

    program: Program
    situation: Situation
    tensors: dict[str, Any]
    scalars: dict[str, Any]
    sizes: dict[str, int]
    values: dict[str, Any] = field(default_factory=dict)

    def outputs(self) -> list[str]:
        """Return the outputs that are compared."""
        names = self.situation.inputs + self.situation.free
        return [o.name for o in self.program.outputs if o.name.partition("_")[2] in names]

    def read_by(self, name: str) -> tuple[list[str], set[str]]:
        """Return the outputs that depend on a statement or output, and the statements that do."""
        if name in self.outputs():
            return [name], set()
        later = {name}
        for s in self.program.statements:
            read = {a.name for part in (s.body, s.where) for a in accesses(part)} | {s.source}
            if read & later:
                later.add(s.name)
        kept = [n for n in self.outputs() if later & {a.name for a in accesses(self.program.output(n).expression)}]
        return kept, later

    def passes(self, program: Program, outputs: list[str], changed: set[str]) -> bool:
        """Tell whether outputs of a program are the oracle's numbers where these are known."""
        return bool(self.judged(program, outputs, changed))

    def judged(self, program: Program, outputs: list[str], changed: set[str]) -> bool | None:
        """Tell whether outputs of a program are right, or None where an expression has no value as it is written."""
        known = {n: x for n, x in self.values.items() if n not in changed}
        try:
            found = interpret(program.keep(*outputs), self.tensors, self.scalars, self.sizes, DIGITS, known)
        except UNEVALUATED:
            return None
        return all(self._right(name, found[name]) for name in outputs)

    def _right(self, name: str, found: Any) -> bool:
        quantity, _, target = name.partition("_")
        truth, _ = self.situation.truth(quantity, target)
        for at in np.ndindex(*truth.shape):
            number, true = found[at], truth[at]
            if np.isnan(true):
                continue
            if isinstance(number, mpmath.mpc) or not abs(number - true) <= NEAR * abs(true) + LEAST:
                return False
        return True


def benches(written: Definition, program: Program, seed: int) -> Iterator[Bench]:
    """Yield small points of a variant, with weights: some near each other, some far, and some near ties."""
    several = len(axes_of(written.inputs)) > 2
    samples = SAMPLES if several else ELEMENTS
    for batch in filter(None, (defined(written, drawn) for drawn in _batches(written, seed, samples))):
        plain = Situation(written, batch, None)
        weights = np.resize(WEIGHTS, plain.request.oracle.shape(plain.request.tensors))
        situation = Situation(written, batch, weights)
        given = full_settings(written, batch.settings)
        flags = {f"{a.name}_given": given[a.name] is not None for a in written.parameters if a.optional and not a.axes}
        switches = {a.name for a in written.parameters if a.kind == "switch"}
        arrays = {a.name for a in written.parameters if a.axes}
        scalars = {n: 0 if v is None else v for n, v in given.items() if n not in switches | arrays} | flags
        tensors: dict[str, Any] = {**situation.request.tensors, "seed": weights / situation.mean}
        sizes = {
            x.name: extent
            for a in written.inputs
            for x, extent in zip(a.axes or (written.per[0].axis,), np.shape(tensors[a.name]), strict=False)
        }
        made = Bench(program, situation, tensors, scalars, sizes)
        names = made.outputs()
        with suppress(*UNEVALUATED):  # then nothing is known, and the program is not judged
            made.values.update(statement_values(program.keep(*names), tensors, scalars, sizes, DIGITS))
        yield made


def _batches(written: Definition, seed: int, samples: int) -> Iterator[Batch]:
    for number, spread in enumerate(SPREADS):
        yield gentle(written, seed + number, samples, EXTENT, spread=spread)
    yield from (gentle(written, seed, samples, EXTENT, **other) for other in moves(written))
    if not oracle_of(written).separable:  # a sample without others
        yield gentle(written, seed, 1, EXTENT)
    for other in ({}, *moves(written)):
        tied = near_ties(written, gentle(written, seed, CROWD, EXTENT, **other), samples)
        if tied is not None:
            yield tied
    yield from at_two_ties(written, gentle(written, seed, CROWD, EXTENT), samples)


def mutate_derivatives(
    programs: Sequence[tuple[Definition, Program]], seed: int, count: int | None = SAMPLED
) -> Outcome:
    """Mutate the derivatives of a loss.

    Parameters
    ----------
    programs : sequence of (Definition, Program)
        Each variant, with gradients and Hessian diagonals.
    seed : int
        Of the points, and of the sample.
    count : int, optional
        How many mutants are drawn; all where it is None.

    Raises
    ------
    Rejected
        Where a program itself is wrong: nothing could be learnt from its mutants.
    """
    every = [(number, site) for number, (_, program) in enumerate(programs) for site in sites(program)]
    chosen = sample(every, seed, count)
    tried = {number: _Benches(programs[number], seed) for number in sorted({n for n, _ in chosen})}
    mutants = tuple(_judged(programs[number][0], tried[number], site) for number, site in chosen)
    return Outcome("derivative", len(every), mutants)


class _Benches:
    """The benches of a variant, each made when a mutant has passed those before it: most do not pass the first."""

    def __init__(self, variant: tuple[Definition, Program], seed: int) -> None:
        self.written, self.program = variant
        self.made: list[Bench] = []
        self.more = benches(self.written, self.program, seed)

    def __iter__(self) -> Iterator[Bench]:
        yield from self.made
        for bench in self.more:
            right = bench.judged(self.program, bench.outputs(), set())
            if right is None:  # such as 1 / 0 in a case that kernels do not compute
                continue
            if not right:
                message = f"the derivatives themselves are wrong in {', '.join(bench.outputs())}{self.written.suffix}"
                raise Rejected(message)
            self.made.append(bench)
            yield bench


def _judged(written: Definition, tried: _Benches, site: Site) -> Mutant:
    """Run one mutant until a point kills it."""

    def mutant(status: str, reason: str = "") -> Mutant:
        where = f"{site.name}{written.suffix}"
        return Mutant(where, site.kind, str(site.before), str(site.after), status, reason)

    reached = (b for b in tried if b.read_by(site.name)[0])
    if not all(_passes(bench, site) for bench in reached):
        return mutant("killed")
    every = [b for b in tried if b.read_by(site.name)[0]]
    if not every:
        return mutant("equivalent", "proved: nothing that has a derivative depends on it in this variant")
    if site.field != "op" and _same(written, site):
        return mutant("equivalent", "observed: both are the same formula: they agree in 30 digits at random points")
    if _asks_for_its_own(written, site):
        return mutant("equivalent", "proved: there is no derivative in a parameter that is absent")
    for absurd, reason in _absurd(site):
        if all(_passes(bench, absurd) for bench in every):
            return mutant("equivalent", f"observed: {reason}")
    return mutant("survived", f"{len(every)} sets of points see no change")


def _asks_for_its_own(written: Definition, site: Site) -> bool:
    """Tell whether a mutant only leaves out whether a parameter is given, in what the derivative in it alone reads."""
    asked = {
        str(s).removesuffix("_given") for s in getattr(site.before, "free_symbols", ()) if str(s).endswith("_given")
    }
    kept = {str(s) for s in getattr(site.after, "free_symbols", ())}
    optional = {a.name for a in written.parameters if a.optional}
    if len(asked) != 1 or not asked <= optional or f"{next(iter(asked))}_given" in kept:
        return False
    (name,) = asked
    first = site.before.args[0][0] if isinstance(site.before, sympy.Piecewise) else None
    return first == site.after and site.name.partition("_")[2].startswith(name)


def _absurd(site: Site) -> Iterator[tuple[Site, str]]:
    """Yield mistakes that would be seen wherever what stands there matters, and what it means if they are not."""
    if isinstance(site.before, sympy.Expr):
        anything = replace(site, after=site.before + ABSURD)
        yield anything, "anything may stand there: its case never holds, or a factor is 0"
        yield replace(site, after=site.before * ABSURD), "any multiple of it may stand there: it is 0"


def _passes(bench: Bench, site: Site) -> bool:
    outputs, changed = bench.read_by(site.name)
    try:
        program = site.applied(bench.program)
    except (TypeError, ValueError):  # no expression at all
        return False
    return bench.passes(program, outputs, changed)


def _same(written: Definition, site: Site) -> bool:
    """Tell whether both expressions are one formula, whatever is read."""
    if not isinstance(site.before, sympy.Expr) or not isinstance(site.after, sympy.Expr):
        return False
    try:
        return rule_holds(written, site.before, site.after, frozenset()) > 0
    except (WrongStep, KeyError, TypeError):
        return False
