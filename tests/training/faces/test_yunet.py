"""YuNet: a published network, rebuilt in Keras, gives the same outputs as in OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.vision.detector.decoding import candidates
from tests.conftest import SHARED
from tests.faces import COLLINS, portrait
from training.faces.network import levels_of
from training.faces.yunet import build_yunet, read_convolutions

SIDE_PX = 320
EVERY_BOX = 1.0


@pytest.mark.tensorflow
@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("name", "parameters"), [("yunet_n_320_320.onnx", 71_590), ("face_detection_yunet_2023mar.onnx", 50_854)]
)
def test_boxes_and_scores_are_those_of_opencv_before_suppression(name, parameters):
    file = SHARED / "weights" / name
    picture = cv2.resize(portrait(COLLINS), (SIDE_PX, SIDE_PX))
    detector = cv2.FaceDetectorYN.create(str(file), "", (SIDE_PX, SIDE_PX), 0.3, EVERY_BOX, 5000)
    rows = np.asarray(detector.detect(picture)[1])
    wanted = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)

    network = build_yunet(file)
    boxes, scores = candidates(levels_of(network.predict_on_batch(picture[None].astype(np.float32)), 0), min_score=0.3)

    assert network.count_params() == parameters
    assert len(boxes) == len(wanted) > 5
    assert np.sort(scores) == pytest.approx(np.sort(rows[:, -1]), abs=1e-5)
    difference = np.abs(boxes[:, None] - wanted[None]).max(axis=2).min(axis=1)
    assert difference.max() < 1e-3


def test_the_error_about_a_missing_file_says_which_file_to_give(tmp_path):
    with pytest.raises(ModelError, match=r"no such file; give the path of a YuNet face detector"):
        read_convolutions(tmp_path / "yunet.onnx")


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"\x00" * 100)

    with pytest.raises(ModelError, match=r"OpenCV cannot read it as ONNX"):
        read_convolutions(tmp_path / "yunet.onnx")
