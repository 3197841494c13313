"""What a definition imports: axes, declarations, functions, reductions, claims, references."""

from __future__ import annotations

from sympy import Abs, Expr, Max, Min, acos, cos, exp, log, pi, sin, sqrt, tanh
from sympy import Eq as equal
from sympy import Ne as differs

from symloss.language.atoms import magnitude, positive_part, ratio, sigmoid, softplus
from symloss.language.axes import Axis, Index
from symloss.language.claims import (
    Claim,
    Convention,
    at_most,
    below,
    calibrated,
    can_be_negative,
    convex,
    cosine_bound,
    cosine_gradient,
    cosine_softmax,
    equals,
    falling_part,
    flat_at_zero,
    gradient_norm,
    gradient_sums_to_zero,
    has_effect,
    largest_curvature,
    least_at,
    least_lipschitz,
    limit,
    lipschitz,
    monotone,
    moved_together,
    multiple_of,
    never_convex,
    no_effect,
    nonnegative,
    not_convex,
    not_least_at,
    positive_side,
    sum_of,
    symmetric,
    unbounded_slope,
)
from symloss.language.claims_formula import (
    approaches,
    cited,
    equals_formula,
    expansion,
    falls_in_odds,
    least_at_frequencies,
    least_at_mean,
    least_at_quantile,
    of_counts,
    piecewise,
    saturates,
    smooth,
    softmax_gradient,
    steepest,
    throughout,
    value_where,
)
from symloss.language.declarations import Tensor, data, integer, labels, option, parameter, prediction, switch, weights
from symloss.language.definition import Definition, counted, loss
from symloss.language.domains import REALS, UNIT, Interval, OneOf, above, at_least, one_of
from symloss.language.errors import DefinitionError
from symloss.language.nodes import Flag
from symloss.language.reductions import (
    angle_over,
    choose,
    define,
    given,
    let,
    logsumexp_over,
    max_over,
    mean_over,
    min_over,
    norm_over,
    softmax,
    sum_over,
    unit_over,
    when,
)
from symloss.language.references import Reference

__all__ = [
    "REALS", "UNIT", "Abs", "Axis", "Claim", "Convention", "Definition", "DefinitionError", "Expr", "Flag", "Index",
    "Interval", "Max", "Min", "OneOf", "Reference", "Tensor", "above", "acos", "angle_over", "approaches",
    "at_least", "at_most", "below", "calibrated", "can_be_negative", "choose", "cited", "convex", "cos",
    "cosine_bound", "cosine_gradient", "cosine_softmax", "counted", "data", "define", "differs", "equal", "equals",
    "equals_formula", "exp", "expansion", "falling_part", "falls_in_odds", "flat_at_zero", "given", "gradient_norm",
    "gradient_sums_to_zero", "has_effect", "integer", "labels", "largest_curvature", "least_at",
    "least_at_frequencies", "least_at_mean", "least_at_quantile", "least_lipschitz", "let", "limit", "lipschitz",
    "log", "logsumexp_over", "loss", "magnitude", "max_over", "mean_over", "min_over", "monotone", "moved_together",
    "multiple_of", "never_convex", "no_effect", "nonnegative", "norm_over", "not_convex", "not_least_at",
    "of_counts", "one_of", "option", "parameter", "pi", "piecewise", "positive_part", "positive_side", "prediction",
    "ratio", "saturates", "sigmoid", "sin", "smooth", "softmax", "softmax_gradient", "softplus", "sqrt", "steepest",
    "sum_of", "sum_over", "switch", "symmetric", "tanh", "throughout", "unbounded_slope", "unit_over",
    "value_where", "weights", "when",
]  # fmt: skip
