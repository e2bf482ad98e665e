"""Samples for the delivery tests: an alert, its message, and a listener that shares no code with the agent."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.domain import Alert, Box, Face, Reading, Resolved, Track, Verdict
from edge_agent.messages.alert import CropFile, Model
from edge_agent.messages.counts import CountedPeriod, PeopleCounts
from edge_agent.messages.ids import uuid7
from edge_agent.messages.sender import Sender
from tests.values import a_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import MQTTMessage

    from edge_agent.alerts.store import AlertStore
    from edge_agent.messages.message import Kind, QueuedMessage

DEVICE = "lobby"
BOOT_ID = "6c1e2a34-0000-4000-8000-000000000001"
SENDER = Sender(
    DEVICE,
    BOOT_ID,
    Model(name="masks", sha256="0" * 64),
    next_sequence=lambda _kind: 1,
    is_clock_synchronised=lambda: True,
)
WHEN = datetime(2025, 1, 31, 12, 0, 0, 123_000, tzinfo=timezone.utc)
TIMEOUT_SECONDS = 60.0
SESSION_SECONDS = 600


def an_alert(when: datetime = WHEN) -> Alert:
    """A person without a mask at the entrance."""
    track = Track(7, "entrance", Face(Box(10.4, 20.6, 50.0, 60.0), 0.97), 1.0, when)
    reading = Reading(
        track=track,
        label="without_mask",
        score=0.98765,
        scores={"with_mask": 0.01235, "without_mask": 0.98765},
        taken_at=2.0,
        taken_when=when,
        frame_size=(640, 480),
        quality=0.9,
        cutout=np.zeros((8, 8, 3), np.uint8),
        cutout_place=(0, 0),
        bystanders=(),
    )
    return Alert(uuid7(when), Verdict(track, "violation", "without_mask", 0.98765, 9, 7.5, reading), when)


def a_message(
    kind: Kind = "alert",
    when: datetime | None = None,
    *,
    sequence: int = 1,
    crop: CropFile | None = None,
    sender: Sender = SENDER,
    **changes: Any,
) -> QueuedMessage:
    """A message of this kind, created now or at `when`."""
    arose = when or datetime.now(timezone.utc)
    sender = replace(sender, next_sequence=lambda _kind: sequence)
    message: QueuedMessage
    match kind:
        case "alert":
            message = sender.alert(an_alert(arose), crop=crop, crop_error="" if crop else "the disk is full")
        case "resolved":
            resolved = Resolved(
                uuid7(arose), an_alert(arose).verdict.track, "without_mask", "left", arose, arose, 12.3456
            )
            message = sender.resolved(resolved)
        case "counts":
            hour = arose.replace(minute=0, second=0, microsecond=0)
            begin, cameras = hour - timedelta(hours=1), {"door": PeopleCounts(with_mask=3)}
            people = CountedPeriod(period="hour", begin=begin, end=hour, cameras=cameras)
            message = sender.counts(people, when=arose)
        case "telemetry":
            message = sender.telemetry(a_figures(), when=arose)
    return message.model_copy(update=changes)


def put(store: AlertStore, kind: Kind = "alert", when: datetime | None = None, **more: Any) -> dict[str, Any]:
    """Put such a message into a store and return it as it is sent, with its sequence number."""
    message = a_message(kind, when, sequence=store.next_sequence(kind), **more)
    store.put(message)
    return message.as_json()


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, and fail if it never does."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_SECONDS:.0f} s: {what}"
        time.sleep(0.02)


def properties_of(message: MQTTMessage) -> Any:
    """The MQTT 5 properties of a message."""
    assert message.properties is not None
    return message.properties


class Listener:
    """Subscribes to everything at a broker on the loopback, as a third-party program would."""

    def __init__(
        self,
        port: int,
        *,
        user: str = "",
        password: str = "",
        topic: str = "#",
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        session: str = "",
    ) -> None:
        """Subscribe; between two listeners with one `session` (MQTT 5) the broker keeps messages for the second."""
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=session or uuid.uuid4().hex, protocol=version)
        if user:
            self._client.username_pw_set(user, password)
        self._arrived: queue.Queue[MQTTMessage] = queue.Queue()
        subscribed = threading.Event()
        self._client.on_message = lambda _client, _userdata, message: self._arrived.put(message)
        self._client.on_subscribe = lambda *_: subscribed.set()
        if session:
            kept = Properties(PacketTypes.CONNECT)
            kept.SessionExpiryInterval = SESSION_SECONDS
            self._client.connect("127.0.0.1", port, clean_start=False, properties=kept)
        else:
            self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(topic, qos=1)
        assert subscribed.wait(TIMEOUT_SECONDS)

    def take(self, wanted: str) -> MQTTMessage:
        """Wait for the next message whose topic has this ending."""
        while True:
            try:
                message = self._arrived.get(timeout=TIMEOUT_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no message on .../{wanted}") from None
            if message.topic.endswith(wanted):
                return message

    def rest(self) -> list[MQTTMessage]:
        """All other messages that have arrived."""
        return [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]

    def publish(self, topic: str, payload: bytes = b"", **options: Any) -> None:
        """Publish at QoS 1."""
        self._client.publish(topic, payload, qos=1, **options)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
