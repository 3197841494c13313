"""Triplet loss: the anchor should be nearer to the positive than to the negative, by a margin."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Max,
    Reference,
    Tensor,
    at_least,
    choose,
    flat_at_zero,
    gradient_norm,
    let,
    loss,
    moved_together,
    nonnegative,
    norm_over,
    parameter,
    prediction,
    switch,
)  # fmt: skip

SCHROFF_2015 = Reference(
    r"""@inproceedings{schroff2015facenet,
  author = {Schroff, Florian and Kalenichenko, Dmitry and Philbin, James},
  title = {{FaceNet}: A Unified Embedding for Face Recognition and Clustering},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {815--823},
  year = {2015},
  doi = {10.1109/CVPR.2015.7298682},
}""",
    url="https://arxiv.org/abs/1503.03832",
)
BALNTAS_2016 = Reference(
    r"""@inproceedings{balntas2016learning,
  author = {Balntas, Vassileios and Riba, Edgar and Ponsa, Daniel and Mikolajczyk, Krystian},
  title = {Learning Local Feature Descriptors with Triplets and Shallow Convolutional Neural Networks},
  booktitle = {British Machine Vision Conference},
  year = {2016},
}"""
)

n, d = Axis("n", "samples"), Axis("d", "features")
i, f = n.index("i"), d.index("f")


@loss(
    title="Triplet loss",
    family="metric learning",
    per=i,
    references=(SCHROFF_2015, BALNTAS_2016),
    claims=(
        nonnegative(),
        moved_together("anchor", "positive", "negative"),
        flat_at_zero("anchor", "zero for easy triplets, with gradient exactly 0"),
        gradient_norm("anchor", 2, p=2),
        gradient_norm("positive", 1, p=2, swap=False),
        gradient_norm("positive", 2, p=2),
        gradient_norm("negative", 1, p=2),
    ),
    conventions=(
        Convention("distance", "a norm, as in Balntas and torch; FaceNet squares it."),
        Convention("distance 0", "its gradient there is 0; torch adds 1e-6 to every difference of coordinates."),
    ),
)
def triplet(
    anchor: Tensor = prediction(n, d, symbol="a", about="One vector per sample."),
    positive: Tensor = prediction(n, d, symbol="p", about="One that should be near."),
    negative: Tensor = prediction(n, d, symbol="n", about="One that should be far."),
    *,
    margin: Expr = parameter(1, at_least(0), symbol="m", about="By how much nearer."),
    p: Expr = parameter(2, at_least(1), symbol="p", special=(1, 2), about="The order of the norm."),
    swap: bool = switch(False, True, symbol="s", about="Take the negative's distance to the positive where smaller."),
) -> Expr:
    """How much farther the positive is than the negative, less a margin; zero for easy triplets.

    With swap, the distance of the negative is the smaller of those to the anchor and to the positive.
    """
    near = let("d_p", norm_over(f, anchor[i, f] - positive[i, f], order=p))
    far = let("d_n", norm_over(f, anchor[i, f] - negative[i, f], order=p))
    if swap:
        swapped = let("d_s", norm_over(f, positive[i, f] - negative[i, f], order=p))
        far = choose(swapped < far, swapped, far)
    return Max(0, near - far + margin)
