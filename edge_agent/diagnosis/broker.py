"""Broker checks: whether the broker permits everything the agent does.

Will, retained status, QoS 1, and every topic that the agent publishes or subscribes to are tried one after the other,
each also after the broker has hung up on the one before. Where an agent is connected, it is left alone: its status and
will are not touched.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import UnavailableError
from edge_agent.host.clock import boot_id
from edge_agent.host.stats import HostStats
from edge_agent.messages.command import REQUESTS
from edge_agent.messages.ids import uuid7
from edge_agent.messages.message import KINDS
from edge_agent.messages.probe import ProbeMessage
from edge_agent.messages.status import offline
from edge_agent.messages.topics import Topics
from edge_agent.messages.violations import ViolationsMessage
from edge_agent.mqtt.client import CONNECT_SECONDS, MQTT_5, Connection, Message, PubAck, open_connection
from edge_agent.mqtt.homeassistant import discovery
from edge_agent.mqtt.publication import Publication, status_publication
from edge_agent.mqtt.retained import removed_cameras
from edge_agent.wiring import is_at_work, subscribed_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config.model import Config, MqttConfig
    from edge_agent.mqtt.client import BrokerLimits

# A retained message follows the answer to the subscription at once.
RETAINED_SECONDS = 0.5
BROKER_REASONS = ("refused", "duplicate_device")
"""Reasons in the status of a running agent that concern its broker."""


def check_broker(config: Config) -> str | Finding:
    """Try everything that the agent does at the broker.

    Raises:
        ConfigError: the password or a certificate cannot be read.
        UnavailableError: there is no broker, or it refuses the connection or an operation of the agent.
    """
    mqtt, device = config.mqtt, config.device.name
    at_work = is_at_work(config.state)
    if mqtt.cert_file is not None and at_work:
        # A broker that identifies clients by certificate would close the agent's connection.
        return "not tested, because an agent is connected with this certificate; see 'systemctl status edge-agent'"
    own_id = mqtt.client_id or f"maskwatch-{device}"
    # If the lock cannot be read, an agent may be running.
    is_seen = os.access(config.state, os.X_OK) or not os.access(config.state, os.F_OK)
    # The agent's client id would disconnect a running agent; a configured id may be the only one allowed.
    first_id = own_id if mqtt.client_id and is_seen and not at_work else f"{own_id}-check-{secrets.token_hex(4)}"
    topics = Topics(mqtt.topic_prefix, device)
    with _Session(mqtt, client_id=first_id) as session:
        status = _own_status(session, topics)
        problems = _problems_in(status)
        if at_work or not is_seen or status.get("state", "offline") != "offline":
            problems += _try_topics(session, config, topics)
            return _conclusion(session, problems, "; an agent is connected, so its status and will were not tested")
    with _Session(mqtt, client_id=own_id, device=device) as session:
        if not session.limits.will:
            problems.append(f"it refuses a last will on {topics.status}")
        goodbye = offline(device, "stopped", boot_id=boot_id(), when=datetime.now(timezone.utc))
        problems += session.publish(status_publication(topics, goodbye))
        for camera in config.cameras:
            none = ViolationsMessage(device=device, camera=camera, violations=0, when=datetime.now(timezone.utc))
            problems += session.publish(Publication(topics.violations(camera), none.payload(), retain=True))
        problems += _try_topics(session, config, topics)
        return _conclusion(session, problems, "")


class _Session:
    """A connection that is reopened if the broker closes it. Use it as a context manager."""

    def __init__(self, mqtt: MqttConfig, *, client_id: str, device: str = "") -> None:
        """With a `device`, connect as the agent does: with a will, and the status `offline` at the end."""
        self._mqtt, self._client_id, self._device = mqtt, client_id, device
        self._connection = self._open()
        self.address, self.protocol = self._connection.address, self._connection.protocol

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def limits(self) -> BrokerLimits:
        return self._connection.limits

    def publish(self, publication: Publication) -> list[str]:
        """Publish, and return the broker's objection: nothing, or one sentence."""
        connection = self._open_again()
        number = connection.publish(publication)
        deadline = time.monotonic() + CONNECT_SECONDS
        try:
            while time.monotonic() < deadline:
                for event in connection.turn(deadline - time.monotonic()):
                    if isinstance(event, PubAck) and event.number == number:
                        return [f"it refuses {publication.topic} ({event.refusal})"] if event.refusal else []
        except UnavailableError:
            retained = ", retained" if publication.retain else ""
            return [f"it closes the connection on {publication.topic}{retained}"]
        return [f"it does not acknowledge {publication.topic}"]

    def subscribe(self, topic: str) -> list[str]:
        """Subscribe, and return the broker's objection: nothing, or one sentence."""
        connection = self._open_again()
        try:
            connection.subscribe(topic)
        except UnavailableError as error:
            return [f"it closes the connection on the subscription of {topic}" if connection.is_lost else str(error)]
        return []

    def received(self, topic: str, *, seconds: float) -> bytes:
        """The payload that arrives on a topic within this time; empty: none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in self._connection.turn(deadline - time.monotonic()):
                if isinstance(event, Message) and event.topic == topic:
                    return event.payload
        return b""

    def _open(self) -> Connection:
        return open_connection(self._mqtt, client_id=self._client_id, device=self._device)

    def _open_again(self) -> Connection:
        if self._connection.is_lost:
            self._connection.close()
            self._connection = self._open()
        return self._connection


def _own_status(session: _Session, topics: Topics) -> dict[str, Any]:
    """The retained status of the device at the broker; empty if there is none or it may not be read."""
    if session.subscribe(topics.status):
        return {}
    try:
        content = json.loads(session.received(topics.status, seconds=RETAINED_SECONDS) or b"{}")
    except (UnavailableError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _problems_in(status: dict[str, Any]) -> list[str]:
    """What the status reports about the device's name and the broker."""
    if status.get("state", "offline") == "offline":
        return []
    other = status.get("boot_id", boot_id())
    if other != boot_id():
        return [
            f"another device reports '{status['state']}' under the name '{status.get('device')}' (boot_id {other}); "
            "give every device its own device.id, and cloned SD cards their own host name"
        ]
    listed = status.get("reasons")
    reasons = [reason for reason in (listed if isinstance(listed, list) else ()) if isinstance(reason, dict)]
    return [f"the agent reports: {reason.get('text')}" for reason in reasons if reason.get("code") in BROKER_REASONS]


def _try_topics(session: _Session, config: Config, topics: Topics) -> list[str]:
    problems = []
    for publication in _publications(config, topics):
        problems += session.publish(publication)
    # The agent reads its own status if it may.
    for topic in sorted({*subscribed_topics(config)} - {topics.status}):
        problems += session.subscribe(topic)
    return problems


def _publications(config: Config, topics: Topics) -> Iterator[Publication]:
    """Test messages for everything but the status: discovery unchanged, a probe on every other topic."""
    mqtt, when = config.mqtt, datetime.now(timezone.utc)
    if mqtt.home_assistant.enabled:
        has_temperature = HostStats(config.state).read().temperature_celsius is not None
        yield discovery(
            config,
            version=version("maskwatch"),
            has_temperature=has_temperature,
            removed_cameras=removed_cameras(config.cameras_file, current=config.cameras),
        )
    probed = [topics.of_kind(kind) for kind in KINDS if kind != "telemetry" or mqtt.telemetry_seconds]
    if mqtt.publish_crops:
        probed += [topics.crop(uuid7(when)), topics.snapshot(uuid7(when))]
        probed += map(topics.last_crop, config.cameras if mqtt.home_assistant.enabled else ())
    if mqtt.accept_commands:
        probed += [topics.result(name) for name in REQUESTS]
    probe = ProbeMessage(device=config.device.name, when=when).payload()
    for topic in probed:
        yield Publication(topic, probe)


def _conclusion(session: _Session, problems: list[str], addition: str) -> str | Finding:
    """One sentence about a broker that permits everything, or all its objections.

    Raises:
        UnavailableError: the broker refuses something that the configuration requires.
    """
    answers = f"{session.address} answers ({session.protocol})"
    if problems:
        raise UnavailableError(
            f"{answers}, but " + "; ".join(problems) + "; grant this device access, or disable what it does not need"
        )
    lacks = []
    if not session.limits.retain:
        lacks.append("does not retain messages: later subscribers get no status until it changes")
    if not session.limits.qos:
        lacks.append("supports only QoS 0: alerts may be lost")
    if lacks:
        return Finding("broker", "warning", f"{answers}, but {'; '.join(lacks)}{addition}", "use another broker")
    silent = "" if session.protocol == MQTT_5 else "; MQTT 3.1.1 does not report what its access list denies"
    return f"{answers} and accepts everything that the agent does{silent}{addition}"
