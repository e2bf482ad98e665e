"""Live: what does each camera see just now, and as which picture is it shown?

The agent's thread leaves a reference to what it saw; a picture is drawn and encoded once however many look, and not at
all while nobody does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

from edge_agent.console.drawing import draw, fit
from edge_agent.console.sight import SeenFace, Sight
from edge_agent.domain import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.console.desk import Desk
    from edge_agent.domain import Box, Decision, Frame, Outcome, Reading

MOST_PER_SECOND = 8
"""Pictures of one camera; a person sees that it moves, and a Raspberry Pi encodes so many beside its work."""
TICK_SECONDS = 1 / (2 * MOST_PER_SECOND)
HELD_SECONDS = 1.0
"""Between the frames in which faces are looked for, at two a second in the worst case, the newest such one is shown."""
WIDTHS_PX = (320, 480, 640, 960)
"""What is asked for becomes the next of these, so that nobody makes the device encode a hundred sizes."""
JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """A sight as it is shown; `head` says in JSON what is in it."""

    sight: Sight
    jpeg: bytes
    head: Mapping[str, Any]
    message: bytes
    """Both in one: the length of the head as a big-endian uint32, the head, the JPEG."""


class Live:
    """The newest sight of each camera, and its pictures.

    The agent's thread calls `saw` and `looked_away`, the event loop all else. What passes between them is one reference
    a camera in a dict, which needs no lock: a lock that a thread of low priority holds would make the watching wait.
    """

    def __init__(self, desk: Desk) -> None:
        """Pictures are drawn and encoded at this desk."""
        self._desk = desk
        # The agent's thread writes these two.
        self._newest: dict[str, Sight] = {}
        self._known: dict[str, dict[int, SeenFace]] = {}
        self._numbers = itertools.count(1)
        # The event loop owns the rest.
        self._shown: dict[str, tuple[Sight, float]] = {}
        self._pictures: dict[tuple[str, int, bool], tuple[Sight, asyncio.Task[LivePicture]]] = {}
        self._tick: asyncio.Future[None] | None = None
        self.encoded = 0
        """Pictures so far, for everybody together."""

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        """Take note of a frame and of who was seen in it."""
        newest = self._newest.get(frame.camera)
        if not outcome.analysed:
            # Frames in between have nobody in them because nobody looked: boxes would flicker.
            if newest is not None and newest.faces and frame.taken_at - newest.frame.taken_at < HELD_SECONDS:
                return
            self._known.pop(frame.camera, None)
            self._newest[frame.camera] = Sight(next(self._numbers), frame, ())
            return
        faces = self._faces(frame.camera, outcome)
        self._newest[frame.camera] = Sight(next(self._numbers), frame, faces)

    def looked_away(self, camera: str) -> None:
        """Show nothing more of a camera."""
        self._newest.pop(camera, None)
        self._known.pop(camera, None)

    def shown(self, camera: str, *, at: float) -> Sight | None:
        """What is shown of a camera now: the same to everybody, and no more than MOST_PER_SECOND a second."""
        newest = self._newest.get(camera)
        if newest is None:
            self._shown.pop(camera, None)
            return None
        shown = self._shown.get(camera)
        if shown is None or (newest is not shown[0] and at - shown[1] >= 1 / MOST_PER_SECOND):
            shown = self._shown[camera] = (newest, at)
        return shown[0]

    async def tick(self) -> None:
        """Wait until there may be something new; one timer for all who wait."""
        if self._tick is None or self._tick.done():
            loop = asyncio.get_running_loop()
            self._tick = loop.create_future()
            loop.call_later(TICK_SECONDS, _set, self._tick)
        await asyncio.shield(self._tick)

    async def picture(self, sight: Sight, *, width_px: int = WIDTHS_PX[-1], drawn: bool = True) -> LivePicture:
        """Give a sight as a picture of about this width, no wider than the frame.

        Raises:
            BusyError: too much is waiting to be encoded.
        """
        width_px = next((width for width in WIDTHS_PX if width >= width_px), WIDTHS_PX[-1])
        key = (sight.frame.camera, width_px, drawn)
        known = self._pictures.get(key)
        if known is None or known[0] is not sight or _has_failed(known[1]):
            self.encoded += 1
            work = asyncio.ensure_future(self._desk.do(_encode, sight, width_px, drawn))
            known = self._pictures[key] = (sight, work)
        # One who leaves must not take the picture from the others.
        return await asyncio.shield(known[1])

    def forget_pictures(self) -> None:
        """Let go of what was encoded: nobody looks any more."""
        self._pictures.clear()
        self._shown.clear()

    def _faces(self, camera: str, outcome: Outcome) -> tuple[SeenFace, ...]:
        """Everybody in a frame. Who is decided is not read in every one; what was read last still holds."""
        before = self._known.get(camera, {})
        readings = {reading.track.id: reading for reading in outcome.readings}
        decisions = {verdict.track.id: verdict.decision for verdict in outcome.verdicts}
        faces = tuple(
            _seen(track.face.box, track.id, readings.get(track.id), decisions.get(track.id), before.get(track.id))
            for track in outcome.tracks
        )
        self._known[camera] = {face.track: face for face in faces}
        return faces


def now() -> float:
    """The clock of everything live: monotonic seconds."""
    return time.monotonic()


def _seen(
    box: Box, track: int, reading: Reading | None, decision: Decision | None, before: SeenFace | None
) -> SeenFace:
    known = decision or (before.decision if before else "undecided")
    if reading is not None:
        return SeenFace(box, track, reading.label, reading.score, known)
    return SeenFace(box, track, before.label if before else None, before.score if before else 0.0, known)


def _encode(sight: Sight, width_px: int, drawn: bool) -> LivePicture:
    """Draw and encode; takes milliseconds, without the interpreter's lock for most of them."""
    frame = sight.frame
    image, scale = fit(frame.image, width_px=width_px)
    if drawn and sight.faces:
        image = draw(image, sight.faces, scale=scale)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"a picture of shape {image.shape} cannot be encoded as JPEG")
    jpeg = content.tobytes()
    head = {
        "camera": frame.camera,
        "index": frame.index,
        "when": timestamp(frame.taken_when),
        "width": int(image.shape[1]),
        "height": int(image.shape[0]),
        "faces": [face.as_json(scale) for face in sight.faces],
    }
    said = json.dumps(head).encode()
    return LivePicture(sight, jpeg, head, struct.pack(">I", len(said)) + said + jpeg)


def _has_failed(task: asyncio.Task[LivePicture]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
