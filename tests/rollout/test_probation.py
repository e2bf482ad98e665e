"""Probation: returns to the previous model if the agent performs worse with the new one."""

from __future__ import annotations

import pytest

from edge_agent.rollout.probation import AWAY_SECONDS, PROBATION_SECONDS, Probation, Sample

SHA256, STEP_SECONDS = "a" * 64, 5.0


def observed(*, sample: Sample | None = None, until: float = PROBATION_SECONDS, then: Sample | None = None) -> str:
    """The result of samples every five seconds; `then` is the last one."""
    probation = Probation(model_sha256=SHA256, run_id=None, frames_per_second=10.0, memory_bytes=100, at=0.0)
    at, result = 0.0, "continues"
    while result == "continues" and at < until:
        at += STEP_SECONDS
        result = probation.observe(sample, at=at)
    return probation.observe(then, at=at + STEP_SECONDS) if then and result == "continues" else result


def a_sample(run_id: str = "one", sha256: str = SHA256, rate: float | None = 10.0, memory: int = 100) -> Sample:
    return Sample(run_id, sha256, rate, memory)


def test_ten_minutes_without_degradation_are_enough():
    assert observed(sample=a_sample(rate=8.0, memory=150)) == "passed"


def test_nothing_is_decided_before_ten_minutes_are_over():
    assert observed(sample=a_sample(), until=PROBATION_SECONDS - STEP_SECONDS) == "continues"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (a_sample(rate=7.9), "7.9 frames per second"),
        (a_sample(memory=151), "151 bytes of memory"),
        (a_sample(sha256="b" * 64), "did not load"),
        (None, "no longer running"),
    ],
)
def test_a_worse_model_is_rejected_with_a_reason(bad, reason):
    assert reason in observed(sample=bad)


def test_a_restarted_agent_rejects_the_model():
    assert "restarted" in observed(sample=a_sample(), until=100.0, then=a_sample(run_id="another"))


def test_an_agent_that_reloads_may_be_silent_for_a_moment():
    probation = Probation(model_sha256=SHA256, run_id=None, frames_per_second=10.0, memory_bytes=100, at=0.0)

    assert probation.observe(None, at=AWAY_SECONDS - 1.0) == "continues"
    assert probation.observe(a_sample(), at=AWAY_SECONDS) == "continues"
    assert probation.observe(None, at=2 * AWAY_SECONDS - 1.0) == "continues"


def test_an_unknown_rate_does_not_reject_a_model():
    assert observed(sample=a_sample(rate=None)) == "passed"
