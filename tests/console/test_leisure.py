"""The console works no larger share of the time than the watching leaves."""

from __future__ import annotations

import pytest

from edge_agent.console.leisure import LEAST_SHARE, LONGEST_REST_SECONDS, STALE_SECONDS, Leisure
from edge_agent.domain import Outcome


def a_frame_that_took(seconds: float) -> Outcome:
    return Outcome(True, (), (), (), (), (), {"motion": 0.0, "faces": seconds / 2, "masks": seconds / 2})


def watched(*, busy_fraction: float, seconds: float = 2.0) -> Leisure:
    """Twenty frames a second that take this share of the time."""
    leisure = Leisure()
    for frame in range(round(20 * seconds) + 1):
        leisure.saw(a_frame_that_took(busy_fraction / 20), at=frame / 20)
    return leisure


@pytest.mark.parametrize(("busy_fraction", "rest_seconds"), [(0.0, 0.0), (0.1, 0.1 / 9), (0.5, 0.1), (0.8, 0.4)])
def test_after_work_comes_a_rest_so_that_both_together_are_the_share_that_is_left(busy_fraction, rest_seconds):
    assert watched(busy_fraction=busy_fraction).rest_seconds(0.1, at=2.0) == pytest.approx(rest_seconds)


def test_a_little_is_done_also_where_the_watching_leaves_nothing():
    leisure = watched(busy_fraction=1.2)

    assert leisure.rest_seconds(0.01, at=2.0) == pytest.approx(0.01 * (1 - LEAST_SHARE) / LEAST_SHARE)
    assert leisure.rest_seconds(10.0, at=2.0) == LONGEST_REST_SECONDS


def test_a_watching_that_has_begun_no_frame_yet_or_lost_its_camera_leaves_all_the_time():
    assert Leisure().rest_seconds(0.1, at=0.0) == 0.0
    assert watched(busy_fraction=0.8).rest_seconds(0.1, at=2.0 + STALE_SECONDS + 0.6) == 0.0


def test_the_pause_of_a_lost_camera_is_no_leisure_of_the_time_after_it():
    leisure = watched(busy_fraction=0.8)
    for frame in range(20):
        leisure.saw(a_frame_that_took(0.04), at=100 + frame / 20)

    assert leisure.rest_seconds(0.1, at=101.0) == pytest.approx(0.4)
