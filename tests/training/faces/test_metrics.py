"""Metrics: average precision, by hand on a few boxes and by the rules of the reference implementation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.faces.metrics import SceneDetections, average_precision, match
from training.faces.scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTHING = np.zeros((0, 4), np.float32)
FACES = np.array([[0, 0, 20, 20], [40, 0, 60, 20], [80, 0, 90, 10]], np.float32)


def detections(
    rows: list[tuple[float, ...]], *, faces: NDArray[np.float32] = FACES, ignored: NDArray[np.float32] = NOTHING
) -> SceneDetections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return SceneDetections(Scene(Path("x.png"), "drawn", faces, ignored, 0.0), table[:, :4], table[:, 4])


def test_the_score_is_one_if_exactly_all_faces_are_found():
    found = detections([(0, 0, 20, 20, 0.9), (40, 0, 60, 20, 0.8)])

    assert average_precision([found], min_iou=0.5, min_face_px=16) == 1.0


def test_a_false_detection_of_higher_score_reduces_precision():
    found = detections([(100, 0, 130, 30, 0.95), (0, 0, 20, 20, 0.9), (40, 0, 60, 20, 0.8)])

    assert average_precision([found], min_iou=0.5, min_face_px=16) == pytest.approx(2 / 3)


def test_a_second_detection_of_the_same_face_is_false():
    found = detections([(0, 0, 20, 20, 0.9), (1, 0, 21, 20, 0.8)])

    assert match(found, min_iou=0.5, min_face_px=16).hits.tolist() == [True, False]
    assert average_precision([found], min_iou=0.5, min_face_px=16) == pytest.approx(0.5)


def test_small_faces_and_small_detections_are_not_counted():
    found = detections([(80, 0, 90, 10, 0.9), (200, 0, 210, 10, 0.9), (0, 0, 20, 20, 0.8), (40, 0, 60, 20, 0.8)])

    assert match(found, min_iou=0.5, min_face_px=16).counted.tolist() == [False, False, True, True]
    assert average_precision([found], min_iou=0.5, min_face_px=16) == 1.0


def test_a_detection_on_an_ignored_region_is_not_counted():
    ignored = np.array([[100, 0, 130, 30]], np.float32)
    found = detections([(100, 0, 130, 30, 0.95), (0, 0, 20, 20, 0.9), (40, 0, 60, 20, 0.8)], ignored=ignored)

    assert average_precision([found], min_iou=0.5, min_face_px=16) == 1.0


def test_evaluation_works_without_detections_and_without_faces():
    assert average_precision([detections([])], min_iou=0.5, min_face_px=16) == 0.0
    assert average_precision([detections([(0, 0, 20, 20, 0.9)], faces=NOTHING)], min_iou=0.5, min_face_px=16) == 0.0
