"""A subscriber: a paho client that keeps every alert it receives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.journeys.agent import wait_until

if TYPE_CHECKING:
    from tests.mosquitto import Mosquitto


class Subscriber:
    """Subscribes to everything below a topic; use it as a context manager."""

    def __init__(self, broker: Mosquitto, topic: str = "maskwatch/#", *, session: str = "") -> None:
        """With a session name, a persistent broker keeps the session and its messages across restarts of the broker."""
        self.messages: list[tuple[str, bytes]] = []
        self._granted = False
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=session, clean_session=not session)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe(topic, qos=1)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The alerts in order of arrival, including duplicates."""
        return [json.loads(payload) for topic, payload in self.messages if topic.endswith("/alerts")]

    def wait_for_alerts(self, count: int) -> list[dict[str, Any]]:
        """Wait until this many different alerts have arrived."""
        wait_until(lambda: len({alert["id"] for alert in self.alerts}) >= count, f"{count} alerts")
        return self.alerts

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1."""
        self._client.publish(topic, payload, qos=1)

    def __enter__(self) -> Subscriber:
        self._client.loop_start()
        wait_until(lambda: self._granted, "the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))

    def _on_subscribe(self, *_: Any) -> None:
        self._granted = True
