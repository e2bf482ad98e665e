"""Annotated frame: a camera frame with its tracks and readings, as received from the agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge_agent.bridge.protocol import AnnotatedFace, FrameReply, PersonSign
    from edge_agent.domain import Image


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedFrame:
    """A frame with its unique `number`; boxes of `faces` are in pixels of `image`."""

    camera: str
    number: int
    index: int
    when: str
    image: Image
    faces: tuple[AnnotatedFace, ...]
    nearest: PersonSign | None


def annotated_frame(camera: str, reply: FrameReply, pixels: bytes) -> AnnotatedFrame:
    """Build a frame from the data received over the socket.

    Raises:
        ValueError: the number of pixels does not match the reply.
    """
    image = np.frombuffer(pixels, np.uint8).reshape(reply.height, reply.width, 3)
    return AnnotatedFrame(camera, reply.number, reply.index, reply.when, image, reply.faces, reply.nearest)
