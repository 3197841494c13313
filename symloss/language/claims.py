"""Claims: what is said about a loss, in a form that the ladder of checks can test, certify, prove or refute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A statement about a loss.

    Parameters
    ----------
    kind : str
        The property, such as ``"convex"`` or ``"equals"``; it selects the method of checking.
    text : str
        The statement as a reader sees it.
    wrt : str
        The input or parameter it speaks of, or an empty string.
    other : str
        The other loss, for an identity between losses.
    settings : tuple of (str, float) pairs
        Parameter values of this loss under which the claim holds.
    other_settings : tuple of (str, float) pairs
        Parameter values of the other loss.
    constant : float
        A bound, where the claim has one.
    """

    kind: str
    text: str
    wrt: str = ""
    other: str = ""
    settings: tuple[tuple[str, float | None], ...] = ()
    other_settings: tuple[tuple[str, float | None], ...] = ()
    constant: float = 0.0


Settings = dict[str, float | None]


def _at(settings: Settings) -> str:
    shown = (f"{name} = {'None' if value is None else format(value, 'g')}" for name, value in settings.items())
    return " at " + ", ".join(shown) if settings else ""


def convex(wrt: str, **settings: float | None) -> Claim:
    """Claim that the loss is convex in `wrt` (its Hessian is positive semidefinite)."""
    return Claim("convex", f"convex in the {wrt}{_at(settings)}", wrt, settings=tuple(settings.items()))


def not_convex(wrt: str, **settings: float | None) -> Claim:
    """Claim that the loss is not convex in `wrt`; a witness is looked for."""
    return Claim("not_convex", f"not convex in the {wrt}{_at(settings)}", wrt, settings=tuple(settings.items()))


def lipschitz(wrt: str, constant: float, **settings: float | None) -> Claim:
    """Claim that no derivative in `wrt` exceeds `constant` in size."""
    text = f"{constant:g}-Lipschitz in the {wrt}{_at(settings)}"
    return Claim("lipschitz", text, wrt, settings=tuple(settings.items()), constant=constant)


def nonnegative(**settings: float | None) -> Claim:
    """Claim that the loss is never below zero."""
    return Claim("nonnegative", f"never negative{_at(settings)}", settings=tuple(settings.items()))


def can_be_negative(**settings: float | None) -> Claim:
    """Claim that the loss takes negative values; a witness is looked for."""
    text = f"takes negative values{_at(settings) or ': a signed diagnostic, not a distance'}"
    return Claim("can_be_negative", text, settings=tuple(settings.items()))


def gradient_sums_to_zero(wrt: str) -> Claim:
    """Claim that the gradient in `wrt` sums to zero over each row: a common shift changes nothing."""
    return Claim("gradient_sums_to_zero", f"unchanged by a common shift of the {wrt}; its gradient sums to zero", wrt)


def symmetric(first: str, second: str) -> Claim:
    """Claim that exchanging two inputs does not change the loss."""
    return Claim("symmetric", f"symmetric in {first} and {second}", first, second)


def falling_part(part: str, wrt: str, text: str, **options: bool) -> Claim:
    """Claim that a named part of the formula never grows as another, an angle in [0, pi], does."""
    return Claim("falling_part", text, wrt, part, settings=tuple(options.items()))


def equals(other: str, settings: Settings | None = None, other_settings: Settings | None = None) -> Claim:
    """Claim that under `settings` the loss is the loss called `other` under `other_settings`."""
    mine, theirs = settings or {}, other_settings or {}
    text = f"equal to {other}{_at(theirs)}{(' when' + _at(mine)[3:]) if mine else ''}"
    return Claim("equals", text, other=other, settings=tuple(mine.items()), other_settings=tuple(theirs.items()))


@dataclass(frozen=True)
class Convention:
    """A choice on which libraries differ, and what this definition chooses.

    Parameters
    ----------
    topic : str
        What the choice is about.
    text : str
        What is chosen here, and who chooses otherwise.
    """

    topic: str
    text: str
