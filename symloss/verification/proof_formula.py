"""Losses compared with expressions: a text in the names of inputs, parameters, named values and other losses.

A text comes in, becomes a formula in this loss's own inputs, and is compared with the loss for every value of the
labels; where the two are made of pieces, on each piece and where the pieces meet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy
from sympy import S, oo

from symloss.language import atoms
from symloss.language.axes import ELEMENT, Size
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, exact, label_cases, lets, opened, written
from symloss.verification.proof_identity import renamed
from symloss.verification.proof_pieces import X, pieces_of, plain, sign
from symloss.verification.proof_ranges import Ranges, product, ranges_of, total
from symloss.verification.proof_shape import slope

Lookup = Callable[[str], Definition]
COUNTS = sympy.symbols("TP FP FN TN", nonnegative=True)


def expression(definition: Definition, text: str, lookup: Lookup) -> Any:
    """Return a text as a formula in a loss's own inputs; a name that it lacks is that of another loss."""
    own: dict[str, Any] = {a.name: sympy.Symbol(a.name, real=True) for a in definition.parameters}
    own |= {a.name: Access(a.name, *[ELEMENT] * definition.elementwise) for a in definition.inputs if not a.axes}
    found: dict[str, set[Any]] = {}
    for node in lets(definition.formula):
        found.setdefault(node.name, set()).add(opened(node))
    own |= {name: next(iter(forms)) for name, forms in found.items() if len(forms) == 1}
    for name in set(re.findall(r"[A-Za-z_]\w*", text)) - set(own) - {"abs", "log", "exp", "sqrt", "Max", "Min"}:
        own[name] = _as_own(definition, lookup(name))
    return sympy.sympify(text, locals=own)


def _as_own(definition: Definition, other: Definition) -> sympy.Expr:
    """Return another loss in this one's inputs, by name or by place; parameters of the same name are shared."""
    shared = {a.name for a in definition.parameters}
    chosen = next((v for v in other.variants if v.choice == definition.choice), other)
    defaults = {a.name: a.default for a in other.parameters if a.name not in shared and a.kind != "switch"}
    own, names = [a.name for a in definition.inputs], [a.name for a in other.inputs]
    formula = written(chosen, defaults)
    return formula if set(names) <= set(own) else renamed(formula, dict(zip(names, own, strict=False)))


def difference(definition: Definition, settings: Settings, text: str, where: str, lookup: Lookup) -> Any:
    """Return a loss less an expression where a comparison holds, 0 elsewhere."""
    gap = definition.formula - expression(definition, text, lookup)
    condition = expression(definition, where, lookup)
    gated = gap if condition is sympy.true else sympy.Piecewise((gap, condition), (S.Zero, True))
    return written(replace(definition, formula=gated), settings)


def equals_formula(definition: Definition, settings: Settings, text: str, where: str, lookup: Lookup) -> bool:
    """Tell whether a loss is proved to be an expression wherever a comparison holds."""
    gap = difference(definition, settings, text, where, lookup)
    return all(_vanishes(definition, case) for case in label_cases(definition, gap))


def _vanishes(definition: Definition, formula: sympy.Expr) -> bool:
    if sympy.expand(formula) == 0:
        return True
    first = definition.differentiable[0].name
    reads = {a for a in formula.atoms(Access) if a.name == first}
    form = plain(definition, formula.xreplace(dict.fromkeys(reads, X))) if len(reads) == 1 else None
    found = None if form is None else pieces_of(form)
    return found is not None and all(sympy.simplify(f) == 0 for f in (*found.formulas, *found.values))


def expands(definition: Definition, settings: Settings, part: str, shift: str, first: str, lookup: Lookup) -> bool:
    """Tell whether a loss is u^shift (-log(1 - u)) and a term first u^(shift + 1), u being 1 less a probability.

    The series of -log(1 - u) is the sum of u^j / j, for u of at least 0 and below 1.
    """
    probability = written(replace(definition, formula=expression(definition, part, lookup)), settings)
    ranges = ranges_of(definition, settings)
    ends = [ranges.of(case) for case in label_cases(definition, probability)]
    text = f"-(1 - {part})**({shift})*log({part}) + ({first})*(1 - {part})**({shift} + 1)"
    inside = all(low >= 0 and high <= 1 for low, high in ends)
    return inside and equals_formula(definition, settings, text, "0 < 1", lookup)


def approaches(
    definition: Definition, settings: Settings, text: str, over: str, parameter: str, end: float, lookup: Lookup
) -> bool:  # fmt: skip
    """Tell whether a loss of a residual, divided by something, is proved to tend to an expression with a parameter.

    Where the prediction is above, below and at the target, the piece next to the end of the parameter's domain decides.
    """
    domain = next((a.domain for a in definition.parameters if a.name == parameter), None)
    inputs = [a for a in definition.inputs if isinstance(a.domain, Interval)]
    if not (definition.elementwise and len(inputs) == 2 == len(definition.inputs) and isinstance(domain, Interval)):
        return False
    low, high = exact(domain.low), exact(domain.high)
    if end != float(high if end else low) or low < 0:
        return False
    x, y = (Access(a.name, ELEMENT) for a in definition.inputs)
    gap = definition.formula / expression(definition, over, lookup) - expression(definition, text, lookup)
    formula = written(replace(definition, formula=gap), settings)
    distance = sympy.Dummy("distance", positive=True)
    swap: dict[sympy.Basic, sympy.Basic] = {sympy.Symbol(parameter, real=True): X}
    for place in (y + distance, y, y - distance):
        form = plain(definition, opened(formula.xreplace({x: place})).xreplace(swap))
        found = None if form is None else pieces_of(form, low, high)
        if found is None or not _tends_to_zero(found.formulas[-1 if end else 0], exact(end)):
            return False
    return True


def _tends_to_zero(form: sympy.Expr, end: sympy.Expr) -> bool:
    form = sympy.cancel(sympy.expand(form))
    return form.is_rational_function(X) and bool(sympy.limit(form, X, end, "+" if end == 0 else "-") == 0)


def of_counts(definition: Definition, settings: Settings, masks: tuple[str, str], text: str) -> bool:
    """Tell whether a loss of two masks of 0 and 1 is proved to be an expression in the counts of their entries.

    A power of 0 or 1 is the number itself, so that each sum is one of four counts.
    """
    formula = written(definition, settings)
    sums = {r: _count(r, masks) for r in formula.atoms(Reduction)}
    if not sums or None in sums.values():
        return False
    names = {str(s): s for s in COUNTS} | {a.name: sympy.Symbol(a.name, real=True) for a in definition.parameters}
    gap = _quotients(formula.xreplace(sums)) - sympy.sympify(text, locals=names)
    return not gap.has(Access) and bool(sympy.simplify(gap) == 0)


def _count(node: Reduction, masks: tuple[str, str]) -> sympy.Expr | None:
    """Return what a sum over two masks is in the counts of their entries."""
    if node.operation != "sum" or node.where is not sympy.true or len(node.bound) != 1:
        return None
    one, two = sympy.symbols("@one @two", real=True)
    reads = {a: (one if a.name == masks[0] else two) for a in node.body.atoms(Access) if a.name in masks}
    body = sympy.expand(node.body.xreplace(dict(reads)))
    whole = {a.slots for a in reads if node.bound[0] in a.slots}
    if len(whole) != 1 or len({a.slots for a in reads}) != 1 or not body.is_polynomial(one, two):
        return None
    if body.free_symbols - {one, two}:
        return None
    tp, fp, fn, tn = COUNTS
    total_of = ((tp, (1, 1)), (fp, (1, 0)), (fn, (0, 1)), (tn, (0, 0)))
    return sympy.Add(*(count * body.subs({one: a, two: b}) for count, (a, b) in total_of))


def _quotients(node: sympy.Expr) -> sympy.Expr:
    return node.replace(lambda e: isinstance(e, atoms.ratio), lambda e: e.args[0] / e.args[1])


def is_where(definition: Definition, settings: Settings, constant: float) -> bool:
    """Tell whether a loss is proved to be a number where `settings` gives inputs the same number throughout."""
    inputs = {a.name for a in definition.inputs} & set(settings)
    formula = written(definition, settings)
    numbers = {a: exact(float(settings[a.name] or 0)) for a in formula.atoms(Access) if a.name in inputs}
    form = plain(definition, _summed(opened(formula.xreplace(numbers))))
    found = None if form is None else _divided(form)
    return found is not None and bool(sympy.simplify(found - exact(constant)) == 0)


def _summed(node: sympy.Basic) -> Any:
    """Return a formula with sums of numbers taken."""
    match node:
        case Reduction(operation="sum") if node.where is sympy.true and node.body.is_number:
            return node.body * sympy.Mul(*(Size(k.axis.name) for k in node.bound))
        case Reduction() | Access() | sympy.Symbol():
            return node
        case _ if node.args:
            return node.func(*map(_summed, node.args))
    return node


def _divided(node: sympy.Expr) -> sympy.Expr | None:
    """Return a formula with quotients written out, or None where it is not known whether one divides by 0."""
    while found := [r for r in node.atoms(atoms.ratio) if not r.args[1].has(atoms.ratio)]:
        top, bottom = found[0].args
        side = sign(bottom)
        if side is None:
            return None
        node = node.xreplace({found[0]: top / bottom if side else S.Zero})
    return node


def saturates(definition: Definition, settings: Settings, wrt: str, other: str) -> sympy.Expr:
    """Return a bound of a derivative in one entry times the sum of two inputs, infinite where none is known.

    The loss must be a number and a multiple of A / B, sums with 0 <= A <= B and B at least the sum of both inputs. A
    derivative is (A' - B' A / B) / B, and A / B lies between 0 and 1.
    """
    formula, ranges = written(definition, settings), ranges_of(definition, settings)
    factor, quotient = sympy.Add(*(t for t in sympy.Add.make_args(formula) if not t.is_number)).as_coeff_Mul()
    if not isinstance(quotient, atoms.ratio):
        return oo
    top, bottom = quotient.args
    sums = [r for r in bottom.atoms(Reduction) if r.operation == "sum" and len(r.bound) == 1]
    reads = {a.name: a for r in sums for a in r.body.atoms(Access)}
    if not sums or not {wrt, other} <= set(reads):
        return oo
    own = {*definition.per, *sums[0].bound}
    if any(set(reads[n].slots) != own for n in (wrt, other)):
        return oo
    both = sympy.Add(*(opened(Reduction("sum", reads[n], sums[0].bound)) for n in (wrt, other)))
    bounds = (top, bottom - top, bottom - both)
    if not all(ranges.of(e)[0] >= 0 for e in bounds):
        return oo
    slopes = [_entry_slope(e, wrt, ranges) for e in (top, bottom)]
    if None in slopes:
        return oo
    above, below = (s for s in slopes if s is not None)
    low, high = total([above, product([(-S.One, S.Zero), below])])
    return abs(factor) * sympy.Max(-low, high)


def _entry_slope(node: sympy.Expr, wrt: str, ranges: Ranges) -> tuple[sympy.Expr, sympy.Expr] | None:
    """Return a range of the derivative of a combination of sums in one entry, which each sum reads once."""
    found = []
    for term in sympy.Add.make_args(node):
        factor, part = term.as_coeff_Mul()
        if not part.has(Access):
            continue
        reads = {a for a in part.atoms(Access) if a.name == wrt}
        single = isinstance(part, Reduction) and part.operation == "sum" and part.where is sympy.true
        if not single or len(reads) > 1 or not all(set(part.bound) <= set(a.slots) for a in reads):
            return None
        found.append(product([(factor, factor), slope(part.body, wrt, ranges)]))
    return total(found) if found else (S.Zero, S.Zero)
