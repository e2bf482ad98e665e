"""Released: a released detector becomes a trainable network with the same outputs."""

from __future__ import annotations

import numpy as np
import pytest

from converter.faces.conversion import MIN_LOGIT
from edge_agent.domain import Box
from edge_agent.errors import ModelError
from edge_agent.vision.card import read_detector_card
from edge_agent.vision.detector.tflite import open_tflite_detector
from tests.converter.red_detector import red_cells
from tests.faces import COLLINS, portrait
from tests.training.faces.conftest import RELEASED, draw_scene
from training.faces.keras_detector import KerasDetector
from training.faces.network import STRIDES, open_network
from training.faces.released import build_released

FAST = RELEASED.with_name("faces-fast.json")

pytestmark = pytest.mark.tensorflow


def as_tflite(network, *, side_px=64):
    """A float network without a card."""
    import tensorflow as tf

    pixels = tf.keras.Input((side_px, side_px, 3), batch_size=1)
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(pixels, network(pixels))).convert()


def test_a_face_is_found_as_the_device_finds_it():
    picture = portrait(COLLINS)
    on_device = open_tflite_detector(RELEASED, min_score=0.7, min_face_px=24).detect(picture)

    boxes, scores = KerasDetector(build_released(RELEASED), longer_px=448, shorter_px=352, min_score=0.7)(picture)

    assert len(boxes) == len(on_device) == 1
    assert on_device[0].box.overlap(Box(*boxes[0])) > 0.9
    assert scores[0] == pytest.approx(on_device[0].score, abs=0.03)


def test_every_network_of_a_card_gives_the_same_answers():
    networks = [build_released(RELEASED.parent / file.file) for file in read_detector_card(RELEASED)[0].files]
    picture = draw_scene(1)[0][None, :64, :64].astype(np.float32)

    first, *others = (network.predict_on_batch(picture) for network in networks)

    for other in others:
        for name, values in first.items():
            # Channels are scaled and biases rounded for each size of input anew; what comes out differs by that alone.
            difference = np.abs(values - other[name])
            assert np.median(difference) < 0.05 * np.ptp(values), name


def test_real_weights_stay_as_they_are(tmp_path):
    picture = draw_scene(1)[0][None, :64, :64].astype(np.float32)
    first = open_network(RELEASED)
    (tmp_path / "float.tflite").write_bytes(as_tflite(first))

    second = open_network(tmp_path / "float.tflite")

    for name, output in second.predict_on_batch(picture).items():
        np.testing.assert_allclose(output, first.predict_on_batch(picture)[name], atol=1e-3)


def test_the_int8_limit_of_logits_is_not_applied():
    outputs = build_released(FAST).predict_on_batch(np.zeros((1, 224, 320, 3), np.float32))

    assert min(outputs[f"logits_{stride}"].min() for stride in STRIDES) < 2 * MIN_LOGIT


def test_a_network_of_another_kind_is_refused(tmp_path):
    (tmp_path / "red.tflite").write_bytes(as_tflite(red_cells()))

    with pytest.raises(ModelError, match="AVERAGE_POOL_2D is no operation of a face detector"):
        build_released(tmp_path / "red.tflite")


@pytest.mark.parametrize("content", [b"", b"no network", b"\x00\x00\x00\x00TFL3" + b"\xff" * 60])
def test_a_damaged_network_is_refused(tmp_path, content):
    (tmp_path / "faces.tflite").write_bytes(content)

    with pytest.raises(ModelError, match=r"faces\.tflite: no TFLite network, or a damaged one"):
        build_released(tmp_path / "faces.tflite")


def test_a_missing_network_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"faces\.tflite: no such network; give a detector's card"):
        build_released(tmp_path / "faces.tflite")
