"""Claims: what is said about a loss, in a form that the ladder of checks can test, certify, prove or refute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from symloss.language.domains import Interval


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
        The input or parameter it speaks of, or an empty string; of a multiple, the factor.
    other : str
        The other loss, for an identity between losses; else another input.
    settings : tuple of (str, float) pairs
        Values of parameters and labels of this loss under which the claim holds.
    other_settings : tuple of (str, float) pairs
        Parameter values of the other loss.
    constant : float
        A bound, where the claim has one.
    expressions : tuple of (str, str) pairs
        Parameters of the other loss, as expressions in this one's.
    inner : Claim, optional
        The statement that holds for every value of a parameter.
    domain : Interval, optional
        Those values.
    """

    kind: str
    text: str
    wrt: str = ""
    other: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    other_settings: tuple[tuple[str, Any], ...] = ()
    constant: float = 0.0
    expressions: tuple[tuple[str, str], ...] = ()
    inner: Claim | None = None
    domain: Interval | None = None


Settings = dict[str, Any]


def under(settings: Settings) -> str:
    """Return settings as the end of a sentence."""
    shown = (f"{n} = {format(v, 'g') if isinstance(v, int | float) else v}" for n, v in settings.items())
    return " at " + ", ".join(shown) if settings else ""


def convex(wrt: str, **settings: float | None) -> Claim:
    """Claim that the loss is convex in `wrt` (its Hessian is positive semidefinite)."""
    return Claim("convex", f"convex in the {wrt}{under(settings)}", wrt, settings=tuple(settings.items()))


def not_convex(wrt: str, **settings: float | None) -> Claim:
    """Claim that the loss is not convex in `wrt`; a witness is looked for."""
    return Claim("not_convex", f"not convex in the {wrt}{under(settings)}", wrt, settings=tuple(settings.items()))


def never_convex(wrt: str, parameter: str, **settings: float | None) -> Claim:
    """Claim that the loss is not convex in `wrt` for any value of a parameter above 0."""
    text = f"not convex in the {wrt} for any {parameter} above 0{under(settings)}"
    return Claim("never_convex", text, wrt, parameter, tuple(settings.items()))


def positive_side(wrt: str, side: int, **settings: float | None) -> Claim:
    """Claim that the loss is above 0 wherever `wrt` is not on the other side of 0 than `side` (1 or -1)."""
    where = "at most" if side < 0 else "at least"
    kind = "positive_below" if side < 0 else "positive_above"
    return Claim(
        kind, f"above 0 wherever the {wrt} is {where} 0{under(settings)}", wrt, settings=tuple(settings.items())
    )


def cosine_softmax(vectors: str, scale: str, **settings: float | None) -> Claim:
    """Claim that the loss is softmax cross entropy of cosines times `scale`; `vectors` names two inputs."""
    text = (
        f"softmax cross entropy of the cosines of {vectors}, times {scale}, of vectors that are not 0{under(settings)}"
    )
    return Claim("cosine_softmax", text, scale, vectors.replace(" and ", ","), tuple(settings.items()))


def cosine_bound(axis: str, scale: str, **settings: float | None) -> Claim:
    """Claim that the loss is at most the log of an axis's extent and twice `scale`, an expression in parameters."""
    text = f"never above log({axis}) + 2 ({scale}){under(settings)}"
    return Claim("cosine_bound", text, scale, axis, tuple(settings.items()))


def cosine_gradient(wrt: str, scale: str, **settings: float | None) -> Claim:
    """Claim that the gradient of one sample in its vector is at most twice `scale` over the vector's length."""
    text = f"the gradient in the {wrt} is never longer than 2 ({scale}) / |{wrt}|{under(settings)}"
    return Claim("cosine_gradient", text, wrt, settings=tuple(settings.items()), expressions=(("scale", scale),))


def sum_of(other: str, label: str) -> Claim:
    """Claim that the loss is a sum of another loss for its labels 0 and 1, which is `label`."""
    return Claim("sum_of", f"a sum of {other}, with {label} 1 for data and 0 for noise", label, other)


def lipschitz(wrt: str, constant: float, **settings: float | None) -> Claim:
    """Claim that no derivative in `wrt` exceeds `constant` in size."""
    text = f"{constant:g}-Lipschitz in the {wrt}{under(settings)}"
    return Claim("lipschitz", text, wrt, settings=tuple(settings.items()), constant=constant)


def nonnegative(**settings: float | None) -> Claim:
    """Claim that the loss is never below zero."""
    return Claim("nonnegative", f"never negative{under(settings)}", settings=tuple(settings.items()))


def can_be_negative(**settings: float | None) -> Claim:
    """Claim that the loss takes negative values; a witness is looked for."""
    text = f"takes negative values{under(settings) or ': a signed diagnostic, not a distance'}"
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
    text = f"equal to {other}{under(theirs)}{(' when' + under(mine)[3:]) if mine else ''}"
    return Claim("equals", text, other=other, settings=tuple(mine.items()), other_settings=tuple(theirs.items()))


def least_lipschitz(wrt: str, constant: float, **settings: float | None) -> Claim:
    """Claim that the largest derivative in `wrt` is `constant`, rounded up at the ninth digit."""
    text = f"the largest derivative in the {wrt} is {constant:.10g} in size, to 9 digits{under(settings)}"
    return Claim("least_lipschitz", text, wrt, settings=tuple(settings.items()), constant=constant)


def largest_curvature(wrt: str, constant: float, **settings: float | None) -> Claim:
    """Claim that the largest second derivative in `wrt` is `constant`, rounded up at the ninth digit."""
    text = f"the largest second derivative in the {wrt} is {constant:.10g} in size, to 9 digits{under(settings)}"
    return Claim("largest_curvature", text, wrt, settings=tuple(settings.items()), constant=constant)


def gradient_norm(wrt: str, constant: float, **settings: float | None) -> Claim:
    """Claim that the gradient of one sample in its vector `wrt` is never longer than `constant`."""
    text = f"the gradient in the {wrt} is never longer than {constant:g}{under(settings)}"
    return Claim("gradient_norm", text, wrt, settings=tuple(settings.items()), constant=constant)


def unbounded_slope(wrt: str, **settings: float | None) -> Claim:
    """Claim that derivatives in `wrt` grow without bound."""
    text = f"its derivative in the {wrt} has no bound{under(settings)}"
    return Claim("unbounded_slope", text, wrt, settings=tuple(settings.items()))


def monotone(wrt: str, *, rising: bool, **settings: float | None) -> Claim:
    """Claim that the loss never falls, or never rises, as `wrt` grows; `settings` may name labels too."""
    text = f"never {'falls' if rising else 'rises'} as the {wrt} grows{under(settings)}"
    return Claim("rising" if rising else "falling", text, wrt, settings=tuple(settings.items()))


def limit(wrt: str, towards: int, constant: float, *, slope: bool = False, **settings: float | None) -> Claim:
    """Claim what the loss, or its derivative, tends to as `wrt` goes to infinity (`towards` 1) or minus infinity."""
    of, end = ("its derivative tends" if slope else "tends"), ("infinity" if towards > 0 else "minus infinity")
    text = f"{of} to {constant:g} as the {wrt} goes to {end}{under(settings)}"
    kind = f"{'slope' if slope else 'value'}_limit_{'above' if towards > 0 else 'below'}"
    return Claim(kind, text, wrt, settings=tuple(settings.items()), constant=constant)


def least_at(wrt: str, other: str, **settings: float | None) -> Claim:
    """Claim that the loss is least where `wrt` equals another input."""
    return Claim("least_at", f"least where {wrt} = {other}{under(settings)}", wrt, other, tuple(settings.items()))


def calibrated(wrt: str, other: str, **settings: float | None) -> Claim:
    """Claim that the loss is least where the sigmoid of `wrt` equals another input."""
    text = f"calibrated: least where the sigmoid of the {wrt} is the {other}{under(settings)}"
    return Claim("calibrated", text, wrt, other, tuple(settings.items()))


def not_least_at(wrt: str, other: str, **settings: float | None) -> Claim:
    """Claim that the loss is not least where `wrt` equals another input; a witness is looked for."""
    text = f"not least at {wrt} = {other}, inside their domain{under(settings)}"
    return Claim("not_least_at", text, wrt, other, tuple(settings.items()))


def no_effect(wrt: str) -> Claim:
    """Claim that the loss does not change with `wrt`."""
    return Claim("no_effect", f"{wrt} changes nothing: the derivative in {wrt} is 0", wrt)


def has_effect(wrt: str) -> Claim:
    """Claim that the loss changes with `wrt`; a witness is looked for."""
    return Claim("has_effect", f"{wrt} matters: the derivative in {wrt} is not 0", wrt)


def moved_together(*names: str) -> Claim:
    """Claim that moving several inputs by the same numbers changes nothing."""
    return Claim("moved_together", f"unchanged when {' and '.join(names)} move together", names[0], ",".join(names[1:]))


def flat_at_zero(wrt: str, text: str) -> Claim:
    """Claim that the gradient in `wrt` is exactly 0 wherever the loss is 0; `text` says where that is."""
    return Claim("flat_at_zero", text, wrt)


def at_most(constant: float, **settings: float | None) -> Claim:
    """Claim that the loss is never above a number."""
    text = f"never above {constant:g}{under(settings)}"
    return Claim("at_most", text, settings=tuple(settings.items()), constant=constant)


def below(other: str, settings: Settings | None = None, other_settings: Settings | None = None) -> Claim:
    """Claim that under `settings` the loss is never above the loss called `other` under `other_settings`."""
    mine, theirs = settings or {}, other_settings or {}
    text = f"never above {other}{under(theirs)}{(' when' + under(mine)[3:]) if mine else ''}"
    return Claim("below", text, other=other, settings=tuple(mine.items()), other_settings=tuple(theirs.items()))


def multiple_of(other: str, factor: str, settings: Settings | None = None, **shared: str) -> Claim:
    """Claim that the loss is another one times `factor`, whose parameters are expressions in this one's."""
    where = ", ".join(f"{name} = {text}" for name, text in shared.items())
    times, at = f" times {factor}" if factor != "1" else "", f" at {where}" if where else ""
    text = f"equal to {other}{times}{at}{(' when' + under(settings)[3:]) if settings else ''}"
    return Claim("multiple", text, factor, other, tuple((settings or {}).items()), expressions=tuple(shared.items()))


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
