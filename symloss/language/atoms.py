"""Atoms: functions of a scalar with a stable kernel of their own.

Each atom states its textbook form, which the oracle evaluates, and its derivative, again in atoms, which calculus uses.
Every convention for a point without a derivative is stated here and nowhere else: ``step(0) = sign(0) = 0``,
so the derivative of ``positive_part`` and ``magnitude`` at 0 is 0, and the second derivative of a kink is 0.
"""

from __future__ import annotations

from typing import ClassVar

import sympy
from sympy import Piecewise, S, exp, log


class Atom(sympy.Function):
    """A function with a textbook form, a derivative in atoms and, where it has one, a kink at argument 0."""

    nargs = 1
    kink: ClassVar[str] = ""

    def _eval_is_extended_real(self) -> bool:
        return True

    def textbook(self) -> sympy.Expr:
        """Return the definition in elementary functions."""
        raise NotImplementedError

    def derivative(self) -> sympy.Expr:
        """Return the derivative in the argument, in atoms."""
        raise NotImplementedError

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Return the derivative, for SymPy's chain rule."""
        del argindex
        return self.derivative()


class sigmoid(Atom):  # noqa: N801 - a function, written as in a formula
    r"""The logistic function, :math:`\sigma(x) = 1 / (1 + e^{-x})`."""

    def textbook(self) -> sympy.Expr:
        """Return the definition in elementary functions."""
        return 1 / (1 + exp(-self.args[0]))

    def derivative(self) -> sympy.Expr:
        r"""Return :math:`\sigma(x)\sigma(-x)`."""
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])


class softplus(Atom):  # noqa: N801
    r"""The smooth positive part, :math:`\log(1 + e^x)`."""

    def textbook(self) -> sympy.Expr:
        """Return the definition in elementary functions."""
        return log(1 + exp(self.args[0]))

    def derivative(self) -> sympy.Expr:
        """Return the logistic function."""
        return sigmoid(self.args[0])


class positive_part(Atom):  # noqa: N801
    r"""The positive part, :math:`\max(0, x)`."""

    kink = "derivative 0, between the one-sided limits 0 and 1"

    def textbook(self) -> sympy.Expr:
        """Return the definition by cases."""
        x = self.args[0]
        return Piecewise((x, x > 0), (S.Zero, True))

    def derivative(self) -> sympy.Expr:
        """Return the step function."""
        return step(self.args[0])


class step(Atom):  # noqa: N801
    """The indicator of positive numbers, 0 at 0."""

    def textbook(self) -> sympy.Expr:
        """Return the definition by cases."""
        return Piecewise((S.One, self.args[0] > 0), (S.Zero, True))

    def derivative(self) -> sympy.Expr:
        """Return 0, at the jump as elsewhere."""
        return S.Zero


class magnitude(Atom):  # noqa: N801
    """The absolute value."""

    kink = "derivative 0, between the one-sided limits -1 and 1"

    def textbook(self) -> sympy.Expr:
        """Return the definition by cases."""
        x = self.args[0]
        return Piecewise((x, x > 0), (-x, True))

    def derivative(self) -> sympy.Expr:
        """Return the sign."""
        return signum(self.args[0])


class signum(Atom):  # noqa: N801
    """The sign of a number, 0 at 0."""

    def textbook(self) -> sympy.Expr:
        """Return the definition by cases."""
        x = self.args[0]
        return Piecewise((S.One, x > 0), (-S.One, x < 0), (S.Zero, True))

    def derivative(self) -> sympy.Expr:
        """Return 0, at the jump as elsewhere."""
        return S.Zero


class ratio(Atom):  # noqa: N801
    """A quotient that is 0 where its denominator is 0: what a norm's and a cosine's derivative need at the origin."""

    nargs = 2

    def textbook(self) -> sympy.Expr:
        """Return the definition by cases."""
        top, bottom = self.args
        return Piecewise((S.Zero, sympy.Eq(bottom, 0)), (top / bottom, True))

    def derivative(self) -> sympy.Expr:
        """Return the derivative in the numerator."""
        return ratio(S.One, self.args[1])

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Return the derivative in either argument."""
        top, bottom = self.args
        return ratio(S.One, bottom) if argindex == 1 else -ratio(top, bottom) * ratio(S.One, bottom)


class difference(Atom):  # noqa: N801
    """a - b, taken before anything is added to it."""

    nargs = 2

    @classmethod
    def eval(cls, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr | None:
        """Return 0 for a number less itself."""
        return S.Zero if a == b else None

    def textbook(self) -> sympy.Expr:
        """Return the definition."""
        return self.args[0] - self.args[1]

    def derivative(self) -> sympy.Expr:
        """Return 1, the derivative in the first argument."""
        return S.One

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Return the derivative in either argument."""
        return S.One if argindex == 1 else S.NegativeOne


class complement(Atom):  # noqa: N801
    """What a probability lacks to 1; its kernel never subtracts from 1."""

    def textbook(self) -> sympy.Expr:
        """Return the definition."""
        return 1 - self.args[0]

    def derivative(self) -> sympy.Expr:
        """Return -1."""
        return S.NegativeOne


class held(Atom):  # noqa: N801
    """A value the result does not depend on, such as the scale that a norm is computed at: constant to derivatives."""

    def textbook(self) -> sympy.Expr:
        """Return the value itself."""
        return self.args[0]

    def derivative(self) -> sympy.Expr:
        """Return 0: a change of scale changes nothing."""
        return S.Zero


class arctangent(Atom):  # noqa: N801
    """The angle of the point (x, y) with y first, in [0, pi] for y >= 0; 0 at the origin."""

    nargs = 2

    def textbook(self) -> sympy.Expr:
        """Return the two-argument arc tangent."""
        return sympy.atan2(*self.args)

    def derivative(self) -> sympy.Expr:
        """Return the derivative in y."""
        return self.fdiff(1)

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Return the derivative in either argument."""
        y, x = self.args
        return ratio(x, x**2 + y**2) if argindex == 1 else -ratio(y, x**2 + y**2)
