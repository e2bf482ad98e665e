"""People counter: each person is counted once, after leaving, by what they wore."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edge_agent.config.model import RulesConfig
from edge_agent.decision.people import PeopleCounter
from edge_agent.domain import Box, Face, Label, Person, TrackedFrame
from tests.values import NOON, a_track, a_verdict

SIZE = (640, 480)
NO_TRACKS: frozenset[int] = frozenset()


class Door:
    """A people counter that gets frames, half a second apart."""

    def __init__(self, **rules):
        self.counter = PeopleCounter(RulesConfig(**rules), camera="door")
        self.when = NOON

    def shows(self, *verdicts, tracks=None, still=NO_TRACKS):
        tracks = [verdict.track for verdict in verdicts] if tracks is None else tracks
        self.when += timedelta(seconds=0.5)
        return self.counter.update(
            TrackedFrame(
                tracks=tracks,
                verdicts=verdicts,
                still=frozenset(still),
                following=frozenset(track.id for track in tracks),
                size=SIZE,
                at=0.0,
                when=self.when,
            )
        )


def at(verdict, box):
    return replace(verdict, track=replace(verdict.track, face=Face(box, 0.9)))


@pytest.mark.parametrize(
    ("decisions", "counted_as", "changed"),
    [
        (["compliant"], "with_mask", False),
        (["undecided", "violation"], "without_mask", False),
        (["undecided"], "undecided", False),
        (["violation", "compliant"], "without_mask", True),
        (["compliant", "violation"], "without_mask", True),
    ],
)
def test_a_person_counts_once_by_the_worst_verdict(decisions, counted_as, changed):
    door = Door()
    for decision in [*decisions, decisions[-1]]:
        label: Label = "with_mask" if decision == "compliant" else "without_mask"
        assert door.shows(a_verdict(decision=decision, label=label)) == ()

    assert door.shows() == (Person("door", counted_as, changed, door.when),)
    assert door.shows() == ()


def test_a_passer_by_in_two_frames_is_counted():
    door = Door()
    verdict = a_verdict(decision="compliant", label="with_mask")
    for x in (100, 300):
        door.shows(at(verdict, Box(x, 100, x + 50, 160)), still=frozenset({verdict.track.id}))

    assert len(door.shows()) == 1


def test_the_label_of_a_violation_is_the_latest():
    door = Door()
    for label in ("mask_worn_incorrectly", "without_mask", "without_mask"):
        door.shows(a_verdict(decision="violation", label=label))

    (person,) = door.shows()

    assert (person.counted_as, person.changed) == ("without_mask", False)


def test_each_of_several_people_counts():
    door = Door()
    for _ in range(2):
        door.shows(
            a_verdict(decision="compliant", label="with_mask", track=a_track(1)),
            a_verdict(decision="violation", label="without_mask", track=a_track(2)),
        )

    assert sorted(person.counted_as for person in door.shows()) == ["with_mask", "without_mask"]


def test_a_face_in_a_single_frame_is_not_counted():
    door = Door()
    door.shows(a_verdict(decision="undecided"))

    assert door.shows() == ()


def test_a_face_without_a_reading_is_not_counted():
    door = Door()
    for _ in range(3):
        door.shows(tracks=[a_track(1)])

    assert door.shows() == ()


@pytest.mark.parametrize(
    ("rules", "people"), [({"min_face_px": 30}, 0), ({"min_face_px": 20}, 1), ({"min_face_px": 21}, 0)]
)
def test_too_small_faces_do_not_count(rules, people):
    door = Door(**rules)
    for _ in range(2):
        door.shows(at(a_verdict(decision="violation"), Box(100, 100, 120, 130)))

    assert len(door.shows()) == people


def test_people_in_exclusion_zones_are_not_counted_unless_they_leave_them():
    corner = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    door = Door(exclusion_zones=(corner,))
    inside, outside = Box(100, 100, 150, 150), Box(400, 100, 450, 150)
    for box in (inside, inside, inside):
        door.shows(at(a_verdict(decision="violation"), box))
    assert door.shows() == ()

    for box in (inside, outside, outside):
        door.shows(at(a_verdict(decision="violation"), box))
    assert len(door.shows()) == 1


@pytest.mark.parametrize(("ignore", "people"), [(True, 0), (False, 1)])
def test_static_faces_do_not_count(ignore, people):
    door = Door(ignore_static_faces=ignore)
    for _ in range(3):
        door.shows(a_verdict(decision="violation"), still=frozenset({a_verdict().track.id}))

    assert len(door.shows()) == people
