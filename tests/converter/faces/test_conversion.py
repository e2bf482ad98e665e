"""Conversion: face detectors become int8 networks that the device's own detector loads."""

from __future__ import annotations

import json

import cv2
import pytest

from converter.cli import main
from converter.drawn_faces import drawn_faces
from converter.faces.conversion import (
    MAX_LOGIT,
    MIN_LOGIT,
    InputSize,
    calibration_pictures,
    open_trained_detector,
    to_detector_tflite,
)
from converter.faces.files import detector_card_of, networks_of
from converter.faces.verification import make_detector_card
from converter.model_kind import is_detector_run
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.detector.tflite import open_tflite_detector
from tests.converter.red_detector import FACE, HEIGHT_PX, WIDTH_PX, a_run, a_scene, write_noise

pytestmark = pytest.mark.tensorflow

SIZE = InputSize(WIDTH_PX, HEIGHT_PX)


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures to calibrate with."""
    return write_noise(tmp_path / "pictures")


def test_a_run_is_converted_with_a_card_that_the_device_takes(converted_detector):
    card = converted_detector / "faces.json"

    detector = open_tflite_detector(card, min_score=0.5, min_face_px=8)

    assert [path.name for path in networks_of(card)] == ["faces-128x96.tflite", "faces-96x128.tflite"]
    (face,) = detector.detect(a_scene())
    assert face.box.as_ints() == FACE
    assert detector.card.training_data == ["street"]


def test_the_model_file_of_a_run_can_be_given_instead_of_its_folder(tmp_path, pictures, capsys):
    run = a_run(tmp_path / "run")
    places = ("--calibration", str(pictures), "--output", str(tmp_path / "out"), "--name", "other")

    assert main(["convert", str(run / "model.keras"), *places, "--sizes", "128x96"]) == 0

    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / "other.json"),
        str(tmp_path / "out" / "other-128x96.tflite"),
    ]


@pytest.mark.parametrize("name", ["faces.json", "faces-448x256.tflite"])
def test_an_existing_detector_is_kept_unless_overwriting_is_allowed(tmp_path, converted_detector, capsys, name):
    (tmp_path / name).write_text("of another")

    assert main(["convert", str(converted_detector), "--output", str(tmp_path), "--calibration", str(tmp_path)]) == 78

    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "of another"


def test_only_runs_of_detectors_are_detectors(tmp_path, converted_detector):
    (tmp_path / "run.json").write_text(json.dumps({"name": "masks", "labels": ["with_mask", "without_mask"]}))

    assert is_detector_run(converted_detector)
    assert is_detector_run(converted_detector / "model.keras")
    assert not is_detector_run(tmp_path)
    assert not is_detector_run(tmp_path / "elsewhere")


def test_a_network_is_recognised_by_its_card(tmp_path, converted_detector, converted):
    assert detector_card_of(converted_detector / "faces-96x128.tflite") == converted_detector / "faces.json"
    assert detector_card_of(converted_detector / "faces-64x64.tflite") is None
    assert detector_card_of(converted) is None


def test_int8_quantisation_covers_the_relevant_range_of_logits(converted_detector):
    from edge_agent.vision.tflite import open_interpreter

    content = (converted_detector / "faces-128x96.tflite").read_bytes()

    # Where there is no red, the network itself is sure to 30 logits.
    for tensor in open_interpreter(content, name="faces").outputs:
        if tensor.shape[-1] == 2:
            lowest, highest = ((level - tensor.zero_point) * tensor.scale for level in (-128, 127))
            assert MIN_LOGIT - 0.1 < lowest < highest < MAX_LOGIT + 0.1


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_pixels_are_taken_less_128_and_each_output_has_its_own_scale(tmp_path, pictures, runtime):
    from edge_agent.vision.tflite import open_interpreter

    content = to_detector_tflite(open_trained_detector(a_run(tmp_path / "run")), SIZE, calibration_pictures(pictures))

    interpreter = open_interpreter(content, name="faces", runtime=runtime)
    (taken,) = interpreter.inputs
    assert (taken.shape, taken.dtype.name) == ((1, 96, 128, 3), "int8")
    assert (taken.scale, taken.zero_point) == (1.0, -128)
    assert sorted(tensor.shape[1:] for tensor in interpreter.outputs) == [
        (3, 4, 2),
        (3, 4, 4),
        (6, 8, 2),
        (6, 8, 4),
        (12, 16, 2),
        (12, 16, 4),
    ]


def test_a_detector_that_finds_no_drawn_face_gets_no_card(tmp_path, pictures):
    detector = open_trained_detector(a_run(tmp_path / "run", threshold=400.0))
    contents = {SIZE: to_detector_tflite(detector, SIZE, calibration_pictures(pictures))}

    with pytest.raises(ModelError, match="no network finds any of the drawn faces in every runtime"):
        make_detector_card(detector, contents, name="faces", smallest_px=16)


def test_a_model_without_its_run_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"run\.json: not what 'edge-train faces' writes"):
        open_trained_detector(tmp_path / "model.keras")


def test_too_few_pictures_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), drawn_faces()[0])

    with pytest.raises(ConfigError, match="1 pictures that can be read; int8 needs at least 20"):
        calibration_pictures(tmp_path)


def test_pictures_have_to_be_given_for_a_run_without_any(tmp_path, capsys):
    assert main(["convert", str(a_run(tmp_path / "run")), "--output", str(tmp_path)]) == 78

    assert "--calibration: required; pictures of scenes" in capsys.readouterr().err


@pytest.mark.parametrize("sizes", ["100x96", "128", "128x96x32", "axb", "0x96", "4096x32"])
def test_an_unsupported_network_size_is_refused(sizes, capsys):
    with pytest.raises(SystemExit):
        main(["convert", "run", "--calibration", "x", "--output", "models", "--sizes", sizes])

    assert "both multiples of 32" in capsys.readouterr().err
