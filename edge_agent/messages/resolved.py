"""Resolved message: the end of an alert's violation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from edge_agent.domain import Label  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import CameraMessage, Kind, Timestamp, Uuid7, schema_field


class ResolvedMessage(CameraMessage):
    """Delivery is at least once: `id` marks duplicates, `boot_id` with `sequence` shows gaps."""

    kind: ClassVar[Kind] = "resolved"
    model_config = ConfigDict(title="A resolved alert, as published on <prefix>/<device>/resolved")

    schema_name: Literal["maskwatch.resolved/1"] = schema_field("maskwatch.resolved/1")
    alert: Uuid7 = Field(description="The `id` of the alert")
    label: Label = Field(description="The label of the alert")
    reason: Literal["left", "compliant"] = Field(
        description="left: the person has left; compliant: the person now wears the mask"
    )
    began: Timestamp = Field(description="Time of the alert")
    duration_seconds: float = Field(
        ge=0, allow_inf_nan=False, description="Duration of the violation, measured with a monotonic clock"
    )
