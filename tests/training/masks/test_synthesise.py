"""Synthesise: the data set of drawn masks. Needs a face detector and the reference data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from edge_agent.domain import Box
from edge_agent.errors import ConfigError, ModelError
from training.coco import CocoFile
from training.masks.examples import from_class_folders, read_scenes
from training.masks.landmarks import FaceLandmarks, LandmarkDetector
from training.masks.synthesise import synthesise, with_beard, with_mask

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture
def detector(shared) -> LandmarkDetector:
    return LandmarkDetector(shared / "weights" / "face_detection_yunet_2023mar.onnx", min_score=0.6)


@pytest.fixture
def bare_faces(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    portrait = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    for index in range(8):
        cv2.imwrite(str(folder / f"{index}.png"), portrait)
    (folder / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "coins.png"), data.coins())
    return folder


@pytest.mark.reference_data
def test_the_data_set_reads_as_class_folders_and_as_scenes(detector, bare_faces, tmp_path):
    output = tmp_path / "drawn"

    done = synthesise(bare_faces, output=output, detector=detector, draw=with_mask(0.5), max_pictures=100, seed=2)

    assert sum(done.written.values()) == 8
    assert done.without_face == 1
    assert "broken.jpg" in done.unreadable[0]
    assert Counter(example.label for example in from_class_folders(output, source="drawn")) == done.written
    scenes = read_scenes(output / "annotations.json")
    assert Counter(example.label for example in scenes) == done.written
    portrait = cv2.imread(str(scenes[0].path))
    assert portrait is not None
    assert scenes[0].box is not None
    assert scenes[0].box.clipped(width_px=portrait.shape[1], height_px=portrait.shape[0]) == scenes[0].box
    assert json.loads((output / "annotations.json").read_text())["images"][0]["source"] == "drawn"


@pytest.mark.reference_data
def test_faces_with_a_drawn_beard_stay_bare_and_name_the_picture_they_are_drawn_on(detector, bare_faces, tmp_path):
    output = tmp_path / "drawn"

    done = synthesise(bare_faces, output=output, detector=detector, draw=with_beard, max_pictures=100, seed=2)

    assert done.written == {"without_mask": 8}
    originals = {example.drawn_on for example in read_scenes(output / "annotations.json")}
    assert originals == {bare_faces / f"{index}.png" for index in range(8)}


@pytest.mark.reference_data
def test_the_same_seed_draws_the_same(detector, bare_faces, tmp_path):
    for name in ("one", "other"):
        synthesise(bare_faces, output=tmp_path / name, detector=detector, draw=with_mask(0.5), max_pictures=4, seed=2)

    first, second = (sorted((tmp_path / name).rglob("*.jpg")) for name in ("one", "other"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.reference_data
def test_a_folder_with_content_is_not_overwritten(detector, bare_faces):
    with pytest.raises(ConfigError, match="not empty"):
        synthesise(bare_faces, output=bare_faces, detector=detector, draw=with_mask(0.5), max_pictures=100, seed=1)


@pytest.mark.reference_data
def test_pictures_without_a_face_are_reported(detector, tmp_path):
    folder = tmp_path / "coins"
    folder.mkdir()
    cv2.imwrite(str(folder / "coins.png"), data.coins())

    with pytest.raises(ConfigError, match="no face of 32 px or more"):
        synthesise(folder, output=tmp_path / "drawn", detector=detector, draw=with_mask(0.5), max_pictures=100, seed=1)


class TwoFaces(LandmarkDetector):
    """Finds a large face at the corner of a picture, and the annotated one in its middle."""

    def __init__(self):
        pass

    def detect(self, image):
        x, y = image.shape[1] / 2, image.shape[0] / 2
        return [a_face_at(Box(0, 0, 45, 45)), a_face_at(Box(x - 20, y - 20, x + 20, y + 20))]


def a_face_at(box):
    x, y = box.centre
    points = [np.array([x + dx, y + dy]) for dx, dy in ((-8, -8), (8, -8), (0, 0), (-6, 8), (6, 8))]
    return FaceLandmarks(box, 0.9, *points)


def test_a_mask_is_drawn_on_the_annotated_face_and_not_on_a_larger_one_beside_it(tmp_path):
    cv2.imwrite(str(tmp_path / "street.png"), np.full((200, 300, 3), 120, np.uint8))
    scenes = CocoFile(tmp_path / "annotations.json", ["without_mask"])
    scenes.add_picture(tmp_path / "street.png", source="street", split="train")
    scenes.add_face(tmp_path / "street.png", (100, 80, 140, 120), category="without_mask")
    scenes.write()

    places = {"folder": tmp_path / "annotations.json", "output": tmp_path / "drawn"}
    synthesise(**places, detector=TwoFaces(), draw=with_mask(0), max_pictures=9, seed=1)

    (drawn,) = read_scenes(tmp_path / "drawn" / "annotations.json")
    assert drawn.box is not None
    assert drawn.box.width_px == 40


def test_a_missing_detector_is_reported(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        LandmarkDetector(tmp_path / "none.onnx", min_score=0.6)


def test_a_file_that_is_no_detector_is_reported(tmp_path):
    (tmp_path / "some.onnx").write_bytes(b"not a network")

    for model in (tmp_path / "some.onnx", MODELS / "masks.tflite"):
        with pytest.raises(ModelError, match="not a YuNet face detector"):
            LandmarkDetector(model, min_score=0.6)
