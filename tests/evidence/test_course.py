"""How the evidence went is collected for everybody, in a bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.domain import Alert, Outcome, Verdict
from edge_agent.evidence.course import MOST_POINTS, MOST_TRACKS, Courses
from tests.values import NOON, a_reading, a_track

if TYPE_CHECKING:
    from edge_agent.domain import Track


@pytest.fixture
def courses() -> Courses:
    return Courses(violation_nats=6.8, compliant_nats=-2.3, margin_fraction=0.4)


def a_look(track: Track, *, at: float, nats: float = 1.0) -> Outcome:
    """A frame in which one person was read."""
    reading = a_reading(track=track, at=at)
    verdict = Verdict(track, "undecided", "without_mask", 0.9, 1, nats, reading)
    return Outcome(True, (track,), (reading,), (verdict,), (), (), {})


def an_alert_of(track: Track, *, at: float) -> Alert:
    best = a_reading(track=track, at=at)
    return Alert(Verdict(track, "violation", "without_mask", 0.9, 5, 7.0, best), NOON)


def test_what_led_to_an_alert_is_counted_from_it_and_what_comes_after_by_itself(courses):
    door, other = a_track(1), a_track(2)
    for at, nats in ((10.0, 3.0), (10.5, 5.0), (11.0, 7.0)):
        courses.saw(a_look(door, at=at, nats=nats))
        courses.saw(a_look(other, at=at))

    course = courses.up_to(an_alert_of(door, at=11.0), at=11.0)
    courses.saw(a_look(door, at=12.5, nats=8.0))

    assert [(point.seconds, point.nats) for point in course.points] == [(-1.0, 3.0), (-0.5, 5.0), (0.0, 7.0)]
    assert (course.violation_nats, course.compliant_nats) == (6.8, -2.3)
    assert [(point.seconds, point.nats) for point in courses.since(door, alerted_at=11.0)] == [(1.5, 8.0)]
    assert courses.since(door, alerted_at=11.0) == ()


def test_tracks_of_two_cameras_with_one_number_are_two_people(courses):
    courses.saw(a_look(a_track(1, camera="door"), at=1.0))
    courses.saw(a_look(a_track(1, camera="yard"), at=2.0))

    assert [point.seconds for point in courses.since(a_track(1, camera="yard"), alerted_at=0.0)] == [2.0]


def test_the_place_of_the_face_in_its_picture_is_known(courses):
    # The face of `a_track` is 40 by 50 pixels at (10, 10): its margin of 16 and 20 ends at the frame's edge.
    course = courses.up_to(an_alert_of(a_track(), at=0.0), at=0.0)

    assert course.face_in_crop == (10, 10, 50, 60)


def test_a_day_in_view_keeps_its_beginning_and_its_end_in_a_bounded_memory(courses):
    for step in range(20_000):
        courses.saw(a_look(a_track(), at=step / 2))

    points = courses.since(a_track(), alerted_at=0.0)

    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    assert points[0].seconds == 0.0
    assert points[-1].seconds > 9_900


def test_who_has_left_is_forgotten_when_others_have_come(courses):
    for number in range(MOST_TRACKS + 1):
        courses.saw(a_look(a_track(number), at=float(number)))

    assert courses.since(a_track(0), alerted_at=0.0) == ()
    assert len(courses.since(a_track(1), alerted_at=0.0)) == 1
