"""Subscriber: receives the alerts published at the broker."""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from edge_agent.errors import UnavailableError, mistakes_in
from edge_agent.host.backoff import Backoff
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.message import schema_of
from edge_agent.messages.probe import ProbeMessage
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import Connection, Message, open_connection

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from edge_agent.config.model import MqttConfig

# Latency of a stop request; after Ctrl-C users perceive it as immediate.
TURN_SECONDS = 0.2
# Shorter than the publisher's, because a user is waiting.
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
# Enough of an unreadable message to recognise its sender.
SHOWN_BYTES = 60
MAX_LOGGED_TOPICS = 100
"""Limit of topics for which this is logged once; a broker may have any number."""

log = logging.getLogger(__name__)


def follow_alerts(
    mqtt: MqttConfig,
    *,
    device: str = "+",
    stop: threading.Event,
    on_connected: Callable[[], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield every alert that arrives until `stop` is set; reconnects automatically. `+` matches every device.

    `on_connected` is called whenever the broker has confirmed the subscription. Alerts published while disconnected
    are missed: the broker keeps no session.

    Raises:
        ConfigError: the password or a certificate cannot be read.
    """
    client_id = f"maskwatch-alerts-{secrets.token_hex(4)}"
    logged: set[str] = set()
    backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, max_seconds=MAX_PAUSE_SECONDS)
    reason = ""
    while not stop.is_set():
        try:
            with open_connection(mqtt, client_id=client_id) as connection:
                connection.subscribe(Topics(mqtt.topic_prefix, device).alerts)
                if reason:
                    log.info("%s: reconnected", connection.address)
                reason = ""
                backoff.reset()
                if on_connected is not None:
                    on_connected()
                yield from _arriving(connection, stop, logged)
        except UnavailableError as error:
            if str(error) != reason:
                log.warning("%s", error)
            reason = str(error)
            stop.wait(backoff.take())


def _arriving(connection: Connection, stop: threading.Event, logged: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the alerts; the first message of each topic that is not an alert is logged."""
    while not stop.is_set():
        for event in connection.turn(TURN_SECONDS):
            if not isinstance(event, Message):
                continue
            try:
                content = _parsed(event)
                if content is not None:
                    yield content
            except ValueError as error:
                if event.topic not in logged and len(logged) < MAX_LOGGED_TOPICS:
                    logged.add(event.topic)
                    shown = event.payload[:SHOWN_BYTES]
                    wanted = schema_of(AlertMessage)
                    log.warning("%s: messages that are not %s are skipped (%s): %r", event.topic, wanted, error, shown)


def _parsed(message: Message) -> dict[str, Any] | None:
    """Parse an alert; None for a probe of the doctor.

    Raises:
        ValueError: not JSON, or not an alert of this schema.
    """
    try:
        content: Any = json.loads(message.payload)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(content, dict) and content.get("schema") == schema_of(ProbeMessage):
        return None
    try:
        # Strictly, because the content is printed as it is.
        AlertMessage.model_validate_json(message.payload, strict=True)
    except ValidationError as error:
        # Newer devices may add fields.
        if any(detail["type"] != "extra_forbidden" for detail in error.errors()):
            raise ValueError(mistakes_in(error, whole="the message")[0]) from None
    alert: dict[str, Any] = content
    return alert
