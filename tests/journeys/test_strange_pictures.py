"""Unusual pictures and models: a result or one clear error, never a crash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.config.model import shipped
from tests.faces import COLLINS, portrait
from tests.journeys.agent import run_command

if TYPE_CHECKING:
    from pathlib import Path

WIDEST_PX = 8000
NEEDS_CASCADES = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Pictures of every layout and shape; each holds one bare face or none."""
    folder = tmp_path / "strange"
    folder.mkdir()
    face = portrait(COLLINS)
    pictures = {
        "grey.png": cv2.cvtColor(face, cv2.COLOR_BGR2GRAY),
        "four_channels.png": cv2.cvtColor(face, cv2.COLOR_BGR2BGRA),
        "sixteen_bit.png": face.astype(np.uint16) * 257,
        "one_pixel.png": np.zeros((1, 1, 3), np.uint8),
        "one_pixel_high.png": np.full((1, 640, 3), 99, np.uint8),
        "one_pixel_wide.png": np.full((640, 1, 3), 99, np.uint8),
        "wide.png": cv2.copyMakeBorder(face, 0, 0, 0, WIDEST_PX - face.shape[1], cv2.BORDER_REPLICATE),
    }
    for name, pixels in pictures.items():
        cv2.imwrite(str(folder / name), pixels)
    return folder


@pytest.mark.parametrize("detector", ["tflite", pytest.param("haar", marks=NEEDS_CASCADES)])
def test_detect_accepts_pictures_of_every_layout_and_shape(strange, detector):
    (strange / "empty.png").write_bytes(b"")

    done = run_command("detect", "--json", "--set", f"faces.detector={detector}", strange)

    assert done.returncode == 1, done.stderr
    found = {line["path"].rpartition("/")[2]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "error" in found.pop("empty.png")
    assert len(found) == 7
    assert all("error" not in line for line in found.values())
    for name in ("grey.png", "four_channels.png", "sixteen_bit.png"):
        assert found[name]["faces"], name
    assert found["one_pixel.png"]["faces"] == []
    assert (found["wide.png"]["width"], found["one_pixel_high.png"]["height"]) == (WIDEST_PX, 1)


def test_detect_names_an_unreadable_picture_once(tmp_path):
    path = tmp_path / "missing.jpg"

    done = run_command("detect", path)

    assert done.returncode == 1
    assert done.stderr.count(str(path)) == 1


@pytest.mark.parametrize(
    ("detector", "model", "sentence"),
    [
        ("tflite", "masks.json", "not a card of a face detector"),
        ("tflite", "masks.tflite", "is a network; give the card (.json)"),
        ("tflite", "nowhere.json", "no such card of a face detector"),
        ("yunet", "masks.tflite", "not a YuNet face detector"),
        ("yunet", "masks.json", "not a YuNet face detector"),
        ("ssd", "masks.tflite", "needs exactly one .pbtxt beside it"),
    ],
)
def test_a_file_that_is_not_a_detector_is_rejected_with_one_sentence(strange, detector, model, sentence):
    path = shipped("models") / model

    done = run_command("detect", "--set", f"faces.detector={detector}", "--set", f"faces.model={path}", strange)

    assert done.returncode == 78
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
