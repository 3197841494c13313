"""GE2E and ArcFace, written as their papers have them: the design must carry these before their kernels exist."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Expr,
    Reference,
    Tensor,
    above,
    acos,
    choose,
    cos,
    define,
    differs,
    equal,
    labels,
    logsumexp_over,
    loss,
    max_over,
    mean_over,
    norm_over,
    parameter,
    pi,
    prediction,
    ratio,
    sigmoid,
    sin,
    sum_over,
)
from symloss.language.reductions import Named

WAN_2018 = Reference(
    r"""@inproceedings{wan2018ge2e,
  author = {Wan, Li and Wang, Quan and Papir, Alan and Lopez Moreno, Ignacio},
  title = {Generalized End-to-End Loss for Speaker Verification},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing},
  year = {2018},
}"""
)
DENG_2019 = Reference(
    r"""@inproceedings{deng2019arcface,
  author = {Deng, Jiankang and Guo, Jia and Xue, Niannan and Zafeiriou, Stefanos},
  title = {{ArcFace}: Additive Angular Margin Loss for Deep Face Recognition},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2019},
}"""
)

speakers, utterances, features = Axis("s", "speakers"), Axis("u", "utterances"), Axis("d", "features")
j, k, q = speakers.index("j"), speakers.index("k"), speakers.index("q")
i, m = utterances.index("i"), utterances.index("m")
f = features.index("f")


def cosine(left: Expr, right: Expr) -> Expr:
    """Return the cosine of two vectors over the feature index."""
    return ratio(sum_over(f, left * right), norm_over(f, left) * norm_over(f, right))


def similarity(embedding: Tensor, w: Expr, b: Expr) -> Named:
    """Return the scaled cosines of GE2E, own centroids without the utterance itself."""
    x = embedding
    centroid = define("c", k, f)(mean_over(m, x[k, m, f]))
    others = define("c_other", j, i, f)(sum_over(m, x[j, m, f], where=differs(m, i)) / (utterances.size - 1))
    own = cosine(x[j, i, f], others[j, i, f])
    return define("S", j, i, k)(w * choose(equal(k, j), own, cosine(x[j, i, f], centroid[k, f])) + b)


@loss(title="GE2E softmax", family="metric learning", per=(j, i), references=(WAN_2018,))
def ge2e_softmax(
    embedding: Tensor = prediction(speakers, utterances, features, symbol="x"),
    *,
    w: Expr = parameter(10, above(0), symbol="w"),
    b: Expr = parameter(-5, symbol="b"),
) -> Expr:
    """How little an utterance resembles its own speaker's centroid more than the others'."""
    S = similarity(embedding, w, b)
    return logsumexp_over(k, S[j, i, k]) - S[j, i, j]


@loss(title="GE2E contrast", family="metric learning", per=(j, i), references=(WAN_2018,))
def ge2e_contrast(
    embedding: Tensor = prediction(speakers, utterances, features, symbol="x"),
    *,
    w: Expr = parameter(10, above(0), symbol="w"),
    b: Expr = parameter(-5, symbol="b"),
) -> Expr:
    """How far an utterance is from its own centroid, and how near to the nearest other one."""
    S = similarity(embedding, w, b)
    return 1 - sigmoid(S[j, i, j]) + max_over(k, sigmoid(S[j, i, k]), where=differs(k, j), empty=0)


rows, classes = Axis("n", "samples"), Axis("c", "classes")
r, a = rows.index("r"), classes.index("a")


@loss(title="ArcFace", family="metric learning", per=r, references=(DENG_2019,))
def arcface(
    embedding: Tensor = prediction(rows, features, symbol="x"),
    weight: Tensor = prediction(classes, features, symbol="W"),
    label: Tensor = labels(rows, into=classes, symbol="y"),
    *,
    scale: Expr = parameter(64, above(0), symbol="s"),
    margin: Expr = parameter(0.5, symbol="m"),
) -> Expr:
    """Softmax cross entropy over cosines, the angle to the true class made larger by a margin."""
    x, W, y = embedding, weight, label
    cosines = define("cos", r, a)(cosine(x[r, f], W[a, f]))
    angle = acos(cosines[r, y[r]])
    target = choose(angle <= pi - margin, cos(angle + margin), cosines[r, y[r]] - margin * sin(margin))
    logit = define("z", r, a)(scale * choose(equal(a, y[r]), target, cosines[r, a]))
    return logsumexp_over(a, logit[r, a]) - logit[r, y[r]]
