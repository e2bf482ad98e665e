"""Detectors: each finds a real face, and accepts every picture of a camera or user."""

from __future__ import annotations

import hashlib
import shutil

import cv2
import numpy as np
import pytest

from edge_agent.config.model import FacesConfig
from edge_agent.errors import ModelError
from edge_agent.vision.detector import FaceDetector, open_detector
from tests.conftest import SHARED
from tests.faces import COLLINS, face_box, portrait
from tests.replaced_files import replace_when_read

OPENCV_HAS_CASCADES = hasattr(cv2, "CascadeClassifier")
DETECTORS = [
    pytest.param("accurate"),
    pytest.param("fast"),
    pytest.param("haar", marks=pytest.mark.skipif(not OPENCV_HAS_CASCADES, reason="OpenCV 5 has no cascades")),
    pytest.param("yunet", marks=pytest.mark.reference_data),
    pytest.param("ssd", marks=pytest.mark.reference_data),
]
CONFIGS = {
    "accurate": FacesConfig(detector="tflite", variant="accurate"),
    "fast": FacesConfig(detector="tflite", variant="fast"),
    "haar": FacesConfig(detector="haar"),
    "yunet": FacesConfig(detector="yunet", model=SHARED / "weights" / "face_detection_yunet_2023mar.onnx"),
    "ssd": FacesConfig(detector="ssd", model=SHARED / "weights" / "opencv_face_detector_uint8.pb"),
}


@pytest.fixture(params=DETECTORS)
def detector(request) -> FaceDetector:
    return open_detector(CONFIGS[request.param])


def test_a_real_face_is_found_at_its_position(detector):
    faces = detector.detect(portrait(COLLINS))

    assert faces[0].box.overlap(face_box(COLLINS)) > 0.4
    assert 0.6 <= faces[0].score <= 1.0


def test_boxes_of_a_large_picture_are_in_its_pixels(detector):
    large = cv2.resize(portrait(COLLINS), None, fx=3, fy=3)

    assert detector.detect(large)[0].box.overlap(face_box(COLLINS, scale=3)) > 0.4


def test_another_minimum_score_applies_to_one_call(detector):
    image = portrait(COLLINS)
    usual = detector.detect(image)

    assert detector.detect(image, min_score=1.0) == []
    assert len(detector.detect(image, min_score=0.02)) >= len(usual)
    assert detector.detect(image) == usual


def test_a_picture_without_people_has_no_face(detector):
    assert detector.detect(np.full((240, 320, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 640), (640, 1), (1, 1), (5, 8000), (3000, 20)])
def test_a_picture_of_any_shape_is_accepted(detector, shape):
    assert isinstance(detector.detect(np.zeros((*shape, 3), np.uint8)), list)


def test_boxes_stay_inside_the_picture_and_the_surest_comes_first(detector):
    image = portrait(COLLINS)[70:200, 180:330]  # the face is cut by the left and upper edge

    faces = detector.detect(cv2.copyMakeBorder(image, 0, 200, 0, 300, cv2.BORDER_REPLICATE))

    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        assert 0 <= face.box.x1 < face.box.x2 <= 450
        assert 0 <= face.box.y1 < face.box.y2 <= 330


@pytest.mark.skipif(not OPENCV_HAS_CASCADES, reason="OpenCV 5 has no cascades")
def test_faces_below_the_minimum_size_are_omitted():
    assert open_detector(FacesConfig(detector="haar", min_face_px=300)).detect(portrait(COLLINS)) == []


@pytest.mark.skipif(OPENCV_HAS_CASCADES, reason="says what OpenCV 5 answers")
def test_haar_with_opencv_5_is_rejected_with_the_package_to_install():
    with pytest.raises(ModelError, match=r"has no cascades; install opencv-python-headless<5"):
        open_detector(FacesConfig(detector="haar"))


def test_the_hash_is_that_of_the_loaded_card_though_the_file_is_replaced_meanwhile(tmp_path):
    shipped = FacesConfig().card
    for file in (shipped, *shipped.parent.glob("*.tflite")):
        shutil.copy(file, tmp_path)
    replace_when_read(tmp_path / shipped.name, then=b"another card")

    detector = open_detector(FacesConfig(model=tmp_path / shipped.name))

    assert detector.sha256 == hashlib.sha256(shipped.read_bytes()).hexdigest()


@pytest.mark.reference_data
def test_all_copies_of_a_network_are_loaded_from_the_content_whose_hash_is_given(tmp_path):
    model = CONFIGS["yunet"].card
    shutil.copyfile(model, tmp_path / "yunet.onnx")
    replace_when_read(tmp_path / "yunet.onnx", then=b"another network")

    detector = open_detector(FacesConfig(detector="yunet", model=tmp_path / "yunet.onnx"), copies=2)

    assert detector.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "detector"), [("face.onnx", "yunet"), ("face.pb", "ssd")])
def test_a_missing_network_is_named(tmp_path, name, detector):
    with pytest.raises(ModelError, match=f"{name}: no such model"):
        open_detector(FacesConfig(detector=detector, model=tmp_path / name))


def test_a_file_that_is_not_a_network_is_rejected(tmp_path):
    for name in ("face.onnx", "face.pb", "face.pbtxt"):
        (tmp_path / name).write_bytes(b"not a network at all" * 10)

    with pytest.raises(ModelError, match="not a YuNet face detector"):
        open_detector(FacesConfig(detector="yunet", model=tmp_path / "face.onnx"))
    with pytest.raises(ModelError, match="not the res10 face detector"):
        open_detector(FacesConfig(detector="ssd", model=tmp_path / "face.pb"))


def test_ssd_needs_exactly_one_description_beside_its_graph(tmp_path):
    (tmp_path / "face.pb").write_bytes(b"x")

    with pytest.raises(ModelError, match=r"needs exactly one \.pbtxt beside it .* found: none"):
        open_detector(FacesConfig(detector="ssd", model=tmp_path / "face.pb"))
