"""Atoms into elementary operations that share their exponential.

``exp(-|x|)`` serves the sigmoid of x and of -x, the softplus of both, and so value, gradient and Hessian alike. The
result is for printers only: it is never differentiated.
"""

from __future__ import annotations

from functools import lru_cache

import sympy
from sympy import Piecewise

from symloss.language.atoms import held, magnitude, positive_part, sigmoid, softplus
from symloss.language.nodes import Access


class log1p(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """The logarithm of 1 + x."""

    nargs = 1


class log1p_unit(sympy.Function):  # noqa: N801
    """The logarithm of 1 + x for x in [0, 1], as of a decay."""

    nargs = 1


class raised_decay(sympy.Function):  # noqa: N801
    """2**64 exp(-|x|): never subnormal, whatever x is."""

    nargs = 1


class power(sympy.Function):  # noqa: N801
    """A power whose exponent is known only when the kernel runs; 0 to a negative power is 0."""

    nargs = 2


class sigmoid_power(sympy.Function):  # noqa: N801
    """A power of a sigmoid: of ``x``, ``log1p(exp(-|x|))`` and the exponent."""

    nargs = 3


class magnified(sympy.Function):  # noqa: N801
    """2**64 p for p that tends to exp(x) as x falls, right to the last bits where p is subnormal: of p and x.

    In kernels it takes ``raised_decay(x)`` too.
    """

    nargs = (2, 3)


class shrunk(sympy.Function):  # noqa: N801
    """2**-64 times a number, after everything else: rounded once where it is subnormal."""

    nargs = 1

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        """Return 0 for 0."""
        return x if x == 0 else None


class decay_of_sum(sympy.Function):  # noqa: N801
    """exp(-|x|) of the sum of its arguments, with the rounding error of the sum carried along."""


SERIES = (sympy.exp, sympy.log, log1p, log1p_unit, raised_decay, decay_of_sum, power, sigmoid_power)
"""What a kernel computes by a polynomial."""


@lru_cache(maxsize=1 << 16)
def expand_atoms(expression: sympy.Expr) -> sympy.Expr:
    """Return the expression with sigmoid and softplus written out."""
    if isinstance(expression, Access) or not expression.args:
        return expression
    if isinstance(expression, sympy.Pow) and isinstance(expression.base, sigmoid) and not expression.exp.is_Rational:
        x = expand_atoms(expression.base.args[0])
        return sigmoid_power(x, log1p_unit(decay(unsigned(x))), expand_atoms(expression.exp))
    arguments = [expand_atoms(a) for a in expression.args]
    match expression:
        case sigmoid():
            return _sigmoid(arguments[0])
        case softplus():
            x = arguments[0]
            return positive_part(x) + log1p_unit(decay(unsigned(x)))
        case held():
            return arguments[0]
        case magnified():
            p, x = arguments
            base = unsigned(x)
            return magnified(p, x, raised_decay(unsigned(base.args[0] if isinstance(base, magnitude) else base)))
        case sympy.Pow() if not arguments[1].is_Rational:
            return power(*arguments)
        case sympy.Pow():
            return sympy.Pow(*arguments, evaluate=False)  # SymPy would push the power into every case
        case sympy.Abs():
            return magnitude(arguments[0])
    return expression.func(*arguments)


def unsigned(x: sympy.Expr) -> sympy.Expr:
    """Return x or -x, the same for both, so that they share what depends on |x| alone."""
    return -x if x.could_extract_minus_sign() else x


def decay(x: sympy.Expr) -> sympy.Expr:
    """Return exp(-|x|), of a sum of inputs with what rounding takes from the sum: it is amplified by |x|."""
    terms = sympy.Add.make_args(x)
    plain = all(abs(c) == 1 and isinstance(t, Access | sympy.log) for c, t in (t.as_coeff_Mul() for t in terms))
    return decay_of_sum(*terms) if len(terms) > 1 and plain else shrunk(raised_decay(x))


def _sigmoid(x: sympy.Expr) -> sympy.Expr:
    cases = next(iter(sorted(x.atoms(Piecewise), key=sympy.default_sort_key)), None)
    if cases is not None:  # case by case: SymPy takes no condition with cases in it
        return Piecewise(*((_sigmoid(x.xreplace({cases: value})), where) for value, where in cases.args))
    base = unsigned(x)
    e = decay(base)
    near, far = 1 / (1 + e), e / (1 + e)
    return Piecewise((near, base >= 0), (far, True)) if base == x else Piecewise((far, base >= 0), (near, True))
