"""Inputs of which a domain has one end: what lies beyond it is found beside a NaN too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import symloss
from symloss import pipeline

DEFINITION = '''
from symloss.language import *

R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")


@loss(title="Poisson", family="test", references=(R,))
def own(f: Expr = prediction(symbol="f"), y: Expr = data(symbol="y", domain=at_least(0))) -> Expr:
    """The deviance of a count, but for what no prediction changes."""
    return exp(f) - y * f
'''


def test_nan_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DEFINITION, encoding="utf-8")
    pipeline.generate((), tmp_path, tmp_path / "out", check=False, progress=lambda *_: None)
    loss, f = symloss.load("own", package=tmp_path / "out"), np.zeros(4)
    for _ in range(3):  # the calls after the first take shorter ways
        with pytest.raises(ValueError, match=r"own: y must be in \[0, inf\), got -1.0 at index \(2,\)"):
            loss.gradient(f, np.array([1.0, np.nan, -1.0, 3.0]))
        np.testing.assert_array_equal(loss.gradient(f, np.array([1.0, np.nan, 2.0, 3.0])), [0.0, np.nan, -0.25, -0.5])
        np.testing.assert_array_equal(loss.gradient(f, np.array([1.0, 0.0, 2.0, 3.0])), [0.0, 0.25, -0.25, -0.5])
