"""Metrics: on readings that can be counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.masks.metrics import (
    Reading,
    Share,
    expected_calibration_error,
    find_swapped_order,
    measure,
    metrics_by_band,
    most_accurate_order,
)

if TYPE_CHECKING:
    from edge_agent.domain import Label

LABELS: tuple[Label, ...] = ("with_mask", "without_mask", "mask_worn_incorrectly")


def a_reading(truth, predicted, *, score=0.9, side_px=20.0):
    return Reading(truth, predicted, score, side_px)


def readings(**counts):
    """`ab=3`: three faces of with_mask (a) read as without_mask (b); c is mask_worn_incorrectly."""
    letters = dict(zip("abc", LABELS, strict=True))
    return [a_reading(letters[key[0]], letters[key[1]]) for key, count in counts.items() for _ in range(count)]


def test_recall_precision_and_accuracy_are_counted_from_the_readings():
    metrics = measure(readings(aa=8, ab=2, ba=1, bb=4), labels=LABELS[:2])

    assert metrics.faces == 15
    assert metrics.accuracy == Share(12, 15)
    assert metrics.recall("with_mask") == Share(8, 10)
    assert metrics.recall("without_mask") == Share(4, 5)
    assert metrics.precision("with_mask") == Share(8, 9)
    assert metrics.precision("without_mask") == Share(4, 6)
    assert metrics.confusion == {
        "with_mask": {"with_mask": 8, "without_mask": 2},
        "without_mask": {"with_mask": 1, "without_mask": 4},
    }


def test_the_interval_is_wilsons():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263.
    assert Share(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_share_of_zero_cases_is_undefined():
    assert Share(0, 0).value is None
    assert Share(0, 0).interval is None
    assert str(Share(0, 0)) == "-"
    assert str(Share(97, 100)) == "97.0% (91.5..99.0)"


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_contains_the_share(hits, more):
    share = Share(hits, hits + more)
    assert share.interval is not None
    assert share.value is not None
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1


def test_calibration_error_is_the_distance_of_confidence_from_accuracy():
    always_sure = [a_reading("with_mask", "with_mask", score=0.9)] * 6 + [
        a_reading("without_mask", "with_mask", score=0.9)
    ] * 4

    assert expected_calibration_error(always_sure) == pytest.approx(0.3)
    assert expected_calibration_error([]) is None


def test_a_score_of_one_falls_into_the_last_bin():
    assert expected_calibration_error([a_reading("with_mask", "with_mask", score=1.0)]) == 0.0


def test_results_are_grouped_by_size_domain_and_pose_without_empty_groups():
    faces = [a_reading("with_mask", "with_mask", side_px=side) for side in (15.9, 16, 23, 47, 100, 500)]
    faces.append(replace(faces[0], domain="press", pose="profile"))

    bands = metrics_by_band(faces, labels=LABELS)

    assert {sort: {name: one.faces for name, one in inside.items()} for sort, inside in bands.items()} == {
        "size_px": {"0-16": 2, "16-24": 2, "32-48": 1, "100+": 2},
        "domain": {"press": 1},
        "pose": {"profile": 1},
    }


def test_swapped_labels_are_put_in_order():
    metrics = measure(readings(ab=9, aa=1, ba=10), labels=LABELS[:2])

    assert find_swapped_order(metrics) == ("without_mask", "with_mask")
    assert most_accurate_order(metrics)[1] == pytest.approx(19 / 20)


def test_rotated_labels_are_put_in_order():
    # Output 0 is called with_mask and is read for bare faces, and so on around.
    metrics = measure(readings(ba=10, cb=10, ac=10), labels=LABELS)

    assert find_swapped_order(metrics) == ("without_mask", "mask_worn_incorrectly", "with_mask")


def test_a_bad_model_is_not_called_swapped():
    assert find_swapped_order(measure(readings(aa=5, ab=5, ba=6, bb=4), labels=LABELS[:2])) is None
    assert find_swapped_order(measure([], labels=LABELS)) is None


def test_the_json_of_evaluate_has_the_documented_fields():
    told = json.loads(json.dumps(measure(readings(aa=1, bb=1, ba=1), labels=LABELS[:2]).as_json()))

    assert told["faces"] == 3
    assert told["accuracy"] == pytest.approx(2 / 3)
    assert told["recall"] == {"with_mask": 1.0, "without_mask": 0.5}
    assert told["precision"] == {"with_mask": 0.5, "without_mask": 1.0}
    assert told["confusion"]["without_mask"] == {"with_mask": 1, "without_mask": 1}
    assert 0 <= told["calibration_error"] <= 1
