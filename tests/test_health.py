"""Health: whether the newest frame of a camera is recent."""

from edge_agent.health import Health


def test_a_camera_counts_as_alive_until_its_newest_frame_is_too_old():
    health = Health(read_timeout_seconds=5.0)
    assert not health.frames_move("door", at=0.0)

    health.record_frame("door", at=10.0)

    assert health.frames_move("door", at=15.0)
    assert not health.frames_move("door", at=15.1)


def test_each_camera_is_judged_separately():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", at=10.0)
    health.record_frame("yard", at=17.0)

    assert not health.frames_move("door", at=18.0)
    assert health.frames_move("yard", at=18.0)


def test_the_agent_is_ready_after_the_first_frame():
    health = Health(read_timeout_seconds=5.0)
    assert not health.has_begun

    health.record_frame("door", at=10.0)

    assert health.has_begun
