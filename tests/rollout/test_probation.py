"""Probation: returns to the previous model if the agent performs worse with the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.rollout.probation import AWAY_SECONDS, PROBATION_SECONDS, Probation
from tests.values import a_status

if TYPE_CHECKING:
    from edge_agent.bridge.protocol import DeviceStatus

SHA256, STEP_SECONDS = "a" * 64, 5.0


def observed(
    *, status: DeviceStatus | None = None, until: float = PROBATION_SECONDS, then: DeviceStatus | None = None
) -> str:
    """The result of a status every five seconds; `then` is the last one."""
    probation = Probation(model_sha256=SHA256, run_id=None, frames_per_second=10.0, memory_bytes=100, at=0.0)
    at, result = 0.0, "continues"
    while result == "continues" and at < until:
        at += STEP_SECONDS
        result = probation.observe(status, at=at)
    return probation.observe(then, at=at + STEP_SECONDS) if then and result == "continues" else result


def an_agent(*, sha256: str = SHA256, rate: float = 10.0, memory: int = 100, **changes: Any) -> DeviceStatus:
    """The status of an agent with one camera."""
    status = a_status(sha256=sha256, frames_per_second=rate, memory_bytes=memory, **changes)
    return status.model_copy(update={"cameras": status.cameras[:1]})


def test_ten_minutes_without_degradation_are_enough():
    assert observed(status=an_agent(rate=8.0, memory=150)) == "passed"


def test_nothing_is_decided_before_ten_minutes_are_over():
    assert observed(status=an_agent(), until=PROBATION_SECONDS - STEP_SECONDS) == "continues"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (an_agent(rate=7.9), "7.9 frames per second"),
        (an_agent(memory=151), "151 bytes of memory"),
        (an_agent(sha256="b" * 64), "did not load"),
        (None, "no longer running"),
    ],
)
def test_a_worse_model_is_rejected_with_a_reason(bad, reason):
    assert reason in observed(status=bad)


def test_a_restarted_agent_rejects_the_model():
    assert "restarted" in observed(status=an_agent(), until=100.0, then=an_agent(run_id="another"))


def test_an_agent_that_reloads_may_be_silent_for_a_moment():
    probation = Probation(model_sha256=SHA256, run_id=None, frames_per_second=10.0, memory_bytes=100, at=0.0)

    assert probation.observe(None, at=AWAY_SECONDS - 1.0) == "continues"
    assert probation.observe(an_agent(), at=AWAY_SECONDS) == "continues"
    assert probation.observe(None, at=2 * AWAY_SECONDS - 1.0) == "continues"


def test_the_rate_is_unknown_while_a_camera_is_closed_and_does_not_reject_a_model():
    assert observed(status=a_status(sha256=SHA256, frames_per_second=1.0, memory_bytes=100)) == "passed"
