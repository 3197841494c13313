"""Softmax cross entropy: the log-likelihood of a label under the softmax of the logits."""

from __future__ import annotations

from symloss.language import (
    UNIT,
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    at_least,
    convex,
    counted,
    define,
    differs,
    falls_in_odds,
    given,
    gradient_sums_to_zero,
    integer,
    labels,
    least_at_frequencies,
    logsumexp_over,
    loss,
    mean_over,
    nonnegative,
    parameter,
    prediction,
    softmax_gradient,
    weights,
)

BRIDLE_1990 = Reference(
    r"""@incollection{bridle1990probabilistic,
  author = {Bridle, John S.},
  title = {Probabilistic Interpretation of Feedforward Classification Network Outputs, with Relationships to
           Statistical Pattern Recognition},
  booktitle = {Neurocomputing},
  publisher = {Springer},
  pages = {227--236},
  year = {1990},
  doi = {10.1007/978-3-642-76153-9_28},
}""",
    url="https://doi.org/10.1007/978-3-642-76153-9_28",
)

n, c = Axis("n", "samples"), Axis("c", "classes")
i, k = n.index("i"), c.index("k")


@loss(
    title="Softmax cross entropy",
    family="classification",
    per=i,
    references=(BRIDLE_1990,),
    claims=(
        nonnegative(),
        convex("logits"),
        gradient_sums_to_zero("logits"),
        falls_in_odds("logits", label_smoothing=0, class_weight=None),
        softmax_gradient("logits", label_smoothing=0, class_weight=None),
        least_at_frequencies("logits", label_smoothing=0, class_weight=None),
    ),
    conventions=(
        Convention(
            "mean",
            "divides by the number of samples that count, whatever the class weights; torch divides by "
            "the sum of the labels' class weights",
        ),
        Convention("label smoothing", "y (1 - a) + a / c, as torch, Keras and optax do"),
    ),
    aliases=("categorical cross entropy", "multinomial logistic loss"),
)
def softmax_cross_entropy(
    logits: Tensor = prediction(n, c, symbol="z", about="One score per class."),
    label: Tensor = labels(n, into=c, symbol="y", ignored_by="ignore_index", about="The class of each row."),
    *,
    label_smoothing: Expr = parameter(
        0, UNIT, symbol="a", special=(0,), about="The share of the label given to all classes."
    ),
    class_weight: Tensor = weights(c, symbol="w", domain=at_least(0), about="One weight per class."),
    ignore_index: Expr = integer(symbol=r"y_\varnothing", about="Rows with this label do not count."),
) -> Expr:
    """Negative log-likelihood of the label under the softmax of the logits.

    Without class weights its gradient is the predicted minus the wanted distribution: rows that are right hardly move.
    """
    z, y, w, a = logits, label, class_weight, label_smoothing
    nll = define("nll", i, k)(w[k] * (logsumexp_over(k, z[i, k]) - z[i, k]))
    per_sample = (1 - a) * nll[i, y[i]] + a * mean_over(k, nll[i, k])
    return counted(per_sample, where=given(ignore_index, differs(y[i], ignore_index), True))
