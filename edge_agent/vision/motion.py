"""Motion gate: skips frames without change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge_agent.config.model import MotionConfig
    from edge_agent.domain import Frame, Image

COMPARED_LONG_SIDE_PX = 320
"""Longer side to which frames are scaled for comparison: a face of 16 px in 400 is still 13 px."""
PIXEL_CHANGE = 18
"""Grey levels; sensor noise after the blur stays below 10 in the tested recordings."""
LEARNING_RATE = 0.05
"""Share of the new frame in the background: a moved chair is forgotten after about a second at 25 frames/s."""


class MotionGate:
    """Compares each frame with a running average of earlier ones. One per camera, owned by one thread."""

    def __init__(self, config: MotionConfig) -> None:
        """Start without a background: the first frame always counts as change."""
        self._config = config
        self._background: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None

    def sees_change(self, frame: Frame) -> bool:
        """Whether more of the frame than `min_changed_fraction` differs from the background."""
        if not self._config.enabled:
            return True
        grey = _small_grey(frame.image)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey.astype(np.float32)
            return True
        change = cv2.absdiff(grey, cv2.convertScaleAbs(self._background))
        cv2.accumulateWeighted(grey, self._background, LEARNING_RATE)
        return float(np.count_nonzero(change > PIXEL_CHANGE)) / change.size >= self._config.min_changed_fraction


def _small_grey(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = image.shape[:2]
    factor = min(1.0, COMPARED_LONG_SIDE_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # Averages four pixels instead of all, at a tenth of the cost; the blur below removes the remaining noise.
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (5, 5), 0), np.uint8)
