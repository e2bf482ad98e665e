"""Frames: the current frame of each camera with its tracks and readings."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.bridge.protocol import AnnotatedFace, PersonSign
from edge_agent.vision.detection import PLACE_DIGITS, SCORE_DIGITS

if TYPE_CHECKING:
    from edge_agent.domain import Decision, Frame, Outcome, Reading, Track

HELD_SECONDS = 1.0
"""Between the frames that are analysed, at two a second in the worst case, the newest such one is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedFrame:
    """A frame, everybody in it, and who is nearest; `number` tells it from all others."""

    number: int
    frame: Frame
    faces: tuple[AnnotatedFace, ...]
    nearest: PersonSign | None


class AnnotatedFrames:
    """The newest annotated frame of each camera.

    The thread of a camera records its frames, another reads: what passes is one reference, which needs no lock. Nothing
    is copied, drawn or encoded here.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._newest: dict[str, AnnotatedFrame] = {}
        self._known: dict[str, dict[int, AnnotatedFace]] = {}
        self._numbers = itertools.count(1)

    def record(self, frame: Frame, outcome: Outcome) -> None:
        """Take note of a frame that went through the whole path, and of who was seen in it."""
        newest = self._newest.get(frame.camera)
        if outcome.analysed:
            faces = self._faces(frame.camera, outcome)
        elif newest is not None and newest.faces and frame.taken_at - newest.frame.taken_at < HELD_SECONDS:
            # Frames in between hold no faces because they were not analysed: boxes would flicker.
            return
        else:
            faces = ()
            self._known.pop(frame.camera, None)
        who = outcome.nearest
        nearest = None if who is None else PersonSign(track=who.track, sign=who.sign)
        self._newest[frame.camera] = AnnotatedFrame(next(self._numbers), frame, faces, nearest)

    def forget(self, camera: str) -> None:
        """Show nothing more of a camera."""
        self._newest.pop(camera, None)
        self._known.pop(camera, None)

    def newest(self, camera: str) -> AnnotatedFrame | None:
        """Give the newest frame of a camera; None while it shows nothing."""
        return self._newest.get(camera)

    def _faces(self, camera: str, outcome: Outcome) -> tuple[AnnotatedFace, ...]:
        """Everybody in a frame. Who is decided is not classified in every one; the last reading still holds."""
        before = self._known.get(camera, {})
        readings = {reading.track.id: reading for reading in outcome.readings}
        decisions = {verdict.track.id: verdict.decision for verdict in outcome.verdicts}
        faces = tuple(
            _annotated(track, readings.get(track.id), decisions.get(track.id), before.get(track.id))
            for track in outcome.tracks
        )
        self._known[camera] = {face.track: face for face in faces}
        return faces


def _annotated(
    track: Track, reading: Reading | None, decision: Decision | None, before: AnnotatedFace | None
) -> AnnotatedFace:
    box, classified = track.face.box, reading or before
    return AnnotatedFace(
        box=(
            round(box.x1, PLACE_DIGITS),
            round(box.y1, PLACE_DIGITS),
            round(box.x2, PLACE_DIGITS),
            round(box.y2, PLACE_DIGITS),
        ),
        track=track.id,
        label=classified.label if classified else None,
        score=round(classified.score, SCORE_DIGITS) if classified else 0.0,
        decision=decision or (before.decision if before else "undecided"),
    )
