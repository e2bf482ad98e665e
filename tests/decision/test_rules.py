"""The rules tell a person once."""

from edge_agent.config import RulesConfig
from edge_agent.decision.rules import Rules
from edge_agent.domain import Alert
from tests.values import NOON, a_face, a_track, a_verdict


def told(rules: Rules, *decisions: str, track=None) -> list[int]:
    """How many alerts each verdict in turn gives."""
    return [
        sum(
            isinstance(one, Alert)
            for one in rules.judge([a_verdict(decision, track=track)], still=set(), following={1}, at=0.0, when=NOON)
        )
        for decision in decisions
    ]


def test_a_violation_is_alerted_once_however_long_it_lasts():
    assert told(Rules(RulesConfig()), "undecided", "violation", "violation", "violation") == [0, 1, 0, 0]


def test_a_moment_of_doubt_is_no_new_violation():
    assert told(Rules(RulesConfig()), "violation", "undecided", "violation") == [1, 0, 0]


def test_a_mask_put_on_and_taken_off_again_is_a_new_violation():
    assert told(Rules(RulesConfig()), "violation", "compliant", "violation") == [1, 0, 1]


def test_two_people_are_two_alerts():
    rules = Rules(RulesConfig())
    both = [a_verdict(track=a_track(1)), a_verdict(track=a_track(2))]

    alerts = rules.judge(both, still=set(), following={1, 2}, at=0.0, when=NOON)

    assert [alert.verdict.track.id for alert in alerts] == [1, 2]


def test_a_face_too_small_to_show_anybody_is_not_alerted_until_it_comes_closer():
    rules = Rules(RulesConfig(smallest_face_px=30))

    assert told(rules, "violation", track=a_track(face=a_face(width=20))) == [0]
    assert told(rules, "violation", track=a_track(face=a_face(width=40))) == [1]
