"""Telemetry message: the device's periodic metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from edge_agent.messages.alert import Model  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.counts import PeopleCounts  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import Count, Kind, Part, TitledMessage
from edge_agent.messages.rollout import RolloutFigures  # noqa: TC001  (pydantic reads it)

SCHEMA: Final = "maskwatch.telemetry/1"
RATE_DIGITS = 2

Rate = Annotated[float, Field(ge=0), AfterValidator(lambda rate: round(rate, RATE_DIGITS))]
"""Frames a second."""
Throttling = tuple[Literal["under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"], ...]


class Counts(Part):
    """Since the agent's start."""

    frames: Count = Field(description="Frames that went through the path")
    analysed: Count = Field(description="Of these, those in which faces were looked for")
    faces: Count = Field(description="Faces found in them")
    readings: Count = Field(description="Masks classified")
    alerts: Count


class Latency(Part):
    """Milliseconds: half of the times less than p50, and so on."""

    p50: float = Field(ge=0)
    p95: float = Field(ge=0)
    p99: float = Field(ge=0)


class FrameRates(Part):
    """Configured, allowed and reached frame rate of a camera; null: every frame it delivers."""

    asked: Rate | None = Field(description="By the configuration")
    allowed: Rate | None = Field(
        description="By the governor at this moment: less than asked on a hot or overloaded machine"
    )
    reached: Rate | None = Field(description="Analysed since the last telemetry; null while paused")


class CameraFigures(Part):
    """One camera since the agent's start."""

    open: bool
    paused: bool
    frames: Count = Field(description="Pictures that came")
    dropped: Count = Field(description="Due to be analysed, but replaced by a newer one before anybody looked")
    reopened: Count
    frames_per_second: FrameRates
    people: PeopleCounts = Field(description="Who have left since the agent's start")
    people_today: PeopleCounts = Field(description="Who have left since midnight of the device's clock, over restarts")


class OutboxFigures(Part):
    """What waits for the broker."""

    rows: Count = Field(description="Messages that wait")
    bytes: Count = Field(description="Their size together")
    dropped: dict[str, Count] = Field(
        description="Messages dropped over the limits of the outbox, by kind, since the store was created"
    )
    sent: Count = Field(description="Acknowledged by the broker since the agent's start")
    sequences: dict[str, Count] = Field(
        default_factory=dict,
        description="The last `sequence` of each kind with this `boot_id`: who has received fewer misses some",
    )


class MachineFigures(Part):
    """The machine; null for what it does not tell."""

    temperature_celsius: float | None = Field(description="Of the processor")
    throttling: Throttling = Field(description="What slows it down now")
    throttled_since_boot: Throttling
    memory_bytes: int | None = Field(description="Of the agent")
    memory_available_bytes: int | None = Field(description="Of the machine")
    disk_free_bytes: int | None = Field(description="Where crops are kept")
    uptime_seconds: float | None


class Models(Part):
    """The models in use."""

    faces: Model | None = Field(
        description="Face detector: the hash of its file, or of the card that names its networks by their own hashes"
    )
    masks: Model = Field(description="Mask classifier")


class Figures(Part):
    """All figures. Counts are those since the agent's start, latencies those since the last telemetry."""

    uptime_seconds: Count = Field(description="Of the agent")
    counts: Counts
    alerts_today: Count = Field(description="Since midnight of the device's clock, over restarts")
    people_today: Count = Field(description="Who have left since midnight, at all cameras together")
    compliance_today: float | None = Field(
        ge=0,
        le=1,
        description="Share of them with a mask, worn properly, among those decided; null where there were none",
    )
    frames_per_second: Rate = Field(description="Analysed since the last telemetry, all cameras together")
    latencies_ms: dict[str, Latency] = Field(description="Per stage that had work, and of the whole `frame`")
    cameras: dict[str, CameraFigures]
    outbox: OutboxFigures
    machine: MachineFigures
    models: Models
    rollout: RolloutFigures | None = Field(
        default=None, description="The model that the fleet wants; null where rollout.url is not configured"
    )
    versions: dict[str, str] = Field(description="Of maskwatch, python and the runtime of the models")


class TelemetryMessage(TitledMessage, Figures):
    """Counts are those since the agent's start, latencies those since the last telemetry."""

    kind: ClassVar[Kind] = "telemetry"
    model_config = ConfigDict(title="Figures of a device, as published on <prefix>/<device>/telemetry")

    schema_name: Literal["maskwatch.telemetry/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format"
    )
