"""`edge-convert evaluate`: Keras and TFLite models side by side on the same faces."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from converter.cli import main
from converter.masks.candidates import open_candidates
from converter.masks.outputs import LabelMapping, parse_labels
from converter.masks.overrides import ModelOverrides
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.images import read_picture
from tests.converter.colour_classifier import BLUE, RED, colour_classifier, coloured, scores_of_whole, write_pictures
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


def evaluated(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_keras_file_and_its_conversion_agree(converted, colour_model, faces, capsys):
    told = evaluated(capsys, converted, colour_model, "--folders", faces)

    assert [model["runtime"] for model in told["models"]] == ["litert", "keras"]
    for model in told["models"]:
        assert model["faces"] == 120
        assert model["accuracy"] == 1.0
        assert model["recall"] == {"with_mask": 1.0, "without_mask": 1.0}
        assert model["confusion"]["with_mask"] == {"with_mask": 60, "without_mask": 0}
    (agreement,) = told["agreement"]
    assert agreement["agreement"] == 1.0
    assert agreement["largest_score_difference"] < 0.03


def test_the_device_and_the_evaluation_give_the_same_scores(converted, faces, capsys):
    """Confidence is all that calibration error is made of; it must be the device's own."""
    classifier = open_classifier(converted)
    sure = [max(scores_of_whole(classifier, read_picture(path)).values()) for path in sorted(faces.rglob("*.png"))]

    (model,) = evaluated(capsys, converted, "--folders", faces)["models"]

    assert model["calibration_error"] == pytest.approx(1 - np.mean(sure), abs=1e-6)


def test_scenes_are_judged_by_the_size_of_the_face(converted, tmp_path, capsys):
    scene = np.full((200, 300, 3), 128, np.uint8)
    # A face of 20 px read right, one of 40 px read wrong, one of 10 px that is too small to count.
    scene[10:30, 10:30] = coloured(BLUE, seed=1, side_px=20)
    scene[50:90, 50:90] = coloured(BLUE, seed=2, side_px=40)
    scene[100:110, 100:110] = coloured(RED, seed=3, side_px=10)
    scene[120:190, 120:190] = coloured(RED, seed=4, side_px=70)
    cv2.imwrite(str(tmp_path / "a.png"), scene)
    boxes = [(1, [10, 10, 20, 20]), (2, [50, 50, 40, 40]), (2, [100, 100, 10, 10]), (2, [120, 120, 70, 70])]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "split": "test", "source": "street"}],
        "categories": [{"id": 1, "name": "with_mask"}, {"id": 2, "name": "without_mask"}],
        "annotations": [{"image_id": 1, "category_id": label, "bbox": box} for label, box in boxes],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))

    told = evaluated(capsys, converted, "--scenes", tmp_path / "annotations.json", "--split", "test")

    (model,) = told["models"]
    assert {name: band["accuracy"] for name, band in model["bands"]["size_px"].items()} == {
        "16-24": 1.0,
        "32-48": 0.0,
        "48-100": 1.0,
    }
    assert model["recall"]["without_mask"] == 0.5


@pytest.mark.parametrize(("stated", "margin"), [(0.0, 0.0), (0.1, 0.1), (None, 0.25)])
def test_a_stated_margin_takes_precedence_over_that_of_the_card(converted, colour_model, tmp_path, stated, margin):
    model = tmp_path / converted.name
    shutil.copy(converted, model)
    card = json.loads(converted.with_suffix(".json").read_text()) | {"margin_fraction": 0.25}
    model.with_suffix(".json").write_text(json.dumps(card))

    for labels in (LabelMapping(), parse_labels("with_mask,without_mask")):
        overrides = ModelOverrides(labels, margin_fraction=stated)
        _, of_file = open_candidates([model, colour_model], overrides)
        assert of_file.margin_fraction == margin


@pytest.fixture(scope="module")
def three_labels(keras_3, tmp_path_factory):
    """A Keras classifier of three labels that never reads the third."""
    path = tmp_path_factory.mktemp("three") / "three.keras"
    with quiet_tensorflow():
        colour_classifier(keras_3, units=3).save(path)
    return path


THREE = ("--labels", "with_mask,without_mask,mask_worn_incorrectly")


def test_a_model_with_more_labels_is_judged_on_those_of_the_folders(three_labels, faces, capsys):
    (model,) = evaluated(capsys, three_labels, "--folders", faces, *THREE)["models"]

    assert model["accuracy"] == 1.0
    assert list(model["recall"]) == ["with_mask", "without_mask"]


def test_faces_that_the_device_gives_a_label_of_no_face_are_reported(keras_3, faces, tmp_path, capsys):
    path = tmp_path / "three.keras"
    with quiet_tensorflow():
        model = colour_classifier(keras_3, units=3)
        weights, bias = model.get_layer("scores").get_weights()
        # Blue is the third label, and likelier the first than the second, whatever the preprocessing.
        weights[:, 2], bias[2] = weights[:, 0] * 2, 0
        model.get_layer("scores").set_weights([weights, bias])
        model.save(path)
    arguments = ("--folders", str(faces))
    calibration = ("--calibration", str(faces), "--output", str(tmp_path), "--pixels=-1..1", "--force")
    assert main(["convert", str(path), *THREE, *calibration]) == 0

    (result,) = evaluated(capsys, tmp_path / "three.tflite", *arguments)["models"]
    assert main(["evaluate", str(tmp_path / "three.tflite"), *arguments]) == 0

    assert (result["accuracy"], result["accuracy_with_all_labels"]) == (1.0, 0.5)
    assert "as on the device: accuracy 50.0%" in capsys.readouterr().out


def test_faces_of_labels_that_a_model_lacks_are_left_out_and_counted(converted, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "three")
    write_pictures(tmp_path / "three" / "mask_worn_incorrectly", RED, count=7)

    (model,) = evaluated(capsys, converted, "--folders", tmp_path / "three")["models"]

    assert model["faces"] == 120
    assert model["left_out"] == {"mask_worn_incorrectly": 7}


def test_only_some_labels_can_be_judged(three_labels, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "three")
    write_pictures(tmp_path / "three" / "mask_worn_incorrectly", RED, count=7)
    folders = ("--folders", tmp_path / "three", *THREE)

    (all_labels,) = evaluated(capsys, three_labels, *folders)["models"]
    (two,) = evaluated(capsys, three_labels, *folders, "--only", "with_mask,without_mask")["models"]

    assert (all_labels["faces"], all_labels["recall"]["mask_worn_incorrectly"]) == (127, 0.0)
    assert (two["faces"], two["accuracy"]) == (120, 1.0)


def test_the_gate_is_open_for_a_faithful_conversion(converted, colour_model, faces, capsys):
    told = evaluated(capsys, converted, "--against", colour_model, "--folders", faces)

    assert told["gate"] == {"against": str(colour_model), "passed": True, "objections": []}


@pytest.fixture
def blind(converted, tmp_path):
    """A conversion that reads nearly every face as masked, by its thresholds."""
    shutil.copytree(converted.parent, tmp_path / "blind")
    model = tmp_path / "blind" / converted.name
    card = read_classifier_card(model)[0].model_copy(
        update={"thresholds": {"with_mask": 0.0005, "without_mask": 0.9995}}
    )
    model.with_suffix(".json").write_text(card.to_json())
    return model


def test_the_gate_stays_closed_for_a_model_that_misses_bare_faces(blind, colour_model, faces, capsys):
    told = evaluated(capsys, blind, "--against", colour_model, "--folders", faces, status=3)

    assert told["gate"]["passed"] is False
    assert "recall of without_mask is 0.0% against 100.0%" in told["gate"]["objections"][0]


def test_the_gate_shows_labels_in_the_wrong_order(converted, colour_model, faces, tmp_path, capsys):
    shutil.copytree(converted.parent, tmp_path / "swapped")
    model = tmp_path / "swapped" / converted.name
    card = read_classifier_card(model)[0].model_copy(update={"labels": ("without_mask", "with_mask")})
    model.with_suffix(".json").write_text(card.to_json())

    assert main(["evaluate", str(model), "--against", str(colour_model), "--folders", str(faces)]) == 3

    said = capsys.readouterr()
    assert "the labels seem to be in the wrong order" in said.out
    assert "convert it again with --labels with_mask,without_mask" in said.err


def test_the_default_output_is_a_table(converted, colour_model, faces, capsys):
    assert main(["evaluate", str(converted), "--against", str(colour_model), "--folders", str(faces)]) == 0

    said = capsys.readouterr().out
    assert "120 faces, accuracy 100.0% (96.9..100.0)" in said
    assert "agree on 120 of 120 faces" in said
    assert "accuracy check passed" in said


def test_unreadable_pictures_are_listed_and_the_rest_is_judged(converted, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "some")
    (tmp_path / "some" / "with_mask" / "000.png").write_bytes(b"no picture")

    told = evaluated(capsys, converted, "--folders", tmp_path / "some")

    assert told["models"][0]["faces"] == 119
    (reason,) = told["unreadable"]
    assert reason.startswith(f"{tmp_path / 'some/with_mask/000.png'}: ")


def test_faces_of_which_one_label_cannot_be_read_are_refused(converted, faces, tmp_path):
    shutil.copytree(faces, tmp_path / "some")
    for picture in (tmp_path / "some" / "with_mask").iterdir():
        picture.write_bytes(b"no picture")

    assert main(["evaluate", str(converted), "--folders", str(tmp_path / "some")]) == 78


def test_faces_that_a_model_cannot_tell_apart_are_refused(converted, tmp_path, capsys):
    write_pictures(tmp_path / "some" / "with_mask", BLUE, count=2)
    write_pictures(tmp_path / "some" / "mask_worn_incorrectly", BLUE, count=2)

    assert main(["evaluate", str(converted), "--folders", str(tmp_path / "some")]) == 78
    assert "distinguishes with_mask, without_mask, the faces are of mask_worn_incorrectly, with_mask" in (
        capsys.readouterr().err
    )


def test_a_model_without_its_card_is_refused(converted, faces, tmp_path, capsys):
    shutil.copy(converted, tmp_path / "alone.tflite")

    assert main(["evaluate", str(tmp_path / "alone.tflite"), "--folders", str(faces)]) == 78
    assert "its card alone.json is missing" in capsys.readouterr().err
