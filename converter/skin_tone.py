"""Skin tone: estimates the skin tone of a bare face for evaluation by group.

The individual typology angle of the cheeks, atan((L* - 50) / b*) in degrees (A. Chardon et al., "Skin colour typology
and suntanning pathways", 1991): above 55 very light, below -30 dark. Lighting and camera shift it, so it is meaningful
for grouping many faces, not for a single one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.domain import Box, Image

CHEEKS = ((0.18, 0.36), (0.64, 0.82))
"""Left to right, as fractions of the face's width; a turned face shows skin in at least one of them."""
CHEEK_ROWS = (0.45, 0.62)
"""Between pupils and lips, as fractions of the face's height."""
THIRDS = ("darkest third", "middle third", "lightest third")


def typology_angle(image: Image, face: Box) -> float | None:
    """The angle in degrees of a bare face in a picture, BGR, uint8; None if the cheeks are outside the picture."""
    top, bottom = (round(face.y1 + share * face.height_px) for share in CHEEK_ROWS)
    pixels = []
    for left, right in CHEEKS:
        x1, x2 = (round(face.x1 + share * face.width_px) for share in (left, right))
        cheek = image[max(top, 0) : max(bottom, 0), max(x1, 0) : max(x2, 0)]
        pixels.append(cheek.reshape(-1, 3))
    skin = np.concatenate(pixels)
    if not len(skin):
        return None
    lab = cv2.cvtColor((skin[np.newaxis] / 255).astype(np.float32), cv2.COLOR_BGR2Lab)[0]
    lightness, _, yellow = np.median(lab, axis=0)
    return math.degrees(math.atan2(float(lightness) - 50, max(float(yellow), 1e-3)))


def thirds_of(angles: Sequence[float | None]) -> list[str | None]:
    """The third of all angles that each belongs to; None where there is no angle."""
    known = [angle for angle in angles if angle is not None]
    if len(known) < len(THIRDS):
        return [None] * len(angles)
    limits = np.quantile(known, (1 / 3, 2 / 3))
    return [None if angle is None else THIRDS[int(np.searchsorted(limits, angle))] for angle in angles]
