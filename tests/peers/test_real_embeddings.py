"""Multiple negatives ranking on embeddings of real sentences, beside the formula and code of sentence-transformers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

import symloss
from tests.peers import sentences

TOLERANCE = 1e-12
"""Relative to the largest entry."""

CASES: tuple[tuple[bool, dict[str, Any]], ...] = (
    (True, {}),
    (True, {"scale": 5.0}),
    (True, {"similarity": "dot"}),
    (True, {"similarity": "dot", "scale": 1.0}),
    (False, {}),
    (False, {"scale": 5.0}),
    (False, {"similarity": "dot", "scale": 1.0}),  # at 20, inner products of these are past all of float64's digits
)
"""Whether vectors have length 1, and our settings; the scale is 20 where none is given, as in sentence-transformers."""

Embeddings = dict[bool, tuple[np.ndarray, ...]]


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    """Anchors, positives and hard negatives by whether they have length 1."""
    return {unit: sentences.embed_triples(unit=unit) for unit in (True, False)}


def similarities(anchor: torch.Tensor, candidates: torch.Tensor, similarity: str) -> torch.Tensor:
    """Return the similarity of every anchor with every candidate."""
    if similarity == "cosine":
        return normalize(anchor, dim=1) @ normalize(candidates, dim=1).T
    return anchor @ candidates.T


def formula(columns: list[torch.Tensor], scale: float = 20.0, similarity: str = "cosine") -> torch.Tensor:
    """Return cross entropy over scaled similarities: all positives, then all hard negatives, are candidates."""
    anchor, *others = columns
    scores = scale * similarities(anchor, torch.cat(others), similarity)
    return cross_entropy(scores, torch.arange(len(anchor)))


def their_own(columns: list[torch.Tensor], scale: float = 20.0, similarity: str = "cosine") -> torch.Tensor:
    """Return what sentence-transformers' class gives for these embeddings."""
    losses = import_module("sentence_transformers.sentence_transformer.losses")
    util = import_module("sentence_transformers.util")
    chosen = util.cos_sim if similarity == "cosine" else util.dot_score
    theirs = losses.MultipleNegativesRankingLoss(model=lambda features: features, scale=scale, similarity_fct=chosen)
    value: torch.Tensor = theirs([{"sentence_embedding": x} for x in columns], torch.empty(0))
    return value


def differentiated(function: Any, arrays: tuple[np.ndarray, ...], settings: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Return the value and the gradients of a function of tensors."""
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in arrays]
    value = function(tensors, **settings)
    return tuple(x.detach().numpy() for x in (value, *torch.autograd.grad(value, tensors)))


def close(got: Any, truth: np.ndarray) -> None:
    """Check the shape, and all entries relative to the largest."""
    assert np.shape(got) == truth.shape
    assert np.abs(got - truth).max() <= TOLERANCE * np.abs(truth).max()


def test_the_embeddings_are_those_of_the_sentences(embeddings: Embeddings) -> None:
    anchor, positive, negative = embeddings[True]
    assert anchor.shape == positive.shape == negative.shape == (len(sentences.TRIPLES), sentences.FEATURES)
    np.testing.assert_allclose(np.linalg.norm(anchor, axis=1), 1.0, rtol=1e-6)
    assert (np.linalg.norm(embeddings[False][0], axis=1) > 2).all()  # without the last layer lengths differ
    nearest = (anchor @ np.concatenate([positive, negative]).T).argmax(axis=1)
    assert (nearest == np.arange(len(anchor))).mean() > 0.8


@pytest.mark.parametrize("peer", [formula, their_own])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("unit, settings", CASES)
def test_value_and_gradient(
    embeddings: Embeddings, unit: bool, settings: dict[str, Any], hard: bool, peer: Any
) -> None:
    arrays = embeddings[unit][: 3 if hard else 2]
    value, *gradients = differentiated(peer, arrays, settings)
    got_value, got = symloss.load("multiple_negatives_ranking").value_and_gradient(*arrays, **settings)
    close(got_value, value)
    for mine, theirs in zip(got, gradients, strict=True):
        close(mine, theirs)
