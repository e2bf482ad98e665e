"""Can a device publish, subscribe or connect as another, or with an expired certificate? With real certificates."""

from __future__ import annotations

import ssl
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fleet import amqp, dead_letters
from tests.fleet.cluster import Cluster
from tests.fleet.samples import alert

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10.0


class Connected:
    """A client with a device's certificate that reports what the broker allows."""

    def __init__(self, cluster: Cluster, certificate: str, *, client_id: str) -> None:
        node, folder = cluster.nodes[0], cluster.authority.folder
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        self.is_connected, self.is_disconnected, self.received = False, False, 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.tls_set_context(context)
        self._client.on_connect = lambda *answer: setattr(self, "is_connected", not answer[3].is_failure)
        self._client.on_disconnect = lambda *_: setattr(self, "is_disconnected", True)
        self._client.on_message = lambda *_: setattr(self, "received", self.received + 1)
        self._client.reconnect_delay_set(60)
        try:
            self._client.connect(node.address, node.mqtt_port)
        except OSError:
            self.is_disconnected = True
            return
        self._client.loop_start()
        _until(lambda: self.is_connected or self.is_disconnected)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Whether the broker accepted the message and kept the connection."""
        sent = self._client.publish(topic, payload, qos=1)
        _until(lambda: sent.is_published() or self.is_disconnected)
        return not self.is_disconnected

    def subscribe(self, topic: str) -> None:
        """Subscribe to a topic."""
        self._client.subscribe(topic, qos=1)
        time.sleep(1.0)

    def close(self) -> None:
        """Disconnect."""
        self._client.loop_stop()
        self._client.disconnect()


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def main() -> int:
    """Run all attempts and print their results; returns 1 if one succeeded."""
    results: dict[str, bool] = {}
    with Cluster() as cluster:
        cluster.add_devices(["hall-1", "hall-2"])
        cluster.authority.device("stranger-1")
        cluster.authority.device("hall-1", file="expired", valid=-timedelta(days=1))
        mine, theirs = alert("hall-1"), alert("hall-2")

        good = Connected(cluster, "hall-1", client_id="maskwatch-hall-1")
        results["publishing on its own topic is accepted"] = good.publish("maskwatch/hall-1/alerts", mine.payload())
        other = Connected(cluster, "hall-2", client_id="maskwatch-hall-2")

        results["publishing on another's topic is refused"] = not good.publish(
            "maskwatch/hall-2/alerts", theirs.payload()
        )
        listener = Connected(cluster, "hall-1", client_id="maskwatch-hall-1")
        listener.subscribe("maskwatch/hall-2/#")
        other.publish("maskwatch/hall-2/alerts", theirs.payload())
        time.sleep(2.0)
        results["another's messages are not received"] = listener.received == 0

        thief = Connected(cluster, "hall-1", client_id="maskwatch-hall-2")
        time.sleep(1.0)
        results["another's connection is not taken over"] = not thief.is_connected and not other.is_disconnected

        liar = Connected(cluster, "hall-1", client_id="maskwatch-hall-1")
        liar.publish("maskwatch/hall-1/alerts", alert("hall-2").payload())
        _until(lambda: bool(_dead(cluster)))
        results["another's name in a payload is a dead letter"] = any("hall-2" in one.reason for one in _dead(cluster))

        results["a device that was not admitted is refused"] = not Connected(
            cluster, "stranger-1", client_id="maskwatch-stranger-1"
        ).is_connected
        results["an expired certificate is refused"] = not Connected(
            cluster, "expired", client_id="maskwatch-hall-1"
        ).is_connected
        for one in (good, other, listener, thief, liar):
            one.close()
    for what, succeeded in results.items():
        sys.stdout.write(f"{'ok' if succeeded else 'FAILED':8}{what}\n")
    return int(not all(results.values()))


def _dead(cluster: Cluster) -> list[dead_letters.DeadLetter]:
    with amqp.connect(cluster.config.broker) as broker:
        return dead_letters.view(broker, prefix="maskwatch", limit=10)


if __name__ == "__main__":
    sys.exit(main())
