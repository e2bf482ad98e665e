"""Voting says violation or compliant once readings agree, and not before."""

from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import VotingConfig
from edge_agent.decision.voting import Voting
from edge_agent.domain import LABELS, Label, Reading, Verdict
from tests.values import a_face, a_reading, a_track

BOTH: tuple[Label, Label] = ("without_mask", "mask_worn_incorrectly")


def a_vote(**settings) -> Voting:
    return Voting(VotingConfig(**settings), violations=BOTH)


def verdicts(voting: Voting, labels: Sequence[str], *, score: float = 0.9) -> list[Verdict]:
    return [voting.weigh([_reading(label, score)], following={1})[0] for label in labels]


def test_nothing_is_decided_before_enough_readings():
    decisions = [verdict.decision for verdict in verdicts(a_vote(readings=5), ["without_mask"] * 6)]

    assert decisions == ["undecided"] * 4 + ["violation"] * 2


def test_readings_that_disagree_stay_undecided():
    last = verdicts(a_vote(readings=4), ["with_mask", "without_mask"] * 4)[-1]

    assert last.decision == "undecided"


def test_one_bad_frame_does_not_turn_a_verdict():
    decisions = [
        verdict.decision
        for verdict in verdicts(a_vote(readings=5), ["with_mask"] * 6 + ["without_mask"] + ["with_mask"] * 3)
    ]

    assert decisions[4:] == ["compliant"] * 6


def test_a_mask_taken_off_is_seen_when_old_readings_no_longer_count():
    decisions = [
        verdict.decision for verdict in verdicts(a_vote(readings=3, window=6), ["with_mask"] * 6 + ["without_mask"] * 6)
    ]

    assert decisions[5] == "compliant"
    assert decisions[-1] == "violation"


def test_both_kinds_of_violation_count_together_and_the_heavier_one_names_the_verdict():
    labels: list[Label] = ["without_mask", "mask_worn_incorrectly", "without_mask", "without_mask"]

    last = verdicts(a_vote(readings=4), labels)[-1]

    assert last.decision == "violation"
    assert last.label == "without_mask"


def test_a_sure_reading_weighs_more_than_a_guess():
    voting = a_vote(readings=4, agreement_fraction=0.6)
    decisions = []
    for label, score in (("without_mask", 0.99), ("with_mask", 0.51), ("without_mask", 0.99), ("with_mask", 0.51)):
        verdict = voting.weigh([_reading(label, score)], following={1})[0]
        decisions.append(verdict.decision)

    assert decisions[-1] == "violation"


def test_the_verdict_shows_the_largest_clear_reading_that_speaks_for_it():
    voting = a_vote(readings=1)
    shown = [
        voting.weigh([a_reading(track=a_track(face=a_face(width=width)))], following={1})[0].best
        for width in (30, 90, 60)
    ]

    assert [reading.track.face.box.width_px for reading in shown] == [30, 90, 90]


def test_readings_of_people_who_left_are_forgotten():
    voting = a_vote(readings=2)
    verdicts(voting, ["without_mask"])
    voting.weigh([], following=set())

    (after,) = verdicts(voting, ["without_mask"])

    assert after.readings == 1


def test_a_window_smaller_than_the_readings_needed_is_refused():
    with pytest.raises(ValueError, match="must not be smaller"):
        VotingConfig(readings=5, window=4)


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.floats(0.34, 1.0)), min_size=1, max_size=40))
def test_a_verdict_names_a_label_of_its_own_side_that_was_really_read(ballot: list[tuple[Label, float]]):
    voting = a_vote(readings=3, window=7)
    for count, (label, score) in enumerate(ballot, 1):
        (verdict,) = voting.weigh([_reading(label, score)], following={1})
        recent = [read for read, _ in ballot[max(0, count - 7) : count]]

        assert verdict.label in recent
        assert verdict.best.label == verdict.label
        assert verdict.readings == len(recent)
        if verdict.decision == "violation":
            assert verdict.label in BOTH
        if verdict.decision == "compliant":
            assert verdict.label == "with_mask"


def _reading(label: str, score: float) -> Reading:
    return a_reading(cast("Label", label), score)
