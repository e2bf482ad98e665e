"""The course: how did the evidence against a person go, before their alert and after it?"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.evidence.hiding import own_face

if TYPE_CHECKING:
    from edge_agent.domain import Alert, Label, Outcome, Track

# A plot on a phone shows no more; at one reading in half a second, all of the first minute and a half.
MOST_POINTS = 200
# Nobody watches so many people at once. What was collected of somebody who has left goes when others come.
MOST_TRACKS = 200


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """One reading, and the evidence (log-likelihood ratio, positive for a violation) once it was weighed.

    `seconds` counts from the alert, negative before it; `score` is that of `label`, `quality` 0..1.
    """

    seconds: float
    nats: float
    label: Label
    score: float
    quality: float


@dataclass(frozen=True, slots=True)
class Course:
    """What led to an alert.

    From `violation_nats` of evidence on a person is a violation, down from `compliant_nats` compliant. `face_in_crop`
    is where the face lies in the picture that is kept, in its pixels as x1, y1, x2, y2.
    """

    points: tuple[CoursePoint, ...]
    violation_nats: float
    compliant_nats: float
    face_in_crop: tuple[int, int, int, int]


class Courses:
    """Collects what is read of everybody, in a bounded memory. Owned by the agent's thread."""

    def __init__(self, *, violation_nats: float, compliant_nats: float, margin_fraction: float) -> None:
        """Take the thresholds in force, and the margin that cutouts of readings are made with."""
        self._violation_nats, self._compliant_nats = violation_nats, compliant_nats
        self._margin_fraction = margin_fraction
        # `seconds` is still the monotonic time of the reading.
        self._points: OrderedDict[tuple[str, int], list[CoursePoint]] = OrderedDict()

    def saw(self, outcome: Outcome) -> None:
        """Add what was read in one frame."""
        for reading, verdict in zip(outcome.readings, outcome.verdicts, strict=True):
            key = (reading.track.camera, reading.track.id)
            points = self._points.setdefault(key, [])
            points.append(
                CoursePoint(reading.taken_at, verdict.evidence, reading.label, reading.score, reading.quality)
            )
            if len(points) > MOST_POINTS:
                # The whole time at half the detail, and not the last of it alone.
                del points[1::2]
            self._points.move_to_end(key)
        while len(self._points) > MOST_TRACKS:
            self._points.popitem(last=False)

    def up_to(self, alert: Alert, *, at: float) -> Course:
        """Give what led to an alert that arises now; what comes after it is collected anew."""
        best = alert.verdict.best
        return Course(
            points=self.since(alert.verdict.track, alerted_at=at),
            violation_nats=self._violation_nats,
            compliant_nats=self._compliant_nats,
            face_in_crop=own_face(best, margin_fraction=self._margin_fraction).as_ints(),
        )

    def since(self, track: Track, *, alerted_at: float) -> tuple[CoursePoint, ...]:
        """Give what was collected of somebody since the last time, counted from their alert."""
        points = self._points.pop((track.camera, track.id), [])
        return tuple(
            CoursePoint(point.seconds - alerted_at, point.nats, point.label, point.score, point.quality)
            for point in points
        )
