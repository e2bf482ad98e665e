"""Scaling: input size of a detector, and boxes in original coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.domain import Box, Face, Image
from edge_agent.vision.tensors import resize

if TYPE_CHECKING:
    from collections.abc import Iterable

# A picture of this many times its longer side is not a camera's picture any more; what is left after scaling
# the longer side down would be less than a pixel high.
THINNEST_PX = 8


def scaled_down(image: Image, *, longer_side_px: int) -> tuple[Image, float]:
    """Scale a picture to this longer side, up or down; returns it with the factor back to the original."""
    height, width = image.shape[:2]
    factor = longer_side_px / max(height, width)
    scaled = resize(
        image,
        width_px=max(THINNEST_PX, round(width * factor)),
        height_px=max(THINNEST_PX, round(height * factor)),
    )
    return scaled, 1.0 / factor


def faces_inside(found: Iterable[tuple[Box, float]], image: Image) -> list[Face]:
    """Clip boxes to the picture, drop the empty ones, put the surest first."""
    height, width = image.shape[:2]
    faces = [
        Face(clipped, score)
        for box, score in found
        if (clipped := box.clipped(width_px=width, height_px=height)).shorter_side_px >= 1
    ]
    return sorted(faces, key=lambda face: -face.score)
