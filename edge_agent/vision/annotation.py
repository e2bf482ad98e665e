"""Annotation: draws faces and readings into a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Box, Image, Label

# BGR. Also distinguishable with red-green colour blindness: blue, orange, violet.
COLOURS: dict[Label, tuple[int, int, int]] = {
    "with_mask": (200, 140, 30),
    "without_mask": (0, 110, 240),
    "mask_worn_incorrectly": (190, 60, 150),
}
WORDS: dict[Label, str] = {
    "with_mask": "mask",
    "without_mask": "no mask",
    "mask_worn_incorrectly": "worn incorrectly",
}
WHITE = (255, 255, 255)


def annotate(image: Image, faces: Iterable[tuple[Box, Label, float]]) -> Image:
    """Draw box, label and score of each face into a copy of a picture (BGR, uint8); line width scales with its size."""
    drawn = image.copy()
    unit = max(1.0, max(image.shape[:2]) / 640)
    for box, label, score in faces:
        x1, y1, x2, y2 = box.as_ints()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), COLOURS[label], round(2 * unit), cv2.LINE_AA)
        write_beside(drawn, f"{WORDS[label]} {score:.0%}", (x1, y1, y2), colour=COLOURS[label], unit=unit)
    return drawn


def write_beside(
    image: Image, text: str, place: tuple[int, int, int], *, colour: tuple[int, int, int], unit: float = 1.0
) -> None:
    """Write white text on a coloured label above a box, or below if there is no room; always inside the picture.

    `place` is left, top and bottom of the box in pixels; `unit` scales the text.
    """
    size, thickness = 0.42 * unit, max(1, round(unit))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    tall = height + below + round(2 * unit)
    box_left, box_top, box_bottom = place
    left = max(0, min(box_left - round(unit), image.shape[1] - width - round(4 * unit)))
    top = box_top - tall if box_top >= tall else max(0, min(box_bottom, image.shape[0] - tall))
    cv2.rectangle(image, (left, top), (left + width + round(4 * unit), top + tall), colour, cv2.FILLED)
    start = (left + round(2 * unit), top + height + round(unit))
    cv2.putText(image, text, start, cv2.FONT_HERSHEY_SIMPLEX, size, WHITE, thickness, cv2.LINE_AA)
