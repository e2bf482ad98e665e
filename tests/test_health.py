"""Health counts what went through the path, knows how old it is and how long it took."""

import tracemalloc

import pytest

from edge_agent.domain import Outcome
from edge_agent.health import Health
from tests.values import a_reading, a_track, an_alert


def an_outcome() -> Outcome:
    return _outcome({"motion": 0.001, "faces": 0.010}, people=3)


def a_frame_that_took(seconds: float) -> Outcome:
    return _outcome({"faces": seconds})


def _outcome(stage_seconds: dict[str, float], *, analysed: bool = True, people: int = 0) -> Outcome:
    return Outcome(
        analysed=analysed,
        tracks=tuple(a_track(number) for number in range(people)),
        readings=(a_reading(),) if people else (),
        verdicts=(),
        alerts=(an_alert(),) if people else (),
        resolved=(),
        stage_seconds=stage_seconds,
    )


def test_frames_move_until_the_newest_is_too_old():
    health = Health(read_timeout_seconds=5.0)
    assert not health.frames_move("door", at=0.0)

    health.record_frame("door", an_outcome(), at=10.0)

    assert health.frames_move("door", at=15.0)
    assert not health.frames_move("door", at=15.1)


def test_each_camera_moves_by_itself():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", an_outcome(), at=10.0)
    health.record_frame("yard", an_outcome(), at=17.0)

    assert not health.frames_move("door", at=18.0)
    assert health.frames_move("yard", at=18.0)


def test_frames_of_a_paused_camera_move_and_are_not_counted():
    health = Health(read_timeout_seconds=5.0)

    health.record_paused("door", at=10.0)

    assert health.frames_move("door", at=15.0)
    assert health.frames == 0


def test_everything_is_counted_and_stages_are_averaged_over_all_frames():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", an_outcome(), at=1.0)
    health.record_frame("door", _outcome({"motion": 0.003, "faces": 0.0}, analysed=False), at=2.0)

    assert (health.frames, health.analysed, health.faces, health.readings, health.alerts) == (2, 1, 3, 1, 1)
    assert health.stages_ms == {"motion": 2.0, "faces": 5.0}


def test_latencies_are_right_within_five_percent():
    health = Health(read_timeout_seconds=5.0)
    for milliseconds in range(1, 1001):
        health.record_frame("door", a_frame_that_took(milliseconds / 1000), at=0.0)

    latency = health.latencies()["faces"]

    assert latency.p50 == pytest.approx(500, rel=0.05)
    assert latency.p95 == pytest.approx(950, rel=0.05)
    assert latency.p99 == pytest.approx(990, rel=0.05)


def test_latencies_are_those_since_they_were_begun_anew():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", a_frame_that_took(9.0), at=0.0)

    health.reset_latencies()
    assert health.latencies() == {}
    health.record_frame("door", a_frame_that_took(0.01), at=1.0)

    assert health.latencies()["faces"].p99 == pytest.approx(10, rel=0.05)


def test_a_stage_that_was_skipped_does_not_make_it_look_quick():
    health = Health(read_timeout_seconds=5.0)
    for _ in range(99):
        health.record_frame("door", _outcome({"faces": 1e-6}, analysed=False), at=0.0)
    health.record_frame("door", a_frame_that_took(0.020), at=0.0)

    assert health.latencies()["faces"].p50 == pytest.approx(20, rel=0.05)


def test_the_whole_frame_has_its_latency_too():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", an_outcome(), at=0.0)

    assert health.latencies()["frame"].p50 == pytest.approx(11, rel=0.05)


def test_a_duration_beyond_all_measure_still_counts():
    health = Health(read_timeout_seconds=5.0)
    health.record_frame("door", a_frame_that_took(86_400.0), at=0.0)

    assert health.latencies()["faces"].p50 > 90_000


def test_any_number_of_frames_takes_the_same_memory():
    health = Health(read_timeout_seconds=5.0)
    outcome = a_frame_that_took(0.01)
    for step in range(1000):
        health.record_frame("door", outcome, at=float(step))
    tracemalloc.start()
    for step in range(20_000):
        health.record_frame("door", outcome, at=float(step))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 10_000
