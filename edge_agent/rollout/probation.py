"""Probation: compares the agent with a new model to the agent with the old one. Pure: time is an argument."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.bridge.protocol import DeviceStatus
    from edge_agent.messages.telemetry import Figures

PROBATION_SECONDS = 600.0
SETTLE_SECONDS = 60.0
"""Until the models are loaded, the cameras reopened, and a first rate is known."""
AWAY_SECONDS = 30.0
"""The agent starts within ten seconds; after this time it has failed to."""
MIN_RATE_FRACTION = 0.8
MAX_MEMORY_FACTOR = 1.5
"""A second copy of the largest model needs less than half of an agent's memory."""
MIN_SAMPLES = 10
"""Fewest samples of a rate for a reliable median."""


def rate_of(status: DeviceStatus) -> float | None:
    """Frames per second of all cameras; None while one is closed or paused."""
    is_steady = all(camera.is_open and not camera.paused for camera in status.cameras)
    return sum(camera.frames_per_second or 0.0 for camera in status.cameras) if is_steady else None


class Probation:
    """Evaluates the agent for ten minutes. Owned by the roll-out's loop."""

    def __init__(
        self, *, model_sha256: str, run_id: str | None, frames_per_second: float, memory_bytes: int, at: float
    ) -> None:
        """Start; rate and memory are those with the previous model, 0 if unknown.

        `run_id` is that of the agent when the model was activated; None: this process was started since.
        """
        self._sha256, self._rate, self._memory = model_sha256, frames_per_second, memory_bytes
        self._began_at = self._answered_at = at
        self._run_id = run_id
        self._rates: list[float] = []

    def observe(self, status: DeviceStatus | None, *, at: float) -> str:
        """Evaluate a status, None if the agent does not answer; returns "continues", "passed" or a reason to reject."""
        if status is None:
            return "the agent is no longer running" if at - self._answered_at > AWAY_SECONDS else "continues"
        self._answered_at = at
        self._run_id = self._run_id or status.run_id
        if status.run_id != self._run_id:
            return "the agent was restarted"
        if at - self._began_at < SETTLE_SECONDS:
            return "continues"
        if (rate := rate_of(status)) is not None:
            self._rates.append(rate)
        if fault := self._fault(status.telemetry):
            return fault
        if at - self._began_at < PROBATION_SECONDS:
            return "continues"
        return self._slowness() or "passed"

    def _fault(self, figures: Figures) -> str:
        if figures.models.masks.sha256 != self._sha256:
            return "the agent did not load it; see its log"
        memory_bytes = figures.machine.memory_bytes
        if self._memory and (memory_bytes or 0) > MAX_MEMORY_FACTOR * self._memory:
            return f"the agent uses {memory_bytes} bytes of memory, up from {self._memory}"
        return ""

    def _slowness(self) -> str:
        if len(self._rates) < MIN_SAMPLES or not self._rate:
            return ""
        rate = statistics.median(self._rates)
        if rate >= MIN_RATE_FRACTION * self._rate:
            return ""
        return f"{rate:.1f} frames per second were analysed, down from {self._rate:.1f}"
