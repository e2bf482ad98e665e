"""The path of one frame: what happens between a camera and an alert?

    frame -> rate, motion -> faces -> tracks -> readings -> verdicts -> alerts

It decides and writes nothing: agent.py puts alerts on disk and sends them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_agent.domain import Frame, Outcome, Reading, Track

if TYPE_CHECKING:
    from edge_agent.decision.rules import Rules
    from edge_agent.decision.tracker import Tracker
    from edge_agent.decision.voting import Voting
    from edge_agent.vision.faces import FaceFinder
    from edge_agent.vision.frame_rate import FrameRate
    from edge_agent.vision.masks import MaskReader
    from edge_agent.vision.motion import MotionGate


class Pipeline:
    """Every stage for one camera, in order. Owned by one thread."""

    def __init__(
        self,
        *,
        rate: FrameRate,
        motion: MotionGate,
        faces: FaceFinder,
        tracker: Tracker,
        masks: MaskReader,
        voting: Voting,
        rules: Rules,
        margin_fraction: float,
    ) -> None:
        """`margin_fraction` of the face is kept around it in the cutout of a reading."""
        self.rate, self.motion, self.faces, self.tracker = rate, motion, faces, tracker
        self.masks, self.voting, self.rules = masks, voting, rules
        self.margin_fraction = margin_fraction

    def process(self, frame: Frame) -> Outcome:
        """Take one frame through every stage."""
        at, when = frame.taken_at, frame.taken_when
        watch = _Stopwatch()

        # A person standing still stops moving but has not left: the gate stays
        # open for as long as somebody is being followed, and does not learn them.
        looked = self.rate.wants(at) and (self.tracker.is_following or self.motion.sees_change(frame))
        watch.lap("motion")
        faces = self.faces.find(frame.image) if looked else []
        watch.lap("faces")
        tracks = self.tracker.update(faces, at=at, when=when)
        readings = [self._read(frame, track) for track in tracks]
        watch.lap("masks")
        verdicts = self.voting.weigh(readings, following=self.tracker.following)
        alerts = self.rules.judge(verdicts, following=self.tracker.following, when=when)
        watch.lap("decision")

        return Outcome(looked, tuple(readings), tuple(verdicts), tuple(alerts), watch.seconds)

    def _read(self, frame: Frame, track: Track) -> Reading:
        """Read one face, and keep a copy of it: the frame is gone when the verdict falls."""
        box = track.face.box
        label, scores = self.masks.read(frame.image, box)
        size = (frame.width_px, frame.height_px)
        cutout = frame.cut(box.grown(self.margin_fraction))
        return Reading(track, label, scores[label], scores, frame.taken_at, frame.taken_when, size, cutout)


class _Stopwatch:
    """What each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._since
        self._since = now
