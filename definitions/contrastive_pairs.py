"""Losses of a batch of pairs: each pair's own partner against the partners of all others."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    above,
    define,
    equals,
    logsumexp_over,
    loss,
    nonnegative,
    parameter,
    prediction,
    softplus,
    sum_over,
    switch,
    unit_over,
)  # fmt: skip
from symloss.language.reductions import Named

OORD_2018 = Reference(
    r"""@misc{oord2018representation,
  author = {van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol},
  title = {Representation Learning with Contrastive Predictive Coding},
  year = {2018},
}""",
    url="https://arxiv.org/abs/1807.03748",
)
RADFORD_2021 = Reference(
    r"""@inproceedings{radford2021learning,
  author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others},
  title = {Learning Transferable Visual Models From Natural Language Supervision},
  booktitle = {International Conference on Machine Learning},
  year = {2021},
}""",
    url="https://arxiv.org/abs/2103.00020",
)
HENDERSON_2017 = Reference(
    r"""@misc{henderson2017efficient,
  author = {Henderson, Matthew and Al-Rfou, Rami and Strope, Brian and Sung, Yun-hsuan and Luk{\'a}cs, L{\'a}szl{\'o}
            and Guo, Ruiqi and Kumar, Sanjiv and Miklos, Balint and Kurzweil, Ray},
  title = {Efficient Natural Language Response Suggestion for Smart Reply},
  year = {2017},
}""",
    url="https://arxiv.org/abs/1705.00652",
)

n, d = Axis("n", "samples"), Axis("d", "features")
i, j, f = n.index("i"), n.index("j"), d.index("f")


def cosines(left: Tensor, right: Tensor, names: tuple[str, str]) -> Named:
    """Return the cosine of every vector on the left with every one on the right."""
    u = define(names[0], i, f)(unit_over(f, left[i, f]))
    v = define(names[1], j, f)(unit_over(f, right[j, f]))
    return define("s", i, j)(sum_over(f, u[i, f] * v[j, f]))


def products(left: Tensor, right: Tensor) -> Named:
    """Return the inner product of every vector on the left with every one on the right."""
    return define("s", i, j)(sum_over(f, left[i, f] * right[j, f]))


@loss(
    title="InfoNCE loss",
    family="contrastive learning",
    per=i,
    references=(OORD_2018, RADFORD_2021),
    claims=(nonnegative(),),
    conventions=(
        Convention("negatives", "the keys of all other queries of the batch; NT-Xent also counts the other queries."),
        Convention("temperature", "0.07, as in CLIP and MoCo; the paper has none."),
        Convention("symmetric", "the mean of both directions, as in CLIP."),
    ),
    aliases=("NT-Xent", "contrastive predictive coding", "CLIP loss"),
)
def info_nce(
    query: Tensor = prediction(n, d, symbol="q", about="One vector per sample."),
    key: Tensor = prediction(n, d, symbol="k", about="The partner of each query; all other keys are its negatives."),
    *,
    temperature: Expr = parameter(0.07, above(0), symbol=r"\tau", about="What cosines are divided by."),
    symmetric: bool = switch(False, True, symbol="S", about="Average with the loss of each key among all queries."),
) -> Expr:
    """Softmax cross entropy of a query's cosines to all keys of the batch, at its own key.

    At its minimum it bounds the mutual information of queries and keys from below.
    """
    s = cosines(query, key, ("q_unit", "k_unit"))
    rows = logsumexp_over(j, s[i, j] / temperature)
    if symmetric:
        columns = logsumexp_over(j, s[j, i] / temperature)
        return (rows + columns) / 2 - s[i, i] / temperature
    return rows - s[i, i] / temperature


@loss(
    title="Multiple negatives ranking loss",
    family="contrastive learning",
    per=i,
    references=(HENDERSON_2017,),
    claims=(nonnegative(), equals("info_nce", {"scale": 16}, {"temperature": 0.0625})),
    conventions=(
        Convention("scale", "20, as in sentence-transformers: a temperature of 0.05."),
        Convention("negative", "the hard negatives of the whole batch are candidates for every anchor."),
    ),
    aliases=("MNRL", "in-batch negatives", "N-pairs loss"),
)
def multiple_negatives_ranking(
    anchor: Tensor = prediction(n, d, symbol="a", about="One vector per sample."),
    positive: Tensor = prediction(n, d, symbol="p", about="The partner of each anchor."),
    negative: Tensor | None = prediction(n, d, symbol="h", optional=True, about="Hard negatives, if there are any."),
    *,
    scale: Expr = parameter(20, above(0), symbol="s", about="What similarities are multiplied by."),
    similarity: str = switch("cosine", "dot", symbol="S", about="The cosine, or the inner product as it is."),
) -> Expr:
    """Softmax cross entropy of an anchor's similarities to all positives of the batch, at its own positive.

    Hard negatives, where they are given, are further candidates for every anchor.
    """
    cosine = similarity == "cosine"
    s = cosines(anchor, positive, ("a_unit", "p_unit")) if cosine else products(anchor, positive)
    among_positives = logsumexp_over(j, scale * s[i, j])
    own = among_positives - scale * s[i, i]
    if negative is None:
        return own
    h = cosines(anchor, negative, ("a_unit", "h_unit")) if cosine else products(anchor, negative)
    return own + softplus(logsumexp_over(j, scale * h[i, j]) - among_positives)
