"""ArcFace: softmax over cosines, with the angle to the true class made larger by a margin."""

from __future__ import annotations

from symloss.language import (
    Axis,
    Convention,
    Expr,
    Flag,
    Interval,
    Reference,
    Tensor,
    above,
    angle_over,
    choose,
    cos,
    define,
    equal,
    labels,
    let,
    logsumexp_over,
    loss,
    nonnegative,
    option,
    parameter,
    pi,
    prediction,
    sin,
    sum_over,
    unit_over,
    when,
)  # fmt: skip

DENG_2019 = Reference(
    r"""@inproceedings{deng2019arcface,
  author = {Deng, Jiankang and Guo, Jia and Xue, Niannan and Zafeiriou, Stefanos},
  title = {{ArcFace}: Additive Angular Margin Loss for Deep Face Recognition},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {4690--4699},
  year = {2019},
  doi = {10.1109/CVPR.2019.00482},
}""",
    url="https://arxiv.org/abs/1801.07698",
)

n, c, d = Axis("n", "samples"), Axis("c", "classes"), Axis("d", "features")
i, k, f = n.index("i"), c.index("k"), d.index("f")


@loss(
    title="ArcFace loss",
    family="metric learning",
    per=i,
    references=(DENG_2019,),
    claims=(nonnegative(),),
    conventions=(
        Convention(
            "angles past pi - m",
            "the target becomes cos(theta) - m sin(m), as in insightface's code; it stays decreasing in theta, since the "
            "jump at pi - m is cos(m) + m sin(m) - 1 >= 0 for m in [0, pi/2]. The paper has no such case.",
        ),
        Convention("margin", "in radians, as in the paper; pytorch-metric-learning takes degrees."),
        Convention("gradient at theta = 0 and pi", "0: the angle has a kink there; elsewhere a quotient by 0 gives NaN."),
    ),
    aliases=("additive angular margin loss",),
)
def arcface(
    embedding: Tensor = prediction(n, d, symbol="x", about="One vector per sample; only its direction counts."),
    weight: Tensor = prediction(c, d, symbol="W", about="One vector per class; only its direction counts."),
    label: Tensor = labels(n, into=c, symbol="y", about="The class of each sample."),
    *,
    scale: Expr = parameter(64, above(0), symbol="s", about="What cosines are multiplied by."),
    margin: Expr = parameter(0.5, Interval(0, 1.5707963267948966), symbol="m", about="The margin in radians."),
    easy_margin: Flag = option(False, symbol="e", about="Apply the margin only where the cosine is positive."),
) -> Expr:
    """Softmax cross entropy over the cosines to all classes, the angle to the true class made larger by a margin.

    The margin pushes samples of a class closer together on the sphere than a plain softmax would.
    """
    y = label
    x_unit = define("x_unit", i, f)(unit_over(f, embedding[i, f]))
    w_unit = define("w_unit", k, f)(unit_over(f, weight[k, f]))
    theta = let("theta", angle_over(f, x_unit[i, f], w_unit[y[i], f]))
    easy = choose(2 * theta < pi, cos(theta + margin), cos(theta))
    usual = choose(theta <= pi - margin, cos(theta + margin), cos(theta) - margin * sin(margin))
    target = when(easy_margin, easy, usual)
    logit = define("z", i, k)(scale * choose(equal(k, y[i]), target, sum_over(f, x_unit[i, f] * w_unit[k, f])))
    return logsumexp_over(k, logit[i, k]) - scale * target
