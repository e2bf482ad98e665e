"""Decoding: converts a detector's outputs to faces.

The network divides its input into cells, on levels such as 8, 16 and 32 pixels per cell. Each cell has two logits,
for the centre of a face being near and for the quality of its box, and a box: the offset of its centre from the cell's
upper left corner and the logarithms of its sides, all in cells (as YuNet: W. Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", 2023). Device and training call the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OVERLAP_ALLOWED = 0.45
"""Boxes overlapping more (IoU) are the same face; the value of YuNet's authors."""
MAX_CANDIDATES = 1000
"""Maximum number of boxes for suppression; a picture of a crowd has a few hundred."""
ANY_SCORE = 0.0
"""Required by OpenCV; candidates with a low score were removed before."""
SCORE_CHANNELS = 2
BOX_CHANNELS = 4
MAX_EXPONENT = 10.0
"""Limit against overflow by damaged outputs: a side of e^10 cells is larger than any input."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The network's outputs for one cell size."""

    stride: int
    """Pixels of the input from one cell to the next."""
    logits: NDArray[np.float32]
    """Shape (rows, columns, 2)."""
    boxes: NDArray[np.float32]
    """Shape (rows, columns, 4): centre x, y and the logarithms of width, height."""


def decode(levels: Sequence[Level], *, min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The faces, highest score first: boxes (n, 4) as x1, y1, x2, y2 in pixels of the input, and scores (n,), 0..1."""
    boxes, scores = candidates(levels, min_score=min_score)
    kept = suppress(boxes, scores)
    return boxes[kept], scores[kept]


def candidates(levels: Sequence[Level], *, min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All boxes with a score of at least `min_score`, before suppression; shapes as `decode`, in order of the cells."""
    all_boxes, all_scores = [], []
    for level in levels:
        scores = cell_scores(level.logits)
        rows, columns = np.nonzero(scores >= min_score)
        values = level.boxes[rows, columns]
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        centres = (cells + values[:, :2]) * level.stride
        halves = np.exp(np.minimum(values[:, 2:], MAX_EXPONENT)) * (level.stride / 2)
        all_boxes.append(np.concatenate([centres - halves, centres + halves], axis=1))
        all_scores.append(scores[rows, columns])
    return np.concatenate(all_boxes).astype(np.float32), np.concatenate(all_scores).astype(np.float32)


def cell_scores(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The geometric mean of both probabilities: logits (rows, columns, 2) to scores (rows, columns), 0..1."""
    with np.errstate(over="ignore"):
        probabilities = 1.0 / (1.0 + np.exp(-logits))
    return np.asarray(np.sqrt(probabilities[..., 0] * probabilities[..., 1]), np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Non-maximum suppression of boxes (n, 4) by scores (n,): indices of the kept ones, highest score first."""
    # A Python loop over the faces took five times as long.
    corners_and_sides = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:] - boxes[:, :2], 0)], axis=1)
    kept = cv2.dnn.NMSBoxes(
        corners_and_sides.tolist(), scores.tolist(), ANY_SCORE, OVERLAP_ALLOWED, 1.0, MAX_CANDIDATES
    )
    return np.array(kept, np.int64)
