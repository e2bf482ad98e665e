"""Every message of a real agent through a real broker matches docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import jsonschema
import pyrage
import pytest

from tests.journeys.agent import EXAMPLE, AgentProcess, wait_until
from tests.mqtt.samples import Listener, properties_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import MQTTMessage

    from tests.mosquitto import Mosquitto

DOCS = Path(__file__).parents[2] / "docs"
PICTURES_OF_THE_RECORDING = 28
DEVICE = "test-door"
PREFIX = f"maskwatch/{DEVICE}/"


class Archive:
    """All messages published on the broker."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._messages: list[MQTTMessage] = []

    @property
    def messages(self) -> list[MQTTMessage]:
        self._messages += self._listener.rest()
        return self._messages

    def on(self, suffix: str) -> list[dict[str, Any]]:
        """The content of messages on topics of the device with this suffix."""
        own = [one for one in self.messages if one.topic.startswith(PREFIX)]
        return [json.loads(one.payload) for one in own if one.topic.endswith(suffix)]

    def discoveries(self) -> int:
        """Number of discovery messages for Home Assistant."""
        return sum(one.topic.startswith("homeassistant/device/") for one in self.messages)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what)


@pytest.fixture
def pictures(tmp_path) -> str:
    """A source that lasts for minutes: every fifth frame of the example, repeated."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    video = cv2.VideoCapture(str(EXAMPLE))
    count = 0
    while (read := video.read())[0]:
        if video.get(cv2.CAP_PROP_POS_FRAMES) % 5 == 0:
            cv2.imwrite(str(folder / f"{count:06}.jpg"), read[1])
            count += 1
    for number in range(count, 40 * count):
        (folder / f"{number:06}.jpg").hardlink_to(folder / f"{number % count:06}.jpg")
    return str(folder)


def a_config(broker: Mosquitto, source: str, **sections: Any) -> dict[str, Any]:
    mqtt = {"host": "127.0.0.1", "port": broker.port, "telemetry_seconds": 2, **sections.pop("mqtt", {})}
    return {
        "device": {"id": DEVICE},
        "cameras": {"example": {"source": source}},
        "faces": {"detector": "haar", "input_long_side_px": 400, "min_face_px": 60},
        "mqtt": mqtt,
        **sections,
    }


def check(content: dict[str, Any]) -> str:
    """Validate a message against the schema that it names, and return its kind."""
    kind = str(content["schema"]).removeprefix("maskwatch.").partition("/")[0]
    schema = json.loads((DOCS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(content)
    return kind


def test_every_message_matches_its_schema(broker, tmp_path, pictures):
    config = a_config(broker, pictures, mqtt={"publish_crops": True})
    with Listener(broker.port, topic="#") as listener, AgentProcess(tmp_path / "agent", config) as agent:
        archive = Archive(listener)
        archive.wait(lambda: archive.on("/resolved"), "an alert and its resolution")
        for name, payload in (
            ("snapshot", b'{"id": "1"}'),
            ("pause", b'{"id": "2", "seconds": 60}'),
            ("pause", b'{"seconds": "long"}'),
        ):
            listener.publish(f"{PREFIX}commands/{name}", payload)
        archive.wait(lambda: "paused" in str(archive.on("/status")[-1]["reasons"]), "the pause")
        listener.publish("homeassistant/status", b"online")
        archive.wait(lambda: archive.discoveries() == 2, "discovery after the start of Home Assistant")
        for name in ("resume", "diagnostics", "reload"):
            listener.publish(f"{PREFIX}commands/{name}")
        archive.wait(lambda: archive.on("/commands/reload/result"), "the last result")
        archive.wait(lambda: archive.discoveries() == 3, "discovery after the reload")
        # A reload that changes nothing keeps the connection.
        assert "offline" not in {status["state"] for status in archive.on("/status")}
        assert agent.end() == 0
        archive.wait(lambda: archive.on("/status")[-1]["state"] == "offline", "the last status")

    own = [one for one in archive.messages if one.topic.startswith(PREFIX)]
    commands = [one for one in own if one.topic.startswith(f"{PREFIX}commands/") and not one.topic.endswith("result")]
    folders = (f"{PREFIX}crops/", f"{PREFIX}snapshots/", f"{PREFIX}cameras/example/crop")
    published_pictures = [one for one in own if one.topic.startswith(folders)]
    messages = [one for one in own if one not in commands and one not in published_pictures]
    kinds = {check(json.loads(one.payload)) for one in messages}
    assert kinds == {"alert", "resolved", "violations", "status", "telemetry", "result"}

    alert, resolved = archive.on("/alerts")[0], archive.on("/resolved")[0]
    assert resolved["alert"] == alert["id"]
    assert published_pictures[0].topic == f"{PREFIX}crops/{alert['id']}"
    for one in published_pictures:
        assert one.payload.startswith(b"\xff\xd8")
        assert properties_of(one).ContentType == "image/jpeg"
    for one in messages:
        assert properties_of(one).ContentType == "application/json"
    assert {one.qos for one in own if one.topic.endswith("/telemetry")} == {0}
    named = dict(properties_of(next(one for one in own if one.topic.endswith("/alerts"))).UserProperty)
    assert named == {"device": DEVICE, "camera": "example", "schema": "maskwatch.alert/1"}
    results = {one["command"]: one["state"] for one in archive.on("/result")}
    assert results == {
        "snapshot": "done",
        "pause": "refused",
        "resume": "done",
        "diagnostics": "done",
        "reload": "done",
    }


def frames_since(archive: Archive, skipped: int) -> int:
    """Number of pictures that the agent has read, by the last telemetry after the first `skipped` messages."""
    telemetry = archive.on("/telemetry")[skipped:]
    return int(telemetry[-1]["cameras"]["example"]["frames"]) if telemetry else 0


def test_a_paused_device_raises_no_alert_also_after_a_restart(broker, tmp_path, pictures):
    with (
        Listener(broker.port, topic="#") as listener,
        AgentProcess(tmp_path / "agent", a_config(broker, pictures)) as agent,
    ):
        archive = Archive(listener)
        archive.wait(lambda: archive.on("/status"), "the agent")
        listener.publish(f"{PREFIX}commands/pause")
        archive.wait(lambda: archive.on("/pause/result"), "the pause")
        agent.end()
        alerts, skipped = len(archive.on("/alerts")), len(archive.on("/telemetry"))

        agent.start()
        archive.wait(lambda: archive.on("/status")[-1]["state"] == "degraded", "the agent again")
        # This many pictures are the whole recording, with all people in it.
        archive.wait(
            lambda: frames_since(archive, skipped) >= PICTURES_OF_THE_RECORDING, "the whole recording, unwatched"
        )
        assert len(archive.on("/alerts")) == alerts

        listener.publish(f"{PREFIX}commands/resume")
        archive.wait(lambda: len(archive.on("/alerts")) > alerts, "an alert after the pause")


def test_a_pause_that_cannot_be_saved_outlives_a_reload(broker, tmp_path, pictures):
    state = tmp_path / "state"
    state.write_text("a file in the place of the folder")
    config = a_config(broker, pictures, state_dir=str(state))
    with Listener(broker.port, topic="#") as listener, AgentProcess(tmp_path / "agent", config):
        archive = Archive(listener)
        archive.wait(lambda: archive.on("/status"), "the agent")
        listener.publish(f"{PREFIX}commands/pause")
        archive.wait(lambda: archive.on("/pause/result"), "the pause")
        before = archive.discoveries()
        listener.publish(f"{PREFIX}commands/reload")
        archive.wait(lambda: archive.discoveries() > before, "discovery after the reload")
        listener.publish(f"{PREFIX}commands/diagnostics")
        archive.wait(lambda: archive.on("/diagnostics/result"), "the diagnostics")

        (diagnostics,) = archive.on("/diagnostics/result")
        assert "paused" in {reason["code"] for reason in diagnostics["result"]["reasons"]}


def test_the_reload_command_rejects_an_invalid_configuration_and_the_agent_continues(broker, tmp_path, pictures):
    config = a_config(broker, pictures)
    with Listener(broker.port, topic="#") as listener, AgentProcess(tmp_path / "agent", config) as agent:
        archive = Archive(listener)
        archive.wait(lambda: "online" in [status["state"] for status in archive.on("/status")], "the agent")
        agent.configure({**config, "motoin": {}})
        listener.publish(f"{PREFIX}commands/reload")

        archive.wait(lambda: archive.on("/reload/result"), "the answer")

        assert archive.on("/reload/result")[0]["state"] == "refused"
        assert "did you mean 'motion'?" in agent.log
        assert archive.on("/status")[-1]["state"] == "online"


def test_encrypted_pictures_are_never_in_the_clear_on_disk_or_at_the_broker(broker, tmp_path):
    owner = pyrage.x25519.Identity.generate()
    crops = {"encrypt_for": [str(owner.to_public())]}
    config = a_config(broker, str(EXAMPLE), mqtt={"publish_crops": True}, crops=crops)
    with Listener(broker.port, topic="#") as listener, AgentProcess(tmp_path / "agent", config) as agent:
        archive = Archive(listener)
        archive.wait(lambda: archive.on("/alerts"), "an alert")
        agent.end()
        alert = archive.on("/alerts")[0]
        crop = next(one for one in archive.messages if one.topic.endswith(f"/crops/{alert['id']}"))

    assert alert["crop"]["file"].endswith(".jpg.age")
    assert pyrage.decrypt(crop.payload, [owner]).startswith(b"\xff\xd8")
    assert properties_of(crop).ContentType == "application/octet-stream"
    kept = [file for file in (tmp_path / "agent" / "state").rglob("*") if file.is_file()]
    assert any(file.name.endswith(".age") for file in kept)
    assert not any(b"JFIF" in file.read_bytes() for file in kept)
    assert not any(b"JFIF" in one.payload for one in archive.messages)


def test_no_picture_exists_anywhere_if_pictures_are_disabled(broker, tmp_path):
    config = a_config(broker, str(EXAMPLE), mqtt={"publish_crops": True}, crops={"picture": "none"})
    with Listener(broker.port, topic="#") as listener, AgentProcess(tmp_path / "agent", config):
        archive = Archive(listener)
        archive.wait(lambda: archive.on("/alerts"), "an alert")
        alert = archive.on("/alerts")[0]

    check(alert)
    assert alert["crop"] is None
    assert "crops.picture: none" in alert["crop_error"]
    assert not any("/crops/" in one.topic for one in archive.messages)
    assert not list((tmp_path / "agent" / "state").rglob("*.jpg*"))
