"""Score threshold: chooses the minimum score of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.faces.evaluation import MIN_FACE_PX, MIN_IOU, above_score
from training.faces.metrics import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.faces.metrics import SceneDetections

SCORES = tuple(round(float(score), 2) for score in np.arange(0.1, 0.951, 0.01))
"""Candidate values; detections below are noise."""


@dataclass(frozen=True, slots=True)
class ChosenScore:
    """The chosen score with its results on the pictures it was chosen on."""

    min_score: float
    recall: float
    precision: float
    false_detections_in_empty: float
    """Detections per picture without people."""


def choose_min_score(
    found: Sequence[SceneDetections],
    in_empty: Sequence[Sequence[float]],
    *,
    max_false_detections: float,
    lowest: bool = False,
) -> ChosenScore:
    """The score with the highest F1 (recall and precision) among those with few enough false detections.

    `in_empty` holds the scores of the detections in each picture without people. If no score qualifies, the highest is
    taken. `lowest` takes the lowest that qualifies: if a classifier rejects most false detections, recall matters.
    """
    rows = [_evaluate_at(score, found, in_empty) for score in SCORES]
    allowed = [row for row in rows if row.false_detections_in_empty <= max_false_detections] or rows[-1:]
    if lowest:
        return allowed[0]
    return max(allowed, key=lambda row: 2 * row.recall * row.precision / max(row.recall + row.precision, 1e-9))


def _evaluate_at(score: float, found: Sequence[SceneDetections], in_empty: Sequence[Sequence[float]]) -> ChosenScore:
    matches = [match(above_score(detections, score), min_iou=MIN_IOU, min_face_px=MIN_FACE_PX) for detections in found]
    faces = sum(int(matched.large.sum()) for matched in matches)
    hits = sum(int(matched.hits.sum()) for matched in matches)
    counted = sum(int(matched.counted.sum()) for matched in matches)
    false = sum(value >= score for scores in in_empty for value in scores)
    return ChosenScore(score, hits / max(faces, 1), hits / max(counted, 1), false / max(len(in_empty), 1))
