"""Detection: the result for a single picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_agent.domain import Box, Face
from edge_agent.vision.classifier import Classification
from edge_agent.vision.detection import detect

if TYPE_CHECKING:
    from edge_agent.domain import Picture

PICTURE = np.zeros((48, 64, 3), np.uint8)


class TwoFaces:
    """Finds a large face and a tiny one."""

    def detect(self, picture: Picture, *, min_score: float | None = None) -> list[Face]:
        return [Face(Box(1.23, 2.34, 41.0, 44.56), 0.98765), Face(Box(50, 1, 54, 6), 0.61)]


class LargeOnesAreBare:
    """Classifies faces wider than 20 px as bare; optionally rejects others as false detections."""

    def __init__(self, *, rejects_small: bool = False) -> None:
        self.rejects_small = rejects_small

    def classify(self, picture: Picture, box: Box) -> Classification:
        is_large = box.width_px > 20
        bare = 0.987654 if is_large else 0.25
        return Classification(
            "without_mask" if bare > 0.5 else "with_mask",
            {"with_mask": 1 - bare, "without_mask": bare},
            is_face=is_large or not self.rejects_small,
        )


def test_every_face_has_a_reading_small_ones_too():
    seen = detect(PICTURE, TwoFaces(), LargeOnesAreBare())  # type: ignore[arg-type]

    assert [(face.label, face.label_score) for face in seen.faces] == [("without_mask", 0.987654), ("with_mask", 0.75)]


def test_false_detections_are_omitted():
    seen = detect(PICTURE, TwoFaces(), LargeOnesAreBare(rejects_small=True))  # type: ignore[arg-type]

    assert [face.label for face in seen.faces] == ["without_mask"]


def test_json_output_is_in_pixels_and_rounded():
    written = detect(PICTURE, TwoFaces(), LargeOnesAreBare()).model_dump(mode="json")  # type: ignore[arg-type]

    assert (written["width"], written["height"]) == (64, 48)
    assert written["faces"][0] == {
        "box": [1.2, 2.3, 41.0, 44.6],
        "face_score": 0.9877,
        "label": "without_mask",
        "label_score": 0.9877,
        "scores": {"with_mask": 0.0123, "without_mask": 0.9877},
    }
    assert set(written["elapsed_ms"]) == {"faces", "masks"}
