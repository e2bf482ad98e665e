"""Timeline: records the evidence about a person before and after their alert."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from edge_agent.domain import Label  # noqa: TC001  (the API's document reads it)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Alert, Outcome, Resolved

# As many as a plot on a phone can show; the first minute and a half at two readings a second.
MAX_POINTS = 200
# More people than one device sees at a time. Timelines of people who have left are replaced by those of others.
MAX_TRACKS = 200
# For log-likelihood ratios, scores and tenths of a millisecond: more digits would be false precision.
POINT_DIGITS = 4


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """One reading, and the log-likelihood ratio (positive for a violation) after it.

    `seconds` counts from the alert, negative before it; `score` is that of `label`, `quality` 0..1.
    """

    seconds: float
    llr: float
    label: Label
    score: float
    quality: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The readings that led to an alert.

    A person with a log-likelihood ratio of at least `violation_llr` is in violation, with at most `compliant_llr`
    compliant. `face_in_crop` is the box of the face in the crop, in its pixels as x1, y1, x2, y2.
    """

    points: tuple[TimelinePoint, ...]
    violation_llr: float
    compliant_llr: float
    face_in_crop: tuple[int, int, int, int]


class Timelines:
    """Collects the readings of all people at one camera, in bounded memory. Owned by that camera's worker."""

    def __init__(self, *, violation_llr: float, compliant_llr: float) -> None:
        """The thresholds of the sequential test."""
        self._violation_llr, self._compliant_llr = violation_llr, compliant_llr
        # `seconds` is still the monotonic time of the reading.
        self._points: OrderedDict[int, list[TimelinePoint]] = OrderedDict()
        self._alerted_at: OrderedDict[int, float] = OrderedDict()

    def observe(self, outcome: Outcome) -> None:
        """Add the readings of one frame."""
        for reading, verdict in zip(outcome.readings, outcome.verdicts, strict=True):
            points = self._points.setdefault(reading.track.id, [])
            exact = verdict.llr, reading.score, reading.quality
            llr, score, quality = (round(value, POINT_DIGITS) for value in exact)
            points.append(TimelinePoint(reading.taken_at, llr, reading.label, score, quality))
            if len(points) > MAX_POINTS:
                # Halve the resolution to cover the whole time, not just the end.
                del points[1::2]
            self._points.move_to_end(reading.track.id)
        while len(self._points) > MAX_TRACKS:
            self._points.popitem(last=False)

    def up_to(self, alert: Alert, *, at: float) -> Timeline:
        """Return the timeline of an alert raised now; later readings are collected separately."""
        track = alert.verdict.track
        self._alerted_at[track.id] = at
        if len(self._alerted_at) > MAX_TRACKS:
            self._alerted_at.popitem(last=False)
        return Timeline(
            points=self._taken(track.id, alerted_at=at),
            violation_llr=self._violation_llr,
            compliant_llr=self._compliant_llr,
            face_in_crop=alert.verdict.best.face_in_cutout.as_ints(),
        )

    def since(self, resolved: Resolved) -> tuple[TimelinePoint, ...]:
        """Return the readings of a person since their alert, which is resolved now."""
        alerted_at = self._alerted_at.pop(resolved.track.id, None)
        return () if alerted_at is None else self._taken(resolved.track.id, alerted_at=alerted_at)

    def _taken(self, track: int, *, alerted_at: float) -> tuple[TimelinePoint, ...]:
        points = self._points.pop(track, [])
        return tuple(replace(point, seconds=round(point.seconds - alerted_at, POINT_DIGITS)) for point in points)


def timeline_text(timeline: Timeline) -> str:
    """Write a timeline as JSON."""
    return json.dumps(asdict(timeline) | {"points": [astuple(point) for point in timeline.points]})


def points_text(points: Iterable[TimelinePoint]) -> str:
    """Write points of a timeline as JSON."""
    return json.dumps([astuple(point) for point in points])


def read_timeline(timeline: str, later: str) -> Timeline:
    """Parse the output of `timeline_text` and, for the time after the alert, of `points_text`."""
    content: dict[str, Any] = json.loads(timeline)
    points = tuple(TimelinePoint(*point) for point in [*content["points"], *json.loads(later)])
    return Timeline(**content | {"points": points, "face_in_crop": tuple(content["face_in_crop"])})
