"""The agent's life cycle: start, supervise the workers, serve requests, stop."""

from __future__ import annotations

import logging
import queue
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from edge_agent.alerts.recorder import Recorder
    from edge_agent.bridge.server import Bridge
    from edge_agent.camera.cameras import Cameras
    from edge_agent.camera.feed import FeedState
    from edge_agent.control import Control
    from edge_agent.governor import Governor
    from edge_agent.host.systemd import Notifier
    from edge_agent.metrics import Metrics
    from edge_agent.mqtt.publisher import Publisher
    from edge_agent.signals.signals import Signals
    from edge_agent.status import StatusReporter
    from edge_agent.worker import FrameResult, Worker

log = logging.getLogger(__name__)

SUPERVISE_SECONDS = 0.1
"""Latency of commands, stop requests and lost cameras; users perceive it as immediate."""
TIME_ZONE_SECONDS = 10.0
CONSOLE_SECONDS = 1.0
"""Interval at which status and metrics are published to the console."""


@dataclass(kw_only=True, eq=False)
class Agent:
    """Supervises the workers, keeps metrics, and executes commands. Owned by the main thread."""

    cameras: Cameras
    workers: Mapping[str, Worker]
    """One per camera."""
    results: queue.SimpleQueue[FrameResult]
    """Filled by the workers."""
    recorder: Recorder
    publisher: Publisher
    metrics: Metrics
    governor: Governor
    reporter: StatusReporter
    control: Control
    bridge: Bridge
    signals: Signals
    notifier: Notifier

    def __post_init__(self) -> None:
        self._supervised_at = self._console_at = self._zone_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set, or until the sources of all cameras have ended.

        Raises:
            Exception: the bug that ended a worker or a feed.
        """
        while not stop.is_set():
            # Checked first: a worker that has ended has delivered all its results.
            are_done = not any(worker.is_alive for worker in self.workers.values())
            result: FrameResult | None = None
            with suppress(queue.Empty):
                result = self.results.get(block=not are_done, timeout=SUPERVISE_SECONDS)
            for worker in self.workers.values():
                if worker.failure is not None:
                    raise worker.failure
            if result is not None:
                self._take(result)
            elif are_done:
                break
            if time.monotonic() - self._supervised_at >= SUPERVISE_SECONDS:
                self._supervised_at = time.monotonic()
                self._run_periodic_tasks()
        self._run_periodic_tasks()

    def _take(self, result: FrameResult) -> None:
        """Count a frame and hand it to the console's bridge."""
        at, camera, outcome = time.monotonic(), result.camera, result.outcome
        self.signals.observe(camera, outcome.nearest if outcome else None, at=at)
        self.reporter.record_frame(camera, at=at)
        if outcome is None:
            self.bridge.frames.forget(camera)
        else:
            if result.frame is not None:
                self.control.observe(result.frame)
                self.bridge.frames.record(result.frame, outcome)
            self.metrics.record(camera, outcome)
            self.governor.record_work(camera, sum(outcome.stage_seconds.values()))

    def _run_periodic_tasks(self) -> None:
        # First, so that a status exists once READY is sent.
        self.notifier.status(self._status())
        if self.reporter.has_begun:
            # Repeated in case systemd did not accept it.
            self.notifier.ready()
        self._execute_commands()
        # A lost camera is reopened by its feed, not by a restart.
        if self.reporter.is_watching(at=time.monotonic()):
            self.notifier.alive()
        if time.monotonic() - self._zone_at >= TIME_ZONE_SECONDS:
            self._zone_at = time.monotonic()
            # Quiet hours and days follow a change of the system's time zone.
            time.tzset()

    def _execute_commands(self) -> None:
        """Execute commands from MQTT and the console, and publish the status."""
        at, when = time.monotonic(), datetime.now(timezone.utc)
        for message in self.publisher.received():
            self.reporter.receive(message, at=at)
            self.control.receive(message, at=at, when=when)
        for command in self.bridge.commands():
            command.answer(self.control.execute(command.name, command.payload, at=at, when=when))
        self.governor.govern(at=at)
        violations = {name: worker.violations for name, worker in self.workers.items()}
        self.reporter.report(violations, at=at, when=when)
        self.signals.update(has_fault=self.reporter.has_fault, at=at)
        if self.bridge.wants_status and at - self._console_at >= CONSOLE_SECONDS:
            self._console_at = at
            self.bridge.update_status(self.reporter.status(at=at, when=when))

    def _status(self) -> str:
        """The line that `systemctl status` shows."""
        link, lost = self.publisher.state, self._lost_cameras()
        return ", ".join(
            [
                *(f"camera {state.name} {_why_not_open(state)}" for state in lost),
                "watching" if len(lost) < len(self.workers) else "not watching",
                "broker connected" if link.connected else f"broker away: {link.reason}",
                f"{self.metrics.totals().alerts} alerts, {link.waiting} pending",
            ]
        )

    def _lost_cameras(self) -> list[FeedState]:
        return [state for state in self.cameras.states() if not state.is_open and not state.finished]


def _why_not_open(state: FeedState) -> str:
    return "opens for the first time" if state.is_starting else f"away: {state.reason}"
