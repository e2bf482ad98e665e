"""Result message: the outcome of a command."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from edge_agent.messages.command import MAX_ID_LENGTH
from edge_agent.messages.message import Count, Message, Name, Part, Sha256, Timestamp, Uuid7, schema_field
from edge_agent.messages.status import Reason  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.telemetry import Figures  # noqa: TC001  (pydantic reads it)

State: TypeAlias = Literal["done", "refused", "failed"]


class Nothing(Part):
    """No result, also of a command that was not executed."""


class PauseResult(Part):
    """The paused cameras."""

    cameras: tuple[Name, ...] = Field(min_length=1, description="Paused cameras")
    seconds: float | None = Field(description="Duration; null: until resumed")


class ResumeResult(Part):
    """The resumed cameras."""

    cameras: tuple[Name, ...] = Field(min_length=1, description="Resumed cameras")


class SnapshotResult(Part):
    """The stored picture."""

    camera: Name
    id: Uuid7 = Field(description="Id in the topic of the picture")
    file: Name = Field(
        description="Name in the folder snapshots of crops.dir, or absolute path if mqtt.publish_crop_paths is set; "
        "ends in .age if encrypted"
    )
    sha256: Sha256
    bytes: int = Field(ge=1)
    taken: Timestamp
    published: bool = Field(description="Whether it is published on .../snapshots/<id>")


class Delivery(Part):
    """The state of delivery; `reason` is empty without problems."""

    connected: bool
    reason: str
    waiting: Count


class DiagnosticsResult(Part):
    """Configuration, metrics and state for diagnosis, without passwords."""

    config: dict[str, Any] = Field(description="Effective configuration, without passwords")
    telemetry: Figures
    reasons: tuple[Reason, ...]
    delivery: Delivery


CommandResult: TypeAlias = PauseResult | ResumeResult | SnapshotResult | DiagnosticsResult | Nothing


class ResultMessage(Message):
    """Published once per command."""

    model_config = ConfigDict(
        title="The result of a command, as published on <prefix>/<device>/commands/<name>/result",
        json_schema_extra={
            "if": {"properties": {"state": {"const": "done"}}},
            "then": {"properties": {"reason": {"maxLength": 0}}},
            "else": {"properties": {"reason": {"minLength": 1}, "result": {"maxProperties": 0}}},
        },
    )

    schema_name: Literal["maskwatch.result/1"] = schema_field("maskwatch.result/1")
    command: str = Field(description="Name of the command")
    id: str = Field(max_length=MAX_ID_LENGTH, description="The `id` of the request; empty if it had none")
    state: State = Field(
        description="done; refused: invalid request, or not possible now; failed: an error during execution"
    )
    reason: str = Field(default="", description="Why it was not executed; empty if it was")
    result: CommandResult = Field(default=Nothing(), description="Result of the command; empty if it was not executed")
    when: Timestamp
