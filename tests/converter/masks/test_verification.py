"""Golden vectors of a model card."""

from __future__ import annotations

import pytest

from converter.masks.verification import most_confident
from edge_agent.vision.card import Golden


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([[0.95, 0.05], [0.99, 0.01], [0.03, 0.97]], [1, 2]),
        ([[0.95, 0.05], [0.2, 0.8]], [0]),
        ([[0.6, 0.4], [0.3, 0.7]], [1]),
    ],
    ids=["the most confident of each label", "no uncertain one", "the best of uncertain ones"],
)
def test_golden_vectors_are_confident(scores, kept):
    vectors = [Golden(picture=str(number), scores=row) for number, row in enumerate(scores)]

    assert [int(vector.picture) for vector in most_confident(vectors)] == kept
