"""Domain: boxes with exclusive edges, cut copies, timestamps."""

from datetime import datetime, timedelta, timezone

import numpy as np

from edge_agent.domain import Box, timestamp
from tests.values import a_frame


def test_a_box_as_large_as_the_frame_cuts_out_all_of_it():
    frame = a_frame(size=(64, 48))
    frame.image[:] = np.arange(64, dtype=np.uint8)[np.newaxis, :, np.newaxis]

    assert np.array_equal(frame.cut(Box(-10, -10, 100, 100)), frame.image)


def test_a_box_inside_cuts_out_its_own_pixels():
    assert a_frame(size=(64, 48)).cut(Box(10, 20, 30, 25)).shape == (5, 20, 3)


def test_a_box_outside_the_frame_cuts_the_nearest_pixel():
    assert a_frame(size=(64, 48)).cut(Box(200, 200, 300, 300)).shape == (1, 1, 3)
    assert a_frame(size=(64, 48)).cut(Box(-300, -300, -200, -200)).shape == (1, 1, 3)


def test_overlap_is_the_shared_part_of_both():
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 15, 10)) == 50 / 150
    assert Box(0, 0, 10, 10).overlap(Box(10, 0, 20, 10)) == 0


def test_times_are_written_in_utc_with_milliseconds():
    india = timezone(timedelta(hours=5, minutes=30))

    assert timestamp(datetime(2025, 1, 1, 5, 30, tzinfo=india)) == "2025-01-01T00:00:00.000Z"
