"""Evaluation: matches detections with annotated faces and computes average precision.

Average precision is the area under the precision envelope, over all pictures together. In descending order of score,
each detection is matched to the free face with the largest overlap. Faces and unmatched detections below the minimum
size, and detections on regions to ignore, are excluded from all counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from training.faces.scenes import Scene, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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


def match(detections: SceneDetections, *, overlap: float, smallest_px: float) -> Match:
    """Match the detections of one scene with its faces."""
    faces = detections.scene.faces
    large = _shorter_sides(faces) >= smallest_px
    table = overlaps(detections.boxes, faces)
    taken = np.full(len(detections.boxes), -1)
    free = np.ones(len(faces), np.bool_)
    for index in np.argsort(-detections.scores, kind="stable"):
        if not free.any():
            break
        best = int(np.argmax(np.where(free, table[index], -1)))
        if table[index, best] >= overlap:
            taken[index], free[best] = best, False
    is_taken = taken >= 0
    on_ignored = overlaps(detections.boxes, detections.scene.ignored).max(axis=1, initial=0.0) >= overlap
    hits = is_taken & np.where(is_taken, large[taken] if len(large) else False, False)
    counted = hits | (~is_taken & (_shorter_sides(detections.boxes) >= smallest_px) & ~on_ignored)
    return Match(taken, hits, counted, ~free, large)


def average_precision(all_detections: Sequence[SceneDetections], *, overlap: float, smallest_px: float) -> float:
    """Average precision, 0..1; 0 if no face counts."""
    matches = [match(detections, overlap=overlap, smallest_px=smallest_px) for detections in all_detections]
    positives = sum(int(one.large.sum()) for one in matches)
    if not positives:
        return 0.0
    scores = np.concatenate(
        [detections.scores[one.counted] for detections, one in zip(all_detections, matches, strict=True)]
    )
    hits = np.concatenate([one.hits[one.counted] for one in matches])[np.argsort(-scores, kind="stable")]
    recalls = np.cumsum(hits) / positives
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recalls])) * envelope))


def report(all_detections: Sequence[SceneDetections]) -> dict[str, float]:
    """Average precision in every band, named as `ap_50_16px`."""
    return {
        f"ap_{round(100 * overlap)}_{smallest:g}px": average_precision(
            all_detections, overlap=overlap, smallest_px=smallest
        )
        for overlap, smallest in BANDS
    }


def _shorter_sides(boxes: Boxes) -> NDArray[np.float32]:
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]), np.float32)
