"""Face finders become int8 networks that the device's own finder reads, with a card that proves them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from converter.cli import main
from converter.drawn_faces import drawn_faces
from converter.finders import InputSize, calibration_pictures, make_finder_card, open_trained_finder, to_finder_tflite
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.faces.tflite import open_tflite_finder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tensorflow

STRIDES = (8, 16, 32)
SIZE = InputSize(128, 96)


def red_cells(*, threshold: float = 150.0) -> Any:
    """A network that takes every cell of 32 px that is redder than a threshold for a face as large as the cell."""
    import keras

    pixels = keras.Input((None, None, 3))
    outputs = {}
    for stride in STRIDES:
        cells = keras.layers.AveragePooling2D(stride)(pixels)
        slope = 0.2 if stride == 32 else 0.0
        kernel = np.zeros((1, 1, 3, 2), np.float32)
        kernel[0, 0, 2] = slope
        logits = keras.layers.Conv2D(2, 1, name=f"logits_{stride}")
        outputs[f"logits_{stride}"] = logits(cells)
        logits.set_weights([kernel, np.full(2, -slope * threshold if slope else -9.0, np.float32)])
        boxes = keras.layers.Conv2D(4, 1, name=f"boxes_{stride}")
        outputs[f"boxes_{stride}"] = boxes(cells)
        boxes.set_weights([np.zeros((1, 1, 3, 4), np.float32), np.array([0.5, 0.5, 0, 0], np.float32)])
    return keras.Model(pixels, outputs)


def a_run(folder: Path, *, threshold: float = 150.0) -> Path:
    """What `edge-train faces` leaves."""
    folder.mkdir(parents=True)
    red_cells(threshold=threshold).save(folder / "model.keras")
    said = {"strides": list(STRIDES), "training_data": ["drawn"], "validation": {"all": {"ap_50_16px": 0.9}}}
    (folder / "run.json").write_text(json.dumps(said))
    return folder / "model.keras"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures to calibrate with."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(24):
        noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, (160, 120)))
    return folder


def test_a_finder_is_converted_with_a_card_that_the_device_takes(tmp_path, pictures, capsys):
    model, card = a_run(tmp_path / "run"), tmp_path / "models" / "faces.json"

    status = main(
        ["finder", str(model), "--calibration", str(pictures), "--output", str(card), "--sizes", "128x96,96x128"]
    )

    assert status == 0
    assert capsys.readouterr().out.strip() == str(card)
    assert sorted(path.name for path in card.parent.iterdir()) == [
        "faces-128x96.tflite",
        "faces-96x128.tflite",
        "faces.json",
    ]
    finder = open_tflite_finder(card, min_score=0.5, smallest_px=8)
    picture = np.full((96, 128, 3), 60, np.uint8)
    picture[32:64, 64:96] = 255
    (face,) = finder.find(picture)
    assert face.box.as_ints() == (64, 32, 96, 64)
    assert finder.card.training_data == ["drawn"]


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_pixels_go_in_as_they_are_and_every_output_has_its_own_scale(tmp_path, pictures, runtime):
    from edge_agent.vision.tflite import open_interpreter

    content = to_finder_tflite(open_trained_finder(a_run(tmp_path / "run")), SIZE, calibration_pictures(pictures))

    interpreter = open_interpreter(content, name="faces", runtime=runtime)
    (taken,) = interpreter.inputs
    assert (taken.shape, taken.dtype.name) == ((1, 96, 128, 3), "uint8")
    assert (taken.scale, taken.zero_point) == (1.0, 0)
    assert sorted(tensor.shape[1:] for tensor in interpreter.outputs) == [
        (3, 4, 2),
        (3, 4, 4),
        (6, 8, 2),
        (6, 8, 4),
        (12, 16, 2),
        (12, 16, 4),
    ]


def test_a_finder_that_finds_no_drawn_face_gets_no_card(tmp_path, pictures):
    finder = open_trained_finder(a_run(tmp_path / "run", threshold=400.0))
    contents = {SIZE: to_finder_tflite(finder, SIZE, calibration_pictures(pictures))}

    with pytest.raises(ModelError, match="no network finds any of the drawn faces in every runtime"):
        make_finder_card(finder, contents, name="faces", smallest_px=16)


def test_a_model_without_its_run_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"run\.json: not what 'edge-train faces' writes"):
        open_trained_finder(tmp_path / "model.keras")


def test_too_few_pictures_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), drawn_faces()[0])

    with pytest.raises(ConfigError, match="1 pictures that can be read; int8 needs 20"):
        calibration_pictures(tmp_path)


@pytest.mark.parametrize("sizes", ["100x96", "128", "128x96x32", "axb", "0x96", "4096x32"])
def test_a_size_that_no_network_has_is_refused(sizes, capsys):
    with pytest.raises(SystemExit):
        main(["finder", "model.keras", "--calibration", "x", "--output", "faces.json", "--sizes", sizes])

    assert "both multiples of 32" in capsys.readouterr().err


def test_a_converted_finder_is_judged_on_scenes(tmp_path, pictures, capsys):
    model, card = a_run(tmp_path / "run"), tmp_path / "models" / "faces.json"
    main(["finder", str(model), "--calibration", str(pictures), "--output", str(card), "--sizes", "128x96"])
    scene = np.full((96, 128, 3), 60, np.uint8)
    scene[32:64, 64:96] = 255
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    annotations = tmp_path / "annotations.json"
    content = {
        "images": [{"id": 1, "file_name": "scene.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [64, 32, 32, 32]}],
        "categories": [{"id": 1, "name": "with_mask"}],
    }
    annotations.write_text(json.dumps(content))
    capsys.readouterr()

    assert main(["evaluate-finder", str(card), "--scenes", str(annotations), "--json"]) == 0

    judged = json.loads(capsys.readouterr().out)
    assert judged["ap"]["ap_50_16px"] == 1.0
    assert judged["false_finds"] == 0.0
