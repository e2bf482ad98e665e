"""`edge-convert release`: from a training run into models/, through the accuracy check."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from converter.cli import main
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(colour_model, faces, tmp_path, capsys):
    """A training run with its converted model."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(colour_model, folder / "model.keras")
    told = {
        "name": "colours",
        "labels": ["with_mask", "without_mask"],
        "margin_fraction": 0.1,
        "pixels": "-1..1",
        "training_data": ["street"],
    }
    (folder / "run.json").write_text(json.dumps(told))
    assert main(["convert", str(folder), "--calibration", str(faces), "--output", str(folder)]) == 0
    capsys.readouterr()
    return folder


def release(run, tmp_path, *arguments):
    return main(["release", str(run), "--models", str(tmp_path / "models"), "--name", "masks", *map(str, arguments)])


def test_a_run_that_passes_the_gate_is_released_with_card_and_model_card(keras_3, run, faces, tmp_path):
    assert release(run, tmp_path, "--folders", faces) == 0

    model = tmp_path / "models" / "masks.tflite"
    card = read_classifier_card(model)[0]
    open_classifier(model)
    assert model.read_bytes() == (run / "colours.tflite").read_bytes()
    weights, of_run = (
        keras_3.models.load_model(path, compile=False).get_weights()
        for path in (model.with_suffix(".keras"), run / "model.keras")
    )
    assert all(map(np.array_equal, weights, of_run))
    assert (card.name, card.margin_fraction, card.training_data) == ("masks", 0.1, ["street"])
    (result,) = card.metrics["test"].values()
    assert result["faces"] == 120
    text = (tmp_path / "models" / "MODEL_CARD.md").read_text()
    assert text.startswith("# Model card: masks\n")
    assert str(tmp_path) not in text


def test_a_run_that_fails_the_gate_changes_nothing(run, faces, tmp_path, capsys):
    release(run, tmp_path, "--folders", faces)
    before = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    card = read_classifier_card(run / "colours.tflite")[0].model_copy(
        update={"thresholds": {"with_mask": 0.0005, "without_mask": 0.9995}, "temperature": 0.9}
    )
    (run / "colours.json").write_text(card.to_json())

    assert release(run, tmp_path, "--folders", faces) == 3

    assert "accuracy check failed" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()} == before


def test_an_error_about_an_unconverted_run_gives_the_command(run, faces, tmp_path, capsys):
    (run / "colours.tflite").unlink()

    assert release(run, tmp_path, "--folders", faces) == 78
    assert "holds 0 converted models instead of one; make it with 'edge-convert convert" in capsys.readouterr().err


def test_a_model_card_with_results_on_training_pictures_is_refused(run, tmp_path, capsys):
    assert release(run, tmp_path, "--scenes", "annotations.json", "--split", "train") == 78
    assert "must not report accuracy on training data" in capsys.readouterr().err


def test_a_release_without_faces_to_judge_on_is_refused(run, tmp_path, capsys):
    assert release(run, tmp_path) == 78
    assert "no test data; give --scenes or --folders" in capsys.readouterr().err
