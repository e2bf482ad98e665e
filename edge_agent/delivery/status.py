"""Status: does this device do its job, and if not wholly, why not?

Pure: no clock, no I/O. Described for others in docs/status.schema.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edge_agent.delivery.outgoing import Outgoing
from edge_agent.delivery.topics import status_topic
from edge_agent.domain import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from edge_agent.config import MqttConfig

SCHEMA = "maskwatch.status/1"

ReasonCode: TypeAlias = Literal[
    "paused",
    "camera_away",
    "camera_frozen",
    "camera_covered",
    "camera_wrong_size",
    "no_frames",
    "disk_full",
    "outbox_stuck",
    "outbox_dropping",
    "outbox_damaged",
    "refused",
    "hot",
    "throttled",
    "slowed",
    "console_away",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a device is degraded: a code for programs, and a sentence that stays the same while the reason does."""

    code: ReasonCode
    text: str


def alive(
    mqtt: MqttConfig, device: str, *, reasons: Sequence[Reason], paused: Sequence[str], when: datetime
) -> Outgoing:
    """Say `online`, or `degraded` where there are reasons; `paused` names the cameras that are not watched."""
    return _status(
        mqtt,
        device,
        {
            "state": "degraded" if reasons else "online",
            "reasons": [{"code": reason.code, "text": reason.text} for reason in reasons],
            "paused": list(paused),
            "when": timestamp(when),
        },
    )


def stopped(mqtt: MqttConfig, device: str, *, when: datetime) -> Outgoing:
    """Say `offline` because the agent was asked to end."""
    reasons = [{"code": "stopped", "text": "the agent was stopped"}]
    return _status(mqtt, device, {"state": "offline", "reasons": reasons, "paused": [], "when": timestamp(when)})


def vanished(mqtt: MqttConfig, device: str) -> Outgoing:
    """Make the will: what the broker says for a device that is gone without a word. Only the broker knows when."""
    reasons = [{"code": "connection_lost", "text": "the broker has lost the connection to this device"}]
    return _status(mqtt, device, {"state": "offline", "reasons": reasons, "paused": [], "when": None})


def _status(mqtt: MqttConfig, device: str, content: dict[str, Any]) -> Outgoing:
    message = {"schema": SCHEMA, "device": device, **content}
    return Outgoing(status_topic(mqtt, device), json.dumps(message).encode(), retain=True)
