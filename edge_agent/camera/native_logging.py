"""Native logging: how are OpenCV and FFmpeg kept from writing to stderr what the agent says itself, once and better?"""

from __future__ import annotations

import os

import cv2

FFMPEG_SAYS_NOTHING = "-8"  # AV_LOG_QUIET of libavutil/log.h
OPENCV_SAYS_NOTHING = 0  # LOG_LEVEL_SILENT


def silence() -> None:
    """Silence both for this process, unless OPENCV_FFMPEG_LOGLEVEL asks for more.

    FFmpeg reads the variable when the first stream or recording is opened, and never again.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_SAYS_NOTHING)
    # OpenCV 5 moved it, and 4 does not have it there yet.
    logging = getattr(cv2.utils, "logging", cv2)
    logging.setLogLevel(OPENCV_SAYS_NOTHING)
