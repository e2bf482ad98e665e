"""Stream clock: timestamps of the stream are used if they are plausible."""

import itertools

import numpy as np
import pytest

from edge_agent.camera.stream_clock import MAX_DELAY_SECONDS, StreamClock


def taken(stamps, arrivals):
    clock = StreamClock()
    return [clock.taken_at(stamp, arrived_at=arrival) for stamp, arrival in zip(stamps, arrivals, strict=True)]


def test_frames_of_a_burst_are_dated_by_their_timestamps():
    stamps = [number / 25 for number in range(50)]
    # Frames arrive in groups of four.
    arrivals = [100 + (number // 4 * 4 + 3) / 25 for number in range(50)]

    steps = np.diff(taken(stamps, arrivals)[8:])

    assert steps == pytest.approx([0.04] * len(steps), abs=0.01)


@pytest.mark.parametrize(
    "stamps",
    [
        [None] * 500,
        [0.0] * 500,
        [-number / 25 for number in range(500)],
        [number / 250 for number in range(500)],
        [number / 2.5 for number in range(500)],
        [number % 7 / 25 for number in range(500)],
        [number / 25 + (1e6 if number > 250 else 0) for number in range(500)],
        [number / 25 - (1e6 if number > 250 else 0) for number in range(500)],
        [number / 25 * 1.001 for number in range(500)],
    ],
    ids=["none", "zero", "backwards", "slow", "fast", "loop", "jump", "jump back", "drift"],
)
def test_wrong_timestamps_date_no_picture_far_from_its_arrival(stamps):
    arrivals = [100 + number / 25 for number in range(500)]

    moments = taken(stamps, arrivals)

    assert all(later >= earlier for earlier, later in itertools.pairwise(moments))
    assert all(0 <= arrival - at <= MAX_DELAY_SECONDS for arrival, at in zip(arrivals, moments, strict=True))
    # In the long run the times follow the arrivals: frames are scheduled for analysis by them.
    assert moments[400:] == pytest.approx(arrivals[400:], abs=0.05)
