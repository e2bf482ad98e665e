"""Base classes of all messages and their parts."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from edge_agent.domain import timestamp


def _in_utc(when: datetime) -> datetime:
    """Convert to UTC, in which a message is written and stored; the zone of another program may leave the calendar."""
    try:
        return when.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from error


MAX_COUNT = 2**53 - 1
"""Largest whole number that all programs read exactly from JSON (RFC 8259)."""
Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(timestamp, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        }
    ),
]
"""RFC 3339 in UTC, with milliseconds."""
Uuid7 = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

Kind: TypeAlias = Literal["alert", "resolved", "counts", "telemetry"]
"""Kinds of messages that are stored until the broker has acknowledged them."""
KINDS: tuple[Kind, ...] = ("alert", "resolved", "counts", "telemetry")
ALERTS_AND_RESOLVED: tuple[Kind, ...] = ("alert", "resolved")
"""The most urgent ones, which webhooks get, too."""

# Longer than a slow broker takes, and short enough to act on the message.
HISTORICAL_AFTER_SECONDS = 10.0


def schema_field(schema: str) -> Any:
    """Declare the key `schema` of a message."""
    return Field(default=schema, alias="schema", description="Name and version of this format")


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )

    def as_json(self) -> dict[str, Any]:
        """The JSON object to publish."""
        return self.model_dump(mode="json", by_alias=True)


class Message(Part):
    """One JSON object on a topic; `schema` names its format and version."""

    # Declared first, so that it begins every message; each kind states its own.
    schema_name: str
    device: Name = Field(description="The device's name, as in the topic")

    def payload(self) -> bytes:
        """The payload to publish."""
        return json.dumps(self.as_json()).encode()


def schema_of(message: type[Message]) -> str:
    """The `schema` of messages of a class."""
    return str(message.model_fields["schema_name"].default)


class QueuedMessage(Message):
    """A message that is stored until the broker has acknowledged it. Delivery is at least once: `id` marks duplicates.

    Complete when it is stored, except for `historical`, which the publisher sets.
    """

    kind: ClassVar[Kind]

    id: Uuid7 = Field(description="UUID version 7: unique, and sorts by time")
    boot_id: str = Field(
        description="Id of the machine's boot; `sequence` counts within it", json_schema_extra={"format": "uuid"}
    )
    sequence: int = Field(ge=1, description="1, 2, 3, ... within a boot, without gaps, for each topic")
    when: Timestamp = Field(description="Time of the event")
    clock_synchronised: bool = Field(
        description="Whether the device's clock was synchronised (NTP) at that time; if not, times may be wrong"
    )
    historical: bool = Field(
        default=False,
        description=f"Sent more than {HISTORICAL_AFTER_SECONDS:.0f} s after the event, as after an outage, or again "
        "because it reached no subscriber",
    )
    device_title: str = Field(default="", description="Friendly name of the device; its name if it has no title")


class CameraMessage(QueuedMessage):
    """A message about one camera."""

    camera: Name = Field(description="The camera's name in the configuration")
    camera_title: str = Field(default="", description="Friendly name of the camera; its name if it has no title")


class DeviceMessage(QueuedMessage):
    """A message about the whole device."""

    camera_titles: dict[str, str] = Field(
        default_factory=dict, description="Friendly name of each camera, by name; the name itself if it has no title"
    )


def is_historical(waited_seconds: float | None) -> bool:
    """Whether a message with this waiting time is historical; None: stored before the machine was started.

    The waiting time is measured with a monotonic clock, because the system clock may be set in between.
    """
    return waited_seconds is None or waited_seconds > HISTORICAL_AFTER_SECONDS
