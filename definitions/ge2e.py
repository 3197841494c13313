"""Generalized end-to-end losses for speaker verification: an utterance against the centroids of all speakers."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    above,
    choose,
    define,
    differs,
    equal,
    logsumexp_over,
    loss,
    max_over,
    mean_over,
    nonnegative,
    prediction,
    sigmoid,
    sum_over,
    unit_over,
)  # fmt: skip
from symloss.language.reductions import Named

WAN_2018 = Reference(
    r"""@inproceedings{wan2018ge2e,
  author = {Wan, Li and Wang, Quan and Papir, Alan and Lopez Moreno, Ignacio},
  title = {Generalized End-to-End Loss for Speaker Verification},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing},
  pages = {4879--4883},
  year = {2018},
  doi = {10.1109/ICASSP.2018.8462665},
}""",
    url="https://arxiv.org/abs/1710.10467",
)
CONVENTIONS = (
    Convention("reduction", "the paper sums over utterances (reduction='sum'); coqui and clovaai take the mean."),
    Convention("cosine", "as it is: coqui, cvqluu and clovaai clamp it at 1e-6, which zeroes gradients."),
    Convention("w", "w > 0 is checked; others clamp w and throw the result away."),
)

speakers, utterances, features = Axis("s", "speakers"), Axis("u", "utterances", least=2), Axis("d", "features")
j, k = speakers.index("j"), speakers.index("k")
i, m = utterances.index("i"), utterances.index("m")
f = features.index("f")


def similarity(x: Tensor, w: Expr, b: Expr) -> Named:
    """Return the scaled cosines S[j, i, k], with an own centroid that leaves the utterance itself out."""
    centroid = define("c", k, f)(mean_over(m, x[k, m, f]))
    others = define("c_other", j, i, f)(sum_over(m, x[j, m, f], where=differs(m, i)) / (utterances.size - 1))
    e = define("e", j, i, f)(unit_over(f, x[j, i, f]))
    c_unit = define("c_unit", k, f)(unit_over(f, centroid[k, f]))
    own = sum_over(f, e[j, i, f] * unit_over(f, others[j, i, f]))
    cross = sum_over(f, e[j, i, f] * c_unit[k, f])
    return define("S", j, i, k)(w * choose(equal(k, j), own, cross) + b)


@loss(
    title="GE2E softmax loss",
    family="metric learning",
    per=(j, i),
    references=(WAN_2018,),
    claims=(nonnegative(),),
    conventions=CONVENTIONS,
    aliases=("generalized end-to-end loss",),
)
def ge2e_softmax(
    embedding: Tensor = prediction(speakers, utterances, features, symbol="x", about="One vector per utterance."),
    w: Expr = prediction(symbol="w", domain=above(0), about="Scale of the cosines, learned; the paper starts at 10."),
    b: Expr = prediction(symbol="b", about="Offset of the cosines, learned; the paper starts at -5."),
) -> Expr:
    """Softmax cross entropy of an utterance's cosines to all centroids, at its own speaker.

    The centroid of the utterance's own speaker leaves the utterance itself out. The offset b changes nothing.
    """
    S = similarity(embedding, w, b)
    return logsumexp_over(k, S[j, i, k]) - S[j, i, j]


@loss(
    title="GE2E contrast loss",
    family="metric learning",
    per=(j, i),
    references=(WAN_2018,),
    claims=(nonnegative(),),
    conventions=CONVENTIONS,
)
def ge2e_contrast(
    embedding: Tensor = prediction(speakers, utterances, features, symbol="x", about="One vector per utterance."),
    w: Expr = prediction(symbol="w", domain=above(0), about="Scale of the cosines, learned; the paper starts at 10."),
    b: Expr = prediction(symbol="b", about="Offset of the cosines, learned; the paper starts at -5."),
) -> Expr:
    """How little an utterance resembles its own centroid, and how much the nearest other one.

    The centroid of the utterance's own speaker leaves the utterance itself out. With a single speaker there is no
    other centroid and the second part is 0.
    """
    S = similarity(embedding, w, b)
    return 1 - sigmoid(S[j, i, j]) + max_over(k, sigmoid(S[j, i, k]), where=differs(k, j), empty=0)
