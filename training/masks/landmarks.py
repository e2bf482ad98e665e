"""Landmarks: detects faces with pupils, tip of the nose and lip corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from edge_agent.domain import Box, Image
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Point: TypeAlias = "NDArray[np.float64]"
"""x, y in pixels of the picture: shape (2,)."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceLandmarks:
    """A detected face. Right and left are the person's own, as in YuNet."""

    box: Box
    score: float
    right_eye: Point
    left_eye: Point
    nose: Point
    mouth_right: Point
    mouth_left: Point


class LandmarkDetector:
    """YuNet from a file. Owned by one thread.

    Detects tight crops as well: their edge is repeated around the picture, as the network was trained on faces with
    surroundings.
    """

    BORDER_FRACTION = 0.25
    LONGER_SIDE_PX = 320

    def __init__(self, model: Path, *, min_score: float) -> None:
        """Load the ONNX file and run the network on an empty picture.

        Raises:
            ModelError: the file is missing or not a YuNet network.
        """
        if not model.is_file():
            raise ModelError(f"{model}: no such file; give the path of a YuNet face detector (ONNX)")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(model), "", (320, 320), min_score, 0.3, 50)
            self._detector.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            reason = " ".join(str(error.err).split())[:160]
            raise ModelError(f"{model}: not a YuNet face detector that OpenCV can run: {reason}") from error

    def detect(self, image: Image) -> list[FaceLandmarks]:
        """Faces of a picture, largest first."""
        height, width = image.shape[:2]
        border = round(max(height, width) * self.BORDER_FRACTION)
        framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
        scale = self.LONGER_SIDE_PX / max(framed.shape[:2])
        size = (round(framed.shape[1] * scale), round(framed.shape[0] * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._detector.setInputSize(size)
        _, rows = self._detector.detect(cv2.resize(framed, size, interpolation=method))
        faces = [_face(row.astype(np.float64), scale, border) for row in ([] if rows is None else rows)]  # type: ignore[redundant-expr]  # None where no face is
        return sorted(faces, key=lambda face: -face.box.area_px)


def _face(row: NDArray[np.float64], scale: float, border: int) -> FaceLandmarks:
    points = row[:14].reshape(7, 2) / scale
    x, y = points[0] - border
    width, height = points[1]
    eyes_nose_mouth = points[2:] - border
    return FaceLandmarks(Box(x, y, x + width, y + height), float(row[14]), *eyes_nose_mouth)
