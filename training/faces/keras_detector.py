"""Keras detector: runs a detector network on pictures, with the device's postprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edge_agent.vision.detector.decoding import decode
from edge_agent.vision.detector.scaling import letterboxed
from training.faces.network import levels_of

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from edge_agent.domain import Image

    Detections: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

MIN_SCORE = 0.02
"""Detections below are noise; average precision needs those above."""


class KerasDetector:
    """A network at one input size, rotated for portrait pictures."""

    def __init__(self, network: keras.Model, *, longer_px: int, shorter_px: int, min_score: float = MIN_SCORE) -> None:
        """Both sides are multiples of 32."""
        self._sides = longer_px, shorter_px
        self._min_score = min_score
        self._network = network

    def __call__(self, image: Image) -> Detections:
        """Boxes x1, y1, x2, y2 in pixels of a BGR picture, (n, 4), and scores (n,), highest first."""
        longer, shorter = self._sides
        is_landscape = image.shape[1] >= image.shape[0]
        width, height = (longer, shorter) if is_landscape else (shorter, longer)
        pixels, back = letterboxed(image, width_px=width, height_px=height)
        outputs = self._network.predict_on_batch(pixels[np.newaxis].astype(np.float32))
        boxes, scores = decode(levels_of(outputs, 0), min_score=self._min_score)
        limits = np.tile(np.array([image.shape[1], image.shape[0]], np.float32), 2)
        return np.clip(boxes * np.float32(back), 0, limits), scores
