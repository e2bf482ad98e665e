"""Mining: detections match the faces that they overlap, or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.training.faces.conftest import RELEASED, write_scenes
from training.faces.mine import label_detections, mine_detections

if TYPE_CHECKING:
    from edge_agent.domain import Label

NOWHERE = np.zeros((0, 4), np.float32)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


FACES = boxes([0, 0, 40, 40], [100, 0, 140, 40])
LABELS: tuple[Label, ...] = ("with_mask", "without_mask")


def test_a_detection_has_the_label_of_the_face_with_the_largest_overlap_and_its_own_box():
    (detection,) = label_detections(boxes([98, 2, 138, 40]), FACES, LABELS, excluded=NOWHERE)

    assert (detection.label, detection.box) == ("without_mask", (98, 2, 138, 40))


@pytest.mark.parametrize("box", [[200, 0, 240, 40], [10, 20, 25, 35]])
def test_a_detection_beside_faces_or_on_a_small_part_of_one_is_no_face(box):
    (detection,) = label_detections(boxes(box), FACES, LABELS, excluded=NOWHERE)

    assert detection.label == "no_face"


def test_a_detection_of_half_a_face_is_omitted():
    assert label_detections(boxes([0, 0, 40, 16]), FACES, LABELS, excluded=NOWHERE) == []


def test_a_detection_on_a_possibly_unannotated_face_is_omitted():
    assert label_detections(boxes([200, 0, 240, 40]), FACES, LABELS, excluded=boxes([202, 0, 240, 42])) == []


@pytest.mark.tensorflow
def test_detections_are_written_as_scenes_of_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenes = write_scenes(tmp_path / "scenes", count=3)
    (tmp_path / "empty").mkdir()
    cv2.imwrite("empty/grey.png", np.full((200, 200, 3), 90, np.uint8))

    counts = mine_detections(
        tmp_path / "mined",
        scenes=scenes,
        corrections=None,
        empty=[tmp_path / "empty"],
        detector=RELEASED,
        teacher=RELEASED,
    )

    content = json.loads((tmp_path / "mined" / "annotations.json").read_text())
    assert len(content["annotations"]) == sum(counts.values())
    assert [image["file_name"] for image in content["images"]] == [
        "../empty/grey.png",
        "../scenes/000.png",
        "../scenes/001.png",
        "../scenes/002.png",
    ]


def test_a_small_detection_beside_people_may_be_an_unannotated_face() -> None:
    assert label_detections(boxes([200, 0, 222, 40]), FACES, LABELS, excluded=NOWHERE, min_face_px=24.0) == []
    (detection,) = label_detections(boxes([200, 0, 226, 40]), FACES, LABELS, excluded=NOWHERE, min_face_px=24.0)
    assert detection.label == "no_face"
