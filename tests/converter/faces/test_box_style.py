"""Box style: what a detector loses by the style of its boxes is distinguished from missed faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from converter.faces.box_style import fit_box_style, with_moved_boxes
from converter.faces.candidates import DetectorCandidate
from edge_agent.domain import Box, Face
from edge_agent.errors import ConfigError
from training.faces.scenes import Scene

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = np.zeros((0, 4), np.float32)
FOUND = Box(100, 40, 140, 100)
DRAWN = (102.0, 58.0, 138.0, 106.0)
"""Its centre lies a fifth of the detection's height lower; nine tenths as wide, eight tenths as high."""


def finds(*faces: Face) -> DetectorCandidate:
    return DetectorCandidate("yunet", lambda _image: list(faces), 0.6)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    cv2.imwrite(str(tmp_path / "scene.png"), np.zeros((200, 300, 3), np.uint8))
    return [Scene(tmp_path / "scene.png", "street", np.array([DRAWN], np.float32), NOTHING, 0.0)] * 30


def test_boxes_are_moved_to_match_the_annotations(scenes):
    (face,) = with_moved_boxes(finds(Face(FOUND, 0.9)), scenes).detect(np.zeros((200, 300, 3), np.uint8))

    assert face.score == 0.9
    assert (face.box.x1, face.box.y1, face.box.x2, face.box.y2) == pytest.approx(DRAWN, abs=0.1)


def test_unsure_and_false_detections_do_not_count_for_the_box_style(scenes):
    candidate = finds(Face(FOUND, 0.9), Face(Box(104, 50, 160, 120), 0.3), Face(Box(10, 10, 60, 60), 0.9))

    style = fit_box_style(candidate, scenes)

    assert (style.down_fraction, style.width_factor, style.height_factor) == pytest.approx((0.2, 0.9, 0.8))


def test_a_detector_that_finds_too_little_has_no_style(scenes):
    with pytest.raises(ConfigError, match="yunet: finds 29 annotated faces, too few"):
        fit_box_style(finds(Face(FOUND, 0.9)), scenes[1:])
