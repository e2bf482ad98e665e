"""Pipeline: processes one frame from detection to alert.

    frame -> rate, motion -> faces -> tracks -> readings -> verdicts -> alerts

It performs no I/O: the recorder writes alerts to disk, and the publisher sends them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.domain import Alert, Frame, Outcome, Reading, Resolved, Track, TrackedFrame
from edge_agent.vision.quality import face_quality

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from edge_agent.decision.liveness import LivenessFilter
    from edge_agent.decision.nearest import NearestPerson
    from edge_agent.decision.people import PeopleCounter
    from edge_agent.decision.rules import Rules
    from edge_agent.decision.sequential_test import SequentialTest
    from edge_agent.decision.tracker import Tracker
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector
    from edge_agent.vision.frame_rate import FrameRate
    from edge_agent.vision.motion import MotionGate


@dataclass(kw_only=True, slots=True, eq=False)
class Pipeline:
    """Every stage for one camera, in order. Owned by one thread."""

    rate: FrameRate
    motion: MotionGate
    detector: FaceDetector
    tracker: Tracker
    classifier: MaskClassifier
    sequential_test: SequentialTest
    liveness: LivenessFilter
    rules: Rules
    people: PeopleCounter
    nearest: NearestPerson
    margin_fraction: float
    """Margin around the face in the cutout of a reading, as a fraction of the face."""

    def process(self, frame: Frame, *, is_paused: bool = False) -> Outcome:
        """Take one frame through every stage; while paused, it is not analysed, and all people count as having left."""
        at, when = frame.taken_at, frame.taken_when
        watch = _Stopwatch()

        if is_paused:
            self.tracker.reset()
        # A person standing still stops moving but has not left: the gate stays
        # open for as long as a person is being followed, and does not learn them.
        is_due = not is_paused and self.rate.wants(at)
        analysed = is_due and (bool(self.tracker.following) or self.motion.sees_change(frame))
        watch.lap("motion")
        faces = self.detector.detect(frame.picture) if analysed else []
        watch.lap("faces")
        size = frame.width_px, frame.height_px
        tracks = self.tracker.update(faces, at=at, when=when, frame_size=size if analysed else None)
        wanted = (self._read(frame, track, tracks) for track in tracks if self._wants_reading(track, at))
        readings = [reading for reading in wanted if reading is not None]
        watch.lap("masks")
        return self._decide(tracks, readings, watch, analysed=analysed, size=size, at=at, when=when)

    def pass_time(self, *, at: float, when: datetime) -> Outcome:
        """Without a frame, as while the camera is lost: people leave once they have not been seen for long enough."""
        tracks = self.tracker.update([], at=at, when=when, frame_size=None)
        return self._decide(tracks, [], _Stopwatch(), analysed=False, size=(0, 0), at=at, when=when)

    def end(self, *, at: float, when: datetime) -> Outcome:
        """After the last frame of a recording: everybody has left."""
        self.tracker.reset()
        return self.pass_time(at=at, when=when)

    def _decide(
        self,
        tracks: Sequence[Track],
        readings: Sequence[Reading],
        watch: _Stopwatch,
        *,
        analysed: bool,
        size: tuple[int, int],
        at: float,
        when: datetime,
    ) -> Outcome:
        following = self.tracker.following
        verdicts = self.sequential_test.update(readings, following=following)
        tracked = TrackedFrame(
            tracks=tracks,
            verdicts=verdicts,
            following=following,
            still=self.liveness.update(readings, following=following),
            static=self.liveness.static,
            size=size,
            at=at,
            when=when,
        )
        events = self.rules.evaluate(tracked)
        people = self.people.update(tracked)
        nearest = self.nearest.update(tracked)
        watch.lap("decision")

        return Outcome(
            analysed,
            tuple(tracks),
            tuple(readings),
            tuple(verdicts),
            tuple(event for event in events if isinstance(event, Alert)),
            tuple(event for event in events if isinstance(event, Resolved)),
            watch.seconds,
            people,
            nearest,
        )

    def _wants_reading(self, track: Track, at: float) -> bool:
        # The liveness check must not delay an alert longer than necessary.
        waits = self.rules.is_to_alert(track) and self.liveness.is_unsure_of(track)
        return waits or self.sequential_test.wants_reading(track, at=at)

    def _read(self, frame: Frame, track: Track, tracks: Sequence[Track]) -> Reading | None:
        """Classify one face and copy it, because the frame is released before the verdict. None if it is not a face."""
        face = track.face
        classified = self.classifier.classify(frame.picture, face.box)
        if not classified.is_face:
            return None
        around = face.box.grown(self.margin_fraction)
        around = around.clipped(width_px=frame.width_px, height_px=frame.height_px)
        left, top, right, bottom = around.as_ints()
        others = (other.face.box.seen_from(left, top) for other in tracks if other.id != track.id)
        visible = (box.clipped(width_px=right - left, height_px=bottom - top) for box in others)
        return Reading(
            track=track,
            label=classified.label,
            score=classified.scores[classified.label],
            scores=classified.scores,
            taken_at=frame.taken_at,
            taken_when=frame.taken_when,
            frame_size=(frame.width_px, frame.height_px),
            quality=face_quality(frame.picture, face),
            cutout=frame.cut(around),
            cutout_place=(left, top),
            bystanders=tuple(box for box in visible if box.area_px),
        )


class _Stopwatch:
    """Duration of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._since
        self._since = now
