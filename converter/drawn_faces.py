"""Drawn faces: synthetic pictures for the golden vectors of every card.

Drawn, so that no card contains a portrait. They are small, differ in the features that mask classifiers use, and are
the same in every run.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge_agent.domain import Image

SIDE_PX = 32
_DRAWN_PX = 256


def drawn_faces() -> list[Image]:
    """Faces of four skin tones: bare, light mask, dark mask, nose uncovered; 32x32, BGR, uint8."""
    skins = ((170, 195, 235), (120, 150, 200), (70, 95, 140), (40, 60, 95))
    masks = ((None, 0), ((215, 190, 150), 135), ((40, 35, 35), 135), ((240, 240, 240), 178))
    return [_face(skin=skin, mask=mask, mask_top=top) for skin in skins for mask, top in masks]


def as_png(image: Image) -> str:
    """The picture as a base64-encoded PNG."""
    _, data = cv2.imencode(".png", image)
    return base64.b64encode(data.tobytes()).decode()


def _face(*, skin: tuple[int, int, int], mask: tuple[int, int, int] | None, mask_top: int) -> Image:
    picture = np.full((_DRAWN_PX, _DRAWN_PX, 3), (150, 140, 120), np.uint8)
    hair = tuple(part // 4 for part in skin)
    cv2.ellipse(picture, (128, 118), (92, 112), 0, 0, 360, hair, cv2.FILLED)
    cv2.ellipse(picture, (128, 140), (78, 104), 0, 0, 360, skin, cv2.FILLED)
    for x in (98, 158):
        cv2.ellipse(picture, (x, 118), (15, 8), 0, 0, 360, (250, 250, 250), cv2.FILLED)
        cv2.circle(picture, (x, 118), 7, (50, 40, 30), cv2.FILLED)
        cv2.ellipse(picture, (x, 101), (19, 7), 0, 180, 360, hair, 5)
    shade = tuple(part * 3 // 4 for part in skin)
    cv2.line(picture, (128, 125), (120, 160), shade, 5)
    cv2.line(picture, (120, 160), (138, 163), shade, 5)
    cv2.ellipse(picture, (128, 194), (30, 10), 0, 0, 360, (90, 80, 190), cv2.FILLED)
    if mask is not None:
        outline = np.array(
            [(58, mask_top + 12), (128, mask_top), (198, mask_top + 12), (182, 216), (128, 240), (74, 216)]
        )
        cv2.fillPoly(picture, [outline], mask)
        for y in range(mask_top + 25, 216, 22):
            cv2.line(picture, (72, y), (184, y), tuple(part * 7 // 8 for part in mask), 3)
    return np.asarray(cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)
