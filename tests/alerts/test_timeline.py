"""Timeline: the readings of every track, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.alerts.timeline import MAX_POINTS, MAX_TRACKS, Timelines
from edge_agent.domain import Alert, Outcome, Resolved, Verdict
from edge_agent.messages.ids import uuid7
from tests.values import NOON, a_reading, a_track

if TYPE_CHECKING:
    from edge_agent.domain import Track


@pytest.fixture
def timelines() -> Timelines:
    return Timelines(violation_llr=6.8, compliant_llr=-2.3)


def a_look(track: Track, *, at: float, llr: float = 1.0) -> Outcome:
    """A frame in which one person was classified."""
    reading = a_reading(track=track, at=at)
    verdict = Verdict(track, "undecided", "without_mask", 0.9, 1, llr, reading)
    return Outcome(True, (track,), (reading,), (verdict,), (), (), {})


def an_alert_of(track: Track, *, at: float) -> Alert:
    best = a_reading(track=track, at=at)
    return Alert(uuid7(NOON), Verdict(track, "violation", "without_mask", 0.9, 5, 7.0, best), NOON)


def a_resolution_of(track: Track) -> Resolved:
    return Resolved(uuid7(NOON), track, "without_mask", "left", NOON, NOON, 1.0)


def test_readings_before_and_after_an_alert_are_separate(timelines):
    door, other = a_track(1), a_track(2)
    for at, llr in ((10.0, 3.0), (10.5, 5.0), (11.0, 7.0)):
        timelines.observe(a_look(door, at=at, llr=llr))
        timelines.observe(a_look(other, at=at))

    timeline = timelines.up_to(an_alert_of(door, at=11.0), at=11.0)
    timelines.observe(a_look(door, at=12.5, llr=8.0))

    assert [(point.seconds, point.llr) for point in timeline.points] == [(-1.0, 3.0), (-0.5, 5.0), (0.0, 7.0)]
    assert (timeline.violation_llr, timeline.compliant_llr) == (6.8, -2.3)
    assert [(point.seconds, point.llr) for point in timelines.since(a_resolution_of(door))] == [(1.5, 8.0)]
    assert timelines.since(a_resolution_of(door)) == ()


def test_the_place_of_the_face_in_its_picture_is_known(timelines):
    # The face of `a_track` is 40 by 50 pixels at (10, 10): its margin of 16 and 20 ends at the frame's edge.
    timeline = timelines.up_to(an_alert_of(a_track(), at=0.0), at=0.0)

    assert timeline.face_in_crop == (10, 10, 50, 60)


def test_a_long_timeline_keeps_its_beginning_and_end_in_bounded_memory(timelines):
    for step in range(20_000):
        timelines.observe(a_look(a_track(), at=step / 2))

    points = timelines.up_to(an_alert_of(a_track(), at=9_999.5), at=9_999.5).points

    assert MAX_POINTS / 2 <= len(points) <= MAX_POINTS
    assert points[0].seconds == -9_999.5
    assert points[-1].seconds > -100


def test_timelines_of_people_who_left_are_replaced(timelines):
    for number in range(MAX_TRACKS + 1):
        timelines.observe(a_look(a_track(number), at=float(number)))

    def points(number: int) -> int:
        return len(timelines.up_to(an_alert_of(a_track(number), at=0.0), at=0.0).points)

    assert (points(0), points(1)) == (0, 1)


def test_an_unknown_alert_has_no_later_readings(timelines):
    for number in range(MAX_TRACKS + 1):
        timelines.up_to(an_alert_of(a_track(number), at=0.0), at=0.0)
    timelines.observe(a_look(a_track(0), at=1.0))
    timelines.observe(a_look(a_track(1), at=1.0))

    assert timelines.since(a_resolution_of(a_track(0))) == ()
    assert len(timelines.since(a_resolution_of(a_track(1)))) == 1
