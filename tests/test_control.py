"""Control: results of commands; none ends the agent or reveals a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from edge_agent.alerts.crops import Crops
from edge_agent.alerts.retention import Retention
from edge_agent.config.model import Config
from edge_agent.control import BURST, ONE_MORE_SECONDS, Control
from edge_agent.domain import Box, Face, Frame
from edge_agent.errors import ConfigError
from edge_agent.messages.status import Reason
from edge_agent.mqtt.client import Message
from edge_agent.mqtt.publisher import DeliveryState
from edge_agent.pauses import Pauses
from edge_agent.vision.images import read_picture
from tests.values import NOON, a_status

if TYPE_CHECKING:
    from edge_agent.bridge.protocol import DeviceStatus
    from edge_agent.mqtt.publication import Publication

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "result.schema.json").read_text(encoding="utf-8"))
TELLTALE = "hunter2"
SNAPSHOTS_BYTES = 100_000


class Publisher:
    """Records publications."""

    state = DeliveryState(connected=True, reason="", waiting=0, sent=0)

    def __init__(self) -> None:
        self.published: list[Publication] = []

    def publish(self, publication: Publication) -> None:
        self.published.append(publication)


class StatusReporter:
    """A reporter with one reason."""

    def status(self, **_: Any) -> DeviceStatus:
        return a_status(reasons=(Reason(code="hot", text="warm"),))


class Detector:
    """A detector that finds one face, or fails."""

    fails = False

    def detect(self, _image: Any) -> list[Face]:
        if self.fails:
            raise RuntimeError("a bug")
        return [Face(Box(40, 40, 60, 60), 0.9)]


class Device:
    """A command handler with all its components."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.config = Config.model_validate(
            {
                "device": {"id": "lobby"},
                "cameras": {
                    "door": {"source": f"rtsp://admin:{TELLTALE}@10.0.0.5/stream?token={TELLTALE}"},
                    "yard": {"source": "/dev/video1"},
                },
                **sections,
            }
        )
        self.publisher, self.detector = Publisher(), Detector()
        self.pauses = Pauses(boot_id="boot")
        self.reloads = 0
        self.mistakes = ""
        self.at = 100.0
        self.control = Control(
            self.config,
            publisher=self.publisher,  # type: ignore[arg-type]
            pauses=self.pauses,
            reporter=StatusReporter(),  # type: ignore[arg-type]
            pictures=Crops(folder / "crops", self.config.crops),
            snapshots=Retention(folder / "crops", keep_days=30.0, keep_bytes=SNAPSHOTS_BYTES),
            find_faces=self.detector.detect,
            reload=self._reload,
        )

    def _reload(self) -> None:
        if self.mistakes:
            raise ConfigError(self.mistakes)
        self.reloads += 1

    def see(self, camera: str = "door", *, at: float | None = None) -> Frame:
        squares = np.kron(np.arange(25 * 50, dtype=np.uint8).reshape(25, 50), np.ones((4, 4), np.uint8))
        image = np.repeat(squares[:, :, None], 3, axis=2)
        frame = Frame(camera, 0, image, self.at if at is None else at, NOON)
        self.control.observe(frame)
        return frame

    def command(self, name: str, payload: bytes = b"{}", **more: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        before = len(self.publisher.published)
        self.control.receive(Message(f"maskwatch/lobby/commands/{name}", payload, **more), at=self.at, when=NOON)
        results = [one for one in self.publisher.published[before:] if one.topic.endswith("/result")]
        assert len(results) == 1
        result: dict[str, Any] = json.loads(results[0].payload)
        jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(result)
        return result

    def is_paused(self, camera: str = "door") -> bool:
        return self.pauses.is_paused(camera, at=self.at)


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path)


def test_pause_and_resume_mean_all_cameras_or_the_one_that_is_named(device):
    assert device.command("pause")["result"] == {"cameras": ["door", "yard"], "seconds": None}
    assert device.is_paused("door")

    device.command("resume", b'{"camera": "door"}')

    assert not device.is_paused("door")
    assert device.is_paused("yard")


def test_a_pause_of_some_seconds_ends_by_itself(device):
    device.command("pause", b'{"seconds": 30}')
    assert device.is_paused()

    device.at += 30
    assert not device.is_paused()


def test_the_switch_of_home_assistant_pauses_and_resumes_on_one_topic(device):
    device.command("pause", b'{"on": true}')
    assert device.is_paused()

    device.command("pause", b'{"on": false}')
    assert not device.is_paused()


def test_an_unknown_camera_is_refused_with_the_known_ones(device):
    answer = device.command("pause", b'{"camera": "roof", "id": "7"}')

    assert answer["state"] == "refused"
    assert answer["reason"] == "no camera 'roof'; known: door, yard"
    assert answer["id"] == "7"


def test_all_faces_in_a_snapshot_are_hidden(device):
    frame = device.see()

    result = device.command("snapshot")["result"]

    shown = read_picture(device.folder / "crops" / result["file"])
    assert shown.shape == frame.image.shape
    assert np.abs(shown[42:58, 42:58].astype(int) - frame.image[42:58, 42:58]).mean() > 5
    assert np.abs(shown[80:, 150:].astype(int) - frame.image[80:, 150:]).mean() < 5
    assert result["published"] is False
    assert result["camera"] == "door"


def test_frequent_snapshots_stay_within_their_quota(device):
    for _ in range(60):
        device.at += 2.0
        device.see(at=device.at)
        assert device.command("snapshot")["state"] == "done"

    kept = list((device.folder / "crops").glob("*.jpg"))
    assert 0 < sum(file.stat().st_size for file in kept) <= SNAPSHOTS_BYTES
    assert len(kept) < 60


def test_a_snapshot_is_published_where_pictures_may_leave_the_device(tmp_path):
    device = Device(tmp_path, mqtt={"publish_crops": True})
    device.see("yard")

    result = device.command("snapshot", b'{"camera": "yard"}')["result"]

    picture = device.publisher.published[0]
    assert picture.topic == f"maskwatch/lobby/snapshots/{result['id']}"
    assert picture.payload == (tmp_path / "crops" / result["file"]).read_bytes()
    assert picture.content_type == "image/jpeg"
    assert not picture.retain
    assert result["published"] is True


@pytest.mark.parametrize("has_path", [True, False])
def test_a_snapshot_is_named_as_the_picture_of_an_alert(tmp_path, has_path):
    device = Device(tmp_path, mqtt={"publish_crop_paths": has_path})
    device.see()

    result = device.command("snapshot")["result"]

    name = f"{result['id']}.jpg"
    assert result["file"] == (str(tmp_path / "crops" / name) if has_path else name)


@pytest.mark.parametrize("age_seconds", [None, 11.0])
def test_there_is_no_snapshot_of_a_camera_without_recent_frames(device, age_seconds):
    if age_seconds is not None:
        device.see(at=device.at - age_seconds)

    assert "has given no picture within 10 s" in device.command("snapshot")["reason"]


def test_there_is_no_snapshot_of_a_camera_that_is_paused(device):
    device.see()
    device.command("pause")

    assert "is paused; resume it first" in device.command("snapshot")["reason"]


def test_there_is_no_snapshot_if_pictures_are_disabled(tmp_path):
    device = Device(tmp_path, crops={"picture": "none"})
    device.see()

    assert "crops.picture: none" in device.command("snapshot")["reason"]


def test_a_snapshot_on_an_unwritable_disk_fails_with_a_reason(device, tmp_path):
    (tmp_path / "crops").write_text("a file in the place of the folder")
    device.see()

    answer = device.command("snapshot")

    assert answer["state"] == "failed"
    assert "crops.dir" in answer["reason"]


def test_reload_does_the_same_as_sighup(device):
    assert device.command("reload")["state"] == "done"
    assert device.reloads == 1


def test_an_invalid_configuration_is_rejected_without_revealing_its_values(device, caplog):
    device.mistakes = f"config.yaml: line 3 cameras.door.source: 'rtsp://{TELLTALE}' is wrong"

    answer = device.command("reload")

    assert answer["state"] == "refused"
    assert TELLTALE not in json.dumps(answer)
    assert "line 3" in caplog.text


def test_diagnostics_contain_no_secret(tmp_path):
    device = Device(
        tmp_path,
        mqtt={
            "username": TELLTALE,
            "password_file": str(tmp_path / "password"),
            "transport": "websockets",
            "websocket_path": f"/mqtt?key={TELLTALE}",
            "websocket_headers": {"Authorization": TELLTALE},
        },
        webhooks=[{"url": f"https://hooks.example.org/{TELLTALE}?key={TELLTALE}"}],
    )
    (tmp_path / "password").write_text(TELLTALE)

    result = device.command("diagnostics")["result"]

    assert TELLTALE not in json.dumps(result)
    assert "10.0.0.5" in result["config"]["cameras"]["door"]["source"]
    assert result["reasons"] == [{"code": "hot", "text": "warm"}]
    assert result["delivery"]["waiting"] == a_status().delivery.waiting


def test_a_bug_in_a_command_is_logged_and_answered(device, caplog):
    device.see()
    device.detector.fails = True

    answer = device.command("snapshot")

    assert (answer["state"], answer["reason"]) == ("failed", "the agent failed to execute it; see its log")
    assert "a bug" in caplog.text
    assert device.command("resume")["state"] == "done"


def test_a_retained_command_is_refused_and_not_executed(device):
    assert device.command("pause", b'{"seconds": 60}', retain=True)["state"] == "refused"
    assert not device.is_paused()


def test_clearing_a_retained_command_executes_nothing(device):
    device.control.receive(Message("maskwatch/lobby/commands/pause", b"", retain=True), at=device.at, when=NOON)

    assert not device.is_paused()
    assert not device.publisher.published


def test_messages_on_other_topics_are_ignored(device):
    for topic in ("maskwatch/other/commands/pause", "homeassistant/status", "maskwatch/lobby/alerts"):
        device.control.receive(Message(topic, b"{}"), at=device.at, when=NOON)

    assert device.publisher.published == []


def test_commands_beyond_the_rate_limit_are_answered_and_logged_once(device, caplog):
    for _ in range(BURST):
        device.command("resume")
    assert "too many commands" in device.command("pause")["reason"]
    published, logged = len(device.publisher.published), len(caplog.records)

    for _ in range(1000):
        device.control.receive(Message("maskwatch/lobby/commands/pause", b"{}"), at=device.at, when=NOON)

    assert len(device.publisher.published) == published
    assert len(caplog.records) == logged
    assert not device.is_paused()


def test_commands_are_executed_again_once_the_rate_is_low(device):
    for _ in range(BURST + 1):
        device.command("resume")

    device.at += ONE_MORE_SECONDS

    assert device.command("pause")["state"] == "done"
    assert device.command("pause")["state"] == "refused"


def test_a_command_of_another_channel_returns_its_result_without_publishing_it(device):
    result = device.control.execute("pause", b'{"camera": "door", "id": "7"}', at=device.at, when=NOON)

    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(result)
    assert (result["state"], result["id"], result["result"]["cameras"]) == ("done", "7", ["door"])
    assert device.is_paused()
    assert device.publisher.published == []


@pytest.mark.parametrize(("name", "payload"), [("explode", b"{}"), ("pause", b"[]"), ("pause", b"x" * 5000)])
def test_a_command_of_another_channel_is_validated_alike(device, name, payload):
    result = device.control.execute(name, payload, at=device.at, when=NOON)

    assert (result["command"], result["state"]) == (name, "refused")
    assert not device.is_paused()


def test_a_flood_over_mqtt_does_not_lock_out_the_console(device):
    for _ in range(1000):
        device.control.receive(Message("maskwatch/lobby/commands/resume", b"{}"), at=device.at, when=NOON)

    assert device.control.execute("pause", b"", at=device.at, when=NOON)["state"] == "done"
    assert device.is_paused()


def test_commands_of_the_console_beyond_the_rate_limit_are_refused_and_logged_once(device, caplog):
    results = [device.control.execute("resume", b"", at=device.at, when=NOON) for _ in range(BURST + 5)]

    assert [result["state"] for result in results] == ["done"] * BURST + ["refused"] * 5
    assert sum(record.levelname == "WARNING" for record in caplog.records) == 1
    assert device.command("pause")["state"] == "done"


def test_an_mqtt_5_request_is_answered_on_its_response_topic_with_its_correlation_data(device):
    device.command("pause", response_topic="maskwatch-responses/dashboard", correlation_data=b"\x01\x02")

    result, response = device.publisher.published
    assert response.topic == "maskwatch-responses/dashboard"
    assert response.payload == result.payload
    assert response.correlation_data == result.correlation_data == b"\x01\x02"
    assert not result.retain


@pytest.mark.parametrize(
    "topic",
    [
        "maskwatch/lobby/alerts",
        "maskwatch/another/alerts",
        "maskwatch/another/commands/pause",
        "anywhere/else",
        "maskwatch-responses",
        "maskwatch-responses/+",
        "maskwatch-responses/" + "x" * 300,
        "maskwatch/lobby/commands/reload",
        "homeassistant/device/x/config",
        "$SYS/broker",
        "a/+/b",
        "#",
        "a\0b",
        "x" * 300,
    ],
)
def test_response_topics_of_devices_and_brokers_are_refused(device, topic):
    device.command("pause", response_topic=topic)

    assert [one.topic for one in device.publisher.published] == ["maskwatch/lobby/commands/pause/result"]


def test_an_unknown_command_is_answered_only_on_its_response_topic(device):
    for topic in ("maskwatch-responses/here", ""):
        message = Message("maskwatch/lobby/commands/dance", b"{}", response_topic=topic)
        device.control.receive(message, at=device.at, when=NOON)

    assert [one.topic for one in device.publisher.published] == ["maskwatch-responses/here"]


def test_an_id_that_is_no_unicode_text_is_answered_without_it(device):
    result = device.command("pause", b'{"id": "\\ud800"}')

    assert (result["state"], result["id"]) == ("refused", "")
