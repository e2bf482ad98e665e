"""The envelope: how does a waiting message go out, to which topic and with what beside it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge_agent.delivery.outgoing import Outgoing
from edge_agent.delivery.payload import as_sent
from edge_agent.delivery.topics import alerts_topic, ended_topic, telemetry_topic

if TYPE_CHECKING:
    from edge_agent.config import MqttConfig
    from edge_agent.delivery.outbox import Kind, Row

# A figure that is minutes old is not worth a broker's memory; the next one is on its way.
TELEMETRY_EXPIRY_SECONDS = 300


def enclose(row: Row, mqtt: MqttConfig, device: str) -> Outgoing:
    """Make the message of a row as it is sent now: whether it is history, and whether its picture is still there."""
    message = as_sent(_without_lost_crop(row.message), waited_seconds=row.waited_seconds)
    is_telemetry = row.kind == "telemetry"
    qos: Literal[0, 1] = 0 if is_telemetry else 1
    named = [("device", device), *((name, str(message[name])) for name in ("camera", "schema") if name in message)]
    return Outgoing(
        topic_of(row.kind, mqtt, device),
        json.dumps(message).encode(),
        qos=qos,
        expiry_seconds=TELEMETRY_EXPIRY_SECONDS if is_telemetry else mqtt.expiry_seconds or None,
        user_properties=tuple(named),
    )


def topic_of(kind: Kind, mqtt: MqttConfig, device: str) -> str:
    """Where messages of a kind go."""
    match kind:
        case "alert":
            return alerts_topic(mqtt, device)
        case "ended":
            return ended_topic(mqtt, device)
        case "telemetry":
            return telemetry_topic(mqtt, device)


def _without_lost_crop(message: dict[str, Any]) -> dict[str, Any]:
    """Say of an alert whose picture is gone that it has none: nobody is to look for a file that is not there."""
    crop = message.get("crop")
    if not crop or Path(crop["file"]).exists():
        return message
    return {**message, "crop": None, "crop_error": f"{crop['file']}: the picture is gone from the disk"}
