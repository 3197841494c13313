"""Contrastive loss: similar pairs are pulled together, dissimilar ones pushed apart up to a margin."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Max,
    Reference,
    Tensor,
    above,
    choose,
    data,
    equal,
    flat_at_zero,
    let,
    loss,
    moved_together,
    nonnegative,
    norm_over,
    one_of,
    parameter,
    piecewise,
    prediction,
    symmetric,
)  # fmt: skip

HADSELL_2006 = Reference(
    r"""@inproceedings{hadsell2006dimensionality,
  author = {Hadsell, Raia and Chopra, Sumit and LeCun, Yann},
  title = {Dimensionality Reduction by Learning an Invariant Mapping},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {1735--1742},
  year = {2006},
  doi = {10.1109/CVPR.2006.100},
}"""
)

n, d = Axis("n", "samples"), Axis("d", "features")
i, f = n.index("i"), d.index("f")


@loss(
    title="Contrastive loss",
    family="metric learning",
    per=i,
    references=(HADSELL_2006,),
    claims=(
        nonnegative(),
        symmetric("first", "second"),
        moved_together("first", "second"),
        flat_at_zero("first", "the gradient is exactly 0 beyond the margin, and where a similar pair coincides"),
        piecewise("D", 2),
    ),
    conventions=(
        Convention(
            "label", "1 is dissimilar, as in the paper and Flux; 1 is similar in sentence-transformers and Caffe."
        ),
        Convention("factor", "one half, as in the paper; TF Addons and Flux leave it out."),
    ),
)
def contrastive(
    first: Tensor = prediction(n, d, symbol="a", about="One vector of each pair."),
    second: Tensor = prediction(n, d, symbol="b", about="The other."),
    dissimilar: Tensor = data(n, symbol="Y", domain=one_of(0, 1), about="1 for a pair that should be apart."),
    *,
    margin: Expr = parameter(1, above(0), symbol="m", about="The distance from which dissimilar pairs do not count."),
) -> Expr:
    """Half the squared distance of a similar pair, or half the square of what a dissimilar one lacks to the margin."""
    Y = dissimilar[i]
    D = let("D", norm_over(f, first[i, f] - second[i, f]))
    return choose(equal(Y, 0), D**2 / 2, Max(0, margin - D) ** 2 / 2)
