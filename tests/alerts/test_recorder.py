"""Recorder: events become durable in order, whatever fails, without blocking the detection threads."""

from __future__ import annotations

import os
import resource
import shutil
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.alerts.crops import Crops
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.recorder import MAX_QUEUED, Recorder
from edge_agent.alerts.retention import Retention
from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.config.model import CropsConfig
from edge_agent.domain import Person, Resolved, timestamp
from edge_agent.errors import CropError, UnavailableError
from edge_agent.messages.ids import uuid7
from tests.mqtt.samples import SENDER
from tests.values import NOON, a_figures, a_frame, an_alert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.alerts.store import AlertStore
    from edge_agent.domain import Alert

TIMEOUT_SECONDS = 60.0
TIMELINE = Timeline((TimelinePoint(-0.5, 3.25, "without_mask", 0.9, 0.75),), 6.8, -2.3, (4, 5, 44, 55))
LATER = (TimelinePoint(1.5, 7.0, "without_mask", 0.95, 0.8),)


class Recording:
    """A recorder with its store; `finish` waits until all submitted events are recorded."""

    def __init__(self, store: AlertStore, folder: Path, **parts: Any) -> None:
        self.store, self.woken = store, 0
        self.published: list[Any] = []
        self.recorder = Recorder(
            **{
                "store": store,
                "pictures": Crops(folder / "crops", CropsConfig(jpeg_quality=90)),
                "retention": Retention(folder / "crops", keep_days=30, keep_bytes=10_000_000),
                "snapshots": Retention(folder / "crops" / "snapshots", keep_days=30, keep_bytes=10_000_000),
                "sender": replace(SENDER, next_sequence=store.next_sequence),
                "keep_days": 30.0,
                "keep_counts_days": 400.0,
                "wake": self._wake,
                "publish": self.published.append,
                **parts,
            }
        )

    def _wake(self) -> None:
        self.woken += 1

    def alert(self, count: int = 1, *, scene: bytes | None = None) -> list[Alert]:
        alerts = [replace(an_alert(), id=uuid7(datetime.now(timezone.utc))) for _ in range(count)]
        for alert in alerts:
            self.recorder.record_alert(alert, TIMELINE, scene=scene)
        return alerts

    def resolve(self, alert: Alert, **more: Any) -> None:
        track = alert.verdict.track
        resolved = Resolved(alert.id, track, "without_mask", "left", NOON, NOON, 1.5, **more)
        self.recorder.record_resolved(resolved, LATER)

    def finish(self) -> list[Any]:
        if not self.recorder.is_alive:
            self.recorder.start()
        self.recorder.close(timeout_seconds=TIMEOUT_SECONDS)
        assert not self.recorder.is_alive
        return [row.message for row in self.store.waiting(1000)]


def crops_in(folder: Path) -> set[str]:
    return {file.name for file in (folder / "crops").glob("*.jpg")}


@pytest.fixture
def recording(store, tmp_path) -> Recording:
    return Recording(store, tmp_path)


def test_an_alert_is_in_outbox_and_history_with_its_crop_on_disk_and_the_publisher_is_woken(recording, store, tmp_path):
    alerts = recording.alert(2)

    messages = recording.finish()

    assert [message["id"] for message in messages] == [alert.id for alert in alerts]
    assert [message["sequence"] for message in messages] == [1, 2]
    assert store.crops_of_waiting() == crops_in(tmp_path) == {f"{alert.id}.jpg" for alert in alerts}
    assert recording.woken == 2
    history = AlertHistory(store.path, only_reads=True)
    assert [entry.message for entry in history.find()] == messages[::-1]
    assert history.find()[0].timeline() == TIMELINE


def test_a_resolution_names_its_alert_and_is_in_its_history(recording, store):
    (alert,) = recording.alert()
    recording.resolve(alert)

    _, resolved = recording.finish()

    assert resolved["alert"] == alert.id != resolved["id"]
    assert resolved["sequence"] == 1
    (entry,) = AlertHistory(store.path, only_reads=True).find()
    assert entry.resolved == resolved
    assert entry.timeline().points == TIMELINE.points + LATER


def test_a_resolution_that_is_not_published_is_in_the_history_and_leaves_no_gap_in_the_numbers(recording, store):
    alerts = recording.alert(2)
    recording.resolve(alerts[0], is_published=False)
    recording.resolve(alerts[1])

    messages = recording.finish()

    assert [(message["id"], message["sequence"]) for message in messages[:2]] == [(alerts[0].id, 1), (alerts[1].id, 2)]
    assert [(message["alert"], message["sequence"]) for message in messages[2:]] == [(alerts[1].id, 1)]
    *_, entry = AlertHistory(store.path, only_reads=True).find()
    assert entry.resolved is not None
    assert (entry.id, entry.resolved["reason"], entry.resolved["duration_seconds"]) == (alerts[0].id, "left", 1.5)
    assert entry.timeline().points == TIMELINE.points + LATER


def test_telemetry_is_numbered_and_queued_like_other_messages(recording, store):
    recording.recorder.record_telemetry(a_figures(), when=NOON)

    (telemetry,) = recording.finish()

    assert (telemetry["sequence"], telemetry["when"]) == (1, "2026-03-01T12:00:00.000Z")
    assert store.count("telemetry") == 1


def test_every_alert_is_counted_on_its_day(store, tmp_path):
    recording = Recording(store, tmp_path)
    recording.alert(2)

    recording.finish()

    store.follow_clock(now=NOON)
    assert store.alerts_today(when=NOON) == 2


def test_alerts_are_buffered_in_order_while_the_disk_is_full_and_written_later(store, tmp_path):
    recording = Recording(store, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recording.recorder.start()
    # Room for crops, none for the log of the store.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        recording.alert(2)
        wait_until(lambda: store.count() == 2)
        assert [row.message["sequence"] for row in store.waiting(10)] == [1, 2]
        assert store.crops_of_waiting() == crops_in(tmp_path)
        assert recording.recorder.write_error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    wait_until(lambda: recording.recorder.write_error == "")
    recording.finish()
    assert AlertHistory(store.path, only_reads=True).count() == 2


def test_a_pending_crop_is_never_swept_and_others_make_room_for_a_new_one(store, tmp_path):
    delivered = Crops(tmp_path / "crops", CropsConfig(jpeg_quality=90)).save(
        "01950000-0000-7000-8000-000000000001", a_frame().image
    )
    # The free space changes with other processes.
    floor_bytes = shutil.disk_usage(tmp_path).total
    recording = Recording(
        store,
        tmp_path,
        retention=Retention(tmp_path / "crops", keep_days=30, keep_bytes=10_000_000, keep_free_bytes=floor_bytes),
        pictures=Crops(tmp_path / "crops", CropsConfig(jpeg_quality=90, keep_free_bytes=floor_bytes)),
    )
    recording.alert(2)

    messages = recording.finish()

    assert not Path(delivered.file).exists()
    assert all("keep_free_bytes" in message["crop_error"] for message in messages)


def test_an_alert_is_recorded_even_if_its_crop_cannot_be_stored(recording, tmp_path, caplog):
    (tmp_path / "crops").touch()
    recording.alert(2)

    messages = recording.finish()

    assert [message["crop"] for message in messages] == [None, None]
    assert all("cannot be kept" in message["crop_error"] for message in messages)
    for task in ("storing crops", "removing old crops"):
        assert caplog.text.count(f"{task} fails") == 1


def test_the_end_of_a_failure_to_store_crops_is_logged_once(store, tmp_path, caplog):
    caplog.set_level("INFO")
    recording = Recording(store, tmp_path)
    recording.recorder.start()
    (tmp_path / "crops").touch()
    recording.alert()
    wait_until(lambda: recording.recorder.is_without_crops)

    (tmp_path / "crops").unlink()
    recording.alert(2)
    recording.finish()

    assert not recording.recorder.is_without_crops
    assert caplog.text.count("storing crops works again") == 1


def test_old_snapshots_are_removed_although_no_other_is_taken(store, tmp_path):
    old, new = (
        Path(Crops(tmp_path / "crops" / "snapshots", CropsConfig()).save(uuid7(NOON), a_frame().image).file)
        for _ in range(2)
    )
    long_ago = (datetime.now(timezone.utc) - timedelta(days=31)).timestamp()
    os.utime(old, (long_ago, long_ago))
    recording = Recording(store, tmp_path)
    recording.alert()

    recording.finish()

    assert (old.exists(), new.exists()) == (False, True)


def test_a_suspend_counts_as_time_that_has_passed(store, tmp_path, monkeypatch):
    """Otherwise it looks like a clock that was set, and the dates of all crops are shifted."""
    swept_at: list[float] = []

    class Sweeps:
        folder = tmp_path

        def sweep(self, *, at: float, **_others: Any) -> None:
            swept_at.append(at)

    real, suspended = time.clock_gettime, 100_000.0
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + suspended * (clock == time.CLOCK_BOOTTIME))
    recording = Recording(store, tmp_path, retention=Sweeps(), snapshots=Sweeps())
    recording.alert()

    recording.finish()

    assert len(swept_at) == 2
    assert min(swept_at) > time.monotonic() + suspended / 2


def test_what_is_stored_after_the_clock_was_set_is_not_dated_again(store, tmp_path, monkeypatch):
    """A device without a battery for its clock starts with an old time and detects before the network sets it."""

    class FullOnce(Crops):
        """Its first error makes the recorder sweep."""

        def keep_reading(self, picture_id: str, reading: Any) -> Any:
            if not (tmp_path / "full").exists():
                return super().keep_reading(picture_id, reading)
            (tmp_path / "full").unlink()
            raise CropError("full")

    recording = Recording(store, tmp_path, pictures=FullOnce(tmp_path / "crops", CropsConfig()))
    recording.recorder.start()
    recording.alert()
    wait_until((tmp_path / "crops" / ".swept").exists)
    real, days_back = time.clock_gettime, 40
    monkeypatch.setattr(
        time, "clock_gettime", lambda clock: real(clock) + days_back * 86400 * (clock == time.CLOCK_BOOTTIME)
    )
    (after,) = recording.alert()
    wait_until(lambda: store.count() == 2)
    (tmp_path / "full").touch()
    recording.alert()

    recording.finish()

    saved = (tmp_path / "crops" / f"{after.id}.jpg").stat().st_mtime
    assert datetime.now(timezone.utc).timestamp() - saved < TIMEOUT_SECONDS
    # Only the first is older than 30 days.
    assert AlertHistory(store.path, only_reads=True).count() == 2


def test_old_entries_are_removed_from_the_history(store, tmp_path):
    recording = Recording(store, tmp_path, keep_days=1e-9)
    recording.alert()

    recording.finish()

    assert AlertHistory(store.path, only_reads=True).count() == 0


def test_an_alert_in_the_journal_names_its_camera_its_track_and_its_id(recording, caplog):
    caplog.set_level("INFO")
    (alert,) = recording.alert()

    recording.finish()

    fields = vars(next(record for record in caplog.records if record.message.startswith("alert: ")))
    assert (fields["CAMERA"], fields["TRACK"], fields["ALERT_ID"]) == ("door", alert.verdict.track.id, alert.id)


class Hanging:
    """A disk that hangs until it is released."""

    def __init__(self, crops: Crops) -> None:
        self._pictures = crops
        self.called, self.released = threading.Event(), threading.Event()

    def keep_reading(self, picture_id: str, reading: Any) -> Any:
        self.called.set()
        assert self.released.wait(2 * TIMEOUT_SECONDS)
        return self._pictures.keep_reading(picture_id, reading)


@pytest.fixture
def hanging(store, tmp_path) -> Iterator[tuple[Recording, Hanging]]:
    disk = Hanging(Crops(tmp_path / "crops", CropsConfig(jpeg_quality=90)))
    recording = Recording(store, tmp_path, pictures=disk)
    recording.recorder.start()
    yield recording, disk
    disk.released.set()
    recording.recorder.close(timeout_seconds=TIMEOUT_SECONDS)


def test_a_hanging_disk_blocks_no_caller_and_is_reported(hanging, monkeypatch):
    monkeypatch.setattr("edge_agent.alerts.recorder.STUCK_SECONDS", 0.05)
    recording, disk = hanging
    recording.alert()
    assert disk.called.wait(TIMEOUT_SECONDS)

    began = time.monotonic()
    recording.alert(100)
    assert time.monotonic() - began < TIMEOUT_SECONDS
    wait_until(lambda: "crops: the disk is not responding" in recording.recorder.write_error)
    with pytest.raises(UnavailableError, match="100 messages in memory"):
        recording.recorder.check_responds()

    monkeypatch.undo()
    disk.released.set()
    recording.recorder.check_responds()
    assert len(recording.finish()) == 101
    assert recording.recorder.write_error == ""


def test_a_reload_waits_for_events_that_a_slow_disk_delays(hanging, store):
    recording, disk = hanging
    recording.alert(3)
    assert disk.called.wait(TIMEOUT_SECONDS)
    threading.Timer(0.3, disk.released.set).start()

    recording.recorder.check_responds()

    assert store.count("alert") == 3


def test_a_recorder_that_was_abandoned_ends_with_its_store(hanging, store, tmp_path):
    recording, disk = hanging
    recording.alert(3)
    assert disk.called.wait(TIMEOUT_SECONDS)
    recording.recorder.close(timeout_seconds=0.0)
    store.close()

    disk.released.set()

    wait_until(lambda: not recording.recorder.is_alive)
    assert len(crops_in(tmp_path)) == 1


def test_telemetry_is_published_at_once_while_a_disk_hangs_and_numbering_continues(hanging, monkeypatch):
    monkeypatch.setattr("edge_agent.alerts.recorder.STUCK_SECONDS", 0.05)
    recording, disk = hanging
    recording.recorder.record_telemetry(a_figures(), when=NOON)
    wait_until(lambda: recording.store.count("telemetry") == 1)
    recording.alert()
    wait_until(lambda: recording.recorder.is_stuck)

    recording.recorder.record_telemetry(a_figures(), when=NOON)

    assert [message.sequence for message in recording.published] == [2]
    # Not stuck again while a busy disk writes what has waited.
    monkeypatch.setattr("edge_agent.alerts.recorder.STUCK_SECONDS", TIMEOUT_SECONDS)
    disk.released.set()
    wait_until(lambda: not recording.recorder.is_stuck)
    recording.recorder.record_telemetry(a_figures(), when=NOON)
    messages = recording.finish()
    assert [message["sequence"] for message in messages if message["schema"].startswith("maskwatch.telemetry")] == [
        1,
        3,
    ]


def test_the_waiting_time_includes_the_wait_for_the_disk(hanging):
    recording, disk = hanging
    recording.alert(2)
    assert disk.called.wait(TIMEOUT_SECONDS)
    time.sleep(0.3)
    disk.released.set()
    recording.finish()

    assert all(row.waited_seconds >= 0.3 for row in recording.store.waiting(10))


def test_events_dropped_while_the_disk_hangs_are_counted_and_logged_once(hanging, caplog):
    recording, disk = hanging
    recording.alert()
    assert disk.called.wait(TIMEOUT_SECONDS)

    recording.alert(MAX_QUEUED + 3)
    # Each kind has its own limit: telemetry does not displace alerts, nor alerts telemetry.
    recording.recorder.record_telemetry(a_figures(), when=NOON)

    assert recording.recorder.dropped()["alert"] == 3
    assert recording.recorder.dropped()["telemetry"] == 0
    assert caplog.text.count("dropped and counted") == 1


def test_drops_are_logged_again_when_the_disk_hangs_again(hanging, caplog):
    recording, disk = hanging
    for outage in (1, 2):
        disk.called.clear()
        disk.released.clear()
        recording.alert()
        assert disk.called.wait(TIMEOUT_SECONDS)
        recording.alert(MAX_QUEUED + 1)
        assert caplog.text.count("dropped and counted") == outage
        disk.released.set()
        wait_until(lambda outage=outage: recording.store.count("alert") == outage * (MAX_QUEUED + 1))


def test_a_bug_with_one_alert_does_not_prevent_recording_others(store, tmp_path, caplog):
    class Broken:
        calls = 0

        def keep_reading(self, _picture_id: str, _reading: Any) -> None:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("a bug")

    recording = Recording(store, tmp_path, pictures=Broken())
    _, second = recording.alert(2)

    assert [(message["id"], message["sequence"]) for message in recording.finish()] == [(second.id, 1)]
    assert "a bug" in caplog.text
    assert recording.recorder.dropped()["alert"] == 1


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scene_is_stored_beside_the_crop_and_appears_in_no_message(store, tmp_path):
    recording = Recording(store, tmp_path)
    (alert,) = recording.alert(scene=b"a JPEG")

    (message,) = recording.finish()

    assert (tmp_path / "crops" / f"{alert.id}.scene.jpg").read_bytes() == b"a JPEG"
    assert f"{alert.id}.scene" not in str(message)


def test_alert_and_crop_are_recorded_even_if_the_scene_cannot_be_stored(store, tmp_path, caplog):
    recording = Recording(store, tmp_path)
    (alert,) = recording.alert(scene=b"a JPEG")
    # A file cannot replace a folder.
    (tmp_path / "crops" / f"{alert.id}.scene.jpg").mkdir(parents=True)

    (message,) = recording.finish()

    assert message["crop"]["file"].endswith(f"{alert.id}.jpg")
    assert "storing scenes fails" in caplog.text
    assert not recording.recorder.is_without_crops


def test_counts_are_sent_once(store, tmp_path):
    hour = NOON.replace(minute=0)
    recording = Recording(store, tmp_path)
    recording.recorder.record_person(Person("door", "with_mask", False, hour))
    for _ in range(2):
        recording.recorder.record_counts(["door"], since=None, when=hour + timedelta(hours=1, seconds=5))
    recording.finish()

    (row,) = store.waiting(10, kinds=["counts"])
    assert (row.message["period"], row.message["begin"]) == ("hour", timestamp(hour))
    assert row.message["cameras"]["door"]["with_mask"] == 1
