"""Result message: the outcome of a command."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from edge_agent.messages.command import LONGEST_ID
from edge_agent.messages.message import Count, Message, Name, Part, Sha256, Timestamp, Uuid7
from edge_agent.messages.status import Reason  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.telemetry import Figures  # noqa: TC001  (pydantic reads it)

SCHEMA: Final = "maskwatch.result/1"

State: TypeAlias = Literal["done", "refused", "failed"]


class Nothing(Part):
    """A command that was not done, or gives nothing back."""


class PauseResult(Part):
    """Which cameras are paused."""

    cameras: tuple[Name, ...] = Field(min_length=1, description="Those that are paused")
    seconds: float | None = Field(description="For so long; null: until resumed")


class ResumeResult(Part):
    """Which cameras are watched again."""

    cameras: tuple[Name, ...] = Field(min_length=1, description="Those that are watched again")


class SnapshotResult(Part):
    """The picture that was kept."""

    camera: Name
    id: Uuid7 = Field(description="As in the topic of the picture")
    file: Name = Field(description="Absolute path on the device")
    sha256: Sha256
    bytes: int = Field(ge=1)
    taken: Timestamp
    published: bool = Field(description="Whether it goes to .../snapshots/<id>")


class Delivery(Part):
    """How delivery does; `reason` is empty where all is well."""

    connected: bool
    reason: str
    waiting: Count


class DiagnosticsResult(Part):
    """Everything that helps, without passwords."""

    config: dict[str, Any] = Field(description="In force; without passwords")
    telemetry: Figures
    reasons: tuple[Reason, ...]
    delivery: Delivery


CommandResult: TypeAlias = PauseResult | ResumeResult | SnapshotResult | DiagnosticsResult | Nothing


class ResultMessage(Message):
    """Once for each command."""

    model_config = ConfigDict(
        title="What came of a command, as published on <prefix>/<device>/commands/<name>/result",
        json_schema_extra={
            "if": {"properties": {"state": {"const": "done"}}},
            "then": {"properties": {"reason": {"maxLength": 0}}},
            "else": {"properties": {"reason": {"minLength": 1}, "result": {"maxProperties": 0}}},
        },
    )

    schema_name: Literal["maskwatch.result/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format"
    )
    command: str = Field(description="The name of the command")
    id: str = Field(max_length=LONGEST_ID, description="That of the request; empty where it had none")
    state: State = Field(
        description="done; refused: the request is wrong, or not now; failed: the device could not do it"
    )
    reason: str = Field(default="", description="Why it was not done; empty where it was")
    result: CommandResult = Field(
        default=Nothing(), description="What the command gives back; empty where it was not done"
    )
    when: Timestamp
