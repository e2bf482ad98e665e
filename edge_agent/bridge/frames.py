"""Frames: the current frame of each camera with its tracks and readings."""

from __future__ import annotations

import itertools
from dataclasses import astuple
from typing import TYPE_CHECKING

from edge_agent.bridge.protocol import AnnotatedFace, FrameReply, PersonSign
from edge_agent.domain import timestamp

if TYPE_CHECKING:
    from edge_agent.domain import Decision, Frame, Outcome, Reading, Track

HELD_SECONDS = 1.0
"""For how long the last analysed frame is shown instead of newer ones; at least two frames a second are analysed."""


class AnnotatedFrames:
    """The newest annotated frame of each camera.

    The main thread records frames and the bridge's thread reads them: a single reference changes, which needs no lock.
    Pixels are neither copied nor encoded here.
    """

    def __init__(self) -> None:
        self._newest: dict[str, tuple[FrameReply, Frame]] = {}
        self._numbers = itertools.count(1)

    def record(self, frame: Frame, outcome: Outcome) -> None:
        """Record a processed frame, which must not be changed afterwards, and its outcome."""
        if outcome.analysed:
            faces = self._faces(frame.camera, outcome)
        elif self._is_held(frame):
            # Frames that were not analysed have no faces; showing them would make the boxes flicker.
            return
        else:
            faces = ()
        who = outcome.nearest
        head = FrameReply(
            number=next(self._numbers),
            index=frame.index,
            when=timestamp(frame.taken_when),
            width=frame.width_px,
            height=frame.height_px,
            faces=faces,
            nearest=None if who is None else PersonSign(track=who.track, sign=who.sign),
        )
        self._newest[frame.camera] = head, frame

    def forget(self, camera: str) -> None:
        """Remove the frame of a paused camera."""
        self._newest.pop(camera, None)

    def newest(self, camera: str) -> tuple[FrameReply, Frame] | None:
        """The newest frame of a camera and its description; None if there is none."""
        return self._newest.get(camera)

    def _is_held(self, frame: Frame) -> bool:
        """Whether the newest frame has faces and is recent enough to be shown instead of this one."""
        newest = self._newest.get(frame.camera)
        return newest is not None and bool(newest[0].faces) and frame.taken_at - newest[1].taken_at < HELD_SECONDS

    def _faces(self, camera: str, outcome: Outcome) -> tuple[AnnotatedFace, ...]:
        """The tracks of a frame. Decided ones are not classified in every frame and keep their last reading."""
        newest = self._newest.get(camera)
        before = {face.track: face for face in newest[0].faces} if newest else {}
        readings = {reading.track.id: reading for reading in outcome.readings}
        decisions = {verdict.track.id: verdict.decision for verdict in outcome.verdicts}
        return tuple(
            _annotated(track, readings.get(track.id), decisions.get(track.id), before.get(track.id))
            for track in outcome.tracks
        )


def _annotated(
    track: Track, reading: Reading | None, decision: Decision | None, before: AnnotatedFace | None
) -> AnnotatedFace:
    classified = reading or before
    return AnnotatedFace(
        box=astuple(track.face.box),
        track=track.id,
        label=classified.label if classified else None,
        score=classified.score if classified else 0.0,
        decision=decision or (before.decision if before else "undecided"),
    )
