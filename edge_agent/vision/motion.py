"""Motion gate: skips frames without change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.vision.planes import Planes

if TYPE_CHECKING:
    from edge_agent.config.model import MotionConfig
    from edge_agent.domain import Frame, Picture

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
        grey = _small_grey(frame.picture)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey.astype(np.float32)
            return True
        change = cv2.absdiff(grey, cv2.convertScaleAbs(self._background))
        cv2.accumulateWeighted(grey, self._background, LEARNING_RATE)
        return float(np.count_nonzero(change > PIXEL_CHANGE)) / change.size >= self._config.min_changed_fraction


def _small_grey(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = picture.shape[:2]
    factor = min(1.0, COMPARED_LONG_SIDE_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # Averages four pixels instead of all, at a tenth of the cost; the blur below removes the remaining noise.
    if isinstance(picture, Planes):
        grey = picture.grey(width_px=size[0], height_px=size[1])
    else:
        small = cv2.resize(np.asarray(picture), size, interpolation=cv2.INTER_LINEAR)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
    return np.asarray(cv2.GaussianBlur(grey, (5, 5), 0), np.uint8)
