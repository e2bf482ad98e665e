"""People: counts the people who have passed, by how they wore their mask.

In: the tracks and verdicts of one frame. Out: each person once, when they have left. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.decision.rules import is_watched
from edge_agent.domain import Person

if TYPE_CHECKING:
    from edge_agent.config.model import RulesConfig
    from edge_agent.domain import Box, CountedAs, Label, TrackedFrame, Verdict

MIN_SIGHTINGS = 2
"""A face in a single frame may be a false detection; a person walking past is in two frames even at two a second."""


@dataclass(slots=True)
class _TrackState:
    """State of one track."""

    sightings: int = 0
    """Frames in which the face was large enough and outside the exclusion zones."""
    readings: int = 0
    violation: Label | None = None
    compliance: Label | None = None
    first_box: Box | None = None
    is_static: bool = False

    def observe(self, box: Box, *, is_watched: bool, is_still: bool) -> None:
        """Record one sighting; `is_still` is whether it may be a picture on a wall."""
        self.first_box = self.first_box or box
        # Two frames are too few for a sign of life, but a picture does not move by its whole width.
        self.is_static = is_still and self.first_box.overlap(box) > 0
        self.sightings += is_watched

    def update(self, verdict: Verdict) -> None:
        self.readings = verdict.readings
        if verdict.decision == "violation":
            self.violation = verdict.label
        elif verdict.decision == "compliant":
            self.compliance = verdict.label

    @property
    def counted_as(self) -> CountedAs:
        return self.violation or self.compliance or "undecided"


class PeopleCounter:
    """Counts the people of one camera. Owned by one thread.

    As in the rules of the camera, faces that are too small, in an exclusion zone, or static do not count.
    """

    def __init__(self, config: RulesConfig, *, camera: str) -> None:
        """Start without people in view."""
        self._config, self._camera = config, camera
        self._states: dict[int, _TrackState] = {}

    def update(self, frame: TrackedFrame) -> tuple[Person, ...]:
        """Return the people who have left since the previous frame."""
        for track in frame.tracks:
            state = self._states.setdefault(track.id, _TrackState())
            box = track.face.box
            state.observe(box, is_watched=is_watched(box, frame.size, self._config), is_still=track.id in frame.still)
        for verdict in frame.verdicts:
            self._states.setdefault(verdict.track.id, _TrackState()).update(verdict)
        gone = [self._states.pop(number) for number in [*self._states] if number not in frame.following]
        return tuple(
            Person(self._camera, state.counted_as, bool(state.violation and state.compliance), frame.when)
            for state in gone
            if state.sightings >= MIN_SIGHTINGS
            and state.readings
            and not (state.is_static and self._config.ignore_static_faces)
        )
