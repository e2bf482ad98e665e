"""The life of the agent: ready, follow the cameras, record what they find, stop."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from edge_agent.alerts.recorder import Recorder
    from edge_agent.alerts.store import AlertStore
    from edge_agent.alerts.timeline import Timelines
    from edge_agent.camera.cameras import Cameras
    from edge_agent.camera.feed import FeedState
    from edge_agent.console import Console
    from edge_agent.domain import Frame
    from edge_agent.governor import Governor
    from edge_agent.health import Health
    from edge_agent.mqtt.publisher import Publisher
    from edge_agent.orders import Orders
    from edge_agent.pauses import Pauses
    from edge_agent.pipeline import Pipeline
    from edge_agent.reports import Reports
    from edge_agent.systemd import Notifier

log = logging.getLogger(__name__)

OVERVIEW_SECONDS = 1.0
"""Whoever looks on is told how it goes this often."""


class Agent:
    """Takes frames through their pipelines and has recorded what they find. Owned by the main thread."""

    def __init__(
        self,
        *,
        cameras: Cameras,
        pipelines: Mapping[str, Pipeline],
        timelines: Mapping[str, Timelines],
        recorder: Recorder,
        store: AlertStore,
        publisher: Publisher,
        health: Health,
        governor: Governor,
        pauses: Pauses,
        reports: Reports,
        orders: Orders,
        console: Console,
        notifier: Notifier,
    ) -> None:
        """Take the parts; `pipelines` and `timelines` hold one for each camera."""
        self.cameras, self.pipelines, self.timelines = cameras, pipelines, timelines
        self.recorder, self.store, self.publisher = recorder, store, publisher
        self.health, self.notifier = health, notifier
        self.pauses, self.reports, self.orders = pauses, reports, orders
        self.governor, self.console = governor, console
        self._overview_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, or until every camera has come to its end."""
        for frame in self.cameras.frames(stop):
            if frame is not None:
                self._watch(frame)
            # First: whoever has waited for READY and looks at the status finds one.
            self.notifier.status(self._status())
            if frame is not None:
                self.notifier.ready()
            self._listen()
            self._feed_watchdog()

    def _watch(self, frame: Frame) -> None:
        """Take a frame through its pipeline, unless nobody is to be watched there."""
        pipeline, timelines = self.pipelines[frame.camera], self.timelines[frame.camera]
        if self.pauses.is_paused(frame.camera, at=time.monotonic()):
            self.health.passed_over(at=time.monotonic())
            self.console.looked_away(frame.camera)
            # Now, and not when the pause is over: a resolution hours later would tell a duration that nobody watched.
            for resolved in pipeline.look_away(frame):
                self.recorder.record_resolved(resolved, timelines.since(resolved))
            return
        self.orders.saw(frame)
        outcome = pipeline.process(frame)
        timelines.observe(outcome)
        for alert in outcome.alerts:
            self.recorder.record_alert(alert, timelines.up_to(alert, at=frame.taken_at))
        for resolved in outcome.resolved:
            self.recorder.record_resolved(resolved, timelines.since(resolved))
        self.console.saw(frame, outcome)
        self.health.saw(outcome, at=time.monotonic())
        self.governor.worked(sum(outcome.stage_seconds.values()))

    def _listen(self) -> None:
        """Obey what came in over MQTT and at the console, and say how it goes."""
        at, when = time.monotonic(), datetime.now(timezone.utc)
        for message in self.publisher.heard():
            self.reports.hear(message)
            self.orders.hear(message, at=at, when=when)
        for asked in self.console.heard():
            asked.answer(self.orders.obey(asked.name, asked.payload, at=at, when=when))
        self.governor.govern(at=at)
        self.reports.tell(at=at, when=when)
        if self.console.wants_overview and at - self._overview_at >= OVERVIEW_SECONDS:
            self._overview_at = at
            self.console.tell(self.reports.overview(at=at, when=when, is_watching=self._is_watching(at=at)))

    def _feed_watchdog(self) -> None:
        """Feed the watchdog while frames move; a camera that is away is reopened by its feed, not by a restart.

        A publisher or recorder whose thread has ended would never send or write again, and only a restart begins
        another. A disk or broker that hangs is no reason: a restart would lose what is held in memory.
        """
        if self._is_watching(at=time.monotonic()):
            self.notifier.alive()

    def _status(self) -> str:
        """The line that `systemctl status` shows."""
        link, lost = self.publisher.state, self._lost_cameras()
        return ", ".join(
            [
                *(f"camera {state.name} away: {state.reason}" for state in lost),
                "watching" if len(lost) < len(self.pipelines) else "not watching",
                "broker connected" if link.connected else f"broker away: {link.reason}",
                f"{self.health.alerts} alerts, {link.waiting} waiting",
            ]
        )

    def _is_watching(self, *, at: float) -> bool:
        """Whether the agent does what it can: frames move, or a camera is away; and what arises is sent."""
        threads_live = self.publisher.is_alive and self.recorder.is_alive
        return threads_live and (self.health.frames_move(at=at) or bool(self._lost_cameras()))

    def _lost_cameras(self) -> list[FeedState]:
        return [state for state in self.cameras.states() if not state.is_open and not state.finished]
