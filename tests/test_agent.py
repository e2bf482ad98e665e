"""The life of the agent: what is found is recorded and shown, and what is asked is obeyed."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.agent import Agent
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timelines
from edge_agent.config import GovernorConfig
from edge_agent.console import Asked
from edge_agent.console.off import NoConsole
from edge_agent.domain import Resolved
from edge_agent.governor import Governor
from edge_agent.health import Health
from edge_agent.machine import Machine
from edge_agent.messages.ids import uuid7
from edge_agent.mqtt.client import Message
from edge_agent.pauses import Pauses
from edge_agent.systemd import Notifier
from tests.test_pipeline import Faces, a_pipeline
from tests.values import NOON, a_frame, a_track, an_alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from edge_agent.alerts.timeline import Timeline, TimelinePoint
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


class Recorder:
    """Remembers what it was to record."""

    is_alive = True

    def __init__(self) -> None:
        self.alerts: list[tuple[Alert, Timeline]] = []
        self.resolved: list[tuple[Resolved, tuple[TimelinePoint, ...]]] = []

    def record_alert(self, alert: Alert, timeline: Timeline) -> None:
        self.alerts.append((alert, timeline))

    def record_resolved(self, resolved: Resolved, later: tuple[TimelinePoint, ...]) -> None:
        self.resolved.append((resolved, later))


class AlertAndEnd:
    """A pipeline whose first frame gives an alert, and whose second what became of it."""

    def __init__(self) -> None:
        self._pipeline = a_pipeline(Faces())
        self._frames = 0
        self._alert = an_alert()

    def process(self, frame: Frame) -> Outcome:
        self._frames += 1
        return replace(
            self._pipeline.process(frame),
            alerts=(self._alert,) if self._frames == 1 else (),
            resolved=(a_resolution(),) if self._frames == 2 else (),
        )

    def look_away(self, frame: Frame) -> tuple[Resolved, ...]:
        return self._pipeline.look_away(frame)


def a_resolution() -> Resolved:
    return Resolved(uuid7(NOON), a_track(), "without_mask", "left", NOON, NOON, 0.0)


@pytest.fixture
def store(tmp_path) -> Iterator[AlertStore]:
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id="b")) as opened:
        yield opened


def an_agent(store: AlertStore, tmp_path, frames: list[Frame | None], **parts: Any) -> Agent:
    return Agent(
        **{
            "cameras": Frames(frames),
            "pipelines": {"door": AlertAndEnd()},
            "timelines": {"door": Timelines(violation_llr=6.8, compliant_llr=-2.3, margin_fraction=0.4)},
            "recorder": Recorder(),
            "store": store,
            "publisher": Publisher(),
            "health": Health(silence_seconds=5.0),
            "governor": a_governor(tmp_path),
            "pauses": Pauses(tmp_path / "pauses.json", at=0.0, when=NOON),
            "reports": Reports(),
            "orders": Orders(),
            "console": NoConsole(),
            "notifier": Notifier(),
            **parts,
        }
    )


def a_governor(folder: Path) -> Governor:
    return Governor(GovernorConfig(), machine=Machine(folder), rates={}, least_per_second=2.0, at=0.0)


def frames(count: int) -> list[Frame | None]:
    return [a_frame(step / 10) for step in range(count)]


def test_what_is_found_is_recorded_with_how_the_evidence_went(store, tmp_path):
    recorder = Recorder()
    agent = an_agent(store, tmp_path, frames(4), recorder=recorder)

    agent.run(threading.Event())

    ((_, timeline),) = recorder.alerts
    assert (timeline.violation_llr, timeline.compliant_llr) == (6.8, -2.3)
    assert [resolved.reason for resolved, _ in recorder.resolved] == ["left"]
    assert agent.health.alerts == 1


def test_a_pause_resolves_what_was_alerted_at_once_and_not_when_it_is_over(store, tmp_path):
    pipeline = SimpleNamespace(look_away=lambda _frame: (a_resolution(),))
    recorder = Recorder()
    agent = an_agent(store, tmp_path, frames(1), pipelines={"door": pipeline}, recorder=recorder)
    agent.pauses.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert [resolved.reason for resolved, _ in recorder.resolved] == ["left"]


def test_nobody_is_watched_or_shown_by_a_camera_that_is_paused_and_the_agent_is_well(store, tmp_path):
    orders, recorder = Orders(), Recorder()
    agent = an_agent(store, tmp_path, frames(3), orders=orders, recorder=recorder)
    agent.pauses.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert recorder.alerts == []
    assert orders.frames == 0
    assert agent.health.frames == 0
    assert agent.health.frames_move(at=time.monotonic())


def test_what_comes_in_is_heard_by_everybody_and_reports_are_told_at_every_turn(store, tmp_path):
    publisher = Publisher()
    publisher.messages = [Message("maskwatch/device/commands/pause", b"{}")]
    reports, orders = Reports(), Orders()

    an_agent(store, tmp_path, [None, None], publisher=publisher, reports=reports, orders=orders).run(threading.Event())

    assert orders.heard == reports.heard == [Message("maskwatch/device/commands/pause", b"{}")]
    assert reports.told == 2


class Watchdog(Notifier):
    """Counts how often it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0

    def alive(self) -> None:
        self.fed += 1


@pytest.mark.parametrize(("sends", "records", "fed"), [(True, True, 1), (False, True, 0), (True, False, 0)])
def test_the_watchdog_is_fed_only_while_alerts_could_be_recorded_and_sent(store, tmp_path, sends, records, fed):
    publisher, recorder, watchdog = Publisher(), Recorder(), Watchdog()
    publisher.is_alive, recorder.is_alive = sends, records

    an_agent(store, tmp_path, [a_frame()], publisher=publisher, recorder=recorder, notifier=watchdog).run(
        threading.Event()
    )

    assert watchdog.fed == fed


def test_whoever_looks_on_is_shown_each_frame(store, tmp_path):
    console = Console()
    agent = an_agent(store, tmp_path, frames(3), console=console)

    agent.run(threading.Event())

    assert [frame.taken_at for frame, _ in console.seen] == [0.0, 0.1, 0.2]
    assert console.away == []


def test_whoever_looks_on_is_shown_nothing_of_a_camera_that_is_paused(store, tmp_path):
    console = Console()
    agent = an_agent(store, tmp_path, frames(2), console=console)
    agent.pauses.pause(["door"], seconds=None, at=0.0, when=NOON)

    agent.run(threading.Event())

    assert (console.seen, console.away) == ([], ["door", "door"])


def test_how_it_goes_is_told_once_a_second_and_only_to_somebody_who_asks(store, tmp_path):
    console, nobody = Console(), Console()
    nobody.wants_overview = False

    for one in (console, nobody):
        an_agent(store, tmp_path, frames(20), console=one).run(threading.Event())

    assert [list(console.overviews), nobody.overviews] == [[{"is_watching": True}], []]


def test_a_command_from_the_console_is_obeyed_and_answered(store, tmp_path):
    answers: list[Mapping[str, Any]] = []
    console = Console(Asked("pause", b"{}", answers.append))

    an_agent(store, tmp_path, frames(2), console=console).run(threading.Event())

    assert answers == [{"command": "pause", "payload": b"{}"}]
