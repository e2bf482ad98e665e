"""Broker definitions: queues, policies and permissions of the fleet at RabbitMQ.

Pure: `management` applies them, and `doctor` compares them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from fleet.config import FleetConfig

EXCHANGE: Final = "amq.topic"
"""The exchange of the MQTT plug-in (mqtt.exchange)."""
DEAD_LETTERS: Final = "fleet.dead"
ALERTS: Final = "fleet.alerts"
STATE: Final = "fleet.state"
COUNTS: Final = "fleet.counts"
PICTURES: Final = "fleet.pictures"
TELEMETRY: Final = "fleet.telemetry"
TOPICS: Final = {
    ALERTS: ("*.alerts", "*.resolved"),
    STATE: ("*.status", "*.commands.*.result"),
    COUNTS: ("*.counts",),
    PICTURES: ("*.crops.*",),
    TELEMETRY: ("*.telemetry",),
}
IN_ORDER = (STATE, TELEMETRY)
"""Consumed by one worker at a time, to preserve order: the last message of a device must be applied last."""

TELEMETRY_SECONDS = 300
MAX_TELEMETRY = 100_000
DELIVERY_LIMIT = 100
"""Deliveries of a message that crashes its worker; workers killed for other reasons stay far below this."""
DEVICE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")


def queues(config: FleetConfig) -> tuple[str, ...]:
    """The queues to ingest."""
    return tuple(name for name in TOPICS if name != PICTURES or config.publish_crops)


def definitions(config: FleetConfig) -> dict[str, Any]:
    """Definitions of the virtual host in RabbitMQ's import format."""
    prefix = config.topic_prefix.replace("/", ".")
    names = queues(config)
    return {
        "queues": [_queue(name) for name in (*names, DEAD_LETTERS)],
        "exchanges": [
            {
                "name": DEAD_LETTERS,
                "type": "fanout",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
        ],
        "bindings": [
            *(_binding(EXCHANGE, name, f"{prefix}.{topic}") for name in names for topic in TOPICS[name]),
            _binding(DEAD_LETTERS, DEAD_LETTERS, ""),
        ],
        "policies": [
            # Also of pictures, whose queue stays where publish_crops was switched off.
            _policy("fleet", "|".join(name for name in TOPICS if name != TELEMETRY), _kept(config)),
            _policy("fleet-telemetry", TELEMETRY, _volatile()),
            _policy("fleet-dead", DEAD_LETTERS, _newest(config)),
        ],
    }


def _queue(name: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if name in IN_ORDER:
        arguments["x-single-active-consumer"] = True
    return {"name": name, "durable": True, "auto_delete": False, "arguments": arguments}


def _binding(source: str, queue: str, routing_key: str) -> dict[str, Any]:
    return {
        "source": source,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": routing_key,
        "arguments": {},
    }


def _policy(name: str, names: str, definition: dict[str, Any]) -> dict[str, Any]:
    pattern = "^(" + names.replace(".", r"\.") + ")$"
    return {"name": name, "pattern": pattern, "apply-to": "queues", "priority": 10, "definition": definition}


def _kept(config: FleetConfig) -> dict[str, Any]:
    """Reject when full; a dead letter leaves its queue only after the dead-letter queue has confirmed it."""
    return {
        "overflow": "reject-publish",
        "max-length-bytes": config.broker.max_queue_bytes,
        "dead-letter-exchange": DEAD_LETTERS,
        "dead-letter-strategy": "at-least-once",
        "delivery-limit": DELIVERY_LIMIT,
    }


def _newest(config: FleetConfig) -> dict[str, Any]:
    """Drop the oldest when full: rejected dead letters would stay in their queues, and fill those."""
    return {"overflow": "drop-head", "max-length-bytes": config.broker.max_queue_bytes}


def _volatile() -> dict[str, Any]:
    return {"overflow": "drop-head", "max-length": MAX_TELEMETRY, "message-ttl": TELEMETRY_SECONDS * 1000}


def require_device_id(device: str) -> None:
    """Check that an id is valid for a device of a fleet.

    Raises:
        ConfigError: it has a dot or a character that topics cannot have.
    """
    if "." in device:
        raise ConfigError(
            f"device '{device}': its id holds a '.', which separates levels of a topic at RabbitMQ; choose another "
            "device.id for a device of a fleet"
        )
    if not DEVICE_ID.fullmatch(device):
        raise ConfigError(f"device '{device}': an id may hold letters, digits, '_' and '-' only, 63 at most")


def device_permissions(config: FleetConfig) -> tuple[dict[str, str], dict[str, str]]:
    """Permissions of a device, and its topic permissions: write all its own topics, read nothing.

    A denied topic ends the connection, so a list of topics would lock out newer devices that have one more.
    `{username}` is the common name of the certificate; it contains no character special in a pattern.
    """
    prefix = re.escape(config.topic_prefix.replace("/", "."))
    return (
        {"configure": "^$", "write": f"^{re.escape(EXCHANGE)}$", "read": "^$"},
        {"exchange": EXCHANGE, "write": f"^{prefix}\\.{{username}}\\..+$", "read": "^$"},
    )
