"""Rules: decides which verdicts become alerts, and when an alert is resolved.

In: verdicts. Out: at most one alert per track and violation, and at most one resolution per alert. Pure.

A violation that may not be alerted yet waits: it is alerted if it still lasts when quiet hours, cool-down and limit
allow it; if the person leaves or puts the mask on before, it is counted in the next alert.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from edge_agent.config.quiet_hours import parse_quiet_hours
from edge_agent.domain import Alert, Resolved, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from edge_agent.config.model import RulesConfig
    from edge_agent.domain import Box, Track, TrackedFrame

LIMIT_SECONDS = 60.0
"""The minute of `alerts_per_minute`: a sliding window, so that two bursts cannot meet at a full minute."""


class Rules:
    """Tracks pending and alerted violations. One per camera, owned by one thread."""

    def __init__(self, config: RulesConfig, *, new_id: Callable[[datetime], str]) -> None:
        """Start without alerts; `new_id` makes the id of an alert from its time."""
        self._config, self._new_id = config, new_id
        self._quiet_hours = tuple(parse_quiet_hours(text) for text in config.quiet_hours)
        self._zone = config.zone
        self._violating: dict[int, Verdict] = {}
        """The newest verdict of each track in violation, alerted or not, in order of their beginning."""
        self._held_back: set[int] = set()
        """Those not alerted only because of quiet hours, cool-down or limit."""
        self._alerted: dict[int, tuple[Alert, float]] = {}
        """The alert of each alerted track with its monotonic time."""
        self._alerted_at: deque[float] = deque()
        self._suppressed = 0

    @property
    def open_alerts(self) -> int:
        """Number of alerted people who are still tracked and in violation. May be read by any thread."""
        return len(self._alerted)

    def is_to_alert(self, track: Track) -> bool:
        """Whether a track is in violation and has not been alerted."""
        return track.id in self._violating and track.id not in self._alerted

    def evaluate(self, frame: TrackedFrame) -> list[Alert | Resolved]:
        """Return the resolutions and then the new alerts of a frame; each violation is alerted once."""
        gone = [number for number in self._violating if number not in frame.following]
        resolved = [*(self._resolve(number, "left", frame) for number in gone), *self._record(frame)]
        return [*(event for event in resolved if event is not None), *self._alert(frame)]

    def _record(self, frame: TrackedFrame) -> list[Resolved | None]:
        """Record new verdicts, and resolve violations that have ended."""
        resolved = []
        for verdict in frame.verdicts:
            number = verdict.track.id
            if verdict.decision == "violation":
                self._violating[number] = verdict
            elif verdict.decision == "compliant" or number not in self._alerted:
                # An undecided verdict resolves no alert: otherwise a hand in front of the face would cause a new one.
                resolved.append(self._resolve(number, "compliant", frame))
        return resolved

    def _resolve(self, number: int, reason: Literal["left", "compliant"], frame: TrackedFrame) -> Resolved | None:
        """Drop a violation, if any; return the resolution if it was alerted."""
        self._violating.pop(number, None)
        if number in self._held_back:
            self._held_back.remove(number)
            self._suppressed += 1
        if number not in self._alerted:
            return None
        alert, alerted_at = self._alerted.pop(number)
        verdict = alert.verdict
        duration_seconds = frame.at - alerted_at
        return Resolved(
            alert.id,
            verdict.track,
            verdict.label,
            reason,
            alert.when,
            frame.when,
            duration_seconds,
            is_published=self._config.notify_when_resolved,
        )

    def _alert(self, frame: TrackedFrame) -> list[Alert]:
        """Return an alert for each violation without one that passes the filters now."""
        alerts = []
        tracks = {track.id: track for track in frame.tracks}
        for number, verdict in self._violating.items():
            # A person out of view may have left: that time does not count as dwell.
            if number in self._alerted or number not in tracks or not self._concerns(verdict, tracks[number], frame):
                continue
            if not self._may_alert(frame.at, frame.when):
                self._held_back.add(number)
                continue
            self._held_back.discard(number)
            self._alerted_at.append(frame.at)
            alerts.append(Alert(self._new_id(frame.when), verdict, frame.when, self._suppressed))
            self._alerted[number] = alerts[-1], frame.at
            self._suppressed = 0
        return alerts

    def _concerns(self, verdict: Verdict, track: Track, frame: TrackedFrame) -> bool:
        """Whether it is a live person, large enough, in view long enough, and outside the exclusion zones."""
        config = self._config
        return (
            verdict.best.track.face.box.shorter_side_px >= config.min_face_px
            and frame.at - track.first_seen_at >= config.dwell_seconds
            and not (config.ignore_static_faces and track.id in frame.still)
            and not is_excluded(track.face.box, frame.size, config.exclusion_zones)
        )

    def _may_alert(self, at: float, when: datetime) -> bool:
        """Whether quiet hours, cool-down and limit allow an alert."""
        config = self._config
        while self._alerted_at and at - self._alerted_at[0] >= max(LIMIT_SECONDS, config.cooldown_seconds):
            self._alerted_at.popleft()
        if self._alerted_at and at - self._alerted_at[-1] < config.cooldown_seconds:
            return False
        within = sum(at - alerted_at < LIMIT_SECONDS for alerted_at in self._alerted_at)
        if config.alerts_per_minute and within >= config.alerts_per_minute:
            return False
        return not any(hours.cover(when.astimezone(self._zone)) for hours in self._quiet_hours)


def is_watched(box: Box, frame_size: tuple[int, int], config: RulesConfig) -> bool:
    """Whether a face is large enough and outside the exclusion zones; `frame_size` is width and height in pixels."""
    is_large = box.shorter_side_px >= config.min_face_px
    return is_large and not is_excluded(box, frame_size, config.exclusion_zones)


def is_excluded(box: Box, frame_size: tuple[int, int], zones: Sequence[Sequence[tuple[float, float]]]) -> bool:
    """Whether the centre of a face is inside a zone; corners are fractions 0..1 of the picture's width and height."""
    (x, y), (width_px, height_px) = box.centre, frame_size
    return any(_is_inside(x / width_px, y / height_px, zone) for zone in zones)


def _is_inside(x: float, y: float, polygon: Sequence[tuple[float, float]]) -> bool:
    """Whether a point is inside a polygon: a ray to its right crosses the border an odd number of times."""
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
