"""What a mean over data is least at: the mean, a quantile, the frequencies of labels.

The derivative of a loss in its prediction decides. Where it is c (x - y), with c above 0 whatever x and free of y, the
derivative of the mean over data has the sign of x - mean(y). Where the loss has one slope below the target and another
above it, the mean's slope is a share of the data less a share: it changes sign at a quantile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy

from symloss.language.definition import Definition
from symloss.language.nodes import Access, LabelAccess, Let, Reduction
from symloss.verification.proof_form import Settings, depends, label_cases, lets, opened, written
from symloss.verification.proof_odds import P, along, odds_forms, sign_of
from symloss.verification.proof_pieces import KINKED, X, cases_in, in_parameters, plain, sign
from symloss.verification.proof_ranges import ranges_of


def least_at_mean(definition: Definition, settings: Settings, wrt: str, other: str, *, sigmoid: bool) -> bool:
    """Tell whether the mean of a loss over data is proved least where the prediction is the mean of an input."""
    if not definition.elementwise:
        return False
    for slope in _slopes(definition, settings, wrt, sigmoid=sigmoid):
        if slope is None:
            return False
        place = P if sigmoid else X
        reads = {a for a in slope.atoms(Access) if a.name == other}
        if len(reads) != 1:
            return False
        factor = sympy.cancel(sympy.simplify(slope / (place - reads.pop())))
        if depends(factor, other) or not _positive(definition, factor, settings):
            return False
    return True


def _slopes(
    definition: Definition, settings: Settings, wrt: str, *, sigmoid: bool
) -> Iterator[sympy.Expr | None]:  # fmt: skip
    """Yield the derivative for each value of the labels, in `P` or `X`; None where the formula has a corner."""
    if sigmoid:
        forms = odds_forms(definition, settings, wrt)
        yield from (along(f, 1) for f in forms) if forms else (None,)
        return
    for case in label_cases(definition, written(definition, settings)):
        (read, *more) = {a for a in case.atoms(Access) if a.name == wrt} or {None}
        smooth = read is not None and not more and not case.has(*KINKED, Reduction)
        others = {a: sympy.Dummy(real=True) for a in case.atoms(Access) if a != read}
        back = {dummy: a for a, dummy in others.items()}
        yield sympy.diff(case.xreplace(others | {read: X}), X).xreplace(back) if smooth and read is not None else None


def _positive(definition: Definition, factor: sympy.Expr, settings: Settings) -> bool:
    """Tell whether an expression in parameters and the place is proved above 0."""
    form = plain(definition, factor)
    if form is None or form.has(P):
        return False
    return sign(form) == 1 or bool(ranges_of(definition, settings).of(form)[0] > 0)


def least_at_quantile(definition: Definition, settings: Settings, wrt: str, other: str, level: str) -> bool:
    """Tell whether the mean of a loss over data is proved least where the prediction is a quantile of an input."""
    share = plain(definition, in_parameters(definition, settings, level))
    target = plain(definition, Access(other, *definition.per))
    found = list(cases_in(definition, settings, wrt)) if definition.elementwise else []
    ranges = ranges_of(definition, settings)
    for pieces in found:
        if pieces is None or not pieces.continuous or pieces.ends[1:-1] != (target,):
            return False
        below, above = (sympy.expand(sympy.diff(f, X)) for f in pieces.formulas)
        if any(s.has(X) or s.has(target) for s in (below, above)):
            return False
        if not (ranges.of(-below)[0] >= 0 and ranges.of(above)[0] >= 0 and ranges.of(above - below)[0] > 0):
            return False
        if sympy.expand(share * (above - below) + below) != 0:
            return False
    return bool(found)


def softmax_gradient(definition: Definition, settings: Settings, scores: str) -> bool:
    """Tell whether a loss is a logsumexp of scores less one: its derivatives are then the softmax, less 1 there."""
    return _label_of(definition, settings, scores) is not None


def least_at_frequencies(definition: Definition, settings: Settings, scores: str) -> bool:
    """Tell whether the mean of a loss over labels is proved least where the softmax of scores is their frequencies.

    The loss is convex in its scores, and the mean of its gradient is the softmax less the frequencies.
    """
    own = any(a.name == scores for a in definition.differentiable)
    return own and isinstance(_label_of(definition, settings, scores), LabelAccess)


def _label_of(definition: Definition, settings: Settings, scores: str) -> sympy.Basic | None:
    """Return which score is taken off, where a loss is the logsumexp of scores less one of them."""
    formula = definition.formula
    swap = {n: Access(scores, *n.actuals) for n in lets(formula) if n.name == scores}
    form = sympy.expand(written(replace(definition, formula=_replaced(formula, swap)), settings))
    sums = [t for t in sympy.Add.make_args(form) if isinstance(t, Reduction)]
    if len(sums) != 1 or sums[0].operation != "logsumexp" or sums[0].where is not sympy.true:
        return None
    (whole,) = sums
    body, taken = whole.body, -(form - whole)
    if len(whole.bound) != 1 or not all(isinstance(a, Access) and a.name == scores for a in (body, taken)):
        return None
    pairs = [(a, b) for a, b in zip(body.slots, taken.slots, strict=True) if a != b]
    return pairs[0][1] if len(pairs) == 1 and pairs[0][0] == whole.bound[0] else None


def _replaced(node: sympy.Basic, swap: dict[Let, Access]) -> sympy.Basic:
    """Replace named values by entries, in sums too."""
    if node in swap:
        return swap[node]
    if isinstance(node, Let):
        return _replaced(node.inlined, swap)
    if isinstance(node, Reduction):
        return opened(Reduction(node.args[0], _replaced(node.body, swap), node.bound, node.where, node.empty))
    if isinstance(node, Access | sympy.Symbol) or not node.args:
        return node
    return node.func(*(_replaced(a, swap) for a in node.args))


def falls_in_odds(definition: Definition, settings: Settings, wrt: str) -> bool:
    """Tell whether a loss of a label's log odds is proved never to rise in them, and above 0 where they are 0."""
    forms = odds_forms(definition, settings, wrt)
    half = [plain(definition, f.subs(P, sympy.Rational(1, 2))) for f in forms]
    above = all(h is not None and sign(h) == 1 for h in half)
    ranges = ranges_of(definition, settings)
    return bool(forms) and above and all(sign_of(along(f, 1), ranges)[1] for f in forms)
