"""`edge-convert calibrate`: fits a card to validation faces; the device then uses it."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from converter.cli import main
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier
from tests.converter.colour_classifier import BLUE, RED, RUNTIMES, coloured, scores_of_whole, write_pictures

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def model(converted, tmp_path):
    """A copy of the converted model that may be changed."""
    shutil.copytree(converted.parent, tmp_path / "model")
    return tmp_path / "model" / converted.name


@pytest.fixture
def hard_faces(tmp_path):
    """Faces of which every tenth has the colour of the other label: the model is sure, and wrong."""
    folder = tmp_path / "hard"
    for label, colour, other in (("with_mask", BLUE, RED), ("without_mask", RED, BLUE)):
        write_pictures(folder / label, colour, count=90)
        for number in range(10):
            cv2.imwrite(str(folder / label / f"other{number}.png"), coloured(other, seed=number))
    return folder


def test_the_confidence_of_an_overconfident_model_is_calibrated(model, hard_faces, capsys):
    assert main(["calibrate", str(model), "--folders", str(hard_faces)]) == 0

    card = read_classifier_card(model)[0]
    assert card.temperature > 1.5
    assert card.thresholds == {}
    assert card.metrics["validation"]["calibration_error"] < 0.02
    assert "calibration error 0.098 -> " in capsys.readouterr().err


def test_the_device_uses_the_fitted_card(model, hard_faces):
    before = scores_of_whole(open_classifier(model), coloured(BLUE, seed=1))["with_mask"]

    main(["calibrate", str(model), "--folders", str(hard_faces)])

    for runtime in RUNTIMES:
        after = scores_of_whole(open_classifier(model, runtime=runtime), coloured(BLUE, seed=1))["with_mask"]
        assert after == pytest.approx(0.9, abs=0.02)
        assert after < before


def test_thresholds_are_chosen_for_a_share_of_false_alarms(model, hard_faces):
    assert main(["calibrate", str(model), "--folders", str(hard_faces), "--false-alarms", "0.2"]) == 0

    card = read_classifier_card(model)[0]
    assert sum(card.thresholds.values()) == pytest.approx(1.0, abs=1e-3)
    # A fifth of the masked faces may be called bare: the threshold falls to its limit.
    assert card.thresholds["without_mask"] == pytest.approx(0.1)


@pytest.mark.parametrize(("share", "complaint"), [("0", "0 cannot be measured"), ("2", "'2' is not a number, 0 to 1")])
def test_a_share_of_false_alarms_is_above_zero_and_at_most_one(model, hard_faces, capsys, share, complaint):
    with pytest.raises(SystemExit):
        main(["calibrate", str(model), "--folders", str(hard_faces), "--false-alarms", share])
    assert complaint in capsys.readouterr().err


def test_too_few_faces_change_nothing(model, tmp_path, capsys):
    write_pictures(tmp_path / "few" / "with_mask", BLUE, count=10)
    write_pictures(tmp_path / "few" / "without_mask", RED, count=10)
    before = model.with_suffix(".json").read_bytes()

    assert main(["calibrate", str(model), "--folders", str(tmp_path / "few")]) == 78

    assert "20 faces to fit its card to, 100 are needed" in capsys.readouterr().err
    assert model.with_suffix(".json").read_bytes() == before


def test_calibration_refuses_a_test_split(model, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "scenes.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))

    assert main(["calibrate", str(model), "--scenes", str(tmp_path / "scenes.json"), "--split", "test"]) == 78
    assert "--split test" in capsys.readouterr().err
