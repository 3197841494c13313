"""Losses of one log odds: a formula in the probability p = sigmoid(z), whose derivatives in z are p (1 - p) d/dp.

So the whole axis of z becomes the interval from 0 to 1. What is largest there is enclosed by balls: branch and bound
inside, and next to the ends, where z is infinite, the products of powers and logarithms that the derivative is made of.
A loss that reads a row of scores only through the softmax at the label is such a function of the label's log odds; it
is convex in the scores where, as a function of those, it is convex and never rises: log odds are concave in the scores.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import flint
import sympy
from sympy import S

from symloss.language import atoms
from symloss.language.axes import Index
from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, LabelAccess, Reduction
from symloss.verification.proof_form import Settings, depends, exact, label_cases, written
from symloss.verification.proof_ranges import UNIT, Ranges, ranges_of
from symloss.verification.series import working

P = sympy.Symbol("@p", real=True)
EDGE = flint.arb(2) ** -40
"""How far from 0 and 1 the ends begin."""
NARROW = 1e-12
"""Relative width at which a maximum is known."""
BOXES = 20_000


def odds_forms(definition: Definition, settings: Settings, wrt: str) -> list[sympy.Expr]:
    """Return the loss in `P` for every value of the labels, or nothing where it is no such function."""
    formula = _labelled(definition, written(definition, settings), settings)
    found = []
    for case in label_cases(definition, formula):
        form = _in_probability(case, wrt)
        if form is None:
            return []
        found += [form]
    return found


def _labelled(definition: Definition, formula: sympy.Expr, settings: Settings) -> sympy.Expr:
    """Put in the labels that are given."""
    inputs = {a.name for a in definition.inputs}
    given = {a: exact(float(settings[a.name] or 0)) for a in formula.atoms(Access) if a.name in inputs & set(settings)}
    return formula.xreplace(given)


def _in_probability(formula: sympy.Expr, wrt: str) -> sympy.Expr | None:
    swap: dict[sympy.Basic, sympy.Basic] = {}
    for node in formula.atoms(atoms.sigmoid):
        if isinstance(node.args[0], Access) and node.args[0].name == wrt:
            swap |= {node: P}
        elif isinstance(-node.args[0], Access) and (-node.args[0]).name == wrt:
            swap |= {node: 1 - P}
    if not swap:
        for entry in (a for a in formula.atoms(Access) if a.name == wrt and any(map(_is_label, a.slots))):
            for whole in formula.atoms(Reduction):
                if whole.operation == "logsumexp" and _is_row(whole, entry):
                    swap[entry] = whole + sympy.log(P)
    form = sympy.sympify(formula.xreplace(swap))
    form = form if not depends(form, wrt) else sympy.expand(form)
    return None if not swap or depends(form, wrt) else form


def _is_label(slot: sympy.Basic) -> bool:
    return isinstance(slot, LabelAccess)


def _is_row(whole: Reduction, entry: Access) -> bool:
    """Tell whether a logsumexp runs over the row that an entry is of."""
    body = whole.body
    pairs = zip(body.slots, entry.slots, strict=True) if isinstance(body, Access) and body.name == entry.name else ()
    return whole.where is sympy.true and bool(pairs) and all(
        isinstance(a, Index) and a in whole.bound if _is_label(b) else a == b for a, b in pairs
    )  # fmt: skip


def along(form: sympy.Expr, order: int) -> sympy.Expr:
    """Return a derivative in the log odds."""
    for _ in range(order):
        form = P * (1 - P) * sympy.diff(form, P)
    return form


def sign_of(form: sympy.Expr, ranges: Ranges) -> tuple[bool, bool]:
    """Tell whether a formula is proved never negative, and never positive."""
    inside = Ranges({**ranges.known, P.name: UNIT})
    found = [inside.of(f) for f in (form, sympy.factor(sympy.expand(form)), sympy.factor_terms(form))]
    found += [inside.of(_by_logarithm(form)), inside.of(_without_powers(form))]
    return any(low >= 0 for low, _ in found), any(high <= 0 for _, high in found)


def _by_logarithm(form: sympy.Expr) -> sympy.Expr:
    """Collect what multiplies each logarithm, and factor that."""
    logs = sorted((a for a in form.atoms(sympy.log) if a.has(P)), key=str)
    powers = sympy.factor_terms(sympy.collect(sympy.expand(form, power_base=False, power_exp=False), logs))
    return powers if not isinstance(powers, sympy.Add) else sympy.Add(*map(sympy.factor, powers.args))


def _without_powers(form: sympy.Expr) -> sympy.Expr:
    """Take the lowest powers of p and 1 - p out of all terms, where their exponents differ by numbers."""
    whole, terms = S.One, list(sympy.Add.make_args(form))
    for base in (P, 1 - P):
        parts = [[f.as_base_exp() for f in sympy.Mul.make_args(t)] for t in terms]
        exponents = [sympy.Add(*(e for b, e in pairs if b == base)) for pairs in parts]
        steps = [sympy.expand(e - exponents[0]) for e in exponents]
        if all(step.is_number for step in steps):
            rest = [sympy.Mul(*(b**e for b, e in pairs if b != base)) for pairs in parts]
            terms = [r * base ** (step - min(steps)) for r, step in zip(rest, steps, strict=True)]
            whole *= base ** (exponents[0] + min(steps))
    return sympy.Mul(whole, sympy.expand(sympy.Add(*terms)))


def never_negative(definition: Definition, settings: Settings) -> bool:
    """Tell whether a loss of one log odds is proved never negative."""
    (wrt, *others) = [a.name for a in definition.differentiable]
    forms = [] if others else odds_forms(definition, settings, wrt)
    return bool(forms) and all(sign_of(f, ranges_of(definition, settings))[0] for f in forms)


def convex_and_signed(definition: Definition, settings: Settings, wrt: str) -> bool:
    """Tell whether a loss of one log odds is proved convex; of a row of scores, it must not rise in the label's."""
    ranges = ranges_of(definition, settings)
    forms = odds_forms(definition, settings, wrt)
    return bool(forms) and all(
        sign_of(along(f, 2), ranges)[0] and (definition.elementwise or sign_of(along(f, 1), ranges)[1]) for f in forms
    )


def never(definition: Definition, settings: Settings, wrt: str, *, rises: bool) -> bool:
    """Tell whether a loss is proved never to rise, or never to fall, in a log odds."""
    forms = odds_forms(definition, settings, wrt) if definition.elementwise else []
    ranges = ranges_of(definition, _parameters(definition, settings))
    return bool(forms) and all(sign_of(along(f, 1), ranges)[1 if rises else 0] for f in forms)


def _parameters(definition: Definition, settings: Settings) -> Settings:
    names = {a.name for a in definition.parameters}
    return {n: v for n, v in settings.items() if n in names}


def _ends(definition: Definition, form: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield a formula at the ends of the intervals of other inputs, in which it must be linear."""
    others = {a: sympy.Dummy(real=True) for a in sorted(form.atoms(Access), key=str)}
    form = form.xreplace(others)
    domains = {a.name: a.domain for a in definition.inputs}
    choices = []
    for other, number in others.items():
        domain = domains.get(other.name)
        if not isinstance(domain, Interval) or sympy.expand(sympy.diff(form, number, 2)) != 0:
            return
        choices.append([exact(domain.low), exact(domain.high)])
    for values in itertools.product(*choices):
        yield form.xreplace(dict(zip(others.values(), values, strict=True)))


def supremum(definition: Definition, settings: Settings, wrt: str, order: int) -> tuple[flint.arb, flint.arb] | None:
    """Return bounds of the largest size of a derivative over all labels and all of the axis, or None where unknown."""
    forms = odds_forms(definition, {**_defaults(definition), **settings}, wrt) if definition.elementwise else []
    cases = [sympy.cancel(case) for f in forms for case in _ends(definition, along(f, order))]
    if not cases or any(c.free_symbols - {P} for c in cases):
        return None
    with working(128, 0):
        found = [_largest(case) for case in cases]
    if None in found:
        return None
    lows, highs = zip(*(f for f in found if f is not None), strict=True)
    return max(lows), max(highs)


def _defaults(definition: Definition) -> Settings:
    return {a.name: a.default for a in definition.parameters if a.kind == "real" and not a.axes}


def ball(form: sympy.Expr, at: flint.arb) -> flint.arb:
    """Evaluate a formula in `P` over a ball."""
    match form:
        case sympy.Rational():
            return flint.arb(flint.fmpq(int(form.p), int(form.q)))
        case sympy.Symbol():
            return at
        case sympy.Add():
            return sum((ball(a, at) for a in form.args), flint.arb(0))
        case sympy.Mul():
            total = flint.arb(1)
            for a in form.args:
                total = total * ball(a, at)
            return total
        case sympy.Pow():
            return ball(form.base, at) ** ball(form.exp, at)
        case sympy.log():
            return ball(form.args[0], at).log()
    message = f"no ball of {form}"
    raise NotImplementedError(message)


def _largest(form: sympy.Expr) -> tuple[flint.arb, flint.arb] | None:
    """Return bounds of the largest size of a formula on the open interval from 0 to 1."""
    edges = [next_to_zero(f, EDGE) for f in (form, form.subs(P, 1 - P))]
    if None in edges:
        return None
    slope = sympy.diff(form, P)
    beyond = max((abs(e).upper() for e in edges if e is not None), default=flint.arb(0))
    low = max(abs(ball(form, at)).lower() for at in (EDGE / 2**60, 1 - EDGE / 2**60))

    def bound(left: flint.arb, right: flint.arb) -> tuple[flint.arb, flint.arb]:
        box, middle = left.union(right), (left + right) / 2
        centre = ball(form, middle.mid())
        reach = centre + ball(slope, box) * (box - middle.mid())
        high = min(abs(ball(form, box)).upper(), abs(reach).upper())
        return abs(centre).lower(), high

    first, second = bound(EDGE, 1 - EDGE)
    heap: list[tuple[float, int, flint.arb, flint.arb, flint.arb]] = [(-float(second), 0, second, EDGE, 1 - EDGE)]
    low = max(low, first)
    for number in range(1, BOXES):
        _, _, high, left, right = heap[0]
        if high <= low * (1 + NARROW) or high <= beyond:
            return low, max(high, beyond)
        heapq.heappop(heap)
        middle = ((left + right) / 2).mid()
        for a, b in ((left, middle), (middle, right)):
            below, above = bound(a, b)
            low = max(low, below)
            heapq.heappush(
                heap, (-float(above) if above.is_finite() else -1e300, 2 * number + (a is left), above, a, b)
            )
    return None


def next_to_zero(form: sympy.Expr, edge: flint.arb) -> flint.arb | None:
    """Return a ball around every value of a formula between 0 and an edge, or None where it may not be bounded."""
    total = flint.arb(0)
    for term in sympy.Add.make_args(sympy.expand(form)):
        part = _term(term, edge)
        if part is None:
            return None
        total = total + part
    return total


def _term(term: sympy.Expr, edge: flint.arb) -> flint.arb | None:
    """Return a ball around c p^a log(p)^k (1 - p)^b log(1 - p)^m between 0 and an edge."""
    power, logs, found = S.Zero, S.Zero, flint.arb(1)
    for factor in sympy.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if not exponent.is_Rational:
            return None
        if base == P:
            power += exponent
        elif base == sympy.log(P):
            logs += exponent
        elif not base.has(P):
            found = found * ball(factor, edge)
        elif base == 1 - P:
            found = found * flint.arb(1).union(ball(factor, edge))
        elif base == sympy.log(1 - P) and exponent > 0:  # p <= -log(1 - p) <= p / (1 - p)
            power += exponent
            found = found * (-flint.arb(1).union(1 / (1 - edge))) ** ball(exponent, edge)
        else:
            return None
    if (
        power < 0
        or logs < 0
        or (power == 0 and logs > 0)
        or (power > 0 and edge.log() * ball(power, edge) > -ball(logs, edge))
    ):
        return None
    reach = ball(P**power * sympy.log(P) ** logs, edge)
    return found if power == logs == 0 else found * flint.arb(0).union(reach)


def tends(definition: Definition, settings: Settings, wrt: str, order: int, above: bool) -> list[sympy.Expr]:
    """Return what the loss or its derivative tends to at an end of the axis, for each label; nothing where unknown."""
    forms = odds_forms(definition, {**_defaults(definition), **settings}, wrt) if definition.elementwise else []
    found = []
    for form in forms:
        whole = sympy.cancel(along(form, order))
        turned = whole.subs(P, 1 - P) if above else whole
        terms = sympy.Add.make_args(sympy.expand(turned))
        with working(128, 0):
            if any(t.free_symbols - {P} or t.atoms(Access) or _term(t, EDGE) is None for t in terms):
                return []
        found.append(sympy.Add(*(t.subs(P, 0) for t in terms if not _vanishes(t))))
    return found


def _vanishes(term: sympy.Expr) -> bool:
    """Tell whether a bounded term tends to 0: it has a power of p, or a logarithm that tends to that of 1."""
    return any(f.as_base_exp()[0] in (P, sympy.log(1 - P)) for f in sympy.Mul.make_args(term))


def flat_where_certain(definition: Definition, settings: Settings, wrt: str, other: str) -> bool:
    """Tell whether the derivative is 0 wherever the probability equals another input."""
    forms = odds_forms(definition, settings, wrt)
    if not forms:
        return False
    return all(sympy.simplify(along(f, 1).subs({a: P for a in f.atoms(Access) if a.name == other})) == 0 for f in forms)


def bends_down(definition: Definition, settings: Settings, wrt: str, parameter: str) -> bool:
    """Tell whether for any value of a parameter above 0, and some label, the second derivative is negative near p = 0.

    There the term with the lowest power of p, and among those the highest of log(p), decides the sign.
    """
    given = {sympy.Symbol(parameter, real=True): sympy.Symbol(f"@{parameter}", positive=True)}
    forms = [along(f, 2).xreplace(given) for f in odds_forms(definition, settings, wrt)]
    return any(is_negative_near_zero(f) for f in forms)


def is_negative_near_zero(form: sympy.Expr) -> bool:
    """Tell whether the leading term of a formula in `P` is proved negative next to 0."""
    leading: dict[tuple[sympy.Expr, sympy.Expr], sympy.Expr] = {}
    for term in sympy.Add.make_args(sympy.expand(form, power_base=False, power_exp=False)):
        power, logs, rest = S.Zero, S.Zero, S.One
        for factor in sympy.Mul.make_args(term):
            base, exponent = factor.as_base_exp()
            if base == sympy.log(P):
                logs += exponent
            elif base == sympy.log(1 - P):
                power, rest = power + exponent, rest * S.NegativeOne**exponent
            elif base.is_polynomial(P):  # of its terms, the one with the lowest power of p
                lowest, first = min((m[0], c) for m, c in sympy.Poly(base, P).terms())
                power, rest = power + lowest * exponent, rest * first**exponent
            else:
                rest = rest * factor
        if rest.has(P) or not (power.is_Rational and logs.is_Rational):
            return False
        leading[power, -logs] = leading.get((power, -logs), S.Zero) + rest
    (_, logs), rest = min(leading.items(), key=lambda item: item[0])
    return bool((sympy.expand(rest) * S.NegativeOne ** (-logs)).is_negative)
