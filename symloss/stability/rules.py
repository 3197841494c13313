"""The table of stability rules: each a name, what it does, why, and where it comes from.

A rule takes one node of a scalar expression and returns its replacement, or None where it does not apply. Rules
hold exactly in real arithmetic on the stated domain; what changes is how rounding and overflow behave. They are applied
alike to values, gradients and Hessians, before and after differentiation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

import sympy
from sympy import Add, Mul, Pow, S

from symloss.language.atoms import complement, magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Access


@dataclass(frozen=True)
class Context:
    """What a rule may know besides the node.

    Parameters
    ----------
    binary : frozenset of str
        Inputs that are 0 or 1.
    signs : frozenset of str
        Inputs that are -1 or 1.
    predictions : frozenset of str
        Inputs that are differentiated.
    probabilities : frozenset of str
        Statements whose entries are softmax weights.
    logsumexps : frozenset of str
        Statements that are logarithms of sums of exponentials; differences with them stay together.
    positive : frozenset of str
        Parameters that are above 0.
    without : frozenset of str
        Rules that are left out.
    """

    binary: frozenset[str] = frozenset()
    signs: frozenset[str] = frozenset()
    predictions: frozenset[str] = frozenset()
    probabilities: frozenset[str] = frozenset()
    logsumexps: frozenset[str] = frozenset()
    positive: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Parameters
    ----------
    name : str
        What the trace calls it.
    pattern : str
        Left and right side, as LaTeX.
    reason : str
        What it prevents.
    source : str
        Where the form comes from.
    apply : callable
        From a node and a context to its replacement, or None.
    """

    name: str
    pattern: str
    reason: str
    source: str
    apply: Callable[[sympy.Expr, Context], sympy.Expr | None]


def _maximum(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    if isinstance(node, sympy.Abs):
        return magnitude(node.args[0])
    if isinstance(node, sympy.Max) and len(node.args) == 2 and S.Zero in node.args:
        return positive_part(next(a for a in node.args if a != 0))
    return None


def _one_plus_exp(node: sympy.Expr) -> sympy.Expr | None:
    """Return x where the node is 1 + exp(x)."""
    if isinstance(node, Add) and len(node.args) == 2 and S.One in node.args:
        other = next(a for a in node.args if a != 1)
        if isinstance(other, sympy.exp):
            return other.args[0]
    return None


def _logistic(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    if isinstance(node, Pow) and node.exp == -1 and (x := _one_plus_exp(node.base)) is not None:
        return sigmoid(-x)
    if isinstance(node, Mul):
        for factor in node.args:
            if isinstance(factor, sigmoid) and sympy.exp(-factor.args[0]) in node.args:
                rest = [a for a in node.args if a not in (factor, sympy.exp(-factor.args[0]))]
                return Mul(sigmoid(-factor.args[0]), *rest)
    return None


def _softplus(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    if isinstance(node, sympy.log) and (x := _one_plus_exp(node.args[0])) is not None:
        return softplus(x)
    return None


def _log_of_exponentials(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Rewrite the logarithm of a positive number and a multiple of an exponential, or of those of two opposite ones.

    What the other is added to is then never far below 0, or no farther than the result is above: nothing cancels.
    """
    if not (isinstance(node, sympy.log) and isinstance(node.args[0], Add)) or _one_plus_exp(node.args[0]) is not None:
        return None
    parts = [_logarithm(t, context) for t in node.args[0].args]
    known = sorted((p for p in parts if p is not None), key=lambda p: (bool(p[0].atoms(Access)), str(p)))
    if len(known) < len(parts) or len(known) != 2:
        return None
    (least, _), (most, _) = known
    if not most.atoms(Access) or (least.atoms(Access) and (least + most).atoms(Access)):
        return None
    first, other = (Add(*part) for part in known)
    return first + softplus(other - first)


def _logarithm(term: sympy.Expr, context: Context) -> tuple[sympy.Expr, sympy.Expr] | None:
    """Return x and log a where a term is a exp(x) with a above 0, or None where that is not known."""
    powers = [f for f in Mul.make_args(term) if isinstance(f, sympy.exp)]
    rest = [f.as_base_exp() for f in Mul.make_args(term) if f not in powers]
    if not all(_is_positive(base, exponent, context) for base, exponent in rest):
        return None
    return Add(*(f.args[0] for f in powers)), Add(*(exponent * sympy.log(base) for base, exponent in rest))


def _is_positive(base: sympy.Expr, exponent: sympy.Expr, context: Context) -> bool:
    """Tell whether a power is one of a number above 0, or of a parameter that is."""
    above = base.name in context.positive if isinstance(base, sympy.Symbol) else base.is_number and base.is_positive
    return bool(above and exponent.is_number)


def _log_sigmoid(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    if isinstance(node, sympy.log) and isinstance(node.args[0], sigmoid):
        return -softplus(-node.args[0].args[0])
    return None


def _is_probability(node: sympy.Expr, context: Context) -> bool:
    return isinstance(node, sigmoid) or (isinstance(node, Access) and node.name in context.probabilities)


def _lack(probability: sympy.Expr) -> sympy.Expr:
    return sigmoid(-probability.args[0]) if isinstance(probability, sigmoid) else complement(probability)


def _power_of(term: sympy.Expr, probability: sympy.Expr) -> int:
    """Return to which whole power the probability is a factor of the term."""
    for factor in Mul.make_args(term):
        if factor == probability:
            return 1
        if isinstance(factor, Pow) and factor.base == probability and factor.exp.is_Integer and factor.exp > 0:
            return int(factor.exp)
    return 0


def _blocks(
    node: sympy.Expr, context: Context
) -> tuple[dict[sympy.Basic, sympy.Basic], dict[sympy.Basic, sympy.Basic]]:
    """Return what hides differences with a logsumexp from being multiplied out, and what brings them back."""
    hidden = [
        a for a in node.atoms(Add)
        if any(isinstance(t, Access) and t.name in context.logsumexps for s in a.args for t in Mul.make_args(s))
    ]  # fmt: skip
    ordered = sorted(hidden, key=sympy.default_sort_key)
    names = [sympy.Symbol(f"block{n}", real=True) for n in range(len(ordered))]
    return dict(zip(ordered, names, strict=True)), dict(zip(names, ordered, strict=True))


def _complement(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Rewrite c p + r as -c (1 - p) + (c + r) where c + r cancels at least one term."""
    if not isinstance(node, Add):
        return None
    factors = {f.base if isinstance(f, Pow) else f for t in node.args for f in Mul.make_args(t)}
    for probability in sorted((f for f in factors if _is_probability(f, context)), key=sympy.default_sort_key):
        highest = max(_power_of(t, probability) for t in node.args)
        if highest == 0:
            continue
        with_it = [t for t in node.args if _power_of(t, probability) == highest]
        blocks, back = _blocks(node, context)
        coefficient = sympy.expand((Add(*with_it) / probability).xreplace(blocks))
        rest = sympy.expand(Add(*(t for t in node.args if t not in with_it)).xreplace(blocks))
        left = sympy.expand(coefficient + rest).xreplace(back)
        if len(Add.make_args(left)) * (left != 0) < len(Add.make_args(coefficient)) + len(Add.make_args(rest)) - 1:
            factored = Add(*with_it) / probability
            return -factored * _lack(probability) + left
    return None


def _other_side(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Rewrite c - c (1 - p) + r as c p + r, where 1 - p is known as one number."""
    if not isinstance(node, Add):
        return None
    lacks = {f for t in node.args for f in Mul.make_args(t) if isinstance(f, complement)}
    for lack in sorted(lacks, key=sympy.default_sort_key):
        if not _is_probability(lack.args[0], context):
            continue
        terms, found = list(node.args), []
        for term in list(terms):
            whole = term / lack
            if _power_of(term, lack) > 0 and -whole in terms:
                terms.remove(term)
                terms.remove(-whole)
                found.append(-whole * lack.args[0])
        if found:
            return Add(*terms, *found)
    return None


def _complements(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Rewrite a weighted mean of probabilities, less 1, as that of what each lacks."""
    if not isinstance(node, Add):
        return None
    constant, rest = node.as_coeff_Add()
    parts = [t.as_coeff_Mul() for t in Add.make_args(rest)]
    if len(parts) < 2 or Add(*(c for c, _ in parts)) != -constant:
        return None
    if not all(_is_probability(p, context) for _, p in parts):
        return None
    return Add(*(-c * _lack(p) for c, p in parts))


def _root_at_one(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Divide a polynomial in a probability p that vanishes at p = 1 by 1 - p."""
    if not isinstance(node, Add):
        return None
    blocks, back = _blocks(node, context)
    for probability in sorted((a for a in node.atoms(Access) if _is_probability(a, context)), key=str):
        hidden = {complement(probability): sympy.Symbol("lack", real=True), probability: sympy.Symbol("p", real=True)}
        shown = {v: k for k, v in hidden.items()}
        expression = sympy.expand(node.xreplace(blocks).xreplace(hidden))
        p = hidden[probability]
        parts = [_power_of(t, p) for t in Add.make_args(expression)]
        if max(parts) < 2 or any(t.has(p) and _power_of(t, p) == 0 for t in Add.make_args(expression)):
            continue
        coefficients = [
            Add(*(t / p**k for t in Add.make_args(expression) if _power_of(t, p) == k)) for k in range(max(parts) + 1)
        ]
        if sympy.expand(Add(*coefficients)) != 0:
            continue
        quotient = [Add(*coefficients[k + 1 :]) for k in range(max(parts))]
        result = -_lack(probability) * Add(*(sympy.expand(q) * p**k for k, q in enumerate(quotient)))
        return -_lack(probability) * (result / -_lack(probability)).xreplace(shown).xreplace(back)
    return None


def _mirror(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Rewrite y f(z) + (1 - y) f(-z) as f((2 y - 1) z) for y in {0, 1}."""
    if not isinstance(node, Add):
        return None
    reads = sorted((a for a in node.atoms(Access)), key=sympy.default_sort_key)
    for y in (a for a in reads if a.name in context.binary):
        one, zero = rewrite(node.xreplace({y: S.One}), context), rewrite(node.xreplace({y: S.Zero}), context)
        for z in (a for a in reads if a.name in context.predictions and one.has(a)):
            if zero == rewrite(one.xreplace({z: -z}), context) and one != zero:
                return one.xreplace({z: (2 * y - 1) * z})
    return None


def _square_of_sign(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    if not (isinstance(node, Pow) and node.exp == 2):
        return None
    base = node.base
    if isinstance(base, Access) and base.name in context.signs:
        return S.One
    reads = [a for a in base.atoms(Access) if a.name in context.binary]
    if len(reads) == 1 and sympy.expand(base - (2 * reads[0] - 1)) == 0:
        return S.One
    return None


def _sign_factor(factor: sympy.Expr, context: Context) -> tuple[sympy.Expr, int] | None:
    """Return s and n where the factor is (2 y - 1)**n or (1 - 2 y)**n times a sign, for a 0/1 input y."""
    base, exponent = factor.as_base_exp()
    if not (isinstance(base, Add) and exponent.is_Integer):
        return None
    reads = [a for a in base.atoms(Access) if a.name in context.binary]
    if len(reads) != 1:
        return None
    sign = 2 * reads[0] - 1
    for unit in (1, -1):
        if sympy.expand(base - unit * sign) == 0:
            return sign, int(exponent) * unit
    return None


def _signs(node: sympy.Expr, context: Context) -> sympy.Expr | None:
    """Gather the factors +-(2 y - 1) of a product: an even number of them is a plain sign."""
    if not isinstance(node, Mul):
        return None
    sign, power, coefficient, rest = S.One, 0, S.One, []
    for factor in node.args:
        found = _sign_factor(factor, context)
        if found is None or (sign != 1 and found[0] != sign):
            rest.append(factor)
        else:
            sign, power = found[0], power + abs(found[1])
            coefficient *= -1 if found[1] < 0 and found[1] % 2 else 1
    if sign == 1:
        return None
    result = Mul(coefficient, *rest, sign if power % 2 else S.One)
    return None if result == node else result


def _common_factor(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    if not isinstance(node, Add):
        return None
    products = [list(Mul.make_args(t)) for t in node.args]
    common = [f for f in products[0] if not f.is_Number and all(f in p for p in products[1:])]
    if not common:
        return None
    return Mul(*common, Add(*(Mul(*(f for f in p if f not in common)) for p in products)))


def _divided_power(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    """Rewrite x**a / x**n as x**(a - n), and x**(a - n) x as x**(a - n + 1), where a is not a number."""
    if not isinstance(node, Mul):
        return None
    powers = [f for f in node.args if isinstance(f, Pow)]
    for symbolic in (f for f in powers if not f.exp.is_number):
        short = sum((t for t in Add.make_args(symbolic.exp) if t.is_Integer), S.Zero)
        whole = _power_of(node, symbolic.base)
        if short < 0 < whole:
            up = min(whole, -short)
            rest = [f for f in node.args if f != symbolic and not (_power_of(f, symbolic.base) > 0)]
            return Mul(Pow(symbolic.base, symbolic.exp + up), Pow(symbolic.base, whole - up), *rest)
        for under in (f for f in powers if f.base == symbolic.base and f.exp.is_number and f.exp.is_negative):
            rest = [f for f in node.args if f not in (symbolic, under)]
            return Mul(Pow(symbolic.base, symbolic.exp + under.exp), *rest)
    return None


def _whole_power(node: sympy.Expr, _context: Context) -> sympy.Expr | None:
    """Rewrite x**(a + n) as x**a * x**n for a whole n > 0: rounding a + n would be amplified by log x."""
    if not (isinstance(node, Pow) and isinstance(node.exp, Add)):
        return None
    whole = [t for t in node.exp.args if t.is_Integer and t > 0]
    if not whole:
        return None
    return Mul(Pow(node.base, node.exp - whole[0]), Pow(node.base, whole[0]))


RULES: tuple[Rule, ...] = (
    Rule(
        "whole_power", r"x^{a + n} \to x^a x^n", "the rounding of a + n is amplified by the logarithm of x",
        "Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.7", _whole_power,
    ),
    Rule(
        "divided_power", r"x^a / x \to x^{a - 1}", "0 divided by 0 where x underflows",
        "exact for x > 0", _divided_power,
    ),
    Rule(
        "kink_atoms", r"\max(0, x) \to x^+,\ |x|", "one convention for the derivative at a kink, in one place",
        "Bottou, Curtis and Nocedal (2018), section 7", _maximum,
    ),
    Rule(
        "logistic", r"\frac{1}{1 + e^{-x}} \to \sigma(x)", "exp overflows for large negative x",
        "Maechler (2012), log1mexp and log1pexp", _logistic,
    ),
    Rule(
        "softplus", r"\log(1 + e^x) \to \operatorname{softplus}(x)", "exp overflows for large x, 1 + e^x rounds to 1",
        "Maechler (2012), log1mexp and log1pexp", _softplus,
    ),
    Rule(
        "log_of_exponentials", r"\log(a + b e^x) \to \log a + \operatorname{softplus}(x + \log(b / a))",
        "exp overflows for large x, as it does in a e^x + b e^{-x}",
        "Maechler (2012), log1mexp and log1pexp", _log_of_exponentials,
    ),
    Rule(
        "log_sigmoid", r"\log \sigma(x) \to -\operatorname{softplus}(-x)", "log of 0 where the sigmoid underflows",
        "Maechler (2012), log1mexp and log1pexp", _log_sigmoid,
    ),
    Rule(
        "complement", r"c - c\,p \to c\,(1 - p)", "1 - p cancels where p is near 1; the other side is known exactly",
        "Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.7", _complement,
    ),
    Rule(
        "other_side", r"c - c\,(1 - p) \to c\,p", "1 - (1 - p) cancels where p is small",
        "Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.7", _other_side,
    ),
    Rule(
        "mean_of_complements", r"\sum_k c_k p_k - \sum_k c_k \to -\sum_k c_k (1 - p_k)",
        "cancellation where every probability is near 1",
        "Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.7", _complements,
    ),
    Rule(
        "root_at_one", r"f(p),\ f(1) = 0 \to (1 - p)\, g(p)", "cancellation where p is near 1",
        "polynomial division", _root_at_one,
    ),
    Rule(
        "mirror", r"y f(z) + (1 - y) f(-z) \to f((2y - 1) z)", "both cases of a 0/1 target share one evaluation",
        "exact for y in {0, 1}", _mirror,
    ),
    Rule(
        "square_of_sign", r"s^2 \to 1,\ s \in \{-1, 1\}", "needless operations in second derivatives",
        "exact for two-valued s", _square_of_sign,
    ),
    Rule(
        "gather_signs", r"(1 - 2y)(2y - 1) \to -1,\ y \in \{0, 1\}", "needless operations in second derivatives",
        "exact for y in {0, 1}", _signs,
    ),
    Rule(
        "common_factor", r"a b + a c \to a (b + c)", "a factor shared by all terms is applied once",
        "distributive law", _common_factor,
    ),
)  # fmt: skip


_WITHOUT: ContextVar[frozenset[str]] = ContextVar("without", default=frozenset())


@contextmanager
def without(name: str) -> Iterator[None]:
    """Derive without the rule of that name: what becomes worse then is what it is for."""
    token = _WITHOUT.set(_WITHOUT.get() | {name})
    try:
        yield
    finally:
        _WITHOUT.reset(token)


def left_out() -> frozenset[str]:
    """Return the names of the rules that are not applied."""
    return _WITHOUT.get()


@dataclass(frozen=True)
class Step:
    """One application of a rule, for the printed trace."""

    rule: str
    before: sympy.Expr
    after: sympy.Expr


def rewrite(expression: sympy.Expr, context: Context, trace: list[Step] | None = None) -> sympy.Expr:
    """Apply the table bottom-up until nothing changes.

    Parameters
    ----------
    expression : sympy.Expr
        A scalar expression over accesses.
    context : Context
        What is known of the accesses.
    trace : list of Step, optional
        Where applications are recorded.

    Returns
    -------
    sympy.Expr
        An expression equal to the first on its domain.
    """
    found, steps = _rewritten(expression, context, frozenset())
    if trace is not None:
        trace += steps
    return found


@lru_cache(maxsize=1 << 16)
def _rewritten(
    expression: sympy.Expr, context: Context, past: frozenset[sympy.Expr]
) -> tuple[sympy.Expr, tuple[Step, ...]]:
    """Rewrite a node, with the steps taken; `past` is what it was before, so that rules that undo each other end."""
    if isinstance(expression, Access) or not expression.args:
        return expression, ()
    parts = [_rewritten(a, context, frozenset()) for a in expression.args]
    arguments, steps = [a for a, _ in parts], tuple(step for _, inner in parts for step in inner)
    node = (
        expression
        if all(a is b for a, b in zip(arguments, expression.args, strict=True))
        else expression.func(*arguments)
    )
    for rule in RULES:
        if rule.name in context.without:
            continue
        replacement = rule.apply(node, context)
        if replacement is not None and replacement != node and replacement not in past:
            found, further = _rewritten(replacement, context, past | {node})
            return found, (*steps, Step(rule.name, node, replacement), *further)
    return node, steps
