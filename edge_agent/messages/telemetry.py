"""Telemetry message: the device's periodic metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from edge_agent.messages.alert import Model  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.counts import PeopleCounts  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import Count, DeviceMessage, Kind, Part, schema_field
from edge_agent.messages.rollout import RolloutFigures  # noqa: TC001  (pydantic reads it)

RATE_DIGITS = 2

Rate = Annotated[float, Field(ge=0), AfterValidator(lambda rate: round(rate, RATE_DIGITS))]
"""Frames a second."""
ThrottlingReason = Literal["under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"]
Throttling = tuple[ThrottlingReason, ...]


class Counts(Part):
    """Since the agent's start."""

    frames: Count = Field(description="Frames processed by the pipeline")
    analysed: Count = Field(description="Frames in which face detection ran")
    faces: Count = Field(description="Faces detected in them")
    readings: Count = Field(description="Masks classified")
    alerts: Count


class Latency(Part):
    """Percentiles in milliseconds."""

    p50: float = Field(ge=0)
    p95: float = Field(ge=0)
    p99: float = Field(ge=0)


class FrameRates(Part):
    """Configured, allowed and reached frame rate of a camera; null: every frame it delivers."""

    asked: Rate | None = Field(description="Configured rate")
    allowed: Rate | None = Field(
        description="Current limit of the governor: below the configured rate on a hot or overloaded machine"
    )
    reached: Rate | None = Field(description="Rate of analysed frames since the last telemetry; null while paused")


class CameraFigures(Part):
    """One camera. A reload does not reset the frames of a camera that it keeps open."""

    open: bool
    paused: bool
    frames: Count = Field(description="Frames received")
    dropped: Count = Field(description="Frames that were due but replaced by a newer one before they were analysed")
    reopened: Count
    frames_per_second: FrameRates
    people: PeopleCounts = Field(description="People who have left since the agent's start or reload")
    people_today: PeopleCounts = Field(
        description="People who have left since midnight in the device's time zone, across restarts"
    )


class OutboxFigures(Part):
    """Messages pending delivery."""

    rows: Count = Field(description="Number of pending messages")
    bytes: Count = Field(description="Their total size")
    dropped: dict[str, Count] = Field(
        description="Messages dropped because of the outbox's limits, by kind, since the store was created"
    )
    sent: Count = Field(description="Messages acknowledged by the broker since the agent's start or reload")
    sequences: dict[str, Count] = Field(
        default_factory=dict,
        description="The last `sequence` of each kind with this `boot_id`, to detect missing messages",
    )


class MachineFigures(Part):
    """The machine; null for values it does not report."""

    temperature_celsius: float | None = Field(description="Temperature of the processor")
    throttling: Throttling = Field(description="Current reasons for throttling")
    throttled_since_boot: Throttling
    memory_bytes: int | None = Field(description="Resident memory of the agent")
    memory_available_bytes: int | None = Field(description="Available memory of the machine")
    disk_free_bytes: int | None = Field(description="Free space on the disk of crops.dir")
    uptime_seconds: float | None


class Models(Part):
    """The models in use."""

    faces: Model | None = Field(
        description="Face detector; the hash is that of its file, or of its card, which contains those of its networks"
    )
    masks: Model = Field(description="Mask classifier")


class Figures(Part):
    """All metrics. Counts are since the agent's start or reload, latencies since the last telemetry."""

    uptime_seconds: Count = Field(description="Time since the agent's start or reload")
    counts: Counts
    alerts_today: Count = Field(description="Alerts since midnight in the device's time zone, across restarts")
    people_today: Count = Field(description="People who have left since midnight, at all cameras")
    compliance_today: float | None = Field(
        ge=0,
        le=1,
        description="Share of people with a correctly worn mask among those with a decision; null if there are none",
    )
    frames_per_second: Rate = Field(description="Rate of processed frames since the last telemetry, all cameras")
    latencies_ms: dict[str, Latency] = Field(description="Of each stage that had work, and of the whole `frame`")
    cameras: dict[str, CameraFigures]
    outbox: OutboxFigures
    machine: MachineFigures
    models: Models
    rollout: RolloutFigures | None = Field(
        default=None, description="State of the model roll-out; null if rollout.url is not configured"
    )
    versions: dict[str, str] = Field(description="Versions of maskwatch, python and the runtime of the models")


class TelemetryMessage(DeviceMessage, Figures):
    """Counts are since the agent's start or reload, latencies since the last telemetry."""

    kind: ClassVar[Kind] = "telemetry"
    model_config = ConfigDict(title="Metrics of a device, as published on <prefix>/<device>/telemetry")

    schema_name: Literal["maskwatch.telemetry/1"] = schema_field("maskwatch.telemetry/1")
