"""Anonymise: makes bystanders in a picture unrecognisable.

Pure: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Box, Image

# Hair, ears and chin make a face recognisable, but are outside a detector's box.
MARGIN_FRACTION = 0.25
# 4 by 4 cells are unrecognisable: people and programs alike need eight times as many.
CELLS = 4


def without_faces(
    image: Image,
    faces: Iterable[Box],
    *,
    except_for: Box | None = None,
    margin_fraction: float = MARGIN_FRACTION,
) -> Image:
    """Copy a picture (BGR, uint8) with these faces replaced by an irreversible mosaic.

    Pixels inside `except_for` are unchanged, even where a hidden face overlaps it.
    """
    height_px, width_px = image.shape[:2]
    changed = image.copy()
    for face in faces:
        x1, y1, x2, y2 = face.grown(margin_fraction).clipped(width_px=width_px, height_px=height_px).as_ints()
        if x2 > x1 and y2 > y1:
            # From the original picture: a mosaic of a mosaic would be finer.
            cells = cv2.resize(image[y1:y2, x1:x2], (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            changed[y1:y2, x1:x2] = cv2.resize(cells, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    if except_for is not None:
        x1, y1, x2, y2 = except_for.clipped(width_px=width_px, height_px=height_px).as_ints()
        changed[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return changed
