"""Anonymise: makes bystanders in a picture unrecognisable, and draws the scene of an alert without them.

Pure: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from edge_agent.domain import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edge_agent.domain import Face, Frame, Image, Picture, Track

# Hair, ears and chin make a face recognisable, but are outside a detector's box.
MARGIN_FRACTION = 0.25
# 4 by 4 cells are unrecognisable: people and programs alike need eight times as many.
CELLS = 4
LONG_SIDE_PX = 960
"""Enough to show the place and where people stand; the crop has the face in full resolution."""
JPEG_QUALITY = 80
"""About 100 kB per scene."""
HEAD_MARGIN_FRACTION = 0.5
"""A crop shows only part of a bystander's head, a scene all of it, including hair and hat."""
SAME_FACE_OVERLAP = 0.3
"""A detection that overlaps a face by more (IoU) is the same face; two people rarely overlap so much."""

DrawScene: TypeAlias = "Callable[[Frame, int, Sequence[Track]], bytes | None]"
"""Draws the scene of an alert from its frame, the id of its track, and all tracks; None: scenes are not stored."""


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


def draw_scene(detect: Callable[[Picture], list[Face]], frame: Frame, track: int, tracks: Sequence[Track]) -> bytes:
    """Return the whole frame as JPEG, scaled down; of the `tracks` in it only the face of `track` stays visible.

    All other tracks are hidden, including those that the rules ignore, and everything else that may be a face:
    `detect`, which finds those, should have a low threshold.
    """
    own = next(other.face.box for other in tracks if other.id == track)
    others = [other.face.box for other in tracks if other.id != track]
    perhaps = [face.box for face in detect(frame.picture)]
    others += [box for box in perhaps if box.overlap(own) < SAME_FACE_OVERLAP]
    scale = min(LONG_SIDE_PX / max(frame.width_px, frame.height_px), 1.0)
    size = round(frame.width_px * scale), round(frame.height_px * scale)
    image = frame.image
    if scale < 1.0:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    hidden = without_faces(
        image,
        [_scaled(box, scale) for box in others],
        except_for=_scaled(own, scale),
        margin_fraction=HEAD_MARGIN_FRACTION,
    )
    _, content = cv2.imencode(".jpg", hidden, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return content.tobytes()


def _scaled(box: Box, scale: float) -> Box:
    return Box(box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale)
