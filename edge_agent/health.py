"""Health: is the agent doing its job? Ages and counts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.domain import Outcome


class Health:
    """What happened since the start. Owned by the agent's thread."""

    def __init__(self, *, silence_seconds: float) -> None:
        """Frames count as moving while the newest is no older than `silence_seconds`."""
        self._silence_seconds = silence_seconds
        self._last_frame_at: float | None = None
        self.frames = 0
        self.looked = 0
        self.readings = 0
        self.alerts = 0
        self._stage_seconds: dict[str, float] = defaultdict(float)

    def saw(self, outcome: Outcome, *, at: float) -> None:
        """Count one frame."""
        self._last_frame_at = at
        self.frames += 1
        self.looked += outcome.looked
        self.readings += len(outcome.readings)
        self.alerts += len(outcome.alerts)
        for stage, seconds in outcome.stage_seconds.items():
            self._stage_seconds[stage] += seconds

    def frames_move(self, *, at: float) -> bool:
        """Whether a frame went through the whole path not long ago."""
        return self._last_frame_at is not None and at - self._last_frame_at <= self._silence_seconds

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """Mean milliseconds of each stage, over all frames: stages that were skipped count as nothing."""
        return {stage: 1000 * seconds / self.frames for stage, seconds in self._stage_seconds.items()}
