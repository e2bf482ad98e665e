"""Faces for tests: real people in the public domain, bare and masked, without any reference data.

    from tests.faces import COLLINS, HOPPER, portrait, person, scene, street

Needs the dev and train extras (the portraits come with scikit-image and matplotlib). Every call returns a fresh array
that a test may write into.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.domain import Box, Image
from examples.make_recording import RECORDING, events, frames
from examples.make_recording import street as example_street
from examples.people import COLLINS, HOPPER, Portrait, cut_out, masked_picture, picture

__all__ = [
    "COLLINS",
    "HOPPER",
    "RECORDING",
    "Portrait",
    "events",
    "face_box",
    "frames",
    "person",
    "portrait",
    "scene",
    "street",
]


def portrait(who: Portrait, *, masked: bool = False) -> Image:
    """The photograph, (height, width, 3) BGR, optionally with a drawn mask."""
    return (masked_picture(who) if masked else picture(who)).copy()


def face_box(who: Portrait, *, scale: float = 1.0, at: tuple[float, float] = (0.0, 0.0)) -> Box:
    """The face's box in `portrait(who)`, or after `scene` has placed it at a scale and position."""
    x1, y1, x2, y2 = who.face
    return Box(at[0] + x1 * scale, at[1] + y1 * scale, at[0] + x2 * scale, at[1] + y2 * scale)


def person(who: Portrait, *, masked: bool = False) -> Image:
    """The person without the background, (height, width, 4) BGRA, as large as the photograph."""
    return cut_out(who, masked=masked).copy()


def street() -> Image:
    """A scene without people: a brick wall with a door, (360, 640, 3) BGR."""
    return example_street().copy()


def scene(
    *people: tuple[Portrait, bool, float, tuple[float, float]], width_px: int = 640, height_px: int = 360
) -> tuple[Image, list[Box]]:
    """Put people, each as (who, masked, scale, (left, top)), in front of the wall.

    Returns the picture, (height_px, width_px, 3) BGR, and each one's true face box in the order given.
    """
    background = cv2.resize(example_street(), (width_px, height_px)).astype(np.float32)
    boxes = []
    for who, masked, scale, (left, top) in people:
        pose = np.array([[scale, 0, left], [0, scale, top]], np.float64)
        layer = cv2.warpAffine(cut_out(who, masked=masked), pose, (width_px, height_px), flags=cv2.INTER_AREA)
        share = layer[..., 3:].astype(np.float32) / 255
        background += share * (layer[..., :3] - background)
        boxes.append(face_box(who, scale=scale, at=(left, top)))
    return np.clip(background, 0, 255).astype(np.uint8), boxes
