"""Native logging: silences OpenCV's messages on stderr, because the agent logs the same failures itself."""

from __future__ import annotations

import cv2

OPENCV_SAYS_NOTHING = 0  # LOG_LEVEL_SILENT


def silence() -> None:
    """Silence OpenCV for this process; PyAV keeps FFmpeg silent by itself."""
    # cv2.utils.logging in OpenCV 5, cv2 itself in OpenCV 4.
    logging = getattr(cv2.utils, "logging", cv2)
    logging.setLogLevel(OPENCV_SAYS_NOTHING)
