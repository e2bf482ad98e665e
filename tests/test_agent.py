"""The life of the agent: what happens to an alert when something around it fails."""

from __future__ import annotations

import resource
import shutil
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.agent import Agent
from edge_agent.config import GovernorConfig
from edge_agent.console import Asked
from edge_agent.console.off import NoConsole
from edge_agent.delivery.mqtt import Message
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.signature import Signature
from edge_agent.domain import Ended
from edge_agent.evidence.album import Album
from edge_agent.evidence.course import Courses
from edge_agent.evidence.crops import Crops
from edge_agent.evidence.pictures import FacePictures
from edge_agent.evidence.retention import Retention
from edge_agent.governor import Governor
from edge_agent.health import Health
from edge_agent.machine import Machine
from edge_agent.remembered import Remembered
from edge_agent.systemd import Notifier
from tests.test_pipeline import Faces, a_pipeline
from tests.values import NOON, a_frame, a_track, an_alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge_agent.domain import Alert, Frame, Outcome


class Frames:
    """Cameras that give these frames and then end."""

    def __init__(self, frames: list[Frame | None]) -> None:
        self._frames = frames

    def frames(self, stop: threading.Event) -> Iterator[Frame | None]:
        yield from self._frames

    def states(self) -> tuple[()]:
        return ()


class Publisher:
    """Counts how often it is woken."""

    state = SimpleNamespace(connected=True, reason="", waiting=0)
    is_alive = True

    def __init__(self) -> None:
        self.woken = 0

        self.messages: list[Message] = []

    def wake(self) -> None:
        self.woken += 1

    def heard(self) -> list[Message]:
        heard, self.messages = self.messages, []
        return heard


class Reports:
    """Counts how often they are told."""

    def __init__(self) -> None:
        self.told = 0
        self.heard: list[Message] = []

    def tell(self, *, at: float, when: datetime) -> None:
        self.told += 1

    def hear(self, message: Message) -> None:
        self.heard.append(message)

    def overview(self, *, at: float, when: datetime, is_watching: bool) -> dict[str, Any]:
        return {"is_watching": is_watching}


class Orders:
    """Remember what they heard and saw."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.frames = 0

    def hear(self, message: Message, *, at: float, when: datetime) -> None:
        self.heard.append(message)

    def obey(self, name: str, payload: bytes, *, at: float, when: datetime) -> dict[str, Any]:
        return {"command": name, "payload": payload}

    def saw(self, frame: Frame) -> None:
        self.frames += 1


class Console:
    """Remembers what it was told, and asks these commands."""

    def __init__(self, *asked: Asked) -> None:
        self.asked = list(asked)
        self.wants_overview = True
        self.seen: list[tuple[Frame, Outcome]] = []
        self.away: list[str] = []
        self.alerts: list[str] = []
        self.overviews: list[Mapping[str, Any]] = []

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        self.seen.append((frame, outcome))

    def looked_away(self, camera: str) -> None:
        self.away.append(camera)

    def recorded(self, alert_id: str) -> None:
        self.alerts.append(alert_id)

    def heard(self) -> list[Asked]:
        asked, self.asked = self.asked, []
        return asked

    def tell(self, overview: Mapping[str, Any]) -> None:
        self.overviews.append(overview)


class TwoAlerts:
    """A pipeline that finds nobody and alerts twice in its first frame."""

    def __init__(self) -> None:
        self._pipeline = a_pipeline(Faces())
        self._alerts: tuple[Alert, ...] = (an_alert(), an_alert())

    def process(self, frame: Frame) -> Outcome:
        alerts, self._alerts = self._alerts, ()
        return replace(self._pipeline.process(frame), alerts=alerts)

    def look_away(self, frame: Frame) -> tuple[Ended, ...]:
        return self._pipeline.look_away(frame)


@pytest.fixture
def outbox(tmp_path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "outbox.sqlite", boot_id="b")) as opened:
        yield opened


def an_agent(outbox: Outbox, tmp_path, frames: list[Frame | None], **parts: Any) -> Agent:
    return Agent(
        **{
            "cameras": Frames(frames),
            "pipelines": {"door": TwoAlerts()},
            "pictures": showing(Crops(tmp_path / "crops", jpeg_quality=90)),
            "retention": Retention(tmp_path / "crops", keep_days=30, keep_bytes=10_000_000),
            "courses": Courses(violation_nats=6.8, compliant_nats=-2.3, margin_fraction=0.4),
            "album": Album(tmp_path / "album.sqlite", keep_days=30),
            "signature": Signature("device", "b", "masks", "0" * 64),
            "outbox": outbox,
            "publisher": Publisher(),
            "health": Health(silence_seconds=5.0),
            "governor": a_governor(tmp_path),
            "remembered": Remembered(tmp_path / "remembered.json", at=0.0, when=NOON),
            "reports": Reports(),
            "orders": Orders(),
            "console": NoConsole(),
            "notifier": Notifier(),
            **parts,
        }
    )


def a_governor(folder: Path) -> Governor:
    return Governor(GovernorConfig(), machine=Machine(folder), rates={}, least_per_second=2.0, at=0.0)


def showing(crops: Crops) -> FacePictures:
    return FacePictures(crops, margin_fraction=0.4, blur_bystanders=True)


def crops_in(tmp_path) -> set[str]:
    return {file.name for file in (tmp_path / "crops").glob("*.jpg")}


def frames(count: int) -> list[Frame | None]:
    return [a_frame(step / 10) for step in range(count)]


def test_an_alert_is_in_the_outbox_with_its_crop_on_disk_and_the_publisher_is_woken(outbox, tmp_path):
    publisher = Publisher()
    agent = an_agent(outbox, tmp_path, frames(2), publisher=publisher)

    agent.run(threading.Event())

    assert [row.message["sequence"] for row in outbox.waiting(10)] == [1, 2]
    assert outbox.owed_crops() == crops_in(tmp_path)
    assert publisher.woken == 2
    assert agent.health.alerts == 2


def test_alerts_wait_in_memory_in_order_while_the_disk_is_full_and_their_crops_are_owed(outbox, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    outbox.put({"id": "1"})
    # Room for crops, none for the log of the outbox.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        an_agent(outbox, tmp_path, [*frames(2), None]).run(threading.Event())
        assert [row.message["sequence"] for row in outbox.waiting(10)] == [1, 2, 3]
        assert outbox.owed_crops() == crops_in(tmp_path)
        assert outbox.trouble
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    an_agent(outbox, tmp_path, [None]).run(threading.Event())

    assert outbox.trouble == ""
    assert outbox.count() == 3


def test_a_crop_that_waits_is_never_swept_and_others_make_room_for_a_new_one(outbox, tmp_path):
    delivered = Crops(tmp_path / "crops", jpeg_quality=90).save("01950000-0000-7000-8000-000000000001", a_frame().image)
    floor_bytes = shutil.disk_usage(tmp_path).free + 1_000_000
    agent = an_agent(
        outbox,
        tmp_path,
        frames(2),
        retention=Retention(tmp_path / "crops", keep_days=30, keep_bytes=10_000_000, keep_free_bytes=floor_bytes),
        pictures=showing(Crops(tmp_path / "crops", jpeg_quality=90, keep_free_bytes=floor_bytes)),
    )

    agent.run(threading.Event())

    assert not Path(delivered.file).exists()
    for row in outbox.waiting(10):
        assert "evidence.keep_free_bytes" in row.message["crop_error"]


def test_a_crop_that_cannot_be_kept_costs_only_the_picture(outbox, tmp_path):
    (tmp_path / "crops").touch()

    an_agent(outbox, tmp_path, frames(2)).run(threading.Event())

    for row in outbox.waiting(10):
        assert row.message["crop"] is None
        assert "cannot be kept" in row.message["crop_error"]


def test_a_sweep_that_fails_is_a_line_in_the_log(outbox, tmp_path, caplog):
    (tmp_path / "crops").touch()

    an_agent(outbox, tmp_path, frames(2)).run(threading.Event())

    assert "old crops cannot be removed" in caplog.text


class AlertAndEnd:
    """A pipeline whose first frame gives an alert, and whose second the end of it."""

    def __init__(self) -> None:
        self._pipeline = a_pipeline(Faces())
        self._frames = 0

    def process(self, frame: Frame) -> Outcome:
        self._frames += 1
        alert = an_alert()
        ended = Ended(alert.verdict.track, "without_mask", "left", NOON, NOON, 0.0)
        return replace(
            self._pipeline.process(frame),
            alerts=(alert,) if self._frames == 1 else (),
            ended=(ended,) if self._frames > 1 else (),
        )


def test_the_end_of_an_alert_is_told_once_and_names_it(outbox, tmp_path):
    an_agent(outbox, tmp_path, frames(4), pipelines={"door": AlertAndEnd()}).run(threading.Event())

    alert, ended = outbox.waiting(10)
    assert (alert.kind, ended.kind) == ("alert", "ended")
    assert ended.message["alert"] == alert.message["id"] != ended.message["id"]
    assert (alert.message["sequence"], ended.message["sequence"]) == (1, 1)


def test_alerts_whose_end_nobody_tells_are_forgotten_in_the_end(outbox, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.agent.MOST_OPEN_ALERTS", 3)
    agent = an_agent(outbox, tmp_path, [])

    for number in range(10):
        agent._record(an_alert(track=a_track(number)), at=0.0)

    assert sorted(agent._open_alerts) == [("door", 7), ("door", 8), ("door", 9)]


def test_a_pause_ends_what_was_alerted_at_once_and_not_when_it_is_over(outbox, tmp_path):
    ended = Ended(a_track(), "without_mask", "left", began_when=NOON, when=NOON, duration_seconds=0.0)
    pipeline = SimpleNamespace(look_away=lambda _frame: (ended,))
    agent = an_agent(outbox, tmp_path, frames(2), pipelines={"door": pipeline})
    agent._record(an_alert(track=a_track()), at=0.0)
    agent.remembered.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert [row.message["reason"] for row in outbox.waiting(10, kinds=["ended"])] == ["left"]


def test_nobody_is_watched_or_shown_by_a_camera_that_is_paused_and_the_agent_is_well(outbox, tmp_path):
    orders = Orders()
    agent = an_agent(outbox, tmp_path, frames(3), orders=orders)
    agent.remembered.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert outbox.count() == 0
    assert orders.frames == 0
    assert agent.health.frames == 0
    assert agent.health.frames_move(at=time.monotonic())


def test_what_comes_in_is_heard_by_everybody_and_reports_are_told_at_every_turn(outbox, tmp_path):
    publisher = Publisher()
    publisher.messages = [Message("maskwatch/device/commands/pause", b"{}")]
    reports, orders = Reports(), Orders()

    an_agent(outbox, tmp_path, [None, None], publisher=publisher, reports=reports, orders=orders).run(threading.Event())

    assert orders.heard == reports.heard == [Message("maskwatch/device/commands/pause", b"{}")]
    assert reports.told == 2


def test_every_alert_counts_for_today(outbox, tmp_path):
    agent = an_agent(outbox, tmp_path, frames(2))

    agent.run(threading.Event())

    assert agent.remembered.alerts_today(when=datetime.now(timezone.utc)) == 2


class Watchdog(Notifier):
    """Counts how often it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0

    def alive(self) -> None:
        self.fed += 1


@pytest.mark.parametrize(("is_alive", "fed"), [(True, 1), (False, 0)])
def test_the_watchdog_is_fed_only_while_somebody_could_send_alerts(outbox, tmp_path, is_alive, fed):
    publisher, watchdog = Publisher(), Watchdog()
    publisher.is_alive = is_alive

    an_agent(outbox, tmp_path, [a_frame()], publisher=publisher, notifier=watchdog).run(threading.Event())

    assert watchdog.fed == fed


def test_an_alert_in_the_journal_names_its_camera_its_track_and_its_id(outbox, tmp_path, caplog):
    caplog.set_level("INFO")

    an_agent(outbox, tmp_path, [a_frame()]).run(threading.Event())

    line = next(record for record in caplog.records if record.message.startswith("alert: "))
    kept = outbox.waiting(1)[0]
    fields = vars(line)
    assert (fields["CAMERA"], fields["ALERT_ID"]) == (kept.message["camera"], kept.message["id"])
    assert fields["TRACK"] == an_alert().verdict.track.id


def test_an_alert_is_in_the_album_with_its_number_and_how_it_ended(outbox, tmp_path):
    agent = an_agent(outbox, tmp_path, frames(4), pipelines={"door": AlertAndEnd()})

    agent.run(threading.Event())

    alert, ended = (row.message for row in outbox.waiting(10))
    (entry,) = agent.album.find()
    assert entry.message == alert
    assert entry.ended == ended
    assert (entry.violation_nats, entry.compliant_nats) == (6.8, -2.3)


def test_an_album_that_takes_nothing_costs_no_alert(outbox, tmp_path, caplog):
    (tmp_path / "a file").touch()
    album = Album(tmp_path / "a file" / "album.sqlite", keep_days=30)

    an_agent(outbox, tmp_path, frames(2), album=album).run(threading.Event())

    assert outbox.count() == 2
    assert caplog.text.count("album of alerts cannot be used") == 1


def test_a_sweep_removes_what_the_album_has_known_for_too_long(outbox, tmp_path):
    agent = an_agent(outbox, tmp_path, [None])
    agent._record(an_alert(), at=0.0)
    agent.album = Album(tmp_path / "album.sqlite", keep_days=1e-9)

    agent.run(threading.Event())

    assert agent.album.count() == 0


def test_whoever_looks_on_is_shown_each_frame_and_told_of_each_alert(outbox, tmp_path):
    console = Console()
    agent = an_agent(outbox, tmp_path, frames(3), console=console)

    agent.run(threading.Event())

    assert [frame.taken_at for frame, _ in console.seen] == [0.0, 0.1, 0.2]
    assert console.alerts == [row.message["id"] for row in outbox.waiting(10)]
    assert all(agent.album.entry(alert_id) for alert_id in console.alerts)
    assert console.away == []


def test_whoever_looks_on_is_shown_nothing_of_a_camera_that_is_paused(outbox, tmp_path):
    console = Console()
    agent = an_agent(outbox, tmp_path, frames(2), console=console)
    agent.remembered.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert (console.seen, console.away) == ([], ["door", "door"])


def test_how_it_goes_is_told_once_a_second_and_only_to_somebody_who_asks(outbox, tmp_path):
    console, nobody = Console(), Console()
    nobody.wants_overview = False

    for one in (console, nobody):
        an_agent(outbox, tmp_path, frames(20), console=one).run(threading.Event())

    assert [list(console.overviews), nobody.overviews] == [[{"is_watching": True}], []]


def test_a_command_from_the_console_is_obeyed_and_answered(outbox, tmp_path):
    answers: list[Mapping[str, Any]] = []
    console = Console(Asked("pause", b"{}", answers.append))

    an_agent(outbox, tmp_path, frames(2), console=console).run(threading.Event())

    assert answers == [{"command": "pause", "payload": b"{}"}]
