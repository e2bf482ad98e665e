"""Live: provides the current picture of each camera.

The agent is asked for frames only while a page shows them; each picture is drawn and encoded once for all viewers.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.bridge.shared import Shared
from edge_agent.domain import Box
from edge_agent.vision.annotation import COLOURS, draw_face, in_words
from edge_agent.vision.tensors import resize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.bridge.client import AgentClient
    from edge_agent.bridge.protocol import AnnotatedFace, FrameReply
    from edge_agent.console.worker import Worker
    from edge_agent.domain import Decision, Image

MAX_FPS = 8
"""Frame rate per camera: smooth enough, and a Raspberry Pi can encode it beside detection."""
TICK_SECONDS = 1 / (2 * MAX_FPS)
WIDTHS_PX = (320, 480, 640, 960)
"""Requested widths are rounded up to one of these, which limits the number of encodings."""
JPEG_QUALITY = 75
UNREAD = (120, 120, 120)
"""BGR; for faces without a reading."""
SIGNS: dict[Decision, str] = {"violation": "!", "compliant": "ok", "undecided": "?"}
"""Printed after the track number; OpenCV's fonts have only ASCII."""


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """A frame as JPEG. `number` and `when` are those of the frame."""

    number: int
    when: str
    jpeg: bytes
    message: bytes
    """The length of a description as a big-endian uint32, the description as JSON, and the JPEG."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame (height, width, 3; uint8 BGR) as the agent has described it, and its pictures by width and drawing."""

    head: FrameReply
    image: Image
    pictures: dict[tuple[int, bool], asyncio.Task[LivePicture]] = field(default_factory=dict)


class _Camera:
    """Fetches the frames of a camera, while somebody wants them, and keeps the newest."""

    def __init__(self, name: str, agent: AgentClient) -> None:
        self._name, self._agent = name, agent
        self._known: _Frame | None = None
        self.newest = Shared(self._fetch, seconds=1 / MAX_FPS)

    async def _fetch(self) -> _Frame | None:
        number = self._known.head.number if self._known else 0
        head, pixels = await self._agent.frame(self._name, after=number)
        if pixels:
            self._known = _Frame(head, np.frombuffer(pixels, np.uint8).reshape(head.height, head.width, 3))
        elif head.number != number:
            # There is no frame, or the agent was restarted and numbers its frames from 1.
            self._known = None
        return self._known


class Live:
    """The newest frame of each camera as pictures. Owned by the event loop."""

    def __init__(self, agent: AgentClient, worker: Worker) -> None:
        """Frames are fetched from `agent`; `worker` draws and encodes them."""
        self._agent, self._worker = agent, worker
        self._cameras: dict[str, _Camera] = {}
        self._tick = Shared(lambda: asyncio.sleep(TICK_SECONDS), seconds=0.0)
        self.encoded = 0
        """Pictures encoded so far, for all viewers."""
        self.viewers = 0
        """Open WebSockets: live pages, displays and webcams together."""

    async def picture(
        self, camera: str, *, width_px: int = WIDTHS_PX[-1], drawn: bool = True, after: int = 0
    ) -> LivePicture | None:
        """The current frame of a camera, at most MAX_FPS a second, as JPEG of about this width, but never enlarged.

        Encoded once for all viewers. None: there is no frame, or it is still the one with the number `after`.

        Raises:
            UnansweredError: the agent does not answer.
            BusyError: the worker's queue is full.
        """
        known = self._cameras.setdefault(camera, _Camera(camera, self._agent))
        frame = await known.newest.get()
        if frame is None or frame.head.number == after:
            return None
        kind = next((width for width in WIDTHS_PX if width >= width_px), WIDTHS_PX[-1]), drawn
        picture = frame.pictures.get(kind)
        if picture is None or _has_failed(picture):
            self.encoded += 1
            picture = asyncio.ensure_future(self._worker.do(_encode, camera, frame.head, frame.image, *kind))
            frame.pictures[kind] = picture
        # A viewer who leaves must not cancel the work for the others.
        return await asyncio.shield(picture)

    async def tick(self) -> None:
        """Wait until there may be a new frame; one timer for all viewers."""
        await self._tick.get()

    def forget_frames(self) -> None:
        """Release all frames, once no viewer is left."""
        self._cameras.clear()


def _encode(camera: str, frame: FrameReply, image: Image, width_px: int, drawn: bool) -> LivePicture:
    scale = min(1.0, width_px / frame.width)
    if scale < 1:
        image = resize(image, width_px=width_px, height_px=max(1, round(frame.height * scale)))
    faces = [face.model_copy(update={"box": tuple(side * scale for side in face.box)}) for face in frame.faces]
    if drawn and faces:
        image = _draw(image, faces)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"a picture of shape {image.shape} cannot be encoded as JPEG")
    jpeg = content.tobytes()
    head = {
        "camera": camera,
        "index": frame.index,
        "when": frame.when,
        "width": int(image.shape[1]),
        "height": int(image.shape[0]),
        "faces": [face.model_dump(mode="json") for face in faces],
    }
    text = json.dumps(head).encode()
    return LivePicture(frame.number, frame.when, jpeg, struct.pack(">I", len(text)) + text + jpeg)


def _draw(image: Image, faces: Iterable[AnnotatedFace]) -> Image:
    """Draw into a copy: a thick box for a decided track, a thin one for an undecided track."""
    drawn = image.copy()
    for face in faces:
        words = f" {in_words(face.label, face.score)}" if face.label else ""
        draw_face(
            drawn,
            Box(*face.box),
            f"#{face.track} {SIGNS[face.decision]}{words}",
            colour=COLOURS[face.label] if face.label else UNREAD,
            width_px=1 if face.decision == "undecided" else 3,
        )
    return drawn


def _has_failed(task: asyncio.Task[LivePicture]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
