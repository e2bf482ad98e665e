"""Status message: the device's condition, with reasons if degraded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ConfigDict, Field

from edge_agent.messages.message import Message, Name, Part, Timestamp, schema_field

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


State: TypeAlias = Literal["starting", "online", "degraded", "offline"]

ReasonCode: TypeAlias = Literal[
    "starting",
    "paused",
    "camera_away",
    "camera_frozen",
    "camera_covered",
    "camera_wrong_size",
    "no_frames",
    "disk_full",
    "crops_not_kept",
    "outbox_stuck",
    "outbox_dropping",
    "outbox_damaged",
    "refused",
    "duplicate_device",
    "webhook_away",
    "model_rejected",
    "hot",
    "throttled",
    "slowed",
    "stopped",
    "reloaded",
    "connection_lost",
]


WHY_OFFLINE = {
    "stopped": "the agent was stopped",
    "reloaded": "the agent has ended this connection to reload its configuration",
    "connection_lost": "the broker has lost the connection to this device",
}


class Reason(Part):
    """Why a device is not online: a code for programs, and a sentence that stays the same while the reason lasts."""

    code: ReasonCode = Field(description="For programs")
    text: Name = Field(description="For people")


class StatusMessage(Message):
    """Published at every change and every connection, retained."""

    model_config = ConfigDict(
        title="The state of a device, retained on <prefix>/<device>/status",
        json_schema_extra={
            "if": {"properties": {"state": {"const": "online"}}},
            "then": {"properties": {"reasons": {"maxItems": 0}}},
            "else": {"properties": {"reasons": {"minItems": 1}}},
        },
    )

    schema_name: Literal["maskwatch.status/1"] = schema_field("maskwatch.status/1")
    state: State = Field(
        description="starting: opening cameras; online: working; degraded: working with restrictions, see reasons; "
        "offline: not connected"
    )
    reasons: tuple[Reason, ...] = Field(description="Why it is not online; empty if it is")
    paused: tuple[Name, ...] = Field(
        default=(), description="Cameras paused by a command", json_schema_extra={"uniqueItems": True}
    )
    boot_id: str = Field(
        description="Id of the machine's boot; two of them at the same time are two devices of the same name",
        json_schema_extra={"format": "uuid"},
    )
    when: Timestamp | None = Field(
        description="Time of the change; null in the last will, which the broker publishes if the connection is lost"
    )


def state_for(reasons: Sequence[Reason]) -> Literal["starting", "online", "degraded"]:
    """The state of a running device; a camera that opens for the first time does not count as degraded."""
    if not reasons:
        return "online"
    return "starting" if all(reason.code == "starting" for reason in reasons) else "degraded"


def running(
    device: str, *, boot_id: str, reasons: Sequence[Reason], paused: Sequence[str], when: datetime
) -> StatusMessage:
    """The status of a running device for these reasons; `paused` names the paused cameras."""
    state = state_for(reasons)
    return StatusMessage(
        device=device, state=state, reasons=tuple(reasons), paused=tuple(paused), boot_id=boot_id, when=when
    )


def offline(
    device: str, why: Literal["stopped", "reloaded", "connection_lost"], *, boot_id: str, when: datetime | None = None
) -> StatusMessage:
    """The status of a device without a connection; the last will has no time, which only the broker knows."""
    reason = Reason(code=why, text=WHY_OFFLINE[why])
    return StatusMessage(device=device, state="offline", reasons=(reason,), boot_id=boot_id, when=when)
