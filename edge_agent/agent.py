"""The life of the agent: ready, follow the cameras, record alerts, stop."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edge_agent.delivery.identity import uuid7
from edge_agent.errors import CropError, UnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from edge_agent.camera.cameras import Cameras
    from edge_agent.camera.feed import FeedState
    from edge_agent.console import Console
    from edge_agent.delivery.outbox import Kind, Outbox
    from edge_agent.delivery.publisher import Publisher
    from edge_agent.delivery.signature import Signature
    from edge_agent.domain import Alert, Crop, Ended, Frame
    from edge_agent.evidence.album import Album
    from edge_agent.evidence.course import Courses
    from edge_agent.evidence.pictures import Pictures
    from edge_agent.evidence.retention import Retention
    from edge_agent.governor import Governor
    from edge_agent.health import Health
    from edge_agent.orders import Orders
    from edge_agent.pipeline import Pipeline
    from edge_agent.remembered import Remembered
    from edge_agent.reports import Reports
    from edge_agent.systemd import Notifier

log = logging.getLogger(__name__)

KEEP_HELD_SECONDS = 1.0
"""What is held in memory is brought to a disk that takes it again this soon; to try costs more than a frame."""
OVERVIEW_SECONDS = 1.0
"""Whoever looks on is told how it goes this often."""
SWEEP_SECONDS = 600.0
"""Crops beyond their age or bytes are removed this often."""
MOST_OPEN_ALERTS = 1000
"""Nobody watches so many people at once; what is older has no end that the rules would tell."""


class Agent:
    """Takes frames through their pipelines and puts alerts where nothing loses them. Owned by the main thread."""

    def __init__(
        self,
        *,
        cameras: Cameras,
        pipelines: Mapping[str, Pipeline],
        pictures: Pictures,
        retention: Retention,
        courses: Courses,
        album: Album,
        signature: Signature,
        outbox: Outbox,
        publisher: Publisher,
        health: Health,
        governor: Governor,
        remembered: Remembered,
        reports: Reports,
        orders: Orders,
        console: Console,
        notifier: Notifier,
    ) -> None:
        """Take the parts.

        `pipelines` holds one for each camera; `retention` looks after the folder of `pictures`; `signature` says who
        sends and with which model; `courses` collects what the `album` keeps beside an alert.
        """
        self.cameras, self.pipelines = cameras, pipelines
        self.pictures, self.retention = pictures, retention
        self.courses, self.album = courses, album
        self.signature, self.outbox, self.publisher = signature, outbox, publisher
        self.health, self.notifier = health, notifier
        self.remembered, self.reports, self.orders = remembered, reports, orders
        self.governor, self.console = governor, console
        self._open_alerts: dict[tuple[str, int], _OpenAlert] = {}
        self._swept_at = self._kept_held_at = self._overview_at = float("-inf")

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
            self._tell_how_it_goes()

    def _watch(self, frame: Frame) -> None:
        """Take a frame through its pipeline, unless nobody is to be watched there."""
        if self.remembered.is_paused(frame.camera, at=time.monotonic()):
            self.health.passed_over(at=time.monotonic())
            self.console.looked_away(frame.camera)
            # Now, and not when the pause is over: an end hours later would tell a duration that nobody watched.
            for ended in self.pipelines[frame.camera].look_away(frame):
                self._record_end(ended)
            return
        self.orders.saw(frame)
        outcome = self.pipelines[frame.camera].process(frame)
        self.courses.saw(outcome)
        for alert in outcome.alerts:
            self._record(alert, at=frame.taken_at)
        for ended in outcome.ended:
            self._record_end(ended)
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

    def _record(self, alert: Alert, *, at: float) -> None:
        """Make an alert durable; the publisher takes it from there."""
        alert_id = uuid7(alert.when)
        # Crop first: a row in the outbox must never point at a file that a power
        # cut kept from being written.
        crop, crop_error = self._save_crop(alert_id, alert)
        message = self.signature.sign(alert, id=alert_id, crop=crop, crop_error=crop_error)
        where = crop.file if crop else "missing"
        track = alert.verdict.track
        log.info(
            "alert: %s at %s, score %.2f, crop %s",
            message["label"],
            message["camera"],
            message["score"],
            where,
            extra={"CAMERA": track.camera, "TRACK": track.id, "ALERT_ID": alert_id, "LABEL": message["label"]},
        )
        message = self._keep(message, kind="alert")
        # Behind the outbox: what is known of an alert is worth less than the alert.
        self.album.put(message, self.courses.up_to(alert, at=at), now=datetime.now(timezone.utc))
        self.console.recorded(alert_id)
        self._open_alerts[track.camera, track.id] = _OpenAlert(alert_id, at)
        if len(self._open_alerts) > MOST_OPEN_ALERTS:
            del self._open_alerts[next(iter(self._open_alerts))]
        self.remembered.count_alert(at=time.monotonic(), when=datetime.now(timezone.utc))

    def _record_end(self, ended: Ended) -> None:
        """Tell what became of an alert; one from before a restart is not known any more."""
        alerted = self._open_alerts.pop((ended.track.camera, ended.track.id), None)
        if alerted is not None:
            message = self.signature.sign_ended(ended, id=uuid7(ended.when), alert=alerted.id)
            log.info(
                "ended: %s at %s, %s",
                message["label"],
                message["camera"],
                message["reason"],
                extra={
                    "CAMERA": ended.track.camera,
                    "TRACK": ended.track.id,
                    "ALERT_ID": alerted.id,
                    "REASON": message["reason"],
                },
            )
            message = self._keep(message, kind="ended")
            self.album.end(alerted.id, message, self.courses.since(ended.track, alerted_at=alerted.at))

    def _keep(self, message: dict[str, Any], *, kind: Kind) -> dict[str, Any]:
        """Put a message where nothing loses it; the publisher takes it from there. Gives it with its number."""
        numbered = self.outbox.put(message, kind=kind)
        self.publisher.wake()
        return numbered

    def _save_crop(self, alert_id: str, alert: Alert) -> tuple[Crop | None, str]:
        """Keep the picture. A full or read-only disk costs the picture, never the alert."""
        try:
            return self.pictures.keep_reading(alert_id, alert.verdict.best), ""
        except CropError:
            self._sweep()
        # Again, where the disk was full: old pictures may have made room.
        try:
            return self.pictures.keep_reading(alert_id, alert.verdict.best), ""
        except CropError as error:
            log.warning("the alert goes out without its crop: %s", error)
            return None, str(error)

    def _sweep(self) -> None:
        """Make room; a crop stays for as long as its alert waits."""
        self.album.sweep(at=time.monotonic(), now=datetime.now(timezone.utc))
        try:
            owed = self.outbox.owed_crops()
        except UnavailableError:
            # The outbox has said so. While nobody knows what is owed, nothing goes.
            return
        try:
            self.retention.sweep(at=time.monotonic(), now=datetime.now(timezone.utc), owed=owed)
        except CropError as error:
            log.warning("%s", error)

    def _tell_how_it_goes(self) -> None:
        """Feed the watchdog while frames move; a camera that is away is reopened by its feed, not by a restart.

        An outbox that hangs is asked here, and so hangs this thread; one without a disk holds alerts in memory. A
        publisher whose thread has ended would never send again, and only a restart begins another.
        """
        at = time.monotonic()
        if at - self._kept_held_at >= KEEP_HELD_SECONDS:
            self._kept_held_at = at
            self.outbox.keep_held()
            self.album.keep_held()
        if self._is_watching(at=at):
            self.notifier.alive()
        if at - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = at
            self._sweep()

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
        return self.publisher.is_alive and (self.health.frames_move(at=at) or bool(self._lost_cameras()))

    def _lost_cameras(self) -> list[FeedState]:
        return [state for state in self.cameras.states() if not state.is_open and not state.finished]


@dataclass(frozen=True, slots=True)
class _OpenAlert:
    """An alert whose end was not told yet; `at` is when it arose."""

    id: str
    at: float
