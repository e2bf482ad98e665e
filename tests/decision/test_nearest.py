"""Nearest person: the closest face for as long as it is in view; static and ignored faces do not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.config.model import RulesConfig
from edge_agent.decision.nearest import SHOWN_LLR, NearestPerson
from edge_agent.domain import Nearest, TrackedFrame
from tests.values import NOON, a_face, a_track, a_verdict

SIZE = (640, 480)
NOTHING: frozenset[int] = frozenset()


class Door:
    """A nearest-person filter that gets frames one by one."""

    def __init__(self, **rules):
        self.nearest = NearestPerson(RulesConfig(**rules))

    def shows(self, *tracks, verdicts=(), still=NOTHING, static=NOTHING, following=NOTHING):
        return self.nearest.update(
            TrackedFrame(
                tracks=tracks,
                verdicts=verdicts,
                still=frozenset(still),
                static=frozenset(static),
                following=frozenset({track.id for track in tracks} | following),
                size=SIZE,
                at=0.0,
                when=NOON,
            )
        )


def a_person(number=1, *, width=60.0, x=100.0):
    return a_track(number, face=a_face(x, 100.0, width=width))


def test_without_people_there_is_no_nearest_person():
    assert Door().shows() is None


@pytest.mark.parametrize(
    ("decision", "label", "sign"),
    [
        ("compliant", "with_mask", "compliant"),
        ("violation", "without_mask", "without_mask"),
        ("violation", "mask_worn_incorrectly", "mask_worn_incorrectly"),
    ],
)
def test_the_sign_is_that_of_the_verdict_and_stays_between_readings(decision, label, sign):
    door, track = Door(), a_person()

    assert door.shows(track, verdicts=[a_verdict(decision, track=track, label=label)]) == Nearest(1, sign, True)
    assert door.shows(track) == Nearest(1, sign, True)
    assert door.shows(following={1}) == Nearest(1, sign, True), "not detected in one frame"
    assert door.shows() is None
    assert door.shows(track) == Nearest(1, "undecided", False), "another person of the same number"


def test_a_violation_is_shown_before_it_is_decided_and_does_not_flicker():
    door, track = Door(), a_person()
    doubt = replace(a_verdict("undecided", track=track), llr=SHOWN_LLR - 0.1)

    assert door.shows(track, verdicts=[doubt]) == Nearest(1, "undecided", False)
    assert door.shows(track, verdicts=[replace(doubt, llr=SHOWN_LLR)]) == Nearest(1, "without_mask", False)
    assert door.shows(track, verdicts=[doubt]) == Nearest(1, "without_mask", False)
    assert door.shows(track, verdicts=[a_verdict("compliant", track=track)]) == Nearest(1, "compliant", True)


def test_the_closest_person_counts_and_small_differences_change_nothing():
    door = Door()
    assert door.shows(a_person(1, width=60.0), a_person(2, width=50.0)).track == 1
    assert door.shows(a_person(1, width=60.0), a_person(2, width=66.0)).track == 1
    assert door.shows(a_person(1, width=60.0), a_person(2, width=70.0)).track == 2
    assert door.shows(a_person(1, width=60.0), following={2}).track == 1, "the nearest is hidden"


def test_small_faces_and_excluded_zones_are_ignored():
    door = Door(min_face_px=50, exclusion_zones=[[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]])

    assert door.shows(a_person(width=40.0, x=400.0)) is None
    assert door.shows(a_person(width=60.0, x=100.0)) is None
    assert door.shows(a_person(width=60.0, x=400.0)).track == 1
    assert door.shows(a_person(width=60.0, x=100.0)) is None, "has walked into the zone"


def test_pictures_are_ignored_and_a_person_who_has_not_moved_is_unsure():
    door = Door()
    assert door.shows(a_person(1), a_person(2, width=90.0), static={2}) == Nearest(1, "undecided", False)
    sure = [a_verdict("compliant", track=a_person(1))]
    assert door.shows(a_person(1), verdicts=sure, still={1}) == Nearest(1, "compliant", False)
    assert door.shows(a_person(1)) == Nearest(1, "compliant", True)
    assert door.shows(a_person(1), still={1}, static={1}) is None
    assert Door(ignore_static_faces=False).shows(a_person(1), still={1}, static={1}) == Nearest(1, "undecided", False)
