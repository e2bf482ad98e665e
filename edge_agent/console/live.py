"""Live: provides the current picture of each camera.

The agent is asked for frames only while a page shows them; each picture is drawn and encoded once for all viewers.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.console.drawing import draw, fit
from edge_agent.vision.detection import PLACE_DIGITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.bridge.client import AgentClient
    from edge_agent.bridge.protocol import AnnotatedFace, FrameReply
    from edge_agent.console.worker import Worker
    from edge_agent.domain import Image

MAX_FPS = 8
"""Frame rate per camera: smooth enough, and a Raspberry Pi can encode it beside detection."""
TICK_SECONDS = 1 / (2 * MAX_FPS)
WIDTHS_PX = (320, 480, 640, 960)
"""Requested widths are rounded up to one of these, which limits the number of encodings."""
JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedFrame:
    """A frame (height, width, 3; uint8 BGR) as the agent has described it."""

    camera: str
    head: FrameReply
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """An annotated frame as JPEG; `head` describes it (JSON)."""

    jpeg: bytes
    head: Mapping[str, Any]
    message: bytes
    """The length of the head as a big-endian uint32, the head as JSON, and the JPEG."""


@dataclass(slots=True, eq=False)
class _Camera:
    newest: AnnotatedFrame | None = None
    asked_at: float = float("-inf")
    asking: asyncio.Task[None] | None = None
    pictures: dict[tuple[int, bool], tuple[AnnotatedFrame, asyncio.Task[LivePicture]]] = field(default_factory=dict)


class Live:
    """The newest frame of each camera, and its pictures. Owned by the event loop."""

    def __init__(self, agent: AgentClient, worker: Worker) -> None:
        """Frames are fetched from `agent`; `worker` draws and encodes them."""
        self._agent, self._worker = agent, worker
        self._cameras: dict[str, _Camera] = {}
        self._tick: asyncio.Future[None] | None = None
        self.encoded = 0
        """Pictures encoded so far, for all viewers."""
        self.viewers = 0
        """Open WebSockets: live pages, displays and webcams together."""

    async def frame(self, camera: str) -> AnnotatedFrame | None:
        """The current frame of a camera, shared by all viewers, at most MAX_FPS a second; None: there is none.

        Raises:
            UnansweredError: the agent does not answer.
        """
        known = self._cameras.setdefault(camera, _Camera())
        if known.asking is None and time.monotonic() - known.asked_at >= 1 / MAX_FPS:
            known.asked_at = time.monotonic()
            known.asking = asyncio.ensure_future(self._ask(camera, known))
        if known.asking is not None:
            # A viewer who leaves must not cancel the request of the others.
            await asyncio.shield(known.asking)
        return known.newest

    async def tick(self) -> None:
        """Wait until there may be a new frame; one timer for all viewers."""
        if self._tick is None or self._tick.done():
            self._tick = asyncio.ensure_future(asyncio.sleep(TICK_SECONDS))
        await asyncio.shield(self._tick)

    async def picture(self, frame: AnnotatedFrame, *, width_px: int = WIDTHS_PX[-1], drawn: bool = True) -> LivePicture:
        """A frame as JPEG of about this width, but never enlarged; encoded once for all viewers.

        Raises:
            BusyError: the worker's queue is full.
        """
        width_px = next((width for width in WIDTHS_PX if width >= width_px), WIDTHS_PX[-1])
        pictures = self._cameras.setdefault(frame.camera, _Camera()).pictures
        known = pictures.get((width_px, drawn))
        if known is None or known[0] is not frame or _has_failed(known[1]):
            self.encoded += 1
            work = asyncio.ensure_future(self._worker.do(_encode, frame, width_px, drawn))
            known = pictures[width_px, drawn] = (frame, work)
        return await asyncio.shield(known[1])

    def forget_frames(self) -> None:
        """Release all frames, once no viewer is left."""
        self._cameras.clear()

    async def _ask(self, camera: str, known: _Camera) -> None:
        try:
            reply, pixels = await self._agent.frame(camera, after=known.newest.head.number if known.newest else 0)
            if not reply.number:
                known.newest = None
            elif pixels:
                image = np.frombuffer(pixels, np.uint8).reshape(reply.height, reply.width, 3)
                known.newest = AnnotatedFrame(camera, reply, image)
            elif known.newest is not None and known.newest.head.number != reply.number:
                # The agent was restarted and numbers its frames from 1.
                known.newest = None
        except Exception:
            known.newest = None
            raise
        finally:
            known.asking = None


def _encode(frame: AnnotatedFrame, width_px: int, drawn: bool) -> LivePicture:
    image, scale = fit(frame.image, width_px=width_px)
    if drawn and frame.head.faces:
        image = draw(image, frame.head.faces, scale=scale)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"a picture of shape {image.shape} cannot be encoded as JPEG")
    jpeg = content.tobytes()
    head = {
        "camera": frame.camera,
        "index": frame.head.index,
        "when": frame.head.when,
        "width": int(image.shape[1]),
        "height": int(image.shape[0]),
        "faces": [_scaled(face, scale) for face in frame.head.faces],
    }
    text = json.dumps(head).encode()
    return LivePicture(jpeg, head, struct.pack(">I", len(text)) + text + jpeg)


def _scaled(face: AnnotatedFace, scale: float) -> dict[str, Any]:
    return {**face.model_dump(mode="json"), "box": [round(side * scale, PLACE_DIGITS) for side in face.box]}


def _has_failed(task: asyncio.Task[LivePicture]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
