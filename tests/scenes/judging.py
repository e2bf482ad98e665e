"""Judging: did each violation raise exactly one alert in time, and was there no other alert?

An event is one person in violation, from the time it is visible. Alerts are matched to events by position and time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.domain import Box, Label
    from tests.scenes.composition import Seen

LATEST_SECONDS = 2.0
"""An alert is on time within this period after the violation became visible."""
VISIBLE_FRACTION = 0.95
"""Share of a face that must be visible for the violation to count as visible."""
PAUSE_SECONDS = 3.0
"""A person hidden for less time is still in the same violation."""
LOOK_BACK_SECONDS = 1.0
"""Greatest age of the last position of a track."""
NEAR_WIDTHS = 0.6
"""Greatest distance between the centres of an alert's box and of the face, in widths of the face."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The ground truth at a time in a scene."""

    second: float
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """The properties of an alert that are judged."""

    second: float
    label: Label
    box: Box


@dataclass(frozen=True, slots=True)
class Event:
    """One person in violation, and the period in which it is visible."""

    actor: str
    label: Label
    from_second: float
    until_second: float


@dataclass(frozen=True, slots=True)
class Hit:
    """An event and its alert."""

    event: Event
    alert: Given

    @property
    def delay_seconds(self) -> float:
        """From visible to alerted; negative if a partly visible face was enough."""
        return self.alert.second - self.event.from_second

    @property
    def is_on_time(self) -> bool:
        """Whether the alert was raised soon enough."""
        return self.delay_seconds <= LATEST_SECONDS


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a scene. `mistaken` are false or duplicate alerts, each with a description of the person."""

    events: tuple[Event, ...]
    hits: tuple[Hit, ...]
    mistaken: tuple[tuple[Given, str], ...]
    people: Counter[str] = field(default_factory=Counter)
    """The true number of people by label."""
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def missed(self) -> tuple[Event, ...]:
        """Violations without an alert."""
        alerted = {hit.event for hit in self.hits}
        return tuple(event for event in self.events if event not in alerted)

    @property
    def late(self) -> tuple[Hit, ...]:
        """Violations whose alert was late."""
        return tuple(hit for hit in self.hits if not hit.is_on_time)

    @property
    def is_right(self) -> bool:
        """Whether every violation raised one alert on time, and there is no other alert."""
        return not (self.missed or self.late or self.mistaken)


def people_of(moments: Sequence[Moment], *, violations: AbstractSet[Label], min_face_px: float) -> Counter[str]:
    """People whose face is large enough in at least two frames, by the worst label they have."""
    labels: dict[str, list[Label]] = {}
    for moment in moments:
        for one in moment.seen:
            # Posters have no label and are not counted.
            is_visible = one.visible_fraction >= VISIBLE_FRACTION and one.box.shorter_side_px >= min_face_px
            if one.label is not None and is_visible:
                labels.setdefault(one.actor, []).append(one.label)
    return Counter(
        next((label for label in seen if label in violations), seen[0]) for seen in labels.values() if len(seen) > 1
    )


def events_of(moments: Sequence[Moment], *, violations: AbstractSet[Label], min_face_px: float) -> tuple[Event, ...]:
    """Find the people in violation and the period in which each is visible."""
    actors = sorted({one.actor for moment in moments for one in moment.seen})
    events = [
        event
        for actor in actors
        for event in _events_of_one(moments, actor, violations=violations, min_face_px=min_face_px)
    ]
    return tuple(sorted(events, key=lambda event: event.from_second))


def _events_of_one(
    moments: Sequence[Moment], actor: str, *, violations: AbstractSet[Label], min_face_px: float
) -> list[Event]:
    events: list[Event] = []
    is_open = False
    for moment in moments:
        one = next((one for one in moment.seen if one.actor == actor), None)
        if one is None or one.label is None:
            continue
        if one.label not in violations:
            # The mask is on: anything later is another violation.
            is_open = False
        elif one.visible_fraction >= VISIBLE_FRACTION and one.box.shorter_side_px >= min_face_px:
            if is_open and moment.second - events[-1].until_second <= PAUSE_SECONDS:
                events[-1] = replace(events[-1], until_second=moment.second)
            else:
                events.append(Event(actor, one.label, moment.second, moment.second))
            is_open = True
    return events


def judge(moments: Sequence[Moment], events: Sequence[Event], alerts: Sequence[Given]) -> Judgement:
    """Match alerts to events, the earliest first; a second alert for the same event is a mistake."""
    hits: list[Hit] = []
    mistaken: list[tuple[Given, str]] = []
    for alert in sorted(alerts, key=lambda one: one.second):
        actors = _whom(moments, alert)
        open_events = [
            event
            for event in events
            if event.actor in actors and _may_be(event, alert, moments) and all(hit.event != event for hit in hits)
        ]
        if open_events:
            hits.append(Hit(min(open_events, key=lambda event: actors.index(event.actor)), alert))
        elif not actors:
            mistaken.append((alert, "no person"))
        else:
            again = any(hit.event.actor == actors[0] for hit in hits)
            mistaken.append((alert, f"{actors[0]}, {'again' if again else 'who is in no violation'}"))
    return Judgement(tuple(events), tuple(hits), tuple(mistaken))


def _may_be(event: Event, alert: Given, moments: Sequence[Moment]) -> bool:
    """Whether an alert falls into an event, or shortly before or after it.

    Before it, a part of the face may have been enough for the detector, but not while the mask was still on.
    """
    if alert.second >= event.from_second:
        return alert.second <= event.until_second + LATEST_SECONDS
    labels = [
        one.label
        for moment in moments
        if moment.second <= alert.second
        for one in moment.seen
        if one.actor == event.actor
    ]
    return event.from_second - alert.second <= LATEST_SECONDS and labels[-1] in {None, event.label}


def _whom(moments: Sequence[Moment], alert: Given) -> list[str]:
    """The people whose face an alert may show, the nearest first."""
    x, y = alert.box.centre
    distances: dict[str, float] = {}
    for moment in moments:
        if not alert.second - LOOK_BACK_SECONDS <= moment.second <= alert.second:
            continue
        for one in moment.seen:
            face_x, face_y = one.box.centre
            width = max(one.box.width_px, 1.0)
            distance = max(abs(face_x - x), abs(face_y - y)) / width
            # Two people who cross are distinguished by the size of their faces.
            distance += abs(one.box.width_px - alert.box.width_px) / width
            if max(abs(face_x - x), abs(face_y - y)) / width <= NEAR_WIDTHS and one.visible_fraction > 0:
                distances[one.actor] = min(distances.get(one.actor, distance), distance)
    return sorted(distances, key=lambda actor: distances[actor])
