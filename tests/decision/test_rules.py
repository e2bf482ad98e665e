"""Rules: one alert per violation, when allowed, and its resolution."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.model import RulesConfig
from edge_agent.decision.rules import Rules
from edge_agent.domain import Alert, Resolved, TrackedFrame
from edge_agent.messages.ids import uuid7
from tests.values import NOON, a_face, a_track, a_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from edge_agent.domain import Track, Verdict


def the_rules(**keys: Any) -> Rules:
    return Rules(RulesConfig(**keys), new_id=uuid7)


def judged(
    rules: Rules,
    *verdicts: Verdict,
    at: float = 0.0,
    following: Iterable[int] = range(100),
    seen: Iterable[int] | None = None,
    still: Iterable[int] = (),
) -> list[Alert | Resolved]:
    """Evaluate the rules `at` seconds after noon UTC; by default all followed tracks are also seen."""
    follow = frozenset(following)
    tracks = {number: a_track(number) for number in (follow if seen is None else seen)}
    tracks |= {verdict.track.id: verdict.track for verdict in verdicts if verdict.track.id in tracks}
    return rules.evaluate(
        TrackedFrame(
            tracks=[*tracks.values()],
            verdicts=verdicts,
            following=follow,
            still=frozenset(still),
            size=(640, 360),
            at=at,
            when=NOON + timedelta(seconds=at),
        )
    )


def described(events: Iterable[Alert | Resolved]) -> list[str]:
    """Each event as a word with its track."""
    return [
        f"alert {one.verdict.track.id}" if isinstance(one, Alert) else f"{one.reason} {one.track.id}" for one in events
    ]


def turns(rules: Rules, *decisions: str, track: Track | None = None) -> list[list[str]]:
    """The events of each verdict, one second apart."""
    return [described(judged(rules, a_verdict(one, track=track), at=float(at))) for at, one in enumerate(decisions)]


def violations(*numbers: int) -> list[Verdict]:
    return [a_verdict(track=a_track(number)) for number in numbers]


def test_a_violation_is_alerted_once_however_long_it_lasts():
    assert turns(the_rules(), "undecided", "violation", "violation", "violation") == [[], ["alert 1"], [], []]


def test_a_moment_of_doubt_raises_no_new_alert():
    assert turns(the_rules(), "violation", "undecided", "violation") == [["alert 1"], [], []]


def test_a_mask_put_on_ends_the_violation_and_taken_off_again_is_a_new_one():
    assert turns(the_rules(), "violation", "compliant", "compliant", "violation") == [
        ["alert 1"],
        ["compliant 1"],
        [],
        ["alert 1"],
    ]


def test_a_resolution_has_its_alert_and_duration():
    rules = the_rules()
    judged(rules, *violations(7), at=3.0)

    (resolved,) = judged(rules, at=45.5, following=())

    assert isinstance(resolved, Resolved)
    assert (resolved.track.id, resolved.label, resolved.reason) == (7, "without_mask", "left")
    assert resolved.duration_seconds == 42.5
    assert judged(rules, at=46.0, following=()) == []


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=20_000)])
def test_a_clock_that_is_set_changes_no_duration(step):
    rules = the_rules()
    judged(rules, *violations(1), at=3.0)

    (resolved,) = rules.evaluate(TrackedFrame(size=(640, 480), at=10.0, when=NOON + step))

    assert isinstance(resolved, Resolved)
    assert resolved.duration_seconds == 7.0


@pytest.mark.parametrize("notify", [True, False])
def test_the_configuration_decides_whether_a_resolution_is_published(notify):
    rules = the_rules(notify_when_resolved=notify)
    judged(rules, *violations(1))

    (resolved,) = judged(rules, at=1.0, following=())

    assert isinstance(resolved, Resolved)
    assert resolved.is_published is notify


def test_without_an_alert_there_is_no_resolution():
    rules = the_rules()

    assert turns(rules, "undecided", "compliant") == [[], []]
    assert judged(rules, following=()) == []


def test_two_people_are_two_alerts():
    assert described(judged(the_rules(), *violations(1, 2))) == ["alert 1", "alert 2"]


def test_a_small_face_raises_no_alert_until_it_is_larger():
    rules = the_rules(min_face_px=30)

    assert turns(rules, "violation", track=a_track(face=a_face(width=20))) == [[]]
    assert turns(rules, "violation", track=a_track(face=a_face(width=40))) == [["alert 1"]]


def test_an_unsure_face_raises_its_alert_once_it_is_live():
    rules = the_rules()

    assert judged(rules, *violations(1), still={1}) == []
    assert described(judged(rules, still=(), at=0.5)) == ["alert 1"]


def test_static_faces_raise_alerts_if_configured():
    assert described(judged(the_rules(ignore_static_faces=False), *violations(1), still={1})) == ["alert 1"]


def test_an_alert_is_raised_after_the_dwell_time():
    rules = the_rules(dwell_seconds=3.0)

    assert judged(rules, *violations(1), at=1.0) == []
    assert judged(rules, at=2.9) == []
    assert described(judged(rules, at=3.0)) == ["alert 1"]


def test_time_out_of_sight_does_not_count_as_dwell_time():
    rules = the_rules(dwell_seconds=2.0)
    judged(rules, *violations(1), at=0.9)

    assert judged(rules, at=2.0, seen=()) == []
    assert judged(rules, at=2.9, following=()) == []


# The left half of a picture of 640x360, but for a notch around its middle.
NOTCHED = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.4), (0.2, 0.5), (0.5, 0.6), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("centre", "raises_alert"),
    [((40, 180), False), ((300, 100), False), ((250, 180), True), ((330, 180), True), ((640, 360), True)],
)
def test_faces_centred_in_an_exclusion_zone_raise_no_alert(centre, raises_alert):
    rules = the_rules(exclusion_zones=(NOTCHED,))
    track = a_track(face=a_face(centre[0] - 20, centre[1] - 25, width=40))

    assert bool(judged(rules, a_verdict(track=track))) is raises_alert


def test_a_person_who_leaves_an_exclusion_zone_raises_an_alert():
    rules = the_rules(exclusion_zones=(NOTCHED,))

    assert judged(rules, a_verdict(track=a_track(face=a_face(20)))) == []
    assert described(judged(rules, a_verdict(track=a_track(face=a_face(500))))) == ["alert 1"]


def test_a_person_who_has_entered_an_exclusion_zone_since_the_verdict_raises_no_alert():
    rules = the_rules(exclusion_zones=(NOTCHED,), dwell_seconds=1.0)

    assert judged(rules, a_verdict(track=a_track(face=a_face(500)))) == []
    assert judged(rules, at=2.0) == []


def test_open_violations_raise_alerts_after_quiet_hours_and_ended_ones_are_counted():
    rules = the_rules(quiet_hours=("12:00-12:30",), time_zone="UTC")

    assert judged(rules, *violations(1, 2), at=60.0) == []
    assert judged(rules, at=1000.0, following={2}) == []
    (alert,) = judged(rules, at=1800.0, following={2})

    assert described([alert]) == ["alert 2"]
    assert isinstance(alert, Alert)
    assert alert.suppressed == 1


def test_quiet_hours_are_those_of_the_time_zone():
    at_noon = RulesConfig(quiet_hours=("12:00-13:00",), time_zone="Asia/Tokyo")  # 21:00 there
    in_the_evening = RulesConfig(quiet_hours=("20:30-21:30",), time_zone="Asia/Tokyo")

    assert described(judged(Rules(at_noon, new_id=uuid7), *violations(1))) == ["alert 1"]
    assert judged(Rules(in_the_evening, new_id=uuid7), *violations(1)) == []


def test_a_camera_has_a_cooldown_after_an_alert():
    rules = the_rules(cooldown_seconds=90.0)

    assert described(judged(rules, *violations(1, 2), at=0.0)) == ["alert 1"]
    assert judged(rules, at=89.9) == []
    assert described(judged(rules, at=90.0)) == ["alert 2"]


def test_alerts_of_a_crowd_are_limited_and_suppressed_ones_are_counted():
    rules = the_rules(alerts_per_minute=2)

    assert described(judged(rules, *violations(1, 2, 3, 4, 5, 6), at=0.0)) == ["alert 1", "alert 2"]
    assert described(judged(rules, at=59.9, following={1, 2, 5, 6})) == []
    later = judged(rules, at=60.0, following={1, 2, 5, 6})

    assert described(later) == ["alert 5", "alert 6"]
    assert [one.suppressed for one in later if isinstance(one, Alert)] == [2, 0]


def test_ignored_people_are_not_counted_as_suppressed():
    rules = the_rules(min_face_px=30)
    judged(rules, a_verdict(track=a_track(1, face=a_face(width=20))))

    (alert,) = judged(rules, a_verdict(track=a_track(2, face=a_face(width=40))), at=1.0, following={2})

    assert isinstance(alert, Alert)
    assert alert.suppressed == 0


STEPS = st.lists(
    st.tuples(
        st.floats(0.1, 40.0),  # seconds since the step before
        st.dictionaries(st.integers(1, 5), st.sampled_from(["violation", "compliant", "undecided"]), max_size=5),
        st.frozensets(st.integers(1, 5)),  # tracks that have left
        st.frozensets(st.integers(1, 5)),  # tracks that may be pictures
    ),
    max_size=40,
)


@given(steps=STEPS, limit=st.integers(0, 3), cooldown=st.sampled_from([0.0, 5.0, 90.0]), quiet=st.booleans())
def test_alerts_and_resolutions_alternate_in_any_sequence(steps, limit, cooldown, quiet):
    rules = the_rules(
        alerts_per_minute=limit,
        cooldown_seconds=cooldown,
        quiet_hours=("12:01-12:03",) if quiet else (),
        time_zone="UTC",
        dwell_seconds=1.0,
    )
    at, told_at, open_alerts = 0.0, deque[float](), set[int]()
    episodes: dict[int, str] = {}  # track: "told" once alerted, "held" while only limits delay the alert
    held_back = reported = 0
    for seconds, decisions, gone, still in steps:
        at += seconds
        here = frozenset(range(1, 6)) - gone
        verdicts = [a_verdict(one, track=a_track(number)) for number, one in decisions.items() if number in here]
        held_back += model_of_ends(episodes, decisions, here)
        for event in judged(rules, *verdicts, at=at, following=here, still=still):
            if isinstance(event, Resolved):
                open_alerts.remove(event.track.id)
                continue
            number = event.verdict.track.id
            assert number in here - open_alerts - still
            assert not (quiet and 60 <= at < 180)
            assert not told_at or at - told_at[-1] >= cooldown
            told_at.append(at)
            open_alerts.add(number)
            episodes[number] = "told"
            reported += event.suppressed
            assert reported == held_back
        assert not limit or sum(at - one < 60 for one in told_at) <= limit
        for number, state in episodes.items():
            if state != "told" and number not in still and at >= 1.0:
                # Only a limit can suppress this alert.
                assert limit or cooldown or quiet
                episodes[number] = "held"
        assert open_alerts == {number for number, state in episodes.items() if state == "told"}


def model_of_ends(episodes: dict[int, str], decisions: dict[int, str], here: AbstractSet[int]) -> int:
    """Update the episodes; returns the number of ended ones that were never alerted."""
    ended = 0
    for number in range(1, 6):
        decision = decisions.get(number) if number in here else "compliant"
        if decision == "compliant" or (decision == "undecided" and episodes.get(number) != "told"):
            ended += episodes.pop(number, None) == "held"
        elif decision == "violation":
            episodes.setdefault(number, "")
    return ended


@pytest.mark.parametrize("notify", [True, False])
def test_open_alerts_are_those_of_people_in_view_without_a_mask(notify):
    rules = the_rules(notify_when_resolved=notify)

    judged(rules, *violations(1, 2))
    assert rules.open_alerts == 2
    judged(rules, a_verdict("compliant", track=a_track(1)), at=1.0)
    assert rules.open_alerts == 1
    judged(rules, at=2.0, following=())
    assert rules.open_alerts == 0
