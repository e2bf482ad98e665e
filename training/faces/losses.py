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
IOU_COST_WEIGHT = 3.0
CENTRE_REACH_CELLS = 2.5
"""Cells whose centre is nearer to a face's centre than this are candidates for it."""
MAX_CELLS_PER_FACE = 10
OUTSIDE_COST, IMPOSSIBLE_COST = 1e5, 1e9
MAX_LOG_SIDE = 6.0
"""e^6 cells are more than any canvas has; prevents overflow in early steps."""
EPSILON = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of a canvas: upper left corners (cells, 2) and strides (cells, 1), in pixels, float32."""

    corners: Any
    strides: Any


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The cells assigned to faces: shapes (n, cells), boxes (n, cells, 4)."""

    positive: Any
    iou: Any
    boxes: Any


def cells_of(height: int, width: int) -> Cells:
    """The cells of a canvas, by level, then by row."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        corners.append(np.stack([columns, rows], axis=-1).reshape(-1, 2) * stride)
        strides.append(np.full((corners[-1].shape[0], 1), stride))
    return Cells(np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32))


def flattened(outputs: dict[str, Any]) -> tuple[Any, Any]:
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
    halves = ops.exp(ops.minimum(values[..., 2:], MAX_LOG_SIDE)) * (cells.strides / 2)
    return ops.concatenate([centres - halves, centres + halves], axis=-1)


def face_loss(outputs: dict[str, Any], faces: Any, ignored: Any, cells: Cells) -> Any:
    """The loss of a batch, per positive cell: a scalar.

    `faces` and `ignored` are (n, most, 4) in pixels, padded with zeros.
    """
    from keras import ops

    logits, values = flattened(outputs)
    boxes = decoded(values, cells)
    assigned = assign(ops.stop_gradient(logits), ops.stop_gradient(boxes), faces, cells)
    count = ops.maximum(ops.sum(assigned.positive), 1.0)
    objectness = _cross_entropy(assigned.positive, logits[..., 1])
    is_counted = ops.maximum(assigned.positive, 1.0 - _inside(cells, ignored))
    classes = _cross_entropy(assigned.iou, logits[..., 0])
    box_losses = eiou_loss(boxes, assigned.boxes)
    total = objectness * is_counted + assigned.positive * (classes + BOX_WEIGHT * box_losses)
    return ops.sum(total) / count


def distillation_loss(outputs: dict[str, Any], teacher_outputs: dict[str, Any]) -> Any:
    """Distance of the outputs from a teacher's, cell by cell: a scalar.

    Boxes count where the teacher detects a face, in units of cells.
    """
    from keras import ops

    logits, boxes = flattened(outputs)
    teacher_logits, teacher_boxes = (ops.stop_gradient(values) for values in flattened(teacher_outputs))
    probabilities = ops.sigmoid(teacher_logits)
    # The class is only defined where there is an object: the teacher did not learn it elsewhere.
    objectness = probabilities[..., 1:]
    weights = ops.concatenate([objectness, ops.ones_like(objectness)], axis=-1)
    logit_losses = _cross_entropy(probabilities, logits) * weights
    box_losses = ops.sum(ops.abs(boxes - teacher_boxes), axis=-1, keepdims=True) * objectness
    count = ops.maximum(ops.sum(objectness), 1.0)
    return (ops.sum(logit_losses) + ops.sum(box_losses)) / count


def assign(logits: Any, boxes: Any, faces: Any, cells: Cells) -> Assignment:
    """SimOTA assignment of logits (n, cells, 2) and boxes (n, cells, 4) to faces (n, most, 4), in pixels."""
    from keras import ops

    is_face = (faces[..., 2] > faces[..., 0])[..., None]
    cell_centres = cells.corners + cells.strides / 2
    in_box = _within(cell_centres, faces)
    centres = (faces[..., :2] + faces[..., 2:]) / 2
    offsets = ops.abs(cell_centres[None, None] - centres[:, :, None])
    in_centre = ops.all(offsets < CENTRE_REACH_CELLS * cells.strides, axis=-1)
    is_candidate = (in_box | in_centre) & is_face
    iou = ops.where(is_candidate, _iou(faces[:, :, None], boxes[:, None]), 0.0)
    score = ops.sqrt(ops.sigmoid(logits[..., 0]) * ops.sigmoid(logits[..., 1]))
    cost = -ops.log(score + EPSILON)[:, None] - IOU_COST_WEIGHT * ops.log(iou + EPSILON)
    cost += ops.where(in_box & in_centre, 0.0, OUTSIDE_COST) + ops.where(is_candidate, 0.0, IMPOSSIBLE_COST)
    # The number of cells is the sum of the best overlaps, at least one; the cost of the last of them is the limit.
    iou_sums = ops.sum(ops.top_k(iou, MAX_CELLS_PER_FACE)[0], axis=-1)
    limit_index = ops.clip(ops.cast(iou_sums, "int32"), 1, MAX_CELLS_PER_FACE) - 1
    cheapest = -ops.top_k(-cost, MAX_CELLS_PER_FACE)[0]
    limit = ops.take_along_axis(cheapest, limit_index[..., None], axis=2)[..., 0]
    assignable_cost = ops.where((cost <= limit[..., None]) & is_candidate, cost, 2 * IMPOSSIBLE_COST)
    # A cell taken by several faces is assigned to the one with the lowest cost.
    chosen = ops.argmin(assignable_cost, axis=1)
    positive = ops.cast(ops.min(assignable_cost, axis=1) < 2 * IMPOSSIBLE_COST, "float32")
    chosen_iou = ops.take_along_axis(iou, chosen[:, None], axis=1)[:, 0]
    return Assignment(positive, chosen_iou, ops.take_along_axis(faces, chosen[..., None], axis=1))


def eiou_loss(boxes: Any, targets: Any) -> Any:
    """EIoU: 1 - IoU, plus distances of centre, width and height relative to the enclosing box; (..., 4) to (...)."""
    from keras import ops

    enclosing = ops.maximum(boxes[..., 2:], targets[..., 2:]) - ops.minimum(boxes[..., :2], targets[..., :2])
    sides, target_sides = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    centres = (boxes[..., :2] + boxes[..., 2:] - targets[..., :2] - targets[..., 2:]) / 2
    squared = ops.square(enclosing) + EPSILON
    centre_part = ops.sum(ops.square(centres), axis=-1) / ops.sum(squared, axis=-1)
    side_part = ops.sum(ops.square(sides - target_sides) / squared, axis=-1)
    return 1.0 - _iou(boxes, targets) + centre_part + side_part


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


def _iou(boxes: Any, other_boxes: Any) -> Any:
    """Intersection over union of broadcastable boxes: (..., 4) to (...)."""
    from keras import ops

    shared = ops.maximum(
        ops.minimum(boxes[..., 2:], other_boxes[..., 2:]) - ops.maximum(boxes[..., :2], other_boxes[..., :2]), 0.0
    )
    intersection = shared[..., 0] * shared[..., 1]
    areas = [
        (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1]) for corners in (boxes, other_boxes)
    ]
    return intersection / (areas[0] + areas[1] - intersection + EPSILON)


def _cross_entropy(targets: Any, logits: Any) -> Any:
    """Binary cross entropy of each logit against a probability: same shapes in and out."""
    from keras import ops

    return ops.maximum(logits, 0.0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
