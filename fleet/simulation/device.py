"""Simulated device: sends messages as a real one does, also when the broker is slow or unavailable.

Behaves as edge_agent.mqtt.publisher does, without a camera: an outbox, a window of messages in flight, a timeout that
counts from the last acknowledgement, a rate-limited backlog, and backoff with jitter. paho implements MQTT.
"""

from __future__ import annotations

import random
import ssl
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edge_agent.host.backoff import Backoff
from edge_agent.messages.alert import AlertMessage, Model
from edge_agent.messages.ids import uuid7
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.status import offline, running
from edge_agent.messages.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.messages.message import QueuedMessage
    from fleet.simulation.ledger import Ledger

# The values of edge_agent.mqtt.publisher; a test compares them.
WINDOW = 8
SLOW_SECONDS = 5.0
PATIENCE_SECONDS = 20.0
FORGOTTEN_SECONDS = 300.0
PATIENCE_ANSWERS = 3
KEEPALIVE_SECONDS = 60
CONNACK_SECONDS = 20.0
"""Timeout for nodes that accept a connection but never respond."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
MODEL = Model(name="simulated", sha256="0" * 64)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Broker addresses; each device picks one at random, as with a host name of several addresses."""

    addresses: tuple[tuple[str, int], ...]
    topic_prefix: str = "maskwatch"
    username: str = ""
    password: str = ""
    mqtt_version: Literal["5", "3.1.1"] = "5"
    certificates: Path | None = None
    """A folder with ca.pem, and <device>.pem and <device>.key of each device."""


@dataclass(slots=True)
class Totals:
    """Totals over all devices."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    connects: int = 0
    losses: int = 0
    timeouts: int = 0
    acknowledge_seconds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _InFlight:
    message: QueuedMessage
    at: float


class Device:
    """One connection. Owned by the simulation's thread, except `connect`, which may block in another thread."""

    def __init__(
        self, name: str, brokers: Brokers, *, ledger: Ledger, totals: Totals, messages_per_second: float
    ) -> None:
        self.name = name
        self._brokers, self._ledger, self._totals = brokers, ledger, totals
        self._topics = Topics(brokers.topic_prefix, name)
        self._boot_id = str(uuid.uuid4())
        self._sequences = {"alert": 0, "resolved": 0}
        self._outbox: deque[QueuedMessage] = deque()
        self._in_flight: dict[int, _InFlight] = {}
        self._answered_at = 0.0
        self._acknowledge_seconds, self._window = 0.0, 1
        self._interval = 1.0 / messages_per_second
        self._next_at = 0.0
        self._backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, max_seconds=MAX_PAUSE_SECONDS)
        self.is_connected = False
        self.connected_at = 0.0
        """When the TCP connection was made; `is_connected` says whether the broker accepted the client."""
        self.client = self._make_client()

    @property
    def waiting(self) -> int:
        """Number of messages not acknowledged by a broker."""
        return len(self._outbox) + len(self._in_flight)

    def raise_alert(self, *, historical: bool = False) -> AlertMessage:
        """Add an alert to the outbox."""
        when = datetime.now(timezone.utc)
        self._sequences["alert"] += 1
        alert = AlertMessage(
            id=uuid7(when),
            device=self.name,
            boot_id=self._boot_id,
            sequence=self._sequences["alert"],
            when=when,
            clock_synchronised=True,
            historical=historical,
            camera="entrance",
            label="without_mask",
            score=0.98,
            readings=9,
            suppressed=0,
            first_seen=when,
            box=(100, 100, 180, 200),
            frame_size=(1280, 720),
            crop=None,
            crop_error="a simulated device has no pictures",
            model=MODEL,
        )
        self._outbox.append(alert)
        return alert

    def resolve(self, alert: AlertMessage, *, after_seconds: float) -> None:
        """Add the resolution of an alert to the outbox."""
        when = datetime.now(timezone.utc)
        self._sequences["resolved"] += 1
        self._outbox.append(
            ResolvedMessage(
                id=uuid7(when),
                alert=alert.id,
                device=self.name,
                boot_id=self._boot_id,
                sequence=self._sequences["resolved"],
                when=when,
                clock_synchronised=True,
                historical=alert.historical,
                camera=alert.camera,
                label=alert.label,
                reason="left",
                began=alert.when,
                duration_seconds=after_seconds,
            )
        )

    def connect(self) -> bool:
        """Try to connect; blocks for a few seconds at most."""
        host, port = random.choice(self._brokers.addresses)  # noqa: S311  (nothing secret about it)
        try:
            return self.client.connect(host, port, KEEPALIVE_SECONDS) == MQTTErrorCode.MQTT_ERR_SUCCESS
        except (OSError, ssl.SSLError):
            return False

    def pause_seconds(self) -> float:
        """Delay before the next attempt."""
        return self._backoff.take()

    def pump(self, *, at: float) -> float | None:
        """Send what may be sent now; returns when to call again, or None if only an acknowledgement changes that."""
        if not self.is_connected:
            return None
        while self._outbox and len(self._in_flight) < (1 if self._is_slow(at) else self._window):
            if at < self._next_at:
                return self._next_at
            self._next_at = max(self._next_at, at - 1.0) + self._interval
            message = self._outbox.popleft()
            topic = self._topics.of_kind(message.kind)
            client = self.client
            number = client.publish(topic, message.payload(), qos=1).mid
            if self.client is not client:
                # The connection was lost during publish; the message id belongs to the previous client.
                self._outbox.appendleft(message)
                return None
            self._in_flight[number] = _InFlight(message, at)
            self._totals.sent += 1
        return None

    def has_timed_out(self, *, at: float) -> bool:
        """Whether the broker has acknowledged nothing, or not completed the connection, for too long."""
        if not self.is_connected:
            return at - self.connected_at > CONNACK_SECONDS
        if not self._in_flight:
            return False
        oldest = min(sent.at for sent in self._in_flight.values())
        timeout_seconds = max(PATIENCE_SECONDS, PATIENCE_ANSWERS * self._acknowledge_seconds)
        return at - max(oldest, self._answered_at) > timeout_seconds or at - oldest > FORGOTTEN_SECONDS

    def _is_slow(self, at: float) -> bool:
        return max([self._acknowledge_seconds, *(at - sent.at for sent in self._in_flight.values())]) > SLOW_SECONDS

    def lost(self) -> None:
        """Reset after a lost connection; messages in flight are sent again on the next one."""
        if self.is_connected:
            self._totals.losses += 1
        self.is_connected = False
        self._outbox.extendleft(sent.message for sent in reversed(self._in_flight.values()))
        self._in_flight.clear()
        if (connected := self.client.socket()) is not None:
            connected.close()
        self.client = self._make_client()

    def acknowledged(self, number: int, *, refusal: bool, at: float) -> None:
        """Process an acknowledgement."""
        sent = self._in_flight.pop(number, None)
        if sent is None:
            return
        self._answered_at = at
        self._acknowledge_seconds = at - sent.at
        self._window = 1 if self._acknowledge_seconds > SLOW_SECONDS else min(self._window + 1, WINDOW)
        if refusal:
            self._totals.refused += 1
            self._outbox.appendleft(sent.message)
            # As devices do: retrying at once does not empty a full queue.
            self._next_at = at + 10.0
            return
        self._totals.acknowledged += 1
        self._totals.acknowledge_seconds.append(at - sent.at)
        if isinstance(sent.message, AlertMessage):
            self._ledger.note(sent.message.id, self.name)

    def accepted(self) -> None:
        """The broker accepted the connection."""
        self.is_connected = True
        self._acknowledge_seconds, self._window = 0.0, 1
        self._totals.connects += 1
        self._backoff.reset()
        status = running(self.name, boot_id=self._boot_id, reasons=(), paused=(), when=datetime.now(timezone.utc))
        self.client.publish(self._topics.status, status.payload(), qos=1, retain=True)

    def _make_client(self) -> Client:
        version = MQTTProtocolVersion.MQTTv5 if self._brokers.mqtt_version == "5" else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, f"maskwatch-{self.name}", protocol=version)
        will = offline(self.name, "connection_lost", boot_id=self._boot_id)
        client.will_set(self._topics.status, will.payload(), qos=1, retain=True)
        if self._brokers.username:
            client.username_pw_set(self._brokers.username, self._brokers.password)
        if (folder := self._brokers.certificates) is not None:
            context = ssl.create_default_context(cafile=folder / "ca.pem")
            context.load_cert_chain(folder / f"{self.name}.pem", folder / f"{self.name}.key")
            client.tls_set_context(context)
        return client

    def listen(self, *, clock: Callable[[], float], lost: Callable[[], Any]) -> None:
        """Register the client's callbacks."""
        self.client.on_connect = lambda *answer: lost() if answer[3].is_failure else self.accepted()
        self.client.on_disconnect = lambda *_: lost()
        self.client.on_publish = lambda _client, _data, number, reason, _properties: self.acknowledged(
            number, refusal=reason.is_failure, at=clock()
        )
