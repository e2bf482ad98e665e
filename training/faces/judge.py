"""Judging: how well does a detector find the annotated faces?

Average precision as the area under the precision envelope, over all pictures together. The surest detection takes the
face it overlaps most, each face once. Faces under the size asked for, detections that small, and those on places to
ignore count neither way.
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
"""Overlap (IoU) asked for, and shorter side of the smallest face that counts, in pixels of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneDetections:
    """What a detector found in one scene: boxes x1, y1, x2, y2 in its pixels (n, 4), scores (n,), surest first."""

    scene: Scene
    boxes: Boxes
    scores: Scores


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What became of the detections and faces of one scene."""

    face_of: NDArray[np.intp]
    """By detection: the face that it is, or -1."""
    hits: NDArray[np.bool_]
    """By detection: it is a face that counts."""
    counted: NDArray[np.bool_]
    """By detection: it counts, either way."""
    found: NDArray[np.bool_]
    """By face: it was found."""
    large: NDArray[np.bool_]
    """By face: it counts."""


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
    """0..1; 0 where there is no face that counts."""
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
