"""res10 SSD of OpenCV's samples, common in tutorials: a TensorFlow graph (.pb with its .pbtxt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Face, Image
from edge_agent.errors import ModelError
from edge_agent.vision.card import model_bytes
from edge_agent.vision.detector.scaling import faces_inside

if TYPE_CHECKING:
    from pathlib import Path

INPUT_PX = 300
MEAN_BGR = (104.0, 177.0, 123.0)
"""Subtracted in the network's training."""
ROW = 7
"""picture, class, score, x1, y1, x2, y2 as fractions of the picture."""


class SsdDetector:
    """The res10 network, with a fixed input of 300x300. Owned by one thread."""

    def __init__(self, graph: bytes, text: bytes, *, name: str, min_score: float, min_face_px: float) -> None:
        """Load the contents of its files and run the network on an empty picture; `name` is for errors.

        Smaller faces than `min_face_px` are ignored.

        Raises:
            ModelError: it is not such a network.
        """
        self._min_score = min_score
        self._min_face_px = min_face_px
        try:
            self._network = cv2.dnn.readNetFromTensorflow(np.frombuffer(graph, np.uint8), np.frombuffer(text, np.uint8))
            self.detect(np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8))
        except (cv2.error, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(f"{name}: not the res10 face detector: {reason}") from error

    def detect(self, image: Image, *, min_score: float | None = None) -> list[Face]:
        """Detect faces, as `FaceDetector`."""
        least = self._min_score if min_score is None else min_score
        height, width = image.shape[:2]
        self._network.setInput(cv2.dnn.blobFromImage(image, 1.0, (INPUT_PX, INPUT_PX), MEAN_BGR))
        rows = np.asarray(self._network.forward()).reshape(-1, ROW)
        found = [
            (Box(x1 * width, y1 * height, x2 * width, y2 * height), min(1.0, max(0.0, score)))
            for _, _, score, x1, y1, x2, y2 in rows.tolist()
            if score >= least
        ]
        faces = faces_inside(found, image)
        return [face for face in faces if face.box.shorter_side_px >= self._min_face_px]


def text_beside(model: Path) -> bytes:
    """The description of the graph: the only .pbtxt file in the model's folder.

    Raises:
        ModelError: there is none, or more than one, or it cannot be read.
    """
    texts = sorted(model.parent.glob("*.pbtxt"))
    if len(texts) != 1:
        found = ", ".join(text.name for text in texts) or "none"
        raise ModelError(f"{model}: needs exactly one .pbtxt beside it that describes the graph; found: {found}")
    return model_bytes(texts[0])
