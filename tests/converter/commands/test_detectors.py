"""Commands of edge-convert for face detectors."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from converter.cli import main
from edge_agent.vision.card import read_detector_card
from tests.converter.colour_classifier import HAS_TFLITE_RUNTIME
from tests.converter.red_detector import a_scene, write_scenes

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(converted_detector, tmp_path):
    """A converted run that may be written into."""
    return shutil.copytree(converted_detector, tmp_path / "run")


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(tmp_path / "scenes")


@pytest.fixture
def empty(tmp_path):
    """Two pictures without people, one of which the detector takes for a face at a score of about 0.8."""
    folder = tmp_path / "empty"
    folder.mkdir()
    cv2.imwrite(str(folder / "wall.png"), np.full((96, 128, 3), 60, np.uint8))
    cv2.imwrite(str(folder / "sign.png"), a_scene(red=157))
    return folder


def test_a_detector_is_judged_beside_its_float_run(run, scenes, empty, capsys):
    models = (str(run / "faces.json"), str(run))

    assert main(["evaluate", *models, "--scenes", str(scenes), "--empty", str(empty), "--json"]) == 0

    result = json.loads(capsys.readouterr().out)["detectors"]
    assert [one["name"] for one in result] == list(models)
    for one in result:
        assert one["ap"]["ap_50_16px"] == 1.0
        assert one["false_detections"] == 0.0
        assert one["false_detections_in_empty"] == 0.5


def test_a_table_has_one_line_per_detector(run, scenes, capsys):
    assert main(["evaluate", str(run / "faces.json"), "--scenes", str(scenes), "--split", "test"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 pictures, 2 faces of 16 px and more"
    assert lines[2].split()[1:5] == ["1.000"] * 4
    assert lines[2].endswith("1.00")


@pytest.mark.reference_data
def test_foreign_detectors_are_evaluated_with_and_without_moved_boxes(shared, capsys):
    yunet = shared / "weights" / "face_detection_yunet_2023mar.onnx"
    scenes = ("--scenes", str(shared / "data" / "scenes" / "annotations.json"), "--source", "portraits")

    assert main(["evaluate", str(yunet), *scenes, "--split", "train", "--moved", "--json"]) == 0

    as_it_is, moved = json.loads(capsys.readouterr().out)["detectors"]
    assert moved["name"] == f"{as_it_is['name']}, moved"
    assert moved["ap"]["ap_50_32px"] > as_it_is["ap"]["ap_50_32px"] > 0.5


@pytest.mark.parametrize("model", ["nothing.onnx", "nothing.json", "nothing.keras", "faces.txt"])
def test_a_file_that_is_no_detector_is_reported(model, scenes, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / model), "--scenes", str(scenes)]) == 78

    assert model in capsys.readouterr().err


def test_a_detector_is_not_judged_on_folders_of_faces(run, faces, capsys):
    assert main(["evaluate", str(run / "faces.json"), "--folders", str(faces)]) == 78

    assert "needs --scenes" in capsys.readouterr().err


def test_the_least_score_is_chosen_on_scenes_and_on_pictures_without_people(run, scenes, empty, capsys):
    card = run / "faces.json"
    places = ("--scenes", str(scenes), "--split", "train", "--empty", str(empty))

    assert main(["calibrate", str(card), *places]) == 0

    assert capsys.readouterr().out.strip() == str(card)
    assert 0.75 < read_detector_card(card)[0].min_score <= 0.95


def test_a_test_split_chooses_nothing(run, scenes, empty, capsys):
    places = ("--scenes", str(scenes), "--split", "test", "--empty", str(empty))

    assert main(["calibrate", str(run / "faces.json"), *places]) == 78

    assert "--split test" in capsys.readouterr().err


def release(run, tmp_path, scenes, *arguments):
    return main(["release", str(run), "--scenes", str(scenes), "--models", str(tmp_path / "models"), *arguments])


def test_a_detector_is_released_with_its_part_of_the_model_card(run, scenes, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "MODEL_CARD.md").write_text("# Model card: masks\n\nReads masks.\n")

    assert release(run, tmp_path, scenes) == 0

    card = read_detector_card(models / "faces.json")[0]
    assert [file.file for file in card.files] == ["faces-128x96.tflite", "faces-96x128.tflite"]
    assert card.metrics["test"]["scenes, split test"]["ap"]["ap_50_16px"] == 1.0
    text = (models / "MODEL_CARD.md").read_text()
    assert text.startswith("# Model card: faces\n")
    assert text.endswith("# Model card: masks\n\nReads masks.\n")
    assert str(tmp_path) not in text + card.to_json()


def test_a_second_release_replaces_the_first(run, scenes, tmp_path):
    release(run, tmp_path, scenes)
    card = read_detector_card(run / "faces.json")[0]
    (run / "faces.json").write_text(card.model_copy(update={"files": card.files[:1]}).to_json())

    assert release(run, tmp_path, scenes) == 0

    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "MODEL_CARD.md",
        "faces-128x96.tflite",
        "faces.json",
    ]
    assert (tmp_path / "models" / "MODEL_CARD.md").read_text().count("# Model card: ") == 1


def test_a_detector_that_lost_too_much_is_not_released(run, scenes, tmp_path, capsys):
    from tests.converter.red_detector import red_cells

    # The float network finds the faces still, the int8 ones were made of another that finds none of the scenes'.
    for path in scenes.parent.glob("*.png"):
        cv2.imwrite(str(path), a_scene(red=120))
    red_cells(threshold=100).save(run / "model.keras")

    assert release(run, tmp_path, scenes) == 3

    assert "accuracy check failed" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_an_error_about_an_unconverted_run_gives_the_command(run, scenes, tmp_path, capsys):
    (run / "faces.json").unlink()

    assert release(run, tmp_path, scenes) == 78
    assert "holds 0 converted models instead of one; make it with 'edge-convert" in capsys.readouterr().err


def test_every_network_is_measured_in_each_runtime(run, capsys):
    assert main(["bench", str(run / "faces.json"), "--threads", "1", "--seconds", "0.05", "--json"]) == 0

    measured = json.loads(capsys.readouterr().out)["measured"]
    assert [(one["path"].rpartition("/")[2], one["runtime"]) for one in measured] == [
        ("faces-128x96.tflite", "litert"),
        ("faces-128x96.tflite", "tflite-runtime"),
        ("faces-96x128.tflite", "litert"),
        ("faces-96x128.tflite", "tflite-runtime"),
    ]
    assert all(one["cost"] for one in measured if HAS_TFLITE_RUNTIME or one["runtime"] == "litert")


@pytest.mark.reference_data
def test_a_detector_is_measured_against_yunet(run, shared, capsys):
    yunet = shared / "weights" / "face_detection_yunet_2023mar.onnx"

    assert main(["bench", str(run / "faces-128x96.tflite"), str(yunet), "--threads", "1", "--seconds", "0.05"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("of YuNet")
    assert "opencv" in lines[-1]


def test_each_network_of_a_card_is_inspected(run, capsys):
    assert main(["inspect", str(run / "faces.json"), "--json"]) == 0

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["path"].rpartition("/")[2] for one in told] == ["faces-128x96.tflite", "faces-96x128.tflite"]
    assert all(one["card"] == "fits" for one in told)


def test_a_damaged_network_of_a_detector_is_reported(run, capsys):
    (run / "faces-96x128.tflite").write_bytes(b"damaged")

    assert main(["inspect", str(run / "faces.json")]) == 78

    assert "SHA-256 differs" in capsys.readouterr().err
