"""Letterboxing: fits a picture into the fixed input of a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge_agent.domain import Image


def fitting_scale(image_size: tuple[int, int], input_size: tuple[int, int]) -> float:
    """The factor by which a picture fills an input without being cut; sizes are (width, height) in pixels."""
    return min(input_size[0] / image_size[0], input_size[1] / image_size[1])


def letterboxed(image: Image, *, width_px: int, height_px: int) -> tuple[Image, float]:
    """Scale a picture into the upper left of a black input of this size.

    Returns the input's pixels, (height_px, width_px, 3), and the factor back to the original. In the upper left,
    so that the way back is that one factor.
    """
    height, width = image.shape[:2]
    scale = fitting_scale((width, height), (width_px, height_px))
    # However long and thin, a picture keeps a row and a column.
    inner_width = min(width_px, max(1, round(width * scale)))
    inner_height = min(height_px, max(1, round(height * scale)))
    scaled = _scaled(image, width_px=inner_width, height_px=inner_height)
    if (inner_width, inner_height) == (width_px, height_px):
        return scaled, 1 / scale
    boxed = np.zeros((height_px, width_px, 3), np.uint8)
    boxed[:inner_height, :inner_width] = scaled
    return boxed, 1 / scale


def _scaled(image: Image, *, width_px: int, height_px: int) -> Image:
    """Halve a picture while at least half of it goes, then interpolate, which leaves out none of the rest.

    OpenCV computes the means of four pixels far faster than those of any other share: a picture of 2592x1944 took
    longer to scale by these than the network takes to run.
    """
    while (columns := image.shape[1] // 2) >= width_px and (rows := image.shape[0] // 2) >= height_px:
        halved = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
        image = np.asarray(halved, np.uint8)
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)
