"""Decoding: converts a detector's outputs to faces.

The network divides its input into cells, on levels such as 8, 16 and 32 pixels a cell. A cell gives two logits, for "a
face's middle is about here" and for "this box is a good one", and a box: the place of its centre from the cell's
upper left corner and the logarithms of its sides, all in cells (as YuNet: W. Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", 2023). The device and the training both call these functions.
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
MOST_CANDIDATES = 1000
"""Boxes that are compared with each other; a picture of a crowd has some hundred."""
ANY_SCORE = 0.0
"""OpenCV wants one, and keeps what is above it; what scores too little went before."""
SCORE_CHANNELS = 2
BOX_CHANNELS = 4
LARGEST_EXPONENT = 10.0
"""A side of e^10 cells is larger than any input; a damaged output must not overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What the network gives at one size of cell."""

    stride: int
    """Pixels of the input from one cell to the next."""
    logits: NDArray[np.float32]
    """Shape (rows, columns, 2)."""
    boxes: NDArray[np.float32]
    """Shape (rows, columns, 4): centre x, y and the logarithms of width, height."""


def decode(levels: Sequence[Level], *, min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The faces, surest first: boxes as x1, y1, x2, y2 in pixels of the input, (n, 4), and scores 0..1, (n,)."""
    boxes, scores = candidates(levels, min_score=min_score)
    kept = suppress(boxes, scores)
    return boxes[kept], scores[kept]


def candidates(levels: Sequence[Level], *, min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Every cell's box that scores enough, before suppression; shapes as `decode`, in the order of the cells."""
    all_boxes, all_scores = [], []
    for level in levels:
        scores = cell_scores(level.logits)
        rows, columns = np.nonzero(scores >= min_score)
        values = level.boxes[rows, columns]
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        centres = (cells + values[:, :2]) * level.stride
        halves = np.exp(np.minimum(values[:, 2:], LARGEST_EXPONENT)) * (level.stride / 2)
        all_boxes.append(np.concatenate([centres - halves, centres + halves], axis=1))
        all_scores.append(scores[rows, columns])
    return np.concatenate(all_boxes).astype(np.float32), np.concatenate(all_scores).astype(np.float32)


def cell_scores(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The geometric mean of both probabilities: (rows, columns, 2) to (rows, columns)."""
    with np.errstate(over="ignore"):
        probabilities = 1.0 / (1.0 + np.exp(-logits))
    return np.asarray(np.sqrt(probabilities[..., 0] * probabilities[..., 1]), np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Which boxes stay when each takes the place of less sure ones that overlap it: indices, surest first."""
    # OpenCV's own: a step of Python for each face took five times as long.
    corners_and_sides = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:] - boxes[:, :2], 0)], axis=1)
    kept = cv2.dnn.NMSBoxes(
        corners_and_sides.tolist(), scores.tolist(), ANY_SCORE, OVERLAP_ALLOWED, 1.0, MOST_CANDIDATES
    )
    return np.array(kept, np.int64)
