"""Haar cascade shipped with OpenCV 4, no model file needed. Weak on masked and turned faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_agent.domain import Box, Face, Image
from edge_agent.errors import ModelError
from edge_agent.vision.detector.scaling import faces_inside, scaled_down

CASCADE = "haarcascade_frontalface_default.xml"
SCALE_STEP = 1.2
"""Half the time of the usual 1.1; misses one face in ten more on the example recording."""
NEIGHBOURS = 4
# The cascade's last stage returns an unbounded weight, which only ranks the detections; these map it to 0..1.
EVEN_WEIGHT = 1.0
WEIGHT_SLOPE = 1.0


class HaarDetector:
    """OpenCV's cascade for frontal faces. Owned by one thread."""

    def __init__(self, *, min_score: float, min_face_px: float, longer_side_px: int) -> None:
        """Load the cascade. Pictures are scaled to this longer side; smaller faces than `min_face_px` are ignored.

        Raises:
            ModelError: this OpenCV has no cascades, as of version 5.
        """
        if not hasattr(cv2, "CascadeClassifier"):
            raise ModelError(
                f"faces.detector: haar: OpenCV {cv2.__version__} has no cascades; install opencv-python-headless<5, "
                "or choose another detector"
            )
        self._cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / CASCADE))
        if self._cascade.empty():
            raise ModelError(f"faces.detector: haar: {CASCADE} is missing; reinstall opencv-python-headless")
        self._min_score = min_score
        self._min_face_px = min_face_px
        self._longer_side_px = longer_side_px

    def detect(self, image: Image, *, min_score: float | None = None) -> list[Face]:
        """Detect frontal faces, as `FaceDetector`."""
        least = self._min_score if min_score is None else min_score
        scaled, back = scaled_down(image, longer_side_px=self._longer_side_px)
        grey = cv2.equalizeHist(cv2.cvtColor(scaled, cv2.COLOR_BGR2GRAY))
        smallest = max(1, round(self._min_face_px / back))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=SCALE_STEP,
            minNeighbors=NEIGHBOURS,
            minSize=(smallest, smallest),
            outputRejectLevels=True,
        )
        scores = 1.0 / (1.0 + np.exp(-(np.asarray(weights, np.float64).reshape(-1) - EVEN_WEIGHT) * WEIGHT_SLOPE))
        found = [
            (Box(x * back, y * back, (x + w) * back, (y + h) * back), float(score))
            for (x, y, w, h), score in zip(np.asarray(boxes).reshape(-1, 4), scores, strict=True)
            if score >= least
        ]
        return faces_inside(found, image)
