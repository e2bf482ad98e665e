"""Quality: how reliably a face can be classified, 0.1 to 1.

Each doubt is a factor 0..1, and the quality is their product. How far a head is turned has no factor of its own, as
faces come without landmarks; what a turned head does show is a box that is narrower than a face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from edge_agent.vision.tensors import cut_region, resize

if TYPE_CHECKING:
    from edge_agent.domain import Box, Face, Image

LOWEST = 0.1
"""A face that was found says something, however bad it looks."""
PATCH_PX = 48
"""Faces are compared at this size, so that a large face is not the sharper for its pixels."""

# Where a doubt is complete and where it ends; between them the factor rises in a straight line.
SIZE_PX = (0.0, 32.0)
SHARPNESS = (0.0, 0.05)
CONTRAST = (0.0, 14.0)
DARK = (0.0, 45.0)
BRIGHT = (255.0, 215.0)
SCORE = (0.0, 0.7)
NARROW = (2.6, 1.6)
CUT_OFF = 0.5
"""A face that reaches the edge of the picture: its rest, and often the mask, is outside."""
EDGE_PX = 1.5


def face_quality(image: Image, face: Face) -> float:
    """How well a mask can be read from a face of a BGR picture, 0.1..1: about 0.05 ms."""
    box = face.box
    patch = cut_region(image, box)
    side = max(8, min(PATCH_PX, *patch.shape[:2]))
    grey = cv2.cvtColor(resize(patch, width_px=side, height_px=side), cv2.COLOR_BGR2GRAY)
    mean, deviation = (float(value[0][0]) for value in cv2.meanStdDev(grey))
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))
    sharpness = (float(edges[0][0]) / max(deviation, 1.0)) ** 2
    product = (
        _rise(box.shorter_side_px, SIZE_PX)
        * _rise(sharpness, SHARPNESS)
        * _rise(deviation, CONTRAST)
        * _rise(mean, DARK)
        * _rise(mean, BRIGHT)
        * _rise(face.score, SCORE)
        * _rise(box.height_px / max(box.width_px, 1.0), NARROW)
        * (CUT_OFF if _is_cut_off(image, box) else 1.0)
    )
    return max(LOWEST, product)


def _rise(value: float, between: tuple[float, float]) -> float:
    """0 at the first of two values and beyond, 1 at the second and beyond."""
    nothing, everything = between
    return min(max((value - nothing) / (everything - nothing), 0.0), 1.0)


def _is_cut_off(image: Image, box: Box) -> bool:
    height, width = image.shape[:2]
    return box.x1 < EDGE_PX or box.y1 < EDGE_PX or box.x2 > width - EDGE_PX or box.y2 > height - EDGE_PX
