"""Noise-contrastive estimation: telling data from noise instead of normalising a model."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Reference,
    Tensor,
    convex,
    data,
    log,
    loss,
    nonnegative,
    prediction,
    sigmoid,
    sum_of,
    sum_over,
)  # fmt: skip

GUTMANN_2010 = Reference(
    r"""@inproceedings{gutmann2010noise,
  author = {Gutmann, Michael and Hyv{\"a}rinen, Aapo},
  title = {Noise-contrastive estimation: A new estimation principle for unnormalized statistical models},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  pages = {297--304},
  year = {2010},
}""",
    url="https://proceedings.mlr.press/v9/gutmann10a.html",
)

n, noise = Axis("n", "samples"), Axis("k", "noise samples")
i, q = n.index("i"), noise.index("q")


@loss(
    title="Noise-contrastive estimation",
    family="contrastive learning",
    per=i,
    references=(GUTMANN_2010,),
    claims=(
        nonnegative(),
        convex("data_score"),
        convex("noise_score"),
        sum_of("binary_cross_entropy", "target"),
    ),
    conventions=(
        Convention(
            "noise samples", "k for each data sample, with log k in the log odds; the paper's 2010 form has k = 1."
        ),
        Convention("scores", "unnormalised log densities of the model."),
    ),
    aliases=("NCE",),
)
def nce(
    data_score: Tensor = prediction(n, symbol="u", about="The model's log density of each sample."),
    noise_score: Tensor = prediction(n, noise, symbol="v", about="The model's log density of its noise samples."),
    data_log_noise: Tensor = data(n, symbol="a", about="The noise's log density of each sample."),
    noise_log_noise: Tensor = data(n, noise, symbol="b", about="The noise's log density of the noise samples."),
) -> Expr:
    """Binary cross entropy of telling a data sample from k noise samples by the ratio of model and noise density.

    It learns the normaliser of the model as one more parameter of it.
    """
    k = noise.size
    data_odds = data_score[i] - data_log_noise[i] - log(k)
    noise_odds = noise_score[i, q] - noise_log_noise[i, q] - log(k)
    return -log(sigmoid(data_odds)) - sum_over(q, log(1 - sigmoid(noise_odds)))
