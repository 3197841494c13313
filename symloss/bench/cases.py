"""The cases: a loss, its arrays, their dtype and what is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Inputs = dict[str, NDArray[Any]]

VALUE_AND_GRADIENT = "value_and_gradient"
GRADIENT_AND_HESSIAN = "gradient_and_hessian"
SIGNED = ("hinge", "squared_hinge")
CLASSIFICATION = ("binary_cross_entropy", "focal", "poly_focal", *SIGNED)
REGRESSION = ("absolute_error", "squared_error", "huber", "smooth_l1")
SIZES = (1_000, 100_000, 10_000_000)
SEED = 5


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Parameters
    ----------
    loss, quantity : str
        What is computed.
    shape : tuple of int
        Of the first input.
    dtype : str
        Of the arrays.
    """

    loss: str
    quantity: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def title(self) -> str:
        """The case on one line."""
        size = " x ".join(f"{n:,}".replace(",", " ") for n in self.shape)
        return f"{self.loss} {self.quantity.replace('_', ' ')}, {size}, {self.dtype}"

    @property
    def group(self) -> str:
        """What it is averaged with."""
        name = self.loss if len(self.shape) > 1 else f"{self.shape[0]:,} elements".replace(",", " ")
        return f"{name}, {self.quantity.replace('_', ' ')}, {self.dtype}"

    @property
    def long(self) -> bool:
        """Whether it is float32 of more than a thousand elements: where torch.compile may be the fastest."""
        return self.dtype == "float32" and math.prod(self.shape) > SIZES[0]

    @property
    def products(self) -> tuple[int, int, int] | None:
        """The sizes of the product of two matrices that it computes, and twice more for the gradients; None: none."""
        match self.loss, self.shape:
            case (("info_nce" | "multiple_negatives_ranking"), (n, d)):
                return n, n, d
            case "arcface", (n, d):
                return n, CLASSES, d
            case "ge2e_softmax", (speakers, utterances, d):
                return speakers * utterances, speakers, d
        return None

    def inputs(self) -> Inputs:
        """Return arrays as a training step has them, the same every time."""
        rng = np.random.default_rng(SEED)
        made = {
            "softmax_cross_entropy": _rows, "multiple_negatives_ranking": _pairs, "info_nce": _pairs,
            "triplet": _triplets, "dice": _masks, "softmax_dice": _pixels, "ge2e_softmax": _embeddings,
            "arcface": _classes,
        }.get(self.loss, _elements)  # fmt: skip
        return {n: x.astype(self.dtype) if x.dtype.kind == "f" else x for n, x in made(self, rng).items()}


def _elements(case: Case, rng: np.random.Generator) -> Inputs:
    score = rng.normal(0, 3, case.shape)
    if case.loss in REGRESSION:
        return {"prediction": score, "target": rng.normal(0, 3, case.shape)}
    label = rng.integers(0, 2, case.shape).astype(np.float64)
    if case.loss in SIGNED:
        return {"score": score, "target": 2 * label - 1}
    return {"logit": score, "target": label}


def _rows(case: Case, rng: np.random.Generator) -> Inputs:
    n, c = case.shape
    return {"logits": rng.normal(0, 3, (n, c)), "label": rng.integers(0, c, n)}


def _pairs(case: Case, rng: np.random.Generator) -> Inputs:
    names = ("query", "key") if case.loss == "info_nce" else ("anchor", "positive")
    return {name: rng.normal(size=case.shape) for name in names}


def _triplets(case: Case, rng: np.random.Generator) -> Inputs:
    return {name: rng.normal(size=case.shape) for name in ("anchor", "positive", "negative")}


def _masks(case: Case, rng: np.random.Generator) -> Inputs:
    return {
        "probability": rng.uniform(0, 1, case.shape),
        "target": rng.integers(0, 2, case.shape).astype(np.float64),
    }


def _pixels(case: Case, rng: np.random.Generator) -> Inputs:
    n, c, m = case.shape
    return {"logits": rng.normal(0, 3, case.shape), "label": rng.integers(0, c, (n, m))}


def _embeddings(case: Case, rng: np.random.Generator) -> Inputs:
    return {"embedding": rng.normal(size=case.shape), "w": np.asarray(10.0), "b": np.asarray(-5.0)}


CLASSES = 10_000
"""Of ArcFace."""


def _classes(case: Case, rng: np.random.Generator) -> Inputs:
    n, d = case.shape
    return {
        "embedding": rng.normal(size=(n, d)), "weight": rng.normal(size=(CLASSES, d)),
        "label": rng.integers(0, CLASSES, n),
    }  # fmt: skip


def _grid() -> tuple[Case, ...]:
    found = [
        Case(loss, quantity, (n,), dtype)
        for dtype in ("float32", "float64")
        for n in SIZES
        for loss in (*CLASSIFICATION, *REGRESSION)
        for quantity in (VALUE_AND_GRADIENT, GRADIENT_AND_HESSIAN)
    ]
    arrays = (
        ("softmax_cross_entropy", (4096, 1000)), ("softmax_cross_entropy", (1_000_000, 10)),
        ("softmax_cross_entropy", (256, 50257)), ("info_nce", (1024, 256)), ("info_nce", (4096, 256)),
        ("multiple_negatives_ranking", (1024, 256)), ("multiple_negatives_ranking", (4096, 256)),
        ("arcface", (512, 512)), ("ge2e_softmax", (64, 10, 256)), ("triplet", (4096, 512)), ("dice", (8, 262144)),
        ("softmax_dice", (2, 8, 65536)),
    )  # fmt: skip
    return (
        *found,
        *(Case(loss, VALUE_AND_GRADIENT, shape, dtype) for dtype in ("float32", "float64") for loss, shape in arrays),
    )


GRID = _grid()
