"""Transform: crops and rotates the pictures of a camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Image, Picture

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0}

WHOLE = (0.0, 0.0, 1.0, 1.0)


def is_transformed(config: CameraConfig) -> bool:
    """Whether the pictures of a camera are changed at all."""
    return bool(config.rotate) or config.flip != "none" or config.roi != WHOLE


def transform(picture: Picture, config: CameraConfig) -> Picture:
    """Rotate, flip and crop a picture, in this order; all later stages, including alerts, see only the result."""
    if not is_transformed(config):
        return picture
    image: Image = np.asarray(picture)
    if config.rotate:
        image = np.asarray(cv2.rotate(image, _TURNS[config.rotate]), np.uint8)
    if config.flip != "none":
        image = np.asarray(cv2.flip(image, _FLIPS[config.flip]), np.uint8)
    if config.roi != WHOLE:
        height_px, width_px = image.shape[:2]
        left, right = _pixels(config.roi[0], config.roi[2], width_px)
        top, bottom = _pixels(config.roi[1], config.roi[3], height_px)
        # A copy, because a view would keep the whole picture alive.
        image = image[top:bottom, left:right].copy()
    return image


def _pixels(begin: float, end: float, side_px: int) -> tuple[int, int]:
    """A range of at least one pixel."""
    first = min(round(begin * side_px), side_px - 1)
    return first, max(round(end * side_px), first + 1)
