"""Subscriber: alerts of the broker, across reconnections."""

import json
import queue
import threading
from typing import Any

import pytest

from edge_agent.config.model import MqttConfig
from edge_agent.errors import ConfigError
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.message import schema_of
from edge_agent.mqtt.client import open_connection
from edge_agent.mqtt.publication import Publication
from edge_agent.mqtt.subscriber import follow_alerts
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt.samples import TIMEOUT_SECONDS


class Follower:
    """Follows alerts in a thread."""

    def __init__(self, mqtt, device="+"):
        self.alerts: queue.Queue[dict[str, Any]] = queue.Queue()
        self.connected = threading.Semaphore(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=[mqtt, device])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _follow(self, mqtt, device):
        for alert in follow_alerts(mqtt, device=device, stop=self._stop, on_connected=self.connected.release):
            self.alerts.put(alert)


WHOLE: dict[str, Any] = {
    "schema": schema_of(AlertMessage), "id": "01950000-0000-7000-8000-000000000001", "device": "lobby",
    "boot_id": "6c1e2a34-0000-4000-8000-000000000001", "sequence": 1, "camera": "door", "label": "without_mask",
    "score": 0.98, "readings": 9, "suppressed": 0, "first_seen": "2026-03-01T12:00:00.000Z",
    "when": "2026-03-01T12:00:00.000Z", "clock_synchronised": True, "historical": False, "box": [1, 2, 30, 40],
    "frame_size": [640, 360], "crop": None, "crop_error": "the disk is full",
    "model": {"name": "masks", "sha256": "0" * 64},
}  # fmt: skip


def alert(**values: Any) -> bytes:
    return json.dumps(WHOLE | values).encode()


def publish(broker, topic, payload):
    with open_connection(broker.config(), client_id="sender") as connection:
        connection.publish(Publication(topic, payload))
        connection.turn(5.0)


def test_alerts_of_every_device_arrive_parsed(broker):
    with Follower(broker.config()) as follower:
        assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
        for device in ("lobby", "gate"):
            publish(broker, f"maskwatch/{device}/alerts", alert(device=device))
            assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE | {"device": device}


def test_alerts_of_a_single_device_can_be_followed(broker):
    with Follower(broker.config(), device="gate") as follower:
        assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
        for device in ("lobby", "gate"):
            publish(broker, f"maskwatch/{device}/alerts", alert(device=device))

        assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE | {"device": "gate"}


@pytest.mark.parametrize("changes", [{"score": "0.98"}, {"readings": "9"}, {"crop": None, "crop_error": ""}])
def test_an_alert_that_cannot_be_printed_is_skipped(broker, changes):
    with Follower(broker.config()) as follower:
        assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
        for payload in (alert(**changes), alert()):
            publish(broker, "maskwatch/lobby/alerts", payload)

        assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE


def test_an_alert_of_a_newer_device_may_have_more_fields(broker):
    with Follower(broker.config()) as follower:
        assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
        publish(broker, "maskwatch/lobby/alerts", alert(temperature_celsius=21))

        assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE | {"temperature_celsius": 21}


def test_a_message_that_is_not_an_alert_is_skipped_and_logged(broker, caplog):
    with Follower(broker.config()) as follower:
        assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
        publish(broker, "maskwatch/lobby/alerts", b'{"schema": "maskwatch.probe/1"}')
        for payload in (b"\xff", b"{", b"[1]", b'{"id": 1}', b'{"schema": "maskwatch.alert/9"}', alert(id=1), alert()):
            publish(broker, "maskwatch/lobby/alerts", payload)

        assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE
    assert "probe" not in caplog.text
    # Once per topic, however many messages there are.
    assert [record.getMessage().startswith("maskwatch/lobby/alerts: ") for record in caplog.records] == [True]


def test_the_subscriber_waits_for_the_broker_and_reconnects_after_a_loss(tmp_path, caplog):
    broker = Mosquitto(tmp_path)
    with Follower(broker.config()) as follower, broker:
        for _ in range(2):
            assert follower.connected.acquire(timeout=TIMEOUT_SECONDS)
            publish(broker, "maskwatch/lobby/alerts", alert())
            assert follower.alerts.get(timeout=TIMEOUT_SECONDS) == WHOLE
            broker.kill()
            broker.start()
    assert any("connection is lost" in record.getMessage() for record in caplog.records)


def test_a_password_that_cannot_be_read_is_an_error(tmp_path):
    mqtt = MqttConfig(host="127.0.0.1", port=free_port(), username="lobby", password_file=tmp_path / "none")

    with pytest.raises(ConfigError, match="none"):
        next(follow_alerts(mqtt, stop=threading.Event()))
