"""Judging: alerts are matched to the ground truth."""

from __future__ import annotations

import pytest

from edge_agent.domain import Box, Label
from tests.scenes.composition import Seen
from tests.scenes.judging import Event, Given, Moment, events_of, judge

VIOLATIONS: frozenset[Label] = frozenset({"without_mask", "mask_worn_incorrectly"})
LEFT, RIGHT = Box(100, 100, 150, 160), Box(400, 100, 450, 160)


def moments(*spells, rate=10.0):
    """What is true, from spells of (actor, label, from, until, box, visible fraction)."""
    last = max(until for _, _, _, until, _, _ in spells)
    return [
        Moment(
            second,
            tuple(
                Seen(actor, label, box, fraction)
                for actor, label, since, until, box, fraction in spells
                if since <= second < until
            ),
        )
        for second in [index / rate for index in range(round(last * rate))]
    ]


def bare(since, until, *, actor="she", box=LEFT, fraction=1.0):
    return actor, "without_mask", since, until, box, fraction


def masked(since, until, *, actor="she", box=LEFT):
    return actor, "with_mask", since, until, box, 1.0


def found(*spells):
    return events_of(moments(*spells), violations=VIOLATIONS, min_face_px=24)


def judged(alerts, *spells):
    return judge(moments(*spells), found(*spells), alerts)


def test_a_violation_begins_when_the_whole_face_is_visible():
    (event,) = found(bare(0.0, 1.0, fraction=0.5), bare(1.0, 4.0))

    assert (event.from_second, event.until_second) == (1.0, pytest.approx(3.9))


def test_a_small_face_is_not_a_violation():
    assert found(bare(0.0, 3.0, box=Box(0, 0, 20, 28))) == ()


def test_a_briefly_hidden_person_is_one_violation():
    assert len(found(bare(0.0, 2.0), bare(2.0, 4.0, fraction=0.2), bare(4.0, 6.0))) == 1


def test_a_person_who_returns_later_is_another_violation():
    assert len(found(bare(0.0, 2.0), bare(8.0, 10.0))) == 2


def test_a_mask_in_between_makes_two_violations_of_it():
    assert len(found(bare(0.0, 2.0), masked(2.0, 4.0), bare(4.0, 6.0))) == 2


def test_an_alert_at_the_face_soon_after_is_right():
    judgement = judged([Given(1.0, "without_mask", LEFT)], bare(0.0, 5.0))

    assert judgement.is_right
    assert [hit.delay_seconds for hit in judgement.hits] == [1.0]


def test_no_alert_is_a_miss():
    judgement = judged([], bare(0.0, 5.0))

    assert judgement.missed == (Event("she", "without_mask", 0.0, 4.9),)
    assert not judgement.is_right


def test_an_alert_after_more_than_two_seconds_is_late():
    judgement = judged([Given(2.5, "without_mask", LEFT)], bare(0.0, 5.0))

    assert [hit.is_on_time for hit in judgement.hits] == [False]
    assert not judgement.missed
    assert not judgement.is_right


def test_a_second_alert_for_the_same_violation_is_false():
    alerts = [Given(1.0, "without_mask", LEFT), Given(3.0, "without_mask", LEFT)]
    judgement = judged(alerts, bare(0.0, 5.0))

    assert [(alert.second, whom) for alert, whom in judgement.mistaken] == [(3.0, "she, again")]


def test_an_alert_for_a_masked_person_is_false():
    judgement = judged([Given(1.0, "without_mask", LEFT)], masked(0.0, 5.0))

    assert [whom for _, whom in judgement.mistaken] == ["she, who is in no violation"]


def test_an_alert_without_a_person_is_false():
    judgement = judged([Given(1.0, "without_mask", RIGHT)], bare(0.0, 5.0))

    assert [whom for _, whom in judgement.mistaken] == ["no person"]
    assert len(judgement.missed) == 1


def test_two_people_are_distinguished_by_their_place():
    alerts = [Given(1.0, "without_mask", RIGHT), Given(1.2, "without_mask", LEFT)]
    judgement = judged(alerts, bare(0.0, 5.0, actor="he", box=LEFT), bare(0.0, 5.0, actor="she", box=RIGHT))

    assert judgement.is_right
    assert [hit.event.actor for hit in judgement.hits] == ["she", "he"]


def test_part_of_a_face_at_the_edge_may_be_enough():
    judgement = judged([Given(0.5, "without_mask", LEFT)], bare(0.0, 1.0, fraction=0.5), bare(1.0, 5.0))

    assert judgement.is_right


def test_an_alert_just_before_the_mask_comes_off_is_false():
    judgement = judged([Given(1.5, "without_mask", LEFT)], masked(0.0, 2.0), bare(2.0, 5.0))

    assert [whom for _, whom in judgement.mistaken] == ["she, who is in no violation"]
    assert len(judgement.missed) == 1
