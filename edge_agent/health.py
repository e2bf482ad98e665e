"""Health: ages, counts and latencies that show whether the agent works."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from edge_agent.messages.telemetry import Latency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.domain import Outcome

# A stage without work takes a microsecond or two and must not distort the statistics.
SKIPPED_SECONDS = 20e-6
# Buckets from 10 microseconds on, each a tenth wider than the one before: no percentile is wrong by more than 5 %. The
# last contains everything beyond 100 seconds.
FIRST_BUCKET_SECONDS = 10e-6
BUCKET_GROWTH = 1.1
BUCKETS = math.ceil(math.log(100 / FIRST_BUCKET_SECONDS, BUCKET_GROWTH)) + 1


class Health:
    """Counts and latencies since the start. Owned by the agent's thread."""

    def __init__(self, *, read_timeout_seconds: float) -> None:
        """Frames count as moving while the newest is no older than `read_timeout_seconds`."""
        self._silence_seconds = read_timeout_seconds
        self._last_frame_at: dict[str, float] = {}
        self.frames = 0
        self.analysed = 0
        self.faces = 0
        self.readings = 0
        self.alerts = 0
        self._stage_seconds: dict[str, float] = defaultdict(float)
        self._latencies: dict[str, _Histogram] = defaultdict(_Histogram)

    def record_frame(self, camera: str, outcome: Outcome, *, at: float) -> None:
        """Count one frame."""
        self._last_frame_at[camera] = at
        self.frames += 1
        self.analysed += outcome.analysed
        self.faces += len(outcome.tracks)
        self.readings += len(outcome.readings)
        self.alerts += len(outcome.alerts)
        for stage, seconds in outcome.stage_seconds.items():
            self._stage_seconds[stage] += seconds
            self._latencies[stage].add(seconds)
        if outcome.analysed:
            self._latencies["frame"].add(sum(outcome.stage_seconds.values()))

    def record_paused(self, camera: str, *, at: float) -> None:
        """Record the arrival of a paused camera's frame."""
        self._last_frame_at[camera] = at

    def frames_move(self, camera: str, *, at: float) -> bool:
        """Whether a camera's frame was processed recently."""
        return at - self._last_frame_at.get(camera, -math.inf) <= self._silence_seconds

    @property
    def has_begun(self) -> bool:
        """Whether any frame has arrived yet."""
        return bool(self._last_frame_at)

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """Mean duration of each stage in milliseconds, over all frames; skipped stages count as 0."""
        return {stage: 1000 * seconds / self.frames for stage, seconds in self._stage_seconds.items()}

    def latencies(self) -> dict[str, Latency]:
        """Percentiles of each stage that had work, and of the whole `frame`, since the last reset."""
        return {stage: histogram.latency() for stage, histogram in self._latencies.items() if histogram.count}

    def reset_latencies(self) -> None:
        """Reset the latency statistics."""
        self._latencies.clear()


class _Histogram:
    """A histogram of durations with constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self._counts = [0] * BUCKETS

    def add(self, seconds: float) -> None:
        if seconds < SKIPPED_SECONDS:
            return
        bucket = int(math.log(seconds / FIRST_BUCKET_SECONDS, BUCKET_GROWTH))
        self._counts[min(bucket, BUCKETS - 1)] += 1
        self.count += 1

    def latency(self) -> Latency:
        return Latency(p50=self._percentile_ms(0.50), p95=self._percentile_ms(0.95), p99=self._percentile_ms(0.99))

    def _percentile_ms(self, fraction: float) -> float:
        below = 0
        for bucket, count in enumerate(self._counts):
            below += count
            if below >= fraction * self.count:
                # The middle of the bucket, as far from its edges in both directions.
                return round(1000 * FIRST_BUCKET_SECONDS * math.pow(BUCKET_GROWTH, bucket + 0.5), 3)
        return math.inf
