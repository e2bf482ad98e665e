"""Scaling: scales a picture for a detector, and clips its boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Face, Image, Picture
from edge_agent.vision.images import halved
from edge_agent.vision.tensors import resize

if TYPE_CHECKING:
    from collections.abc import Iterable

# Least side after scaling: an extremely long picture would be less than one pixel high.
THINNEST_PX = 8


def scaled_down(image: Image, *, longer_side_px: int) -> tuple[Image, float]:
    """Scale a picture up or down to this longer side; returns it and the factor back to the original's pixels."""
    height, width = image.shape[:2]
    factor = longer_side_px / max(height, width)
    scaled = resize(
        image,
        width_px=max(THINNEST_PX, round(width * factor)),
        height_px=max(THINNEST_PX, round(height * factor)),
    )
    return scaled, 1.0 / factor


def fitting_scale(image_size: tuple[int, int], input_size: tuple[int, int]) -> float:
    """The largest scale at which a picture fits into an input; sizes are (width, height) in pixels."""
    return min(input_size[0] / image_size[0], input_size[1] / image_size[1])


def letterboxed(picture: Picture, *, width_px: int, height_px: int) -> tuple[Image, float]:
    """Scale a picture into the upper left corner of a black input.

    Returns the input, (height_px, width_px, 3), uint8, and the factor from its coordinates to those of the picture.
    """
    height, width = picture.shape[:2]
    scale = fitting_scale((width, height), (width_px, height_px))
    # At least one row and column of an extremely long picture.
    inner_width = min(width_px, max(1, round(width * scale)))
    inner_height = min(height_px, max(1, round(height * scale)))
    # Halved and then interpolated: no pixel is left out. Averaging areas of a picture of 2592x1944 took longer than the
    # network.
    half = halved(picture, width_px=inner_width, height_px=inner_height)
    scaled = np.asarray(cv2.resize(half, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if (inner_width, inner_height) == (width_px, height_px):
        return scaled, 1 / scale
    boxed = np.zeros((height_px, width_px, 3), np.uint8)
    boxed[:inner_height, :inner_width] = scaled
    return boxed, 1 / scale


def faces_inside(found: Iterable[tuple[Box, float]], picture: Picture) -> list[Face]:
    """Clip boxes to the picture and drop empty ones; highest score first."""
    height, width = picture.shape[:2]
    faces = [
        Face(clipped, score)
        for box, score in found
        if (clipped := box.clipped(width_px=width, height_px=height)).shorter_side_px >= 1
    ]
    return sorted(faces, key=lambda face: -face.score)
