"""Agent: supervises workers, counts frames and executes commands."""

from __future__ import annotations

import os
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.agent import Agent
from edge_agent.bridge.frames import AnnotatedFrames
from edge_agent.bridge.server import Command
from edge_agent.camera.feed import FeedState
from edge_agent.config.model import GovernorConfig
from edge_agent.domain import Nearest
from edge_agent.governor import Governor
from edge_agent.host.stats import HostStats
from edge_agent.host.systemd import Notifier
from edge_agent.metrics import Metrics
from edge_agent.mqtt.client import Message
from edge_agent.signals.signals import Signals
from edge_agent.worker import FrameResult
from tests.test_pipeline import Faces, a_pipeline
from tests.values import a_frame, a_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edge_agent.bridge.protocol import DeviceStatus
    from edge_agent.domain import Frame


class Cameras:
    """Cameras in these states."""

    def __init__(self, *states: FeedState) -> None:
        self._states = states

    def states(self) -> tuple[FeedState, ...]:
        return self._states


class Worker:
    """A worker that has delivered its results and ended, or failed."""

    def __init__(self, *, failure: Exception | None = None) -> None:
        self.is_alive = False
        self.violations = 0
        self.failure = failure


class Publisher:
    """Counts how often it is woken."""

    state = SimpleNamespace(connected=True, reason="", waiting=0)
    is_alive = True

    def __init__(self) -> None:
        self.woken = 0

        self.messages: list[Message] = []

    def wake(self) -> None:
        self.woken += 1

    def received(self) -> list[Message]:
        received, self.messages = self.messages, []
        return received


class StatusReporter:
    """Counts the reports."""

    has_fault = True

    def __init__(self, *, watches: bool = True) -> None:
        self.watches = watches
        self.reports = 0
        self.received: list[Message] = []
        self.processed: list[str] = []

    def report(self, violations: Mapping[str, int], *, at: float, when: datetime) -> None:
        self.reports += 1

    def receive(self, message: Message, *, at: float) -> None:
        self.received.append(message)

    def status(self, *, at: float, when: datetime) -> DeviceStatus:
        return a_status()

    def record_frame(self, camera: str, *, at: float) -> None:
        self.processed.append(camera)

    @property
    def has_begun(self) -> bool:
        return bool(self.processed)

    def is_watching(self, *, at: float) -> bool:
        return self.watches


class Control:
    """Records what it receives."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.frames = 0

    def receive(self, message: Message, *, at: float, when: datetime) -> None:
        self.received.append(message)

    def execute(self, name: str, payload: bytes, *, at: float, when: datetime) -> dict[str, Any]:
        return {"command": name, "payload": payload}

    def observe(self, frame: Frame) -> None:
        self.frames += 1


class Bridge:
    """Records what it is given, and returns these commands."""

    def __init__(self, *commands: Command) -> None:
        self.waiting = list(commands)
        self.wants_status = True
        self.frames = AnnotatedFrames()
        self.statuses: list[DeviceStatus] = []

    def commands(self) -> list[Command]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def update_status(self, status: DeviceStatus) -> None:
        self.statuses.append(status)


class Recorder:
    """Records nothing."""

    is_alive = True


def an_agent(tmp_path: Path, results: Sequence[FrameResult], **parts: Any) -> Agent:
    """An agent whose worker has delivered these results."""
    given: queue.SimpleQueue[FrameResult] = queue.SimpleQueue()
    for result in results:
        given.put(result)
    return Agent(
        **{
            "cameras": Cameras(),
            "workers": {"door": Worker()},
            "results": given,
            "recorder": Recorder(),
            "publisher": Publisher(),
            "metrics": Metrics(["door"]),
            "governor": a_governor(tmp_path),
            "reporter": StatusReporter(),
            "control": Control(),
            "bridge": Bridge(),
            "signals": Signals({}),
            "notifier": Notifier(),
            **parts,
        }
    )


def a_governor(folder: Path) -> Governor:
    return Governor(GovernorConfig(), machine=HostStats(folder), rates={}, min_per_second=2.0, at=0.0)


def results(count: int, *, is_paused: bool = False) -> list[FrameResult]:
    """The results of this many frames."""
    pipeline = a_pipeline(Faces())
    frames = [a_frame(step / 10) for step in range(count)]
    return [FrameResult(frame.camera, None if is_paused else pipeline.process(frame), frame) for frame in frames]


def test_frames_of_a_paused_camera_are_neither_counted_nor_shown(tmp_path):
    control, bridge, reporter = Control(), Bridge(), StatusReporter()
    bridge.frames.record(a_frame(), a_pipeline(Faces()).process(a_frame()))
    agent = an_agent(tmp_path, results(3, is_paused=True), control=control, bridge=bridge, reporter=reporter)

    agent.run(threading.Event())

    assert (control.frames, agent.metrics.totals().frames) == (0, 0)
    assert bridge.frames.newest("door") is None
    assert reporter.processed == ["door"] * 3


def test_received_messages_reach_status_reporter_and_command_handler(tmp_path):
    publisher = Publisher()
    publisher.messages = [Message("maskwatch/device/commands/pause", b"{}")]
    reporter, control = StatusReporter(), Control()

    an_agent(tmp_path, results(1), publisher=publisher, reporter=reporter, control=control).run(threading.Event())

    assert control.received == reporter.received == [Message("maskwatch/device/commands/pause", b"{}")]
    assert reporter.reports >= 1


def test_the_status_is_not_rebuilt_for_every_frame(tmp_path):
    reporter = StatusReporter()

    an_agent(tmp_path, results(500), reporter=reporter).run(threading.Event())

    assert reporter.reports < 50


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_bug_in_a_worker_ends_the_agent(tmp_path, waiting):
    agent = an_agent(tmp_path, results(waiting), workers={"door": Worker(failure=ZeroDivisionError("ours"))})

    with pytest.raises(ZeroDivisionError, match="ours"):
        agent.run(threading.Event())


class Watchdog(Notifier):
    """Counts how often it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0

    def alive(self) -> None:
        self.fed += 1


@pytest.mark.parametrize("watches", [True, False])
def test_the_watchdog_is_fed_only_while_the_agent_works(tmp_path, watches):
    watchdog = Watchdog()

    an_agent(tmp_path, results(1), reporter=StatusReporter(watches=watches), notifier=watchdog).run(threading.Event())

    assert bool(watchdog.fed) == watches


def test_the_console_is_given_each_frame(tmp_path):
    bridge = Bridge()
    agent = an_agent(tmp_path, results(3), bridge=bridge)

    agent.run(threading.Event())

    newest = bridge.frames.newest("door")
    assert newest is not None
    assert (newest[0].number, newest[1].taken_at) == (3, 0.2)


def test_frames_too_fast_for_the_console_are_counted_too(tmp_path):
    bridge = Bridge()
    agent = an_agent(tmp_path, [replace(result, frame=None) for result in results(3)], bridge=bridge)

    agent.run(threading.Event())

    assert bridge.frames.newest("door") is None
    assert agent.metrics.cameras["door"].frames == 3


def test_the_status_for_the_console_is_built_once_a_second_and_only_on_request(tmp_path, monkeypatch):
    # A busy machine may take longer than a second for all of it.
    monkeypatch.setattr("edge_agent.agent.CONSOLE_SECONDS", 600.0)
    asked, unasked = Bridge(), Bridge()
    unasked.wants_status = False

    for one in (asked, unasked):
        an_agent(tmp_path, results(20), bridge=one).run(threading.Event())

    assert [list(asked.statuses), unasked.statuses] == [[a_status()], []]


def test_a_command_from_the_console_is_executed_and_answered(tmp_path):
    result: Future[Mapping[str, Any]] = Future()
    bridge = Bridge(Command("pause", b"{}", 1.0, result))

    an_agent(tmp_path, results(2), bridge=bridge).run(threading.Event())

    assert result.result(0) == {"command": "pause", "payload": b"{}"}


class Statuses(Notifier):
    """Records status lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def status(self, text: str) -> None:
        self.lines.append(text)


def test_a_camera_that_is_still_being_opened_is_not_reported_missing(tmp_path):
    cameras = Cameras(FeedState("door"), FeedState("yard", reason="unplugged"))
    notifier = Statuses()

    an_agent(tmp_path, [], cameras=cameras, notifier=notifier).run(threading.Event())

    assert "camera yard away: unplugged" in notifier.lines[0]
    assert "camera door away" not in notifier.lines[0]
    assert "camera door" in notifier.lines[0]


def test_a_changed_time_zone_applies_without_a_restart(tmp_path, monkeypatch):
    before = os.environ.get("TZ", "")
    monkeypatch.setenv("TZ", "Asia/Tokyo" if time.localtime().tm_gmtoff != 9 * 3600 else "UTC")
    zone = ZoneInfo(os.environ["TZ"])

    an_agent(tmp_path, results(1)).run(threading.Event())

    seen = datetime.now(timezone.utc).astimezone().utcoffset()
    monkeypatch.setenv("TZ", before) if before else monkeypatch.delenv("TZ")
    time.tzset()
    assert seen == datetime.now(zone).utcoffset()


class Lamp:
    """Records whether it was ever on."""

    was_on = False

    def on(self) -> None:
        self.was_on = True

    def off(self) -> None:
        """Do nothing."""


def test_signals_follow_frames_and_camera_faults(tmp_path):
    lamps = {"compliant": Lamp(), "violation": Lamp(), "fault": Lamp()}
    signals = Signals({name: (lamp, 1.0) for name, lamp in lamps.items()})  # type: ignore[misc]
    frames = results(20)
    nearest = Nearest(1, "compliant", is_sure=True)
    given = [replace(one, outcome=replace(one.outcome, nearest=nearest)) for one in frames if one.outcome]
    agent = an_agent(tmp_path, given, signals=signals)
    agent.run(threading.Event())
    # All frames were processed at once, so periodic tasks are due now.
    signals.update(has_fault=True, at=time.monotonic() + 1.0)

    assert {name for name, lamp in lamps.items() if lamp.was_on} == {"compliant", "fault"}
