"""Detection: faces and readings of a single picture, without tracking or rules."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.domain import Face, Image
    from edge_agent.vision.classifier import Classification, MaskClassifier
    from edge_agent.vision.detector import FaceDetector

# More digits would be false precision.
SCORE_DIGITS, PLACE_DIGITS, ELAPSED_DIGITS = 4, 1, 2


@dataclass(frozen=True, slots=True)
class Detection:
    """All faces of one picture, including small ones; `elapsed_ms` are the durations of `faces` and `masks`."""

    width_px: int
    height_px: int
    faces: tuple[tuple[Face, Classification], ...]
    elapsed_ms: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `edge-agent detect --json` and the console's API; boxes in pixels of the picture."""
        return {
            "width": self.width_px,
            "height": self.height_px,
            "faces": [_as_json(*face) for face in self.faces],
            "elapsed_ms": {stage: round(value, ELAPSED_DIGITS) for stage, value in self.elapsed_ms.items()},
        }


def detect(image: Image, detector: FaceDetector, classifier: MaskClassifier) -> Detection:
    """Detect and classify every face of a picture (BGR, uint8); false detections are omitted."""
    began = time.perf_counter()
    faces = detector.detect(image)
    found = time.perf_counter()
    readings = [classifier.classify(image, face.box) for face in faces]
    read = time.perf_counter()
    return Detection(
        width_px=image.shape[1],
        height_px=image.shape[0],
        faces=tuple(pair for pair in zip(faces, readings, strict=True) if pair[1].is_face),
        elapsed_ms={"faces": 1000 * (found - began), "masks": 1000 * (read - found)},
    )


def _as_json(face: Face, reading: Classification) -> dict[str, Any]:
    box = face.box
    return {
        "box": [round(side, PLACE_DIGITS) for side in (box.x1, box.y1, box.x2, box.y2)],
        "face_score": round(face.score, SCORE_DIGITS),
        "label": reading.label,
        "label_score": round(reading.score, SCORE_DIGITS),
        "scores": {label: round(score, SCORE_DIGITS) for label, score in reading.scores.items()},
    }
