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


def in_words(label: Label, score: float) -> str:
    """A reading in a few words: `no mask 98%`."""
    return f"{WORDS[label]} {score:.0%}"


def annotate(image: Image, faces: Iterable[tuple[Box, Label, float]]) -> Image:
    """Draw box, label and score of each face into a copy of a picture (BGR, uint8); line width scales with its size."""
    drawn = image.copy()
    unit = max(1.0, max(image.shape[:2]) / 640)
    for box, label, score in faces:
        draw_face(drawn, box, in_words(label, score), colour=COLOURS[label], width_px=round(2 * unit), unit=unit)
    return drawn


def draw_face(
    image: Image, box: Box, text: str, *, colour: tuple[int, int, int], width_px: int, unit: float = 1.0
) -> None:
    """Draw a box, and white text on a coloured label above it, or below if there is no room; inside the picture.

    `width_px` is that of the box's lines; `unit` scales the text.
    """
    box_left, box_top, box_right, box_bottom = box.as_ints()
    cv2.rectangle(image, (box_left, box_top), (box_right, box_bottom), colour, width_px, cv2.LINE_AA)
    size, thickness = 0.42 * unit, max(1, round(unit))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    tall = height + below + round(2 * unit)
    left = max(0, min(box_left - round(unit), image.shape[1] - width - round(4 * unit)))
    top = box_top - tall if box_top >= tall else max(0, min(box_bottom, image.shape[0] - tall))
    cv2.rectangle(image, (left, top), (left + width + round(4 * unit), top + tall), colour, cv2.FILLED)
    start = (left + round(2 * unit), top + height + round(unit))
    cv2.putText(image, text, start, cv2.FONT_HERSHEY_SIMPLEX, size, WHITE, thickness, cv2.LINE_AA)
