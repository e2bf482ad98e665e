"""Pixels: converts the picture of a source to BGR uint8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_agent.domain import Image


def as_bgr(pixels: NDArray[Any]) -> Image:
    """Convert grey, BGR or BGRA pixels to BGR uint8, (height, width, 3).

    Accepts uint8 and uint16 of shape (height, width) or (height, width, channels).

    Raises:
        ValueError: another shape or dtype; the message names it.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.uint8:
        channels = 1 if pixels.ndim == 2 else pixels.shape[-1]  # noqa: PLR2004  (two axes: height and width)
        if channels == 3:  # noqa: PLR2004  (blue, green, red)
            return pixels
        if channels in (1, 4):
            order = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
            return np.asarray(cv2.cvtColor(pixels, order), np.uint8)
    raise ValueError(f"pixels of {pixels.dtype} in shape {pixels.shape} are not grey, BGR or BGRA")
