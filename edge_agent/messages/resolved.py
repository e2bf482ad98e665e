"""Resolved message: the end of an alert's violation."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from edge_agent.domain import Label  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import Kind, Name, QueuedMessage, Timestamp, Uuid7

SCHEMA: Final = "maskwatch.resolved/1"


class ResolvedMessage(QueuedMessage):
    """Delivery is at least once: `id` tells duplicates, `boot_id` with `sequence` shows gaps."""

    kind: ClassVar[Kind] = "resolved"
    model_config = ConfigDict(title="What became of an alert, as published on <prefix>/<device>/resolved")

    schema_name: Literal["maskwatch.resolved/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format"
    )
    alert: Uuid7 = Field(description="The `id` of the alert that is over")
    camera: Name = Field(description="The camera's name in the configuration")
    device_title: str = Field(default="", description="What people call the device; its name where it has no title")
    camera_title: str = Field(default="", description="What people call the camera; its name where it has no title")
    label: Label = Field(description="What was alerted")
    reason: Literal["left", "compliant"] = Field(
        description="left: the person is gone; compliant: the person wears the mask by now"
    )
    began: Timestamp = Field(description="When the alert arose")
    duration_seconds: float = Field(
        ge=0, description="How long it lasted, measured with a clock that is never adjusted"
    )
