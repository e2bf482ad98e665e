"""Losses: which cell is responsible for which face, and the cost of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.faces.losses import assign, cells_of, decoded, distillation_loss, eiou_loss, face_loss
from training.faces.network import STRIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.tensorflow

SIDE_PX = 64
FACE = np.array([[[0, 0, 32, 32]]], np.float32)
FACE_CELL = 64 + 16
"""The first cell of stride 32: its centre is that of the face."""
SECOND_CELL = 64
"""The first cell of stride 16."""
SPECK, WHOLE = (0.5, 0.5, -3, -3), (0.5, 0.5, 0, 0)
"""Boxes at the centre of their cell: a twentieth as wide, and the whole cell."""
VALUES = np.tile(np.array(SPECK, np.float32), (1, 64 + 16 + 4, 1))
VALUES[0, [SECOND_CELL, FACE_CELL]] = WHOLE
NOWHERE = np.zeros((1, 1, 4), np.float32)


def outputs_of(*, score: float = -4.0) -> dict[str, NDArray[np.float32]]:
    """The same logits and boxes of one cell everywhere."""
    outputs = {}
    for stride in STRIDES:
        cells = SIDE_PX // stride
        outputs[f"logits_{stride}"] = np.full((1, cells, cells, 2), score, np.float32)
        outputs[f"boxes_{stride}"] = np.tile(np.array(SPECK, np.float32), (1, cells, cells, 1))
    return outputs


def perfect_answers() -> dict[str, NDArray[np.float32]]:
    """The cell whose box is the face says so; all others are silent."""
    outputs = outputs_of(score=-20.0)
    outputs["logits_32"][0, 0, 0] = 20.0
    outputs["boxes_32"][0, 0, 0] = WHOLE
    return outputs


def test_a_cell_of_a_coarse_level_is_as_large_as_its_stride():
    cells = cells_of(SIDE_PX, SIDE_PX)

    boxes = np.asarray(decoded(VALUES, cells))

    assert boxes[0, FACE_CELL].tolist() == FACE[0, 0].tolist()
    assert boxes[0, SECOND_CELL].tolist() == [0, 0, 16, 16]


def test_a_face_is_assigned_to_the_cells_that_fit_it():
    cells = cells_of(SIDE_PX, SIDE_PX)
    logits, boxes = np.zeros((1, 84, 2), np.float32), decoded(VALUES, cells)

    assigned = assign(logits, boxes, FACE, cells)

    chosen = np.flatnonzero(np.asarray(assigned.positive)[0])
    assert chosen.tolist() == [FACE_CELL]
    assert np.asarray(assigned.iou)[0, FACE_CELL] == pytest.approx(1.0, abs=1e-4)
    assert np.asarray(assigned.boxes)[0, FACE_CELL].tolist() == FACE[0, 0].tolist()


def test_two_faces_are_assigned_to_different_cells():
    cells = cells_of(SIDE_PX, SIDE_PX)
    faces = np.array([[[0, 0, 32, 32], [0, 0, 16, 16]]], np.float32)
    boxes = decoded(VALUES, cells)

    assigned = assign(np.zeros((1, 84, 2), np.float32), boxes, faces, cells)

    positive = np.asarray(assigned.positive)[0] > 0
    assert {tuple(box) for box in np.asarray(assigned.boxes)[0][positive].tolist()} == {(0, 0, 32, 32), (0, 0, 16, 16)}


def test_without_faces_no_cell_is_assigned():
    cells = cells_of(SIDE_PX, SIDE_PX)
    boxes = decoded(VALUES, cells)

    assert np.asarray(assign(np.zeros((1, 84, 2), np.float32), boxes, NOWHERE, cells).positive).sum() == 0


def test_a_perfect_prediction_has_almost_no_loss():
    cells = cells_of(SIDE_PX, SIDE_PX)

    assert float(face_loss(perfect_answers(), FACE, NOWHERE, cells)) < 0.05
    assert float(face_loss(outputs_of(), FACE, NOWHERE, cells)) > 1.0


def test_a_detection_on_an_ignored_region_has_no_loss():
    cells = cells_of(SIDE_PX, SIDE_PX)
    found = perfect_answers()

    punished = float(face_loss(found, NOWHERE, NOWHERE, cells))
    ignored = float(face_loss(found, NOWHERE, FACE, cells))

    assert punished > 10
    assert ignored < 0.05


def test_equal_boxes_have_distance_zero():
    box = np.array([[10, 10, 30, 50]], np.float32)

    assert float(eiou_loss(box, box)[0]) == pytest.approx(0.0, abs=1e-5)
    assert float(eiou_loss(box, box + 100)[0]) > 1.0


def test_the_loss_of_distillation_is_least_where_both_networks_agree():
    found = perfect_answers()

    assert float(distillation_loss(found, found)) < 0.05
    assert float(distillation_loss(outputs_of(), found)) > 1.0
