"""Metrics: counters of what went through the pipeline, and latencies of its stages."""

import tracemalloc

import pytest

from edge_agent.domain import Outcome
from edge_agent.metrics import Metrics
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


def test_without_frames_there_are_no_averages():
    assert Metrics(["door"]).stages_ms() == {}


def test_everything_is_counted_and_stages_are_averaged_over_all_frames():
    metrics = Metrics(["door", "yard"])
    metrics.record("door", an_outcome())
    metrics.record("yard", _outcome({"motion": 0.003, "faces": 0.0}, analysed=False))

    counts = metrics.totals()
    assert (counts.frames, counts.analysed, counts.faces, counts.readings, counts.alerts) == (2, 1, 3, 1, 1)
    assert (metrics.cameras["door"].frames, metrics.cameras["yard"].frames) == (1, 1)
    assert metrics.stages_ms() == {"motion": 2.0, "faces": 5.0, "masks": 0.0, "decision": 0.0}


def test_latencies_are_accurate_to_five_percent():
    metrics = Metrics(["door", "yard"])
    for milliseconds in range(1, 1001):
        metrics.record("door", a_frame_that_took(milliseconds / 1000))

    latency = metrics.latencies()["faces"]

    assert latency.p50 == pytest.approx(500, rel=0.05)
    assert latency.p95 == pytest.approx(950, rel=0.05)
    assert latency.p99 == pytest.approx(990, rel=0.05)


def test_latencies_are_since_the_last_reset():
    metrics = Metrics(["door", "yard"])
    metrics.record("door", a_frame_that_took(9.0))

    metrics.reset_latencies()
    assert metrics.latencies() == {}
    metrics.record("door", a_frame_that_took(0.01))

    assert metrics.latencies()["faces"].p99 == pytest.approx(10, rel=0.05)


def test_skipped_stages_do_not_count_in_latencies():
    metrics = Metrics(["door", "yard"])
    for _ in range(99):
        metrics.record("door", _outcome({"faces": 1e-6}, analysed=False))
    metrics.record("door", a_frame_that_took(0.020))

    assert metrics.latencies()["faces"].p50 == pytest.approx(20, rel=0.05)


def test_the_whole_frame_has_its_latency_too():
    metrics = Metrics(["door", "yard"])
    metrics.record("door", an_outcome())

    assert metrics.latencies()["frame"].p50 == pytest.approx(11, rel=0.05)


def test_a_frame_that_took_a_day_counts():
    metrics = Metrics(["door", "yard"])
    metrics.record("door", a_frame_that_took(86_400.0))

    assert metrics.latencies()["faces"].p50 > 90_000


def test_memory_is_independent_of_the_number_of_frames():
    metrics = Metrics(["door", "yard"])
    outcome = a_frame_that_took(0.01)
    for _ in range(1000):
        metrics.record("door", outcome)
    tracemalloc.start()
    for _ in range(20_000):
        metrics.record("door", outcome)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 10_000
