"""Metrics: what went through the pipeline since the start, and how long each stage took."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from edge_agent.domain import LABELS, Label
from edge_agent.messages.telemetry import Counts, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Outcome

STAGES = ("motion", "faces", "masks", "decision")
STAGE_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""From a fast stage on a desktop to the detector on a hot Raspberry Pi."""
SKIPPED_SECONDS = 20e-6
"""A stage without work takes a microsecond or two and must not distort the statistics."""
# Latencies: from 10 microseconds on, each bucket is a tenth wider than the one before, so no percentile is wrong by
# more than 5 %.
FIRST_BUCKET_SECONDS = 10e-6
BUCKET_GROWTH = 1.1


class CameraMetrics(BaseModel):
    """Counters of one camera."""

    frames: int = 0
    analysed: int = 0
    faces: int = 0
    readings: int = 0
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
        self._durations: dict[str, Counter[int]] = defaultdict(Counter)

    def record(self, camera: str, outcome: Outcome) -> None:
        """Count a frame."""
        counts = self.cameras[camera]
        counts.frames += 1
        counts.analysed += outcome.analysed
        counts.faces += len(outcome.tracks)
        counts.readings += len(outcome.readings)
        for alert in outcome.alerts:
            counts.alerts[alert.verdict.label] += 1
        for name, seconds in outcome.stage_seconds.items():
            if seconds >= SKIPPED_SECONDS:
                stage = self.stages[name]
                stage.counts[bisect_left(STAGE_BUCKETS_SECONDS, seconds)] += 1
                stage.total_seconds += seconds
                self._durations[name][_bucket(seconds)] += 1
        frame_seconds = sum(outcome.stage_seconds.values())
        if outcome.analysed and frame_seconds >= SKIPPED_SECONDS:
            self._durations["frame"][_bucket(frame_seconds)] += 1

    def totals(self) -> Counts:
        """The counters of all cameras together."""
        cameras = self.cameras.values()
        return Counts(
            frames=sum(camera.frames for camera in cameras),
            analysed=sum(camera.analysed for camera in cameras),
            faces=sum(camera.faces for camera in cameras),
            readings=sum(camera.readings for camera in cameras),
            alerts=sum(sum(camera.alerts.values()) for camera in cameras),
        )

    def stages_ms(self) -> dict[str, float]:
        """Mean duration of each stage in milliseconds, over all frames; skipped stages count as 0."""
        frames = self.totals().frames
        return {name: 1000 * stage.total_seconds / frames for name, stage in self.stages.items()} if frames else {}

    def latencies(self) -> dict[str, Latency]:
        """Percentiles of each stage that had work, and of the whole `frame`, since the last reset."""
        return {stage: _latency(durations) for stage, durations in self._durations.items()}

    def reset_latencies(self) -> None:
        """Reset the latency statistics."""
        self._durations.clear()


def _bucket(seconds: float) -> int:
    return int(math.log(seconds / FIRST_BUCKET_SECONDS, BUCKET_GROWTH))


def _latency(durations: Counter[int]) -> Latency:
    """The percentiles of durations, which are counted by bucket."""
    buckets = sorted(durations)
    up_to = list(accumulate(durations[bucket] for bucket in buckets))

    def percentile_ms(fraction: float) -> float:
        bucket = buckets[bisect_left(up_to, fraction * up_to[-1])]
        # The middle of the bucket, as far from its edges in both directions.
        return round(1000 * FIRST_BUCKET_SECONDS * math.pow(BUCKET_GROWTH, bucket + 0.5), 3)

    return Latency(p50=percentile_ms(0.50), p95=percentile_ms(0.95), p99=percentile_ms(0.99))
