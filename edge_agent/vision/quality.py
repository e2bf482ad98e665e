"""Quality: how reliably a face can be classified, 0.1 to 1.

The quality is the product of factors 0..1, one per criterion. There is none for the head's rotation, because detections
have no landmarks; but a turned head has a narrower box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from edge_agent.vision.tensors import cut_region, resize

if TYPE_CHECKING:
    from edge_agent.domain import Box, Face, Picture

LOWEST = 0.1
"""Least quality: even the worst detected face is some evidence."""
PATCH_PX = 48
"""Size to which faces are scaled down, so that sharpness does not depend on their size."""

# For each criterion, the values at which its factor is 0 and 1; it is linear in between.
SIZE_PX = (0.0, 32.0)
SHARPNESS = (0.0, 0.05)
CONTRAST = (0.0, 14.0)
DARK = (0.0, 45.0)
BRIGHT = (255.0, 215.0)
SCORE = (0.0, 0.7)
NARROW = (2.6, 1.6)
CUT_OFF = 0.5
"""Factor for a face at the edge of the picture: part of it, often the mask, is outside."""
EDGE_PX = 1.5


def face_quality(picture: Picture, face: Face) -> float:
    """How reliably a face in a picture can be classified, 0.1..1; takes about 0.05 ms."""
    box = face.box
    patch = cut_region(picture, box)
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
        * (CUT_OFF if _is_cut_off(picture, box) else 1.0)
    )
    return max(LOWEST, product)


def _rise(value: float, between: tuple[float, float]) -> float:
    """A linear ramp: 0 at the first value and beyond, 1 at the second and beyond."""
    nothing, everything = between
    return min(max((value - nothing) / (everything - nothing), 0.0), 1.0)


def _is_cut_off(picture: Picture, box: Box) -> bool:
    height, width = picture.shape[:2]
    return box.x1 < EDGE_PX or box.y1 < EDGE_PX or box.x2 > width - EDGE_PX or box.y2 > height - EDGE_PX
