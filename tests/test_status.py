"""Status reporter: status at every change, telemetry at its interval."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from edge_agent.alerts.store import AlertStore
from edge_agent.camera.feed import FeedState
from edge_agent.config.model import Config
from edge_agent.host.clock import boot_id
from edge_agent.messages.alert import Model
from edge_agent.messages.status import Reason, offline, running
from edge_agent.messages.telemetry import MachineFigures, Models
from edge_agent.metrics import Metrics
from edge_agent.mqtt.client import Message
from edge_agent.mqtt.publisher import DeliveryState
from edge_agent.pauses import Pauses
from edge_agent.status import StatusReporter
from edge_agent.vision.frame_rate import FrameRate
from tests.mqtt.samples import SENDER, put
from tests.values import NOON, a_machine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from edge_agent.messages.status import StatusMessage
    from edge_agent.messages.telemetry import Figures
    from edge_agent.mqtt.publication import Publication

BOOT_ID = "6c1e2a34-0000-4000-8000-000000000001"
SCHEMAS = Path(__file__).parents[1] / "docs"
WELL = a_machine(temperature_celsius=50.0, memory_available_bytes=1_000_000_000)
GIGABYTE = 1_000_000_000


class Cameras:
    """Cameras in these states."""

    def __init__(self) -> None:
        self.now = (FeedState("door", is_open=True, reason=""),)

    def states(self):
        return self.now


class Publisher:
    """Records publications."""

    is_alive = True

    def __init__(self) -> None:
        self.published: list[Publication] = []
        self.state = DeliveryState(connected=True, reason="", waiting=0, sent=0)
        self.times_held_were_resent = 0

    def publish(self, publication: Publication) -> None:
        self.published.append(publication)

    def resend_held(self) -> None:
        self.times_held_were_resent += 1


class Recorder:
    """Stores telemetry immediately."""

    is_alive = True

    def __init__(self, store: AlertStore) -> None:
        self._store = store
        self.statuses: list[StatusMessage] = []
        self.counted_periods: list[tuple[tuple[str, ...], datetime | None, datetime]] = []

    def record_telemetry(self, figures: Figures, *, when: datetime) -> None:
        sender = replace(SENDER, next_sequence=self._store.next_sequence)
        self._store.put(sender.telemetry(figures, when=when))

    is_without_crops = False

    def record_status(self, status: StatusMessage) -> None:
        self.statuses.append(status)

    def record_counts(self, cameras: Iterable[str], *, since: datetime | None, when: datetime) -> None:
        self.counted_periods.append((tuple(cameras), since, when))

    @property
    def write_error(self) -> str:
        return self._store.write_error

    def dropped(self) -> dict[str, int]:
        return self._store.dropped()


class Computer:
    """A machine with these values."""

    def __init__(self) -> None:
        self.now = WELL

    def read(self) -> MachineFigures:
        return self.now


class Device:
    """A status reporter with all its components; `tick` makes it check, one second after the last time."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.config = config
        self.cameras, self.publisher, self.machine = Cameras(), Publisher(), Computer()
        self.governor = SimpleNamespace(reason="", rates={"door": FrameRate(10), "yard": FrameRate(0)})
        self.store = AlertStore(folder / "alerts.sqlite", boot_id=BOOT_ID, max_messages=5)
        self.recorder = Recorder(self.store)
        self.metrics = Metrics(config.cameras)
        self.pauses = Pauses(boot_id="boot")
        self.at = 0.0
        self.violations = {"door": 0, "yard": 0}
        self.reporter = StatusReporter(
            config,
            cameras=self.cameras,  # type: ignore[arg-type]
            store=self.store,
            recorder=self.recorder,  # type: ignore[arg-type]
            publisher=self.publisher,  # type: ignore[arg-type]
            metrics=self.metrics,
            machine=self.machine,  # type: ignore[arg-type]
            governor=self.governor,  # type: ignore[arg-type]
            pauses=self.pauses,
            models=Models(faces=None, masks=Model(name="masks", sha256="0" * 64)),
            versions={"maskwatch": "0.1.0", "model": "masks", "runtime": "litert"},
            at=0.0,
        )

    def close(self) -> None:
        self.store.close()

    def tick(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        """Return the statuses published meanwhile."""
        self.at += seconds
        self.reporter.record_frame("door", at=self.at)
        before = len(self.publisher.published)
        self.reporter.report(self.violations, at=self.at, when=NOON)
        publications = [one for one in self.publisher.published[before:] if one.topic == "maskwatch/lobby/status"]
        assert all(one.retain for one in publications)
        messages = [json.loads(one.payload) for one in publications]
        for message in messages:
            check(message, "status")
        return messages

    def reasons(self) -> list[str]:
        """Check, and return the codes of the reasons."""
        self.tick()
        return [reason.code for reason in self.reporter.reasons(at=self.at)]

    def discoveries(self) -> int:
        return sum(one.topic.startswith("homeassistant/") for one in self.publisher.published)


def check(message: dict[str, Any], kind: str) -> None:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(message)


def a_config(**mqtt) -> Config:
    return Config.model_validate({"device": {"id": "lobby"}, "cameras": {"door": {}, "yard": {}}, "mqtt": mqtt})


@pytest.fixture(autouse=True)
def a_busy_disk_is_waited_for(monkeypatch):
    monkeypatch.setattr("edge_agent.host.disk.TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def device(tmp_path):
    with closing(Device(tmp_path, a_config())) as opened:
        yield opened


def test_a_working_device_is_online_and_publishes_it_once(device):
    (status,) = device.tick()

    assert status["state"] == "online"
    assert status["reasons"] == status["paused"] == []
    assert [device.tick() for _ in range(100)] == [[]] * 100


def test_a_reason_with_a_file_name_that_is_not_utf_8_is_escaped(device):
    """A card from an old camera has such names; the agent must not end because of one."""
    device.cameras.now = (FeedState("door", is_open=False, reason="pictures/m\udcfcller.jpg: cannot be read"),)

    device.tick()

    (reason,) = device.reporter.reasons(at=device.at)
    assert reason.code == "camera_away"
    assert "m\\udcfcller.jpg" in reason.text
    status = device.reporter.status(at=device.at, when=NOON)
    assert "m\\udcfcller.jpg" in status.cameras[0].reason
    assert status.model_dump_json()


def test_a_missing_camera_degrades_the_device_until_it_returns(device):
    device.tick()
    device.cameras.now = (FeedState("door", is_open=False, reason="no such device"),)

    (status,) = device.tick()
    assert status["state"] == "degraded"
    assert status["reasons"] == [{"code": "camera_away", "text": "camera door: no such device"}]
    assert device.tick() == []

    device.cameras.now = (FeedState("door", is_open=True, reason=""),)
    assert [status["state"] for status in device.tick()] == ["online"]


@pytest.mark.parametrize("code", ["camera_frozen", "camera_covered", "camera_wrong_size"])
def test_a_fault_of_a_camera_degrades_the_device_until_it_ends(device, code):
    device.tick()
    device.cameras.now = (FeedState("door", is_open=True, reason="", faults=(Reason(code=code, text="is not well"),)),)

    (status,) = device.tick()
    assert status["reasons"] == [{"code": code, "text": "camera door: is not well"}]

    device.cameras.now = (FeedState("door", is_open=True, reason=""),)
    assert [status["state"] for status in device.tick()] == ["online"]


def test_a_recording_that_has_ended_is_not_reported_missing(device):
    device.cameras.now = (FeedState("door", is_open=False, reason="ended", finished=True),)

    assert device.reasons() == []


def test_open_cameras_without_processed_frames_are_a_reason(device):
    device.tick()
    device.at += 100.0

    assert [reason.code for reason in device.reporter.reasons(at=device.at)] == ["no_frames"]


def test_missing_frames_just_after_the_start_are_no_reason(device):
    assert list(device.reporter.reasons(at=5.0)) == []


def test_a_paused_camera_is_named_and_is_a_reason(device):
    device.pauses.pause(["yard"], seconds=None, at=0.0, when=NOON)

    (status,) = device.tick()

    assert status["paused"] == ["yard"]
    assert status["reasons"] == [{"code": "paused", "text": "camera yard is paused"}]


def test_a_full_disk_is_a_reason(device):
    device.machine.now = WELL.model_copy(update={"disk_free_bytes": device.config.crops.keep_free_bytes - 1})

    assert device.reasons() == ["disk_full"]


def test_a_disk_without_an_inode_is_a_reason(device, monkeypatch):
    monkeypatch.setattr("os.statvfs", lambda _path: SimpleNamespace(f_files=1000, f_favail=0))

    assert device.reasons() == ["disk_full"]


def test_an_unwritable_crops_folder_is_a_reason(tmp_path, monkeypatch):
    config = Config.model_validate({**a_config().model_dump(), "crops": {"dir": str(tmp_path)}})
    with closing(Device(tmp_path, config)) as device:
        assert device.reasons() == []

        monkeypatch.setattr("os.access", lambda _path, _mode: False)

        assert device.reasons() == ["crops_not_kept"]


def test_an_inaccessible_crops_folder_is_a_reason(tmp_path):
    # The kernel rejects so long a name, even for root.
    config = Config.model_validate({**a_config().model_dump(), "crops": {"dir": str(tmp_path / ("x" * 300))}})
    with closing(Device(tmp_path, config)) as device:
        assert device.reasons() == ["crops_not_kept"]


def test_a_crop_that_could_not_be_stored_is_a_reason(device):
    device.recorder.is_without_crops = True

    assert device.reasons() == ["crops_not_kept"]


def test_a_full_disk_is_no_reason_for_missing_crops_if_crops_are_disabled(tmp_path):
    config = Config.model_validate({**a_config().model_dump(), "crops": {"picture": "none"}})
    with closing(Device(tmp_path, config)) as device:
        device.machine.now = WELL.model_copy(update={"disk_free_bytes": 0})

        assert device.reasons() == []


def test_heat_is_a_reason_until_it_has_really_cooled(device):
    seen = []
    for celsius in (79.9, 80.0, 79.0, 75.0, 74.9, 79.9):
        device.machine.now = WELL.model_copy(update={"temperature_celsius": celsius})
        seen.append(device.reasons())

    assert seen == [[], ["hot"], ["hot"], ["hot"], [], []]


def test_hot_uses_the_limit_of_the_governor(tmp_path):
    config = Config.model_validate({**a_config().model_dump(), "governor": {"hot_celsius": 60.0}})
    with closing(Device(tmp_path, config)) as device:
        device.machine.now = WELL.model_copy(update={"temperature_celsius": 61.0})
        (status,) = device.tick()

        assert status["reasons"][0]["code"] == "hot"
        assert "60 degrees" in status["reasons"][0]["text"]


def test_throttling_is_a_reason_with_its_cause(device):
    device.machine.now = WELL.model_copy(update={"throttling": ("under_voltage",)})

    (status,) = device.tick()

    assert status["reasons"][0] == {"code": "throttled", "text": "the processor is throttled: under_voltage"}


def test_a_reduced_detection_rate_is_a_reason_with_its_cause(device):
    device.governor.reason = "CPU saturated"

    (status,) = device.tick()

    assert status["reasons"] == [
        {
            "code": "slowed",
            "text": "detection rate reduced: CPU saturated",
        }
    ]


def test_a_damaged_outbox_is_a_reason_until_the_agent_is_started_again(device):
    device.tick()
    with closing(sqlite3.connect(device.store.path)) as database:
        database.execute("DROP TABLE outbox")
    put(device.store)

    (reason,) = device.tick(700.0)[0]["reasons"]
    assert reason["code"] == "outbox_damaged"
    assert ".damaged-" in reason["text"]


def test_drops_are_a_reason_for_a_while(device):
    device.tick()
    for _ in range(7):
        put(device.store)

    assert device.reasons() == ["outbox_dropping"]
    device.tick(700.0)
    assert device.reasons() == []


def test_drops_of_an_earlier_run_are_not_reported(tmp_path):
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID, max_messages=1)) as store:
        put(store)
        put(store)
    with closing(Device(tmp_path, a_config())) as device:
        assert device.store.dropped()["alert"] == 1
        assert device.reasons() == []


def test_an_outbox_that_cannot_be_written_is_a_reason(tmp_path):
    (tmp_path / "alerts.sqlite").mkdir()
    with closing(Device(tmp_path, a_config())) as device:
        assert device.reasons() == ["outbox_stuck"]


def test_a_refusal_of_the_broker_is_a_reason_and_its_absence_is_not(device):
    device.publisher.state = DeliveryState(connected=True, reason="the broker refuses alerts", waiting=1, sent=0)
    assert device.reasons() == ["refused"]

    device.publisher.state = DeliveryState(connected=False, reason="no broker", waiting=1, sent=0)
    assert device.reasons() == []


def status_of(boot, *reasons, when=NOON):
    return running("lobby", boot_id=boot, reasons=reasons, paused=[], when=when).payload()


def test_a_status_of_another_machine_under_this_name_is_a_reason_for_a_while(device):
    device.reporter.receive(Message("maskwatch/lobby/status", status_of(BOOT_ID)), at=device.at)
    assert device.reasons() == ["duplicate_device"]

    device.at += 600.0
    assert "duplicate_device" not in device.reasons()


def test_connections_that_end_as_by_another_device_of_this_name_are_a_reason(device):
    device.publisher.state = DeliveryState(connected=True, reason="", waiting=0, sent=0, has_namesake=True)

    assert device.reasons() == ["duplicate_device"]


@pytest.mark.parametrize(
    "message",
    [
        Message("maskwatch/lobby/status", status_of(boot_id())),
        Message("maskwatch/lobby/status", status_of(BOOT_ID), retain=True),
        Message("maskwatch/lobby/status", offline("lobby", "connection_lost", boot_id=BOOT_ID).payload()),
        Message("maskwatch/lobby/status", b"{"),
        Message("maskwatch/lobby/status", b"[]"),
        Message("maskwatch/lobby/status", b""),
    ],
    ids=["its own", "from before a restart", "its own last will", "no JSON", "no object", "cleared"],
)
def test_no_other_status_is_taken_for_another_device(device, message):
    device.reporter.receive(message, at=device.at)

    assert device.reasons() == []


def test_violations_are_published_retained_at_the_start_and_at_every_change(device):
    for people in (0, 1, 1, 2, 0):
        device.violations["door"] = people
        device.tick()

    publications = [one for one in device.publisher.published if one.topic == "maskwatch/lobby/cameras/door/violations"]
    messages = [json.loads(one.payload) for one in publications]
    assert [message["violations"] for message in messages] == [0, 1, 2, 0]
    assert all(one.retain for one in publications)
    for message in messages:
        check(message, "violations")
    assert sum(one.topic == "maskwatch/lobby/cameras/yard/violations" for one in device.publisher.published) == 1


@pytest.mark.parametrize("celsius", [50.0, None])
def test_discovery_has_a_temperature_if_the_machine_reports_one(tmp_path, monkeypatch, celsius):
    monkeypatch.setattr(Computer, "read", lambda _self: WELL.model_copy(update={"temperature_celsius": celsius}))
    with closing(Device(tmp_path, a_config())) as device:
        (discovery,) = [one for one in device.publisher.published if one.topic.startswith("homeassistant/")]

        assert ("state_topic" in json.loads(discovery.payload)["components"]["temperature"]) == (celsius is not None)


def test_telemetry_is_queued_at_its_interval_and_matches_its_schema(device):
    for _ in range(130):
        device.tick()

    rows = device.store.waiting(10)
    assert [row.kind for row in rows] == ["telemetry", "telemetry"]
    sent = rows[0].message
    check(sent, "telemetry")
    assert [row.message["outbox"]["sequences"] for row in rows] == [{}, {"telemetry": 1}]
    assert sent["machine"]["temperature_celsius"] == 50.0
    assert sent["uptime_seconds"] == 60


def test_telemetry_of_a_machine_without_sensors_matches_its_schema(device):
    unknown = MachineFigures.model_fields.keys() - {"throttling", "throttled_since_boot"}
    device.machine.now = WELL.model_copy(update=dict.fromkeys(unknown))
    for _ in range(61):
        device.tick()

    check(device.store.waiting(1)[0].message, "telemetry")


def test_counts_are_sent_at_the_start_and_when_an_hour_is_over(device):
    start = NOON.replace(minute=50)
    for minutes in (0, 5, 10, 10.2, 15, 70.2):
        device.reporter.report({}, at=60.0 * minutes, when=start + timedelta(minutes=minutes))

    periods = device.recorder.counted_periods
    assert [(since, when - start) for _, since, when in periods] == [
        (None, timedelta(0)),
        (start, timedelta(minutes=10.2)),
        (start, timedelta(minutes=70.2)),
    ]


def test_hours_that_a_step_of_the_clock_skips_are_not_counted_as_empty(device):
    device.reporter.report({}, at=0.0, when=NOON - timedelta(days=90))
    device.reporter.report({}, at=30.0, when=NOON)

    assert device.recorder.counted_periods[-1][1:] == (NOON - timedelta(seconds=30), NOON)


def test_no_telemetry_is_created_if_it_is_disabled(tmp_path):
    with closing(Device(tmp_path, a_config(telemetry_seconds=0))) as device:
        device.tick(1000.0)

        assert device.store.count() == 0


def test_the_frame_rate_is_that_since_the_last_telemetry(device):
    device.metrics.cameras["door"].frames = 600
    device.tick(60.0)
    device.metrics.cameras["yard"].frames = 600
    device.tick(120.0)

    rates = [row.message["frames_per_second"] for row in device.store.waiting(10)]
    assert rates == [10.0, 5.0]


def test_telemetry_has_the_frame_rates_of_each_camera(device):
    rates = device.governor.rates
    device.cameras.now += (FeedState("yard", is_open=True, reason=""),)
    for number in range(600):
        rates["door"].wants(number / 10)
        rates["yard"].wants(number / 20)
    device.tick(60.0)
    for rate in rates.values():
        rate.slow_to(0.25, min_per_second=2.0)
    for number in range(600):
        rates["door"].wants(60 + number / 10)
    device.tick(60.0)

    minutes = [
        {name: camera["frames_per_second"] for name, camera in row.message["cameras"].items()}
        for row in device.store.waiting(10)
    ]
    assert minutes == [
        {
            "door": {"asked": 10.0, "allowed": 10.0, "reached": 10.0},
            "yard": {"asked": None, "allowed": None, "reached": 10.0},
        },
        {
            "door": {"asked": 10.0, "allowed": 2.5, "reached": 2.5},
            "yard": {"asked": None, "allowed": 7.5, "reached": 0.0},
        },
    ]
    check(device.store.waiting(2)[1].message, "telemetry")


def test_discovery_is_published_at_the_start_and_when_home_assistant_starts(device):
    assert device.discoveries() == 1
    device.tick()

    device.reporter.receive(Message("homeassistant/status", b"online"), at=device.at)

    assert device.discoveries() == 2
    assert device.publisher.times_held_were_resent == 1
    assert [status["state"] for status in device.tick()] == ["online"]


@pytest.mark.parametrize(
    "message",
    [
        Message("homeassistant/status", b"offline"),
        Message("homeassistant/status", b"online", retain=True),
        Message("maskwatch/lobby/commands/pause", b"online"),
    ],
)
def test_other_messages_do_not_trigger_discovery(device, message):
    device.reporter.receive(message, at=device.at)

    assert device.discoveries() == 1


def test_without_home_assistant_nothing_is_published_for_it(tmp_path):
    with closing(Device(tmp_path, a_config(home_assistant={"enabled": False}))) as device:
        device.reporter.receive(Message("homeassistant/status", b"online"), at=device.at)

        assert device.discoveries() == 0


def test_the_status_has_the_whole_state_and_no_secret(device):
    device.cameras.now = (
        FeedState("door", is_open=True, reason="", frames=30, width_px=640, height_px=360),
        FeedState("yard", is_open=False, reason="no such device", faults=()),
    )
    device.pauses.pause(["yard"], seconds=None, at=0.0, when=NOON)
    device.tick()

    # As a browser gets it.
    status = device.reporter.status(at=device.at, when=NOON).model_dump(mode="json")

    assert (status["device"], status["status"], status["paused"]) == ("lobby", "degraded", ["yard"])
    assert [reason["code"] for reason in status["reasons"]] == ["paused", "camera_away"]
    door, yard = status["cameras"]
    assert door == {
        "name": "door",
        "is_open": True,
        "reason": "",
        "faults": [],
        "frames": 30,
        "dropped": 0,
        "reopened": 0,
        "frames_per_second": 0.0,
        "asked_frames_per_second": 10.0,
        "frame_size": [640, 360],
        "paused": False,
    }
    assert (yard["reason"], yard["paused"], yard["frames_per_second"]) == ("no such device", True, None)
    assert status["delivery"] == {"connected": True, "reason": "", "waiting": 0}
    assert status["telemetry"]["counts"]["alerts"] == 0
    assert (status["is_watching"], status["is_ready"]) == (True, True)


def test_the_status_has_the_rate_of_the_last_seconds(device):
    rate = device.governor.rates["door"]
    for second in range(1, 20):
        for number in range(9 if second < 10 else 5):
            rate.wants(second + number / 10)
        device.tick()

    (camera,) = device.reporter.status(at=device.at, when=NOON).cameras

    assert (camera.frames_per_second, camera.asked_frames_per_second) == (5.0, 10.0)


def test_a_camera_that_opens_for_the_first_time_does_not_degrade_the_device(device):
    device.cameras.now = (FeedState("door"), FeedState("yard", is_open=True, reason=""))
    (starting,) = device.tick()
    device.cameras.now = (FeedState("door", reason="no such device"), FeedState("yard", is_open=True, reason=""))
    (away,) = device.tick()

    assert (starting["state"], [reason["code"] for reason in starting["reasons"]]) == ("starting", ["starting"])
    assert away["state"] == "degraded"


def test_a_camera_that_is_paused_has_no_frame_rate(device):
    device.pauses.pause(["door"], seconds=None, at=0.0, when=NOON)
    device.tick(60.0)

    (row,) = device.store.waiting(10)
    assert row.message["cameras"]["door"]["frames_per_second"]["reached"] is None


def test_a_device_is_ready_once_a_frame_has_come(device):
    assert not device.reporter.status(at=0.0, when=NOON).is_ready

    device.reporter.record_frame("door", at=0.0)

    assert device.reporter.status(at=0.0, when=NOON).is_ready


def test_a_device_watches_while_frames_of_every_open_camera_are_processed(device):
    device.cameras.now = (FeedState("door", is_open=True, reason=""), FeedState("yard", is_open=True, reason=""))
    device.reporter.record_frame("door", at=10.0)
    assert not device.reporter.is_watching(at=10.0)

    device.reporter.record_frame("yard", at=17.0)

    assert device.reporter.is_watching(at=20.0)
    assert not device.reporter.is_watching(at=20.1)
    device.cameras.now = (FeedState("door", reason="unplugged"), FeedState("yard", is_open=True, reason=""))
    assert device.reporter.is_watching(at=20.1)


def test_a_camera_that_has_just_been_reopened_is_not_silent(device):
    device.tick()
    device.cameras.now = (FeedState("door", reason="unplugged"),)
    device.reporter.report(device.violations, at=60.0, when=NOON)
    device.cameras.now = (FeedState("door", is_open=True, open_since=60.0, reason=""),)

    assert device.reporter.reasons(at=61.0) == []
    assert device.reporter.is_watching(at=61.0)
    assert [reason.code for reason in device.reporter.reasons(at=71.0)] == ["no_frames"]
    assert not device.reporter.is_watching(at=71.0)


@pytest.mark.parametrize("part", ["publisher", "recorder"])
def test_a_device_watches_only_while_alerts_could_be_recorded_and_sent(device, part):
    device.tick()
    assert device.reporter.is_watching(at=device.at)

    getattr(device, part).is_alive = False

    assert not device.reporter.is_watching(at=device.at)
