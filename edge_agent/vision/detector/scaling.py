"""Scaling: scales a picture for a detector, and clips its boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.domain import Box, Face, Image, Picture
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


def faces_inside(found: Iterable[tuple[Box, float]], picture: Picture) -> list[Face]:
    """Clip boxes to the picture and drop empty ones; highest score first."""
    height, width = picture.shape[:2]
    faces = [
        Face(clipped, score)
        for box, score in found
        if (clipped := box.clipped(width_px=width, height_px=height)).shorter_side_px >= 1
    ]
    return sorted(faces, key=lambda face: -face.score)
