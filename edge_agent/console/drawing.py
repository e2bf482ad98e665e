"""Drawing: draws boxes, track numbers, readings and verdicts into a live picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.vision.annotation import COLOURS, WORDS, write_beside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.bridge.protocol import AnnotatedFace
    from edge_agent.domain import Decision, Image

UNREAD = (120, 120, 120)
"""BGR; for faces without a reading."""
SIGNS: dict[Decision, str] = {"violation": "!", "compliant": "ok", "undecided": "?"}
"""Printed after the track number; OpenCV's fonts have only ASCII."""


def fit(image: Image, *, width_px: int) -> tuple[Image, float]:
    """Scale a picture (height, width, 3) down to this width; returns it, unchanged if it fits, and the scale."""
    height, width = image.shape[:2]
    if width <= width_px:
        return image, 1.0
    scale = width_px / width
    size = (width_px, max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def draw(image: Image, faces: Iterable[AnnotatedFace], *, scale: float) -> Image:
    """Draw into a copy. `scale` is the picture's size relative to the frame that the boxes refer to.

    Decided tracks get a thick box, undecided ones a thin one.
    """
    drawn = image.copy()
    for face in faces:
        colour = COLOURS[face.label] if face.label else UNREAD
        x1, y1, x2, y2 = (round(side * scale) for side in face.box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 1 if face.decision == "undecided" else 3, cv2.LINE_AA)
        words = f" {WORDS[face.label]} {face.score:.0%}" if face.label else ""
        write_beside(drawn, f"#{face.track} {SIGNS[face.decision]}{words}", (x1, y1, y2), colour=colour)
    return drawn
