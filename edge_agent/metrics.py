"""Metrics: counters and stage histograms of each camera since the agent's start."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from edge_agent.domain import LABELS, Label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Outcome

STAGES = ("motion", "faces", "masks", "decision")
STAGE_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""From a fast stage on a desktop to the detector on a hot Raspberry Pi."""
SKIPPED_SECONDS = 20e-6
"""A stage without work takes a microsecond or two and must not distort the statistics."""


class CameraMetrics(BaseModel):
    """Counters of one camera."""

    frames: int = 0
    analysed: int = 0
    faces: int = 0
    classifications: int = 0
    alerts: dict[Label, int] = Field(default_factory=lambda: dict.fromkeys(LABELS, 0))


class StageMetrics(BaseModel):
    """Histogram of one stage: counts per bucket of STAGE_BUCKETS_SECONDS, and a last one for all beyond."""

    counts: list[int] = Field(default_factory=lambda: [0] * (len(STAGE_BUCKETS_SECONDS) + 1))
    total_seconds: float = 0.0


class Metrics:
    """Counts frames. One thread writes; others read without a lock, because all values are plain numbers."""

    def __init__(self, cameras: Iterable[str]) -> None:
        """All cameras start with zero counters, so that rates can be computed immediately."""
        self.cameras = {camera: CameraMetrics() for camera in cameras}
        self.stages = {stage: StageMetrics() for stage in STAGES}
        """Over all cameras."""

    def record(self, camera: str, outcome: Outcome) -> None:
        """Count a frame."""
        counts = self.cameras[camera]
        counts.frames += 1
        counts.analysed += outcome.analysed
        counts.faces += len(outcome.tracks)
        counts.classifications += len(outcome.readings)
        for alert in outcome.alerts:
            counts.alerts[alert.verdict.label] += 1
        for name, seconds in outcome.stage_seconds.items():
            if seconds >= SKIPPED_SECONDS:
                stage = self.stages[name]
                stage.counts[bisect_left(STAGE_BUCKETS_SECONDS, seconds)] += 1
                stage.total_seconds += seconds
