"""Statements for every value of a parameter in an interval.

What a parameter multiplies, where a loss is linear in it: a loss is then a mean of those at two ends, or one at an end
and a multiple of that. And the term that decides the sign where a probability is near 0 or 1.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from symloss.language.definition import Definition
from symloss.language.domains import Interval
from symloss.language.nodes import Access, Reduction
from symloss.verification.proof_form import Settings, depends, exact
from symloss.verification.proof_odds import P, along, is_negative_near_zero, odds_forms


def restricted(definition: Definition, name: str, domain: Interval, default: float | None = None) -> Definition:
    """Return a definition whose parameter lies in an interval, which `default` must."""

    def narrow(d: Definition) -> Definition:
        own = tuple(
            replace(a, domain=domain, default=a.default if default is None else default) if a.name == name else a
            for a in d.parameters
        )
        return replace(d, parameters=own, variants=tuple(map(narrow, d.variants)))

    return narrow(definition)


def multiplied(formula: sympy.Expr, parameter: str) -> sympy.Expr | None:
    """Return what a parameter multiplies in an opened formula, or None where that is not linear in it."""
    symbol = sympy.Symbol(parameter, real=True)
    sums = [r for r in formula.atoms(Reduction, Access) if not depends(r, parameter)]
    swap = {r: sympy.Dummy(real=True) for r in sums}
    back = {dummy: r for r, dummy in swap.items()}
    form = formula.xreplace(swap)
    if form.has(Reduction, Access):
        return None
    rate = sympy.diff(form, symbol)
    return None if rate.has(symbol) or rate == 0 else rate.xreplace(back)


def negative_near_an_end(
    definition: Definition, settings: Settings, wrt: str, order: int, parameter: str, domain: Interval
) -> bool:
    """Tell whether for each value of a parameter a derivative in the log odds is negative near probability 0 or 1."""
    low, high = exact(domain.low), exact(domain.high)
    step = sympy.Dummy(positive=True)
    if low.is_finite and not high.is_finite and domain.low_open:
        value = low + step
    elif high.is_finite and not low.is_finite and domain.high_open:
        value = high - step
    else:
        return False
    given = {sympy.Symbol(parameter, real=True): value}
    forms = [along(f, order).xreplace(given) for f in odds_forms(definition, settings, wrt)]
    return any(is_negative_near_zero(form) for f in forms for form in (f, f.subs(P, 1 - P)))
