"""Claims that compare formulas: what a loss equals, where its slope jumps, what its mean over data is least at.

Expressions are strings in the names of a definition: its inputs, parameters and named values, and other losses.
"""

from __future__ import annotations

from dataclasses import replace

from symloss.language.claims import Claim, Settings, under
from symloss.language.domains import Interval
from symloss.language.references import Reference

_DEGREES = {0: "constant", 1: "linear", 2: "quadratic", 3: "cubic"}
_SMOOTH = {
    0: "continuous in the {}, with a corner: the slopes on its two sides differ",
    1: "once continuously differentiable in the {}, not twice: the second derivative jumps",
}


def _plain(expression: str) -> str:
    return expression.replace("**", "^")


def least_at_mean(wrt: str, other: str, *, sigmoid: bool = False, **settings: float | None) -> Claim:
    """Claim that the loss's mean over data is least where `wrt`, or its sigmoid, is the mean of another input."""
    place = f"the sigmoid of the {wrt}" if sigmoid else f"the {wrt}"
    text = f"its mean over data is least where {place} is the mean of the {other}{under(settings)}"
    return Claim("least_at_mean", text, wrt, other, tuple(settings.items()), constant=float(sigmoid))


def least_at_quantile(wrt: str, other: str, level: str = "1/2", /, **settings: float | None) -> Claim:
    """Claim that the loss's mean over data is least where `wrt` is a quantile, whose level is an expression."""
    name = "the median" if level == "1/2" else f"the quantile {level}"
    text = f"its mean over data is least where the {wrt} is {name} of the {other}{under(settings)}"
    return Claim(
        "least_at_quantile", text, wrt, other, tuple(settings.items()), expressions=(("level", level),)
    )  # fmt: skip


def least_at_frequencies(scores: str, **settings: float | None) -> Claim:
    """Claim that the loss's mean over labels is least where the softmax of scores is how often each label occurs."""
    text = f"its mean over labels is least where the softmax of {scores} is their frequencies{under(settings)}"
    return Claim("least_at_frequencies", text, scores, settings=tuple(settings.items()))


def softmax_gradient(scores: str, **settings: float | None) -> Claim:
    """Claim that the derivative in a score is its softmax probability, less 1 in the label's own score."""
    text = (
        f"the derivative in a wrong one of the scores {scores} is its softmax probability, in the right one that "
        f"less 1{under(settings)}"
    )
    return Claim("softmax_gradient", text, scores, settings=tuple(settings.items()))


def smooth(wrt: str, times: int, **settings: float | None) -> Claim:
    """Claim that the loss is so many times (0 or 1) continuously differentiable in `wrt`, and no more."""
    text = _SMOOTH[times].format(wrt) + under(settings)
    return Claim("smooth", text, wrt, settings=tuple(settings.items()), constant=times)


def piecewise(wrt: str, degree: int, **settings: float | None) -> Claim:
    """Claim that the loss is a polynomial of a degree in `wrt`, or in a named value, between finitely many points."""
    text = f"piecewise {_DEGREES[degree]} in {wrt}{under(settings)}"
    return Claim("piecewise", text, wrt, settings=tuple(settings.items()), constant=degree)


def steepest(wrt: str, bound: str, /, **settings: float | None) -> Claim:
    """Claim that the largest slope in `wrt` is an expression in parameters, whatever they are, and is reached."""
    text = f"the largest slope in the {wrt} is {_plain(bound)} in size{under(settings)}"
    return Claim("steepest", text, wrt, settings=tuple(settings.items()), expressions=(("bound", bound),))


def equals_formula(expression: str, where: str = "", /, **settings: float | None) -> Claim:
    """Claim that the loss is an expression, everywhere or where a comparison of two expressions holds."""
    place = f" where {_plain(where)}" if where else ""
    text = f"equal to {_plain(expression)}{place}{under(settings)}"
    named = (("formula", expression), ("where", where or "0 < 1"))
    return Claim("equals_formula", text, settings=tuple(settings.items()), expressions=named)


def approaches(expression: str, parameter: str, towards: float, *, over: str = "1", **settings: float | None) -> Claim:
    """Claim that the loss, divided by `over`, tends to an expression as a parameter goes to 0 or to infinity."""
    divided, end = f"divided by {_plain(over)}, " if over != "1" else "", "0" if towards == 0 else "infinity"
    text = f"{divided}tends to {_plain(expression)} as {parameter} goes to {end}{under(settings)}"
    named = (("formula", expression), ("over", over))
    return Claim("approaches", text, parameter, "", tuple(settings.items()), (), towards, named)


def expansion(probability: str, *, shift: str = "0", first: str = "0", **settings: float | None) -> Claim:
    """Claim the loss's series in what a named probability lacks to 1, exponents shifted, its first term changed."""
    power = "j" if shift == "0" else f"(j + {shift})"
    added = "" if first == "0" else f", and {first} is added to the first coefficient"
    text = f"the sum of (1 - {probability})^{power} / j over j = 1, 2, ...{added}{under(settings)}"
    named = (("shift", shift), ("first", first))
    return Claim("expansion", text, probability, settings=tuple(settings.items()), expressions=named)


def of_counts(wrt: str, other: str, expression: str, name: str = "", **settings: float | None) -> Claim:
    """Claim what the loss of two masks of 0 and 1 is in the counts TP, FP and FN of true and false entries."""
    named = f", that is {name}," if name else ""
    text = f"for masks {wrt} and {other} of 0 and 1 it is {_plain(expression)}{named}{under(settings)}"
    return Claim(
        "of_counts", text, wrt, other, tuple(settings.items()), expressions=(("formula", expression),)
    )  # fmt: skip


def value_where(constant: float, inputs: Settings, **settings: float | None) -> Claim:
    """Claim what the loss is where inputs are the same numbers throughout."""
    place = " and ".join(f"every {name} is {value:g}" for name, value in inputs.items())
    text = f"{constant:g} where {place}{under(settings)}"
    everything = (*inputs.items(), *settings.items())
    return Claim("value_where", text, ",".join(inputs), settings=everything, constant=constant)


def saturates(wrt: str, other: str, constant: float, **settings: float | None) -> Claim:
    """Claim that a derivative in an entry is at most a number over the sum of two inputs."""
    text = (
        f"a derivative in one {wrt} is at most {constant:g} over the sum of {wrt} and {other}: it vanishes as that "
        f"grows{under(settings)}"
    )
    return Claim("saturates", text, wrt, other, tuple(settings.items()), constant=constant)


def falls_in_odds(wrt: str, **settings: float | None) -> Claim:
    """Claim that the loss never rises with the log odds of the label, and is above 0 while those are at most 0."""
    text = f"never rises as the log odds of the label grow, and above 0 while they are at most 0{under(settings)}"
    return Claim("falls_in_odds", text, wrt, settings=tuple(settings.items()))


def throughout(claim: Claim, parameter: str, domain: Interval) -> Claim:
    """Claim a statement for every value of a parameter in an interval."""
    said = claim.text.partition(": a signed diagnostic")[0]
    text = f"{said} for every {parameter} {_in(domain)}"
    return replace(claim, kind="throughout", text=text, other=parameter, inner=claim, domain=domain)


def _in(domain: Interval) -> str:
    low, high = (f"{end:g}" for end in (domain.low, domain.high))
    if domain.high == float("inf"):
        return f"{'above' if domain.low_open else 'of at least'} {low}"
    if domain.low == float("-inf"):
        return f"{'below' if domain.high_open else 'of at most'} {high}"
    return f"from {low} to {high}"


def cited(text: str, *references: Reference) -> Claim:
    """Claim what others proved: it is not checked here, and shown as claimed, with their works as the evidence."""
    return Claim("cited", text, expressions=tuple((r.key, r.citation) for r in references))
