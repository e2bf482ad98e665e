"""Metrics: matches detections with annotated faces and computes average precision.

Average precision is the area under the precision envelope, over all pictures together. In descending order of score,
each detection is matched to the free face with the largest overlap. Faces and unmatched detections below the minimum
size, and detections on regions to ignore, are excluded from all counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from training.faces.boxes import pairwise_iou, shorter_sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.faces.scenes import Scene

    Boxes: TypeAlias = NDArray[np.float32]
    Scores: TypeAlias = NDArray[np.float32]

BANDS = ((0.5, 16.0), (0.5, 32.0), (0.3, 16.0), (0.3, 32.0))
"""Minimum overlap (IoU), and shorter side of the smallest face that counts, in pixels of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneDetections:
    """Detections in one scene: boxes x1, y1, x2, y2 in its pixels (n, 4), scores (n,), highest first."""

    scene: Scene
    boxes: Boxes
    scores: Scores


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Result of matching the detections and faces of one scene."""

    face_of: NDArray[np.intp]
    """Per detection: index of its face, or -1."""
    hits: NDArray[np.bool_]
    """Per detection: true positive."""
    counted: NDArray[np.bool_]
    """Per detection: counts, as true or false positive."""
    found: NDArray[np.bool_]
    """Per face: detected."""
    large: NDArray[np.bool_]
    """Per face: large enough to count."""


def match(detections: SceneDetections, *, min_iou: float, min_face_px: float) -> Match:
    """Match the detections of one scene with its faces."""
    faces = detections.scene.faces
    large = shorter_sides(faces) >= min_face_px
    iou = pairwise_iou(detections.boxes, faces)
    face_of = np.full(len(detections.boxes), -1)
    free = np.ones(len(faces), np.bool_)
    for index in np.argsort(-detections.scores, kind="stable"):
        if not free.any():
            break
        best = int(np.argmax(np.where(free, iou[index], -1)))
        if iou[index, best] >= min_iou:
            face_of[index], free[best] = best, False
    is_matched = face_of >= 0
    on_ignored = pairwise_iou(detections.boxes, detections.scene.ignored).max(axis=1, initial=0.0) >= min_iou
    hits = is_matched & np.where(is_matched, large[face_of] if len(large) else False, False)
    counted = hits | (~is_matched & (shorter_sides(detections.boxes) >= min_face_px) & ~on_ignored)
    return Match(face_of, hits, counted, ~free, large)


def average_precision(all_detections: Sequence[SceneDetections], *, min_iou: float, min_face_px: float) -> float:
    """Average precision, 0..1; 0 if no face counts."""
    matches = [match(detections, min_iou=min_iou, min_face_px=min_face_px) for detections in all_detections]
    positives = sum(int(matched.large.sum()) for matched in matches)
    if not positives:
        return 0.0
    scores = np.concatenate(
        [detections.scores[matched.counted] for detections, matched in zip(all_detections, matches, strict=True)]
    )
    hits = np.concatenate([matched.hits[matched.counted] for matched in matches])[np.argsort(-scores, kind="stable")]
    recalls = np.cumsum(hits) / positives
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recalls])) * envelope))


def report(all_detections: Sequence[SceneDetections]) -> dict[str, float]:
    """Average precision in every band, named as `ap_50_16px`."""
    return {
        f"ap_{round(100 * min_iou)}_{smallest:g}px": average_precision(
            all_detections, min_iou=min_iou, min_face_px=smallest
        )
        for min_iou, smallest in BANDS
    }
