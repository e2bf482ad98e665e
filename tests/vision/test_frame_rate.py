"""Frame rate: frames are analysed at the requested rate, and not more often."""

import numpy as np

from edge_agent.vision.frame_rate import FrameRate


def test_jitter_neither_raises_nor_lowers_the_rate():
    rate = FrameRate(10)
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 300)

    wanted = sum(rate.wants(number / 30 + late) for number, late in enumerate(jitter))

    assert 98 <= wanted <= 101


def test_after_a_pause_the_rate_does_not_catch_up():
    rate = FrameRate(10)

    assert rate.wants(0.0)
    assert [rate.wants(60.0 + number / 100) for number in range(8)].count(True) <= 2


def test_without_a_rate_every_frame_is_selected():
    rate = FrameRate(0)

    assert all(rate.wants(at) for at in (0.0, 0.0, 0.001))


def test_a_camera_at_the_configured_rate_loses_no_frame_to_jitter():
    rate = FrameRate(10)
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 100)

    assert all(rate.wants(number / 10 + late) for number, late in enumerate(jitter))


def wanted_per_second(frames_per_second, share):
    rate = FrameRate(frames_per_second)
    rate.slow_to(share, min_per_second=2)
    return round(sum(rate.wants(number / 50) for number in range(500)) / 10)


def test_a_fraction_of_the_frames_is_selected_but_at_least_the_minimum():
    assert [wanted_per_second(20, share) for share in (1.0, 0.5, 0.25, 0.01)] == [20, 10, 5, 2]
    assert wanted_per_second(1, 0.5) == 1


def test_without_a_rate_a_share_refers_to_thirty_frames_a_second():
    assert [wanted_per_second(0, share) for share in (1.0, 0.5)] == [50, 15]
