"""Detection: the boxes that a classifier learns in pictures without annotations: faces, or parts without a face."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.domain import Box, Image
from edge_agent.vision.detector.tflite import open_tflite_detector
from training.masks.landmarks import LandmarkDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MIN_YUNET_SCORE = 0.6
MIN_DETECTED_PX = 20
"""Smaller detections in photographs of people are mostly false."""
PARTS_PER_PICTURE = 3
MIN_PART_PX = 24
MAX_PART_FRACTION = 0.9
"""Of the shorter side of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """What gives the boxes of a picture."""

    identity: str
    """Differs between detectors with different boxes."""
    detect: Callable[[Image], list[Box]]
    """From a picture, BGR, uint8, to boxes in its pixels, largest first."""


def open_detector(model: Path) -> Detector:
    """Open a released face detector by its card, with the minimum score there, or else a YuNet model (ONNX).

    Raises:
        ModelError: the file is missing, or not such a detector.
    """
    if model.suffix == ".json":
        released = open_tflite_detector(model, min_score=None, min_face_px=MIN_DETECTED_PX)
        return Detector(released.sha256, lambda image: _largest_first(face.box for face in released.detect(image)))
    yunet = LandmarkDetector(model, min_score=MIN_YUNET_SCORE)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    return Detector(sha256, lambda image: _largest_first(face.box for face in yunet.detect(image)))


def _largest_first(boxes: Iterable[Box]) -> list[Box]:
    return sorted((box for box in boxes if box.shorter_side_px >= MIN_DETECTED_PX), key=lambda box: -box.area_px)


def _random_parts(image: Image) -> list[Box]:
    """Square parts of a picture, of all sizes; the same for the same picture."""
    height, width = image.shape[:2]
    largest = MAX_PART_FRACTION * min(width, height)
    random = np.random.default_rng(zlib.crc32(image.tobytes()))
    sides = np.exp(random.uniform(np.log(min(MIN_PART_PX, largest)), np.log(largest), PARTS_PER_PICTURE)).tolist()
    corners = [(random.uniform(0, width - side), random.uniform(0, height - side), side) for side in sides]
    return _largest_first(Box(left, top, left + side, top + side) for left, top, side in corners)


RANDOM_PARTS = Detector("random parts", _random_parts)
"""Gives square parts of a picture without people."""
