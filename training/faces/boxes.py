"""Boxes: overlaps and sizes of many boxes, each x1, y1, x2, y2 in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from edge_agent.domain import Box


def as_array(boxes: Iterable[Box]) -> NDArray[np.float32]:
    """The boxes as an array of shape (n, 4)."""
    return np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes], np.float32).reshape(-1, 4)


def pairwise_iou(boxes: NDArray[np.float32], other_boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every pair: (n, 4) and (m, 4) to (n, m)."""
    intersection = _intersections(boxes, other_boxes)
    union = areas(boxes)[:, None] + areas(other_boxes)[None] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), np.float32)


def fraction_inside(boxes: NDArray[np.float32], other_boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fraction of each of `boxes` that is inside each of `other_boxes`: (n, 4) and (m, 4) to (n, m)."""
    return np.asarray(_intersections(boxes, other_boxes) / np.maximum(areas(boxes), 1e-9)[:, None], np.float32)


def areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area of each box: (n, 4) to (n,)."""
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), np.float32)


def shorter_sides(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shorter side of each box: (n, 4) to (n,)."""
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]), np.float32)


def _intersections(boxes: NDArray[np.float32], other_boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    upper_left = np.maximum(boxes[:, None, :2], other_boxes[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], other_boxes[None, :, 2:])
    return np.asarray(np.prod(np.maximum(lower_right - upper_left, 0), axis=2), np.float32)
