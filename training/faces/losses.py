"""Losses: training losses of the face detector.

SimOTA (Z. Ge et al., "YOLOX: Exceeding YOLO Series in 2021") assigns cells to faces anew at every step: each face takes
its cheapest cells, as many as their overlaps add up to. Objectness and class use binary cross-entropy, the class with
the overlap as target; boxes use EIoU (Y. Zhang et al., "Focal and Efficient IOU Loss for Accurate Bounding Box
Regression", 2022). The weights are those of YuNet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.faces.network import STRIDES

BOX_WEIGHT = 5.0
OVERLAP_COST_WEIGHT = 3.0
CENTRE_REACH_CELLS = 2.5
"""Cells whose centre is nearer to a face's centre than this are candidates for it."""
MOST_CELLS = 10
FAR_COST, IMPOSSIBLE_COST = 1e5, 1e9
LARGEST_EXPONENT = 6.0
"""e^6 cells are more than any canvas has; prevents overflow in early steps."""
TINY = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of a canvas: upper left corners (cells, 2) and strides (cells, 1), in pixels, float32."""

    corners: Any
    strides: Any


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The cells assigned to faces: shapes (n, cells), boxes (n, cells, 4)."""

    positive: Any
    overlap: Any
    boxes: Any


def cells_of(height: int, width: int) -> Cells:
    """The cells of a canvas, by level, then by row."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        corners.append(np.stack([columns, rows], axis=-1).reshape(-1, 2) * stride)
        strides.append(np.full((corners[-1].shape[0], 1), stride))
    return Cells(np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32))


def flat(outputs: dict[str, Any]) -> tuple[Any, Any]:
    """The network's outputs as logits (n, cells, 2) and boxes (n, cells, 4), in the order of `cells_of`."""
    from keras import ops

    def joined(kind: str, channels: int) -> Any:
        parts = [outputs[f"{kind}_{stride}"] for stride in STRIDES]
        return ops.concatenate(
            [ops.reshape(part, (-1, math.prod(part.shape[1:3]), channels)) for part in parts], axis=1
        )

    return joined("logits", 2), joined("boxes", 4)


def decoded(values: Any, cells: Cells) -> Any:
    """Decode centre and log sides, in cells, to boxes x1, y1, x2, y2 in pixels; (n, cells, 4)."""
    from keras import ops

    centres = values[..., :2] * cells.strides + cells.corners
    halves = ops.exp(ops.minimum(values[..., 2:], LARGEST_EXPONENT)) * (cells.strides / 2)
    return ops.concatenate([centres - halves, centres + halves], axis=-1)


def face_loss(outputs: dict[str, Any], faces: Any, ignored: Any, cells: Cells) -> Any:
    """The loss of a batch, per positive cell: a scalar.

    `faces` and `ignored` are (n, most, 4) in pixels, padded with zeros.
    """
    from keras import ops

    logits, values = flat(outputs)
    boxes = decoded(values, cells)
    assigned = assign(ops.stop_gradient(logits), ops.stop_gradient(boxes), faces, cells)
    count = ops.maximum(ops.sum(assigned.positive), 1.0)
    objectness = _cross_entropy(assigned.positive, logits[..., 1])
    judged = ops.maximum(assigned.positive, 1.0 - _inside(cells, ignored))
    classes = _cross_entropy(assigned.overlap, logits[..., 0])
    apart = box_distance(boxes, assigned.boxes)
    total = objectness * judged + assigned.positive * (classes + BOX_WEIGHT * apart)
    return ops.sum(total) / count


def distillation_loss(outputs: dict[str, Any], taught: dict[str, Any]) -> Any:
    """Distance of the outputs from a teacher's, cell by cell: a scalar.

    Boxes count where the teacher detects a face, in units of cells.
    """
    from keras import ops

    logits, boxes = flat(outputs)
    wanted_logits, wanted_boxes = (ops.stop_gradient(one) for one in flat(taught))
    wanted = ops.sigmoid(wanted_logits)
    # The class is only defined where there is an object: the teacher did not learn it elsewhere.
    sees = wanted[..., 1:]
    answers = _cross_entropy(wanted, logits) * ops.concatenate([sees, ops.ones_like(sees)], axis=-1)
    distance = ops.sum(ops.abs(boxes - wanted_boxes), axis=-1, keepdims=True) * sees
    count = ops.maximum(ops.sum(sees), 1.0)
    return (ops.sum(answers) + ops.sum(distance)) / count


def assign(logits: Any, boxes: Any, faces: Any, cells: Cells) -> Assignment:
    """SimOTA assignment of logits (n, cells, 2) and boxes (n, cells, 4) to faces (n, most, 4), in pixels."""
    from keras import ops

    real = (faces[..., 2] > faces[..., 0])[..., None]
    middles = cells.corners + cells.strides / 2
    in_box = _within(middles, faces)
    centres = (faces[..., :2] + faces[..., 2:]) / 2
    offsets = ops.abs(middles[None, None] - centres[:, :, None])
    in_centre = ops.all(offsets < CENTRE_REACH_CELLS * cells.strides, axis=-1)
    possible = (in_box | in_centre) & real
    overlap = ops.where(possible, _overlaps(faces[:, :, None], boxes[:, None]), 0.0)
    score = ops.sqrt(ops.sigmoid(logits[..., 0]) * ops.sigmoid(logits[..., 1]))
    cost = -ops.log(score + TINY)[:, None] - OVERLAP_COST_WEIGHT * ops.log(overlap + TINY)
    cost += ops.where(in_box & in_centre, 0.0, FAR_COST) + ops.where(possible, 0.0, IMPOSSIBLE_COST)
    # The number of cells is the sum of the best overlaps, at least one; the cost of the last of them is the limit.
    best = ops.sum(ops.top_k(overlap, MOST_CELLS)[0], axis=-1)
    places = ops.clip(ops.cast(best, "int32"), 1, MOST_CELLS) - 1
    cheapest = -ops.top_k(-cost, MOST_CELLS)[0]
    limit = ops.take_along_axis(cheapest, places[..., None], axis=2)[..., 0]
    taken = ops.where((cost <= limit[..., None]) & possible, cost, 2 * IMPOSSIBLE_COST)
    # A cell taken by several faces is assigned to the one with the lowest cost.
    chosen = ops.argmin(taken, axis=1)
    positive = ops.cast(ops.min(taken, axis=1) < 2 * IMPOSSIBLE_COST, "float32")
    overlap_of_chosen = ops.take_along_axis(overlap, chosen[:, None], axis=1)[:, 0]
    return Assignment(positive, overlap_of_chosen, ops.take_along_axis(faces, chosen[..., None], axis=1))


def box_distance(boxes: Any, wanted: Any) -> Any:
    """EIoU: 1 - IoU, plus distances of centre, width and height relative to the enclosing box; (..., 4) to (...)."""
    from keras import ops

    around = ops.maximum(boxes[..., 2:], wanted[..., 2:]) - ops.minimum(boxes[..., :2], wanted[..., :2])
    sides, wanted_sides = boxes[..., 2:] - boxes[..., :2], wanted[..., 2:] - wanted[..., :2]
    centres = (boxes[..., :2] + boxes[..., 2:] - wanted[..., :2] - wanted[..., 2:]) / 2
    squared = ops.square(around) + TINY
    centre_part = ops.sum(ops.square(centres), axis=-1) / ops.sum(squared, axis=-1)
    side_part = ops.sum(ops.square(sides - wanted_sides) / squared, axis=-1)
    return 1.0 - _overlaps(boxes, wanted) + centre_part + side_part


def _inside(cells: Cells, boxes: Any) -> Any:
    """1.0 for cells whose centre is inside any of the boxes: (n, most, 4) to (n, cells)."""
    from keras import ops

    inside = _within(cells.corners + cells.strides / 2, boxes)
    return ops.cast(ops.any(inside, axis=1), "float32")


def _within(points: Any, boxes: Any) -> Any:
    """Which points are inside which boxes: (cells, 2) and (n, most, 4) to (n, most, cells)."""
    from keras import ops

    after = points[None, None] > boxes[:, :, None, :2]
    before = points[None, None] < boxes[:, :, None, 2:]
    return ops.all(after & before, axis=-1)


def _overlaps(ones: Any, others: Any) -> Any:
    """Intersection over union of broadcastable boxes: (..., 4) to (...)."""
    from keras import ops

    shared = ops.maximum(ops.minimum(ones[..., 2:], others[..., 2:]) - ops.maximum(ones[..., :2], others[..., :2]), 0.0)
    intersection = shared[..., 0] * shared[..., 1]
    areas = [(boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]) for boxes in (ones, others)]
    return intersection / (areas[0] + areas[1] - intersection + TINY)


def _cross_entropy(wanted: Any, logits: Any) -> Any:
    """Binary cross entropy of each logit against a probability: same shapes in and out."""
    from keras import ops

    return ops.maximum(logits, 0.0) - logits * wanted + ops.log1p(ops.exp(-ops.abs(logits)))
