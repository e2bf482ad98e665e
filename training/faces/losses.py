"""Losses: how wrong are a network's answers for a batch of scenes?

Which cell answers for which face is decided anew at every step by SimOTA (Z. Ge et al., "YOLOX: Exceeding YOLO Series
in 2021"): each face takes the cells that are cheapest for it, as many as their overlaps add up to. Objectness and
class are binary cross-entropies, the class with the overlap as its target; boxes learn by EIoU (Y. Zhang et al.,
"Focal and Efficient IOU Loss for Accurate Bounding Box Regression", 2022). The weights are those of YuNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training.faces.network import STRIDES

BOX_WEIGHT = 5.0
OVERLAP_COST_WEIGHT = 3.0
CENTRE_REACH_CELLS = 2.5
"""Cells whose middle is nearer to a face's centre than this may answer for it."""
MOST_CELLS = 10
FAR_COST, IMPOSSIBLE_COST = 1e5, 1e9
LARGEST_EXPONENT = 6.0
"""e^6 cells are more than any canvas has; an early step must not overflow."""
TINY = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the cells of a canvas lie: upper left corners (cells, 2) and strides (cells, 1), in pixels, float32."""

    corners: Any
    strides: Any


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Which cells answer for a face: shapes (n, cells), boxes (n, cells, 4)."""

    positive: Any
    overlap: Any
    boxes: Any


def cells_of(height: int, width: int) -> Cells:
    """The cells of a canvas, level after level, row after row."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        corners.append(np.stack([columns, rows], axis=-1).reshape(-1, 2) * stride)
        strides.append(np.full((corners[-1].shape[0], 1), stride))
    return Cells(np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32))


def flat(outputs: dict[str, Any]) -> tuple[Any, Any]:
    """The network's answers as logits (n, cells, 2) and boxes (n, cells, 4), in the order of `cells_of`."""
    import tensorflow as tf

    def joined(kind: str, channels: int) -> Any:
        parts = [outputs[f"{kind}_{stride}"] for stride in STRIDES]
        return tf.concat([tf.reshape(part, [tf.shape(part)[0], -1, channels]) for part in parts], axis=1)

    return joined("logits", 2), joined("boxes", 4)


def decoded(values: Any, cells: Cells) -> Any:
    """Boxes in pixels: centre and logarithms of the sides, in cells, to x1, y1, x2, y2; (n, cells, 4)."""
    import tensorflow as tf

    centres = values[..., :2] * cells.strides + cells.corners
    halves = tf.exp(tf.minimum(values[..., 2:], LARGEST_EXPONENT)) * (cells.strides / 2)
    return tf.concat([centres - halves, centres + halves], axis=-1)


def face_loss(outputs: dict[str, Any], faces: Any, ignored: Any, cells: Cells) -> Any:
    """The loss of a batch, per answering cell: a scalar.

    `faces` and `ignored` are (n, most, 4) in pixels, all zero where there is none.
    """
    import tensorflow as tf

    logits, values = flat(outputs)
    boxes = decoded(values, cells)
    assigned = assign(tf.stop_gradient(logits), tf.stop_gradient(boxes), faces, cells)
    count = tf.maximum(tf.reduce_sum(assigned.positive), 1.0)
    objectness = tf.nn.sigmoid_cross_entropy_with_logits(assigned.positive, logits[..., 1])
    judged = tf.maximum(assigned.positive, 1.0 - _inside(cells, ignored))
    classes = tf.nn.sigmoid_cross_entropy_with_logits(assigned.overlap, logits[..., 0])
    apart = box_distance(boxes, assigned.boxes)
    total = objectness * judged + assigned.positive * (classes + BOX_WEIGHT * apart)
    return tf.reduce_sum(total) / count


def distillation_loss(outputs: dict[str, Any], taught: dict[str, Any]) -> Any:
    """How far answers are from a teacher's, cell by cell: a scalar.

    Boxes count where the teacher sees a face, in cells.
    """
    import tensorflow as tf

    logits, boxes = flat(outputs)
    wanted_logits, wanted_boxes = (tf.stop_gradient(one) for one in flat(taught))
    wanted = tf.sigmoid(wanted_logits)
    # The class is only defined where an object is: elsewhere nobody taught it to the teacher.
    sees = wanted[..., 1:]
    answers = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits) * tf.concat([sees, tf.ones_like(sees)], axis=-1)
    distance = tf.reduce_sum(tf.abs(boxes - wanted_boxes), axis=-1, keepdims=True) * sees
    count = tf.maximum(tf.reduce_sum(sees), 1.0)
    return (tf.reduce_sum(answers) + tf.reduce_sum(distance)) / count


def assign(logits: Any, boxes: Any, faces: Any, cells: Cells) -> Assignment:
    """SimOTA: logits (n, cells, 2), boxes (n, cells, 4) and faces (n, most, 4), all in pixels."""
    import tensorflow as tf

    real = (faces[..., 2] > faces[..., 0])[..., None]
    middles = cells.corners + cells.strides / 2
    in_box = _within(middles, faces)
    centres = (faces[..., :2] + faces[..., 2:]) / 2
    offsets = tf.abs(middles[None, None] - centres[:, :, None])
    in_centre = tf.reduce_all(offsets < CENTRE_REACH_CELLS * cells.strides, axis=-1)
    possible = (in_box | in_centre) & real
    overlap = tf.where(possible, _overlaps(faces[:, :, None], boxes[:, None]), 0.0)
    score = tf.sqrt(tf.sigmoid(logits[..., 0]) * tf.sigmoid(logits[..., 1]))
    cost = -tf.math.log(score + TINY)[:, None] - OVERLAP_COST_WEIGHT * tf.math.log(overlap + TINY)
    cost += tf.where(in_box & in_centre, 0.0, FAR_COST) + tf.where(possible, 0.0, IMPOSSIBLE_COST)
    # As many cells as the best overlaps add up to, one at least: the cost of the last of them is the limit.
    best = tf.reduce_sum(tf.math.top_k(overlap, MOST_CELLS).values, axis=-1)
    places = tf.clip_by_value(tf.cast(best, tf.int32), 1, MOST_CELLS) - 1
    cheapest = -tf.math.top_k(-cost, MOST_CELLS).values
    limit = tf.gather(cheapest, places, axis=2, batch_dims=2)
    taken = tf.where((cost <= limit[..., None]) & possible, cost, 2 * IMPOSSIBLE_COST)
    # A cell that several faces took answers for the one to which it is cheapest.
    chosen = tf.argmin(taken, axis=1, output_type=tf.int32)
    positive = tf.cast(tf.reduce_min(taken, axis=1) < 2 * IMPOSSIBLE_COST, tf.float32)
    overlap_of_chosen = tf.gather(tf.transpose(overlap, [0, 2, 1]), chosen, axis=2, batch_dims=2)
    return Assignment(positive, overlap_of_chosen, tf.gather(faces, chosen, axis=1, batch_dims=1))


def box_distance(boxes: Any, wanted: Any) -> Any:
    """EIoU: 1 - IoU, and the distances of centre, width and height against the box around both; (..., 4) to (...)."""
    import tensorflow as tf

    around = tf.maximum(boxes[..., 2:], wanted[..., 2:]) - tf.minimum(boxes[..., :2], wanted[..., :2])
    sides, wanted_sides = boxes[..., 2:] - boxes[..., :2], wanted[..., 2:] - wanted[..., :2]
    centres = (boxes[..., :2] + boxes[..., 2:] - wanted[..., :2] - wanted[..., 2:]) / 2
    squared = tf.square(around) + TINY
    centre_part = tf.reduce_sum(tf.square(centres), axis=-1) / tf.reduce_sum(squared, axis=-1)
    side_part = tf.reduce_sum(tf.square(sides - wanted_sides) / squared, axis=-1)
    return 1.0 - _overlaps(boxes, wanted) + centre_part + side_part


def _inside(cells: Cells, boxes: Any) -> Any:
    """1.0 for the cells whose middle is inside any of some boxes: (n, most, 4) to (n, cells)."""
    import tensorflow as tf

    inside = _within(cells.corners + cells.strides / 2, boxes)
    return tf.cast(tf.reduce_any(inside, axis=1), tf.float32)


def _within(points: Any, boxes: Any) -> Any:
    """Which points are in which boxes: (cells, 2) and (n, most, 4) to (n, most, cells)."""
    import tensorflow as tf

    after = points[None, None] > boxes[:, :, None, :2]
    before = points[None, None] < boxes[:, :, None, 2:]
    return tf.reduce_all(after & before, axis=-1)


def _overlaps(ones: Any, others: Any) -> Any:
    """Intersection over union of boxes that broadcast against each other: (..., 4) to (...)."""
    import tensorflow as tf

    shared = tf.maximum(tf.minimum(ones[..., 2:], others[..., 2:]) - tf.maximum(ones[..., :2], others[..., :2]), 0.0)
    intersection = shared[..., 0] * shared[..., 1]
    areas = [(boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]) for boxes in (ones, others)]
    return intersection / (areas[0] + areas[1] - intersection + TINY)
