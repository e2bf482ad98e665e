"""`edge-agent alerts`: prints the alerts of the broker, filtered."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from paho.mqtt.publish import multiple

from tests.journeys.agent import TIMEOUT_SECONDS, wait_until
from tests.mqtt.samples import a_message

if TYPE_CHECKING:
    from tests.mosquitto import Mosquitto

HELLO = b"hello"


def an_alert(**values: Any) -> dict[str, Any]:
    alert = a_message("alert", datetime(2026, 3, 1, 12, tzinfo=timezone.utc), sequence=1).as_json()
    plain = {"device": "a", "camera": "front", "label": "without_mask", "score": 0.9, "readings": 5}
    return alert | plain | {"crop": None, "crop_error": "disk full"} | values


def printed(broker: Mosquitto, *options: str, count: int, sent: list[tuple[str, bytes]]) -> list[str]:
    """Send these messages and return the lines that the command prints until it ends."""
    command = [
        sys.executable, "-m", "edge_agent", "alerts", "--count", str(count), *options,
        "--set", "mqtt.host=127.0.0.1", "--set", f"mqtt.port={broker.port}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: "SUBSCRIBE" in broker.log_file.read_text(), "the subscription")
        messages: list[Any] = [{"topic": topic, "payload": payload, "qos": 1} for topic, payload in sent]
        multiple(messages, hostname="127.0.0.1", port=broker.port)
        try:
            out, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    return out.splitlines()


def test_alerts_of_all_devices_are_printed_as_json_lines(broker):
    sent = [(f"maskwatch/{name}/alerts", json.dumps(an_alert(device=name)).encode()) for name in ("a", "b")]

    lines = printed(broker, "--json", count=2, sent=sent)

    assert [json.loads(line)["device"] for line in lines] == ["a", "b"]


def test_filters_omit_other_alerts_and_other_messages(broker):
    sent = [
        ("maskwatch/a/alerts", HELLO),
        ("maskwatch/b/alerts", json.dumps(an_alert(device="b")).encode()),
        ("maskwatch/a/alerts", json.dumps(an_alert(camera="back")).encode()),
        ("maskwatch/a/alerts", json.dumps(an_alert(label="mask_worn_incorrectly")).encode()),
        ("maskwatch/a/alerts", json.dumps(an_alert()).encode()),
    ]

    (line,) = printed(broker, "--device", "a", "--camera", "front", "--label", "without_mask", count=1, sent=sent)

    assert line == ("2026-03-01T12:00:00.000Z a/front: without_mask (90% over 5 readings), crop missing: disk full")
