"""Accuracy check: a detector passes if int8 costs it little and it fits a device."""

from __future__ import annotations

from converter.faces.accuracy_check import MAX_NETWORK_BYTES, check_detector
from converter.faces.evaluation import DetectorReport


def a_report(average_precision: float) -> DetectorReport:
    return DetectorReport(
        name="faces.json",
        pictures=10,
        faces=20,
        ap={"ap_50_16px": average_precision},
        min_score=0.6,
        recall=0.9,
        false_detections=0.1,
        empty_pictures=0,
        false_detections_in_empty=0.0,
        median_ms=5.0,
        bands={},
    )


def test_int8_may_lose_half_a_point():
    assert check_detector(a_report(0.956), a_report(0.960), [MAX_NETWORK_BYTES]) == []


def test_more_than_half_a_point_is_too_much():
    (objection,) = check_detector(a_report(0.954), a_report(0.960), [1000])

    assert "average precision is 0.954 against 0.960 in float, more than 0.005 lower" in objection


def test_a_network_that_is_too_large_is_refused_regardless_of_its_accuracy():
    (objection,) = check_detector(a_report(0.99), a_report(0.96), [1000, MAX_NETWORK_BYTES + 1])

    assert f"a network has {MAX_NETWORK_BYTES + 1} bytes" in objection
