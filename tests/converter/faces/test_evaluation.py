"""Evaluation: detections are compared with annotations, and with pictures without people."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from converter.faces.band_plot import draw_bands
from converter.faces.candidates import DetectorCandidate
from converter.faces.evaluation import Band, evaluate_detectors, scenes_of
from edge_agent.domain import Box, Face, Image, Label
from edge_agent.vision.classifier import Classification
from edge_agent.vision.images import read_picture
from training.coco import CocoFile

WIDTH, HEIGHT = 100, 80
LEFT, RIGHT = Box(10, 10, 30, 30), Box(60, 10, 90, 45)


def a_detector(*faces: Face, name: str = "a detector") -> DetectorCandidate:
    """Finds the same faces everywhere."""
    return DetectorCandidate(name, lambda _image: list(faces), 0.6)


@pytest.fixture
def coco_file(tmp_path):
    """Two pictures, one of either split, each with two faces."""
    path = tmp_path / "annotations.json"
    scenes = CocoFile(path, ["with_mask"])
    for number, split in enumerate(("train", "test")):
        picture = tmp_path / f"{number}.png"
        cv2.imwrite(str(picture), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        scenes.add_picture(picture, source="street", split=split)
        for box in (LEFT, RIGHT):
            scenes.add_face(picture, (box.x1, box.y1, box.x2, box.y2), category="with_mask")
    scenes.write()
    return path


def test_a_split_is_read_with_the_faces_of_each_picture(coco_file):
    (scene,) = scenes_of(coco_file, split="test", source="street")

    assert scene.path.name == "1.png"
    assert scene.faces.tolist() == [[10, 10, 30, 30], [60, 10, 90, 45]]


def test_a_detector_that_finds_everything_is_perfect(coco_file):
    scenes = scenes_of(coco_file, split=None, source=None)

    (evaluated,) = evaluate_detectors([a_detector(Face(LEFT, 0.9), Face(RIGHT, 0.8))], scenes, [])

    assert evaluated.ap["ap_50_16px"] == 1.0
    assert (evaluated.pictures, evaluated.faces, evaluated.recall, evaluated.false_detections) == (2, 4, 1.0, 0.0)


def test_unsure_finds_count_for_precision_but_not_at_the_operating_point(coco_file, tmp_path):
    empty = tmp_path / "wall.png"
    cv2.imwrite(str(empty), np.full((HEIGHT, WIDTH, 3), 99, np.uint8))

    detector = a_detector(Face(Box(35, 40, 55, 70), 0.9), Face(LEFT, 0.7), Face(RIGHT, 0.1))
    (evaluated,) = evaluate_detectors([detector], scenes_of(coco_file, split="test", source=None), [empty, empty])

    assert evaluated.recall == 0.5
    assert evaluated.false_detections == 1.0
    assert evaluated.false_detections_in_empty == 2.0
    assert evaluated.ap["ap_50_16px"] == pytest.approx(2 / 3)


def test_detectors_are_judged_side_by_side(coco_file):
    scenes = scenes_of(coco_file, split="test", source=None)

    one, other = evaluate_detectors([a_detector(Face(LEFT, 0.9), name="one"), a_detector(name="other")], scenes, [])

    assert (one.name, one.recall, other.name, other.recall) == ("one", 0.5, "other", 0.0)


def test_detections_on_undecidable_faces_are_not_counted(coco_file):
    content = json.loads(coco_file.read_text())
    for one in content["annotations"][1::2]:
        one["ignore"] = 1
    coco_file.write_text(json.dumps(content))

    scenes = scenes_of(coco_file, split=None, source=None)
    (evaluated,) = evaluate_detectors([a_detector(Face(RIGHT, 0.9), Face(LEFT, 0.8))], scenes, [])

    assert (evaluated.faces, evaluated.recall, evaluated.false_detections, evaluated.ap["ap_50_16px"]) == (
        2,
        1.0,
        0.0,
        1.0,
    )


def test_what_is_annotated_as_no_face_is_none(coco_file):
    content = json.loads(coco_file.read_text())
    content["categories"].append({"id": 2, "name": "no_face"})
    content["annotations"][1]["category_id"] = 2
    coco_file.write_text(json.dumps(content))
    detector = a_detector(Face(LEFT, 0.9), Face(RIGHT, 0.8))

    (evaluated,) = evaluate_detectors([detector], scenes_of(coco_file, split=None, source=None), [])

    assert (evaluated.faces, evaluated.recall, evaluated.false_detections) == (3, 1.0, 0.5)


def test_recall_by_size_domain_pose_and_label(coco_file):
    content = json.loads(coco_file.read_text())
    content["images"][0]["domain"] = "press"
    content["annotations"][0] |= {"pose": "profile", "bbox": [10, 10, 48, 50]}
    content["annotations"][1]["pose"] = "frontal"
    coco_file.write_text(json.dumps(content))

    detector = a_detector(Face(Box(10, 10, 58, 60), 0.9))
    (evaluated,) = evaluate_detectors([detector], scenes_of(coco_file, split="train", source=None), [])

    assert evaluated.bands == {
        "size_px": {"24-32": Band(1, 0.0), "48-100": Band(1, 1.0)},
        "domain": {"press": Band(2, 0.5)},
        "pose": {"profile": Band(1, 1.0)},
        "label": {"with_mask": Band(2, 0.5)},
    }


class LeftIsMasked:
    """Reads faces on the left as masked, others as bare, and rejects what lies below."""

    def classify(self, _image: Image, box: Box) -> Classification:
        label: Label = "with_mask" if box.x1 < WIDTH / 2 else "without_mask"
        return Classification(label, {label: 1.0}, is_face=box.y1 < HEIGHT / 2)


def test_with_a_classifier_faces_count_as_the_device_decides(coco_file, tmp_path):
    empty = tmp_path / "wall.png"
    cv2.imwrite(str(empty), np.full((HEIGHT, WIDTH, 3), 99, np.uint8))
    scenes = scenes_of(coco_file, split="test", source=None)

    detector = a_detector(Face(Box(10, 50, 40, 78), 0.95), Face(LEFT, 0.9), Face(RIGHT, 0.8))
    with_classifier = replace(detector, classifier=LeftIsMasked())  # type: ignore[arg-type]
    (evaluated,) = evaluate_detectors([with_classifier], scenes, [empty])

    assert (evaluated.recall, evaluated.read_right, evaluated.false_detections) == (1.0, 0.5, 0.0)
    assert evaluated.false_detections_in_empty == 2.0
    assert evaluated.bands["size_px"] == {"16-24": Band(1, 1.0, 1.0), "24-32": Band(1, 1.0, 0.0)}
    assert evaluated.ap["ap_50_16px"] == pytest.approx(2 / 3), "of the detector alone"

    draw_bands([evaluated], tmp_path / "new" / "bands.png")

    assert read_picture(tmp_path / "new" / "bands.png").shape[0] > 300
