"""YuNet (Apache-2.0, ShiqiYu/libfacedetection.train): an ONNX file run by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from edge_agent.domain import Box, Face, Image
from edge_agent.errors import ModelError
from edge_agent.vision.detector.scaling import faces_inside, scaled_down

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERLAP_ALLOWED = 0.45
"""Boxes overlapping more (IoU) are the same face; the value of the network's authors."""
MAX_CANDIDATES = 5000
ROW = 15
"""x, y, width, height, five landmarks as x, y, score."""


class YuNetDetector:
    """A YuNet network of any release. Owned by one thread."""

    def __init__(self, content: bytes, *, name: str, min_score: float, min_face_px: float, longer_side_px: int) -> None:
        """Load the content of its file and run the network on an empty picture; `name` is for errors.

        Pictures are scaled to this longer side; smaller faces than `min_face_px` are ignored.

        Raises:
            ModelError: it is not a YuNet network.
        """
        try:
            self._detector = cv2.FaceDetectorYN.create(
                "onnx",
                np.frombuffer(content, np.uint8),
                np.zeros(0, np.uint8),
                (64, 64),
                nms_threshold=OVERLAP_ALLOWED,
                top_k=MAX_CANDIDATES,
            )
            self._detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            reason = " ".join(str(error.err).split())[:160]
            raise ModelError(f"{name}: not a YuNet face detector that OpenCV can run: {reason}") from error
        self._min_score = min_score
        self._min_face_px = min_face_px
        self._longer_side_px = longer_side_px

    def detect(self, image: Image, *, min_score: float | None = None) -> list[Face]:
        """Detect faces, as `FaceDetector`."""
        self._detector.setScoreThreshold(self._min_score if min_score is None else min_score)
        scaled, back = scaled_down(image, longer_side_px=self._longer_side_px)
        self._detector.setInputSize((scaled.shape[1], scaled.shape[0]))
        # None if there is no face, contrary to OpenCV's annotation.
        rows = cast("NDArray[np.float32] | None", self._detector.detect(scaled)[1])
        if rows is None:
            return []
        found = [
            (Box(x * back, y * back, (x + w) * back, (y + h) * back), min(1.0, max(0.0, score)))
            for x, y, w, h, *_, score in rows.reshape(-1, ROW).tolist()
            if min(w, h) * back >= self._min_face_px
        ]
        return faces_inside(found, image)
