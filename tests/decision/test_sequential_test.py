"""Sequential test: decides once the readings suffice, and not before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.model import DecisionConfig
from edge_agent.decision.sequential_test import HELD_LLR, MAX_LLR, SequentialTest
from edge_agent.domain import LABELS, Label, Reading, Verdict
from tests.values import a_face, a_reading, a_track

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOTH: tuple[Label, Label] = ("without_mask", "mask_worn_incorrectly")
BARE: Label = "without_mask"
MASKED: Label = "with_mask"


def a_test(**settings) -> SequentialTest:
    return SequentialTest(DecisionConfig(**settings), violations=BOTH)


def reading(label: str, score: float = 0.99, *, at: float = 0.0, quality: float = 1.0) -> Reading:
    return a_reading(cast("Label", label), score, at=at, quality=quality)


def verdicts(
    test: SequentialTest, labels: Iterable[str], *, per_second: float, since: float = 0.0, quality: float = 1.0
) -> list[Verdict]:
    """Classify like the pipeline: at the given frame rate, and only when a reading is due."""
    given = []
    for number, label in enumerate(labels):
        at = since + number / per_second
        if test.wants_reading(a_track(), at=at):
            given += test.update([reading(label, at=at, quality=quality)], following={1})
    return given


def first(found: Sequence[Verdict], decision: str) -> float:
    """Time of the first such verdict, in seconds."""
    return next(verdict.best.taken_at for verdict in found if verdict.decision == decision)


@pytest.mark.parametrize("per_second", [1, 2, 5, 10, 30])
def test_a_bare_face_is_a_violation_within_a_second_at_any_frame_rate(per_second):
    test = a_test()
    found = verdicts(test, [BARE] * 3 * per_second, per_second=per_second)

    times = [reading_number / per_second for reading_number in range(len(found))]
    decided_at = next(at for at, verdict in zip(times, found, strict=True) if verdict.decision == "violation")

    assert 0.3 < decided_at <= 1.0


@pytest.mark.parametrize("per_second", [2, 5, 10, 30])
def test_a_mask_taken_off_is_detected_within_two_seconds(per_second):
    test = a_test()
    verdicts(test, [MASKED] * 10 * per_second, per_second=per_second)

    found = verdicts(test, [BARE] * (2 * per_second + 1), per_second=per_second, since=10.0)

    assert found[-1].decision == "violation"


@pytest.mark.parametrize("per_second", [2, 5, 10, 30])
def test_a_single_wrong_reading_is_not_a_violation(per_second):
    for place in range(per_second):
        test = a_test()
        labels = [MASKED] * 3 * per_second
        labels[place] = BARE

        assert "violation" not in {verdict.decision for verdict in verdicts(test, labels, per_second=per_second)}


@pytest.mark.parametrize("per_second", [2, 5, 10, 30])
def test_a_hand_over_the_mouth_for_a_second_does_not_end_a_violation(per_second):
    test = a_test()
    verdicts(test, [BARE] * 5 * per_second, per_second=per_second)

    found = verdicts(test, [MASKED] * per_second + [BARE] * 3 * per_second, per_second=per_second, since=5.0)

    assert {verdict.decision for verdict in found} == {"violation"}


def test_a_mask_put_on_is_detected():
    test = a_test()
    verdicts(test, [BARE] * 30, per_second=10)

    assert verdicts(test, [MASKED] * 40, per_second=10, since=3.0)[-1].decision == "compliant"


def test_contradictory_readings_do_not_decide_a_violation():
    found = verdicts(a_test(), [MASKED, BARE] * 50, per_second=10)

    assert "violation" not in {verdict.decision for verdict in found}


def test_uninformative_readings_never_add_up_to_a_violation():
    test = a_test()
    # Nearly even, as two labels of the three speak for a violation.
    scores: dict[Label, float] = {MASKED: 0.3, BARE: 0.4, "mask_worn_incorrectly": 0.3}
    decisions = set()
    for number in range(1000):
        (verdict,) = test.update([replace(reading(BARE, at=number / 10), scores=scores)], following={1})
        decisions.add(verdict.decision)

    assert decisions == {"undecided"}


def test_thirty_frames_a_second_add_hardly_more_evidence_than_two():
    sums = {}
    for per_second in (2, 30):
        test = a_test(false_positive_rate=1e-9, decay_seconds=3600)
        sums[per_second] = verdicts(test, [BARE] * (per_second + 1), per_second=per_second)[-1].llr

    assert sums[30] / sums[2] < 1.4


def test_a_reading_of_half_the_quality_adds_half_the_evidence():
    test = [a_test().update([reading(BARE, quality=quality)], following={1})[0].llr for quality in (1.0, 0.5)]

    assert test == [MAX_LLR, MAX_LLR / 2]


def test_one_reading_is_never_a_violation_at_any_false_positive_rate():
    test = a_test(false_positive_rate=0.4, false_negative_rate=0.001)

    (verdict,) = test.update([reading(BARE, 1.0)], following={1})

    assert verdict.decision == "undecided"


def test_scores_at_the_thresholds_of_the_card_are_no_evidence():
    thresholds: dict[Label, float] = {MASKED: 0.8, BARE: 0.15, "mask_worn_incorrectly": 0.05}
    test = SequentialTest(DecisionConfig(), violations=BOTH, thresholds=thresholds)

    assert test.llr(replace(reading(BARE), scores=thresholds)) == pytest.approx(0, abs=1e-6)
    assert test.llr(replace(reading(BARE), scores={**thresholds, MASKED: 0.7, BARE: 0.25})) > 0


def test_the_thresholds_are_those_of_wald():
    test = a_test(false_positive_rate=0.01, false_negative_rate=0.05)

    assert test.violation_llr == pytest.approx(math.log(0.95 / 0.01))
    assert test.compliant_llr == pytest.approx(math.log(0.05 / 0.99))


def test_the_error_rates_are_kept():
    """Simulated readings with exact likelihood ratios, far enough apart to be independent."""
    import numpy as np

    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(2000):
        test = a_test(false_positive_rate=0.05, false_negative_rate=0.05, decay_seconds=3600)
        decision, at = "undecided", 0.0
        while decision == "undecided":
            # Two unit-variance Gaussians two apart: the ratio of x is 2x; a masked face has its mean at -1.
            llr = 2 * (random.normal() - 1)
            share = 1 / (1 + math.exp(-llr))
            one = replace(reading(BARE, at=at), scores={MASKED: 1 - share, BARE: share})
            decision = test.update([one], following={1})[0].decision
            at += 10.0
        wrong += decision == "violation"

    assert wrong / 2000 <= 0.05


def test_a_decided_track_is_classified_occasionally_and_at_once_in_doubt():
    test = a_test(recheck_seconds=0.5)
    read = verdicts(test, [MASKED] * 100, per_second=10)
    assert len(read) == 20

    test.update([reading(BARE, at=10.0)], following={1})

    assert test.wants_reading(a_track(), at=10.1)


def test_every_track_is_classified_in_every_frame_if_configured():
    assert len(verdicts(a_test(recheck_seconds=0), [MASKED] * 100, per_second=10)) == 100


def test_both_kinds_of_violation_count_together_and_the_heavier_one_names_the_verdict():
    labels = ["mask_worn_incorrectly", BARE, BARE, BARE, BARE, BARE]

    last = verdicts(a_test(), labels, per_second=5)[-1]

    assert (last.decision, last.label) == ("violation", BARE)


def test_the_verdict_shows_the_clearest_reading_and_not_the_last():
    test = a_test()
    shown = []
    for number, (width, quality) in enumerate(((30, 1.0), (90, 1.0), (60, 1.0), (90, 0.4))):
        track = a_track(face=a_face(width=width))
        one = a_reading("without_mask", 0.99, track=track, at=number / 5, quality=quality)
        shown.append(test.update([one], following={1})[0].best)

    assert [one.track.face.box.width_px for one in shown] == [30, 90, 90, 90]
    assert shown[-1].quality == 1.0


def test_a_second_violation_is_shown_by_its_own_readings():
    test = a_test()
    verdicts(test, [BARE] * 20, per_second=10)
    verdicts(test, [MASKED] * 40, per_second=10, since=2.0)

    last = verdicts(test, [BARE] * 20, per_second=10, since=6.0)[-1]

    assert last.decision == "violation"
    assert last.best.taken_at >= 6.0


def test_the_evidence_of_ended_tracks_is_forgotten():
    test = a_test()
    verdicts(test, [BARE] * 3, per_second=5)
    test.update([], following=set())

    (after,) = verdicts(test, [BARE], per_second=5, since=1.0)

    assert (after.readings, after.decision) == (1, "undecided")


def test_with_every_label_a_violation_every_verdict_is_a_violation():
    everything = SequentialTest(DecisionConfig(), violations=LABELS)

    assert everything.llr(reading(MASKED)) > 0
    assert SequentialTest(DecisionConfig(), violations=["mask_worn_incorrectly"]).llr(reading(BARE)) < 0


some_readings = st.lists(
    st.tuples(st.sampled_from(LABELS), st.floats(0.34, 1.0), st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=40
)


@given(some_readings)
def test_evidence_agrees_with_a_sum_over_all_readings(ballot: list[tuple[Label, float, float, float]]):
    """The model: every reading's ratio, quality, novelty and age, added up from the beginning each time."""
    test = a_test()
    at, before, total = 0.0, None, 0.0
    for label, score, pause, quality in ballot:
        at += pause
        one = reading(label, score, at=at, quality=quality)
        (verdict,) = test.update([one], following={1})
        novelty = 1.0 if before is None else (1 - math.exp(-pause / 0.3)) / (1 + math.exp(-pause / 0.3))
        total = total * math.exp(-(at - (before if before is not None else at)) / 5.0)
        total += quality * novelty * test.llr(one)
        total = min(max(total, test.compliant_llr), test.violation_llr + HELD_LLR)
        before = at

        assert verdict.llr == pytest.approx(total, abs=1e-9)


@given(some_readings)
def test_a_verdict_names_a_label_of_its_own_side_and_shows_a_reading_of_it(
    ballot: list[tuple[Label, float, float, float]],
):
    test = a_test()
    at = 0.0
    for count, (label, score, pause, quality) in enumerate(ballot, 1):
        at += pause
        (verdict,) = test.update([reading(label, score, at=at, quality=quality)], following={1})

        assert 1 <= verdict.readings <= count
        assert 0 <= verdict.score <= 1
        assert (test.llr(verdict.best) >= 0) == (verdict.label in BOTH)
        if verdict.decision != "undecided":
            assert (verdict.label in BOTH) == (verdict.decision == "violation")
