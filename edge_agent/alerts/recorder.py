"""Recorder: writes alerts to disk without blocking the detection threads.

    crop (syncs of file and folder) -> history, outbox, counters in one transaction (one sync) -> the publisher wakes

Runs in its own thread and writes in the order of detection.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.alerts.database import history_entry, history_resolution
from edge_agent.alerts.people import sent_until
from edge_agent.alerts.retention import step_of_clock
from edge_agent.errors import CropError, UnavailableError
from edge_agent.host.clock import is_clock_synchronised, seconds_since_boot
from edge_agent.messages.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edge_agent.alerts.crops import Crops
    from edge_agent.alerts.retention import Retention
    from edge_agent.alerts.store import AlertStore
    from edge_agent.alerts.timeline import Timeline, TimelinePoint
    from edge_agent.domain import Alert, Person, Resolved
    from edge_agent.messages.alert import CropFile
    from edge_agent.messages.message import Kind
    from edge_agent.messages.sender import Sender
    from edge_agent.messages.status import StatusMessage
    from edge_agent.messages.telemetry import Figures, TelemetryMessage

RETRY_SECONDS = 1.0
"""Retry interval for buffered writes after a disk error."""
SWEEP_SECONDS = 600.0
"""Interval at which crops and entries beyond their age or number are removed."""
MAX_QUEUED = 200
"""Of each kind. An alert holds its cutout, a megabyte at most, and its scene, a tenth of that; with this many queued
the disk hangs."""
STUCK_SECONDS = 10.0
"""A disk responds well within this, even a slow card during garbage collection."""

_Job: TypeAlias = "tuple[Kind | Literal['status'], Callable[[], None]]"
"""The kind of an event, and the function that writes it."""
_Task: TypeAlias = Literal["storing crops", "storing scenes", "removing old crops"]

log = logging.getLogger(__name__)


class Recorder:
    """Writes events to disk. The `record...` methods and properties are for any thread and do not block."""

    def __init__(
        self,
        store: AlertStore,
        *,
        pictures: Crops,
        retention: Retention,
        snapshots: Retention,
        sender: Sender,
        keep_days: float,
        keep_counts_days: float,
        wake: Callable[[], None],
        publish: Callable[[TelemetryMessage], None],
    ) -> None:
        """Keep the history for `keep_days` and people counts for `keep_counts_days`, crops and `snapshots` as they say.

        `wake` is called after each event. `publish` sends telemetry without the store while the disk hangs.
        """
        self._store, self._pictures, self._sender = store, pictures, sender
        self._retention, self._snapshots = retention, snapshots
        self._keep_days, self._keep_counts_days = keep_days, keep_counts_days
        self._wake, self._publish = wake, publish
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._queue_lock = threading.Lock()
        self._queued: Counter[str] = Counter()
        # A daemon: a hanging disk must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._dropped: Counter[str] = Counter()
        self._is_dropping = False
        self._job_began_at: float | None = None
        self._folder_in_use = store.path.parent
        self._failing: set[_Task] = set()
        """What has failed the last time."""
        self._tried_at = float("-inf")
        self._last_sweep: tuple[float, datetime] | None = None
        """Its time in `seconds_since_boot`, and by the clock."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def record_alert(self, alert: Alert, timeline: Timeline, *, scene: bytes | None) -> None:
        """Store an alert with its crop, its timeline and, if configured, its scene (JPEG)."""
        self._queue("alert", partial(self._record_alert, alert, timeline, scene, since=seconds_since_boot()))

    def record_resolved(self, resolved: Resolved, later: tuple[TimelinePoint, ...]) -> None:
        """Store the resolution of an alert, and the readings since the alert."""
        self._queue("resolved", partial(self._record_resolved, resolved, later, since=seconds_since_boot()))

    def record_telemetry(self, figures: Figures, *, when: datetime) -> None:
        """Store telemetry; while the disk hangs, it is published directly, because it is soon out of date."""
        since = seconds_since_boot()
        if self.is_stuck:
            self._publish(self._sender.telemetry(figures, when=when))
        else:
            self._queue("telemetry", lambda: self._store.put(self._sender.telemetry(figures, when=when), since=since))

    def record_status(self, status: StatusMessage) -> None:
        """Store a status change for webhooks; at the broker the status is retained and needs no disk."""
        content = json.dumps(status.as_json())
        self._queue("status", lambda: self._store.put_event("status", uuid7(datetime.now(timezone.utc)), content))

    def record_person(self, person: Person) -> None:
        """Count a person who has left."""
        self._queue("counts", partial(self._store.count_person, person))

    def record_counts(self, cameras: Iterable[str], *, since: datetime | None, when: datetime) -> None:
        """Store the counts of completed hours and days; from `since` on also counts of zero."""
        self._queue("counts", partial(self._record_counts, tuple(cameras), since, when))

    def dropped(self) -> dict[str, int]:
        """Messages dropped from full buffers and the outbox, by kind; the store's counts and its own."""
        return {name: count + self._dropped[name] for name, count in self._store.dropped().items()}

    @property
    def is_without_crops(self) -> bool:
        """Whether the crop of the newest alert could not be stored."""
        return "storing crops" in self._failing

    @property
    def write_error(self) -> str:
        """Why nothing can be written to disk now; empty if it can."""
        if self.is_stuck:
            return f"{self._folder_in_use}: the disk is not responding"
        return self._store.write_error

    @property
    def is_stuck(self) -> bool:
        """Whether the disk hangs: events are buffered in memory until it responds."""
        began_at = self._job_began_at
        return began_at is not None and time.monotonic() - began_at > STUCK_SECONDS

    def check_responds(self) -> None:
        """Wait until the events so far are written: a reload would lose them.

        Raises:
            UnavailableError: the disk hangs, or takes longer than STUCK_SECONDS.
        """
        written, waiting = threading.Event(), self._jobs.qsize()
        if not self.is_stuck:
            self._queue("status", written.set)
        if self.is_stuck or not written.wait(STUCK_SECONDS):
            raise UnavailableError(
                f"{self._folder_in_use}: the disk is not responding: {waiting} messages in memory would be lost"
            )

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running; only `close` should end it."""
        return self._thread.is_alive()

    def close(self, *, timeout_seconds: float) -> None:
        """Write queued events and stop the thread; it is abandoned if the disk takes longer."""
        self._jobs.put(None)
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            log.error("%s: the disk is not responding: %d messages are lost", self._folder_in_use, self._jobs.qsize())

    def _queue(self, kind: Kind | Literal["status"], record: Callable[[], None]) -> None:
        with self._queue_lock:
            has_room = self._queued[kind] < MAX_QUEUED
            is_first_dropped = not has_room and not self._is_dropping
            self._is_dropping |= is_first_dropped
            (self._queued if has_room else self._dropped)[kind] += 1
        if has_room:
            self._jobs.put((kind, record))
        elif is_first_dropped:
            log.error("the disk is not responding and the buffer is full: new messages are dropped and counted")

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=RETRY_SECONDS)
            except queue.Empty:
                self._check_store()
                continue
            if job is None or self._store.is_closed:
                return
            # What is stored from now on has the right date: it must not be shifted with everything before.
            if self._clock_was_set:
                self._check_store()
            self._job_began_at = time.monotonic()
            kind, record = job
            with self._queue_lock:
                self._queued[kind] -= 1
                # Drops are logged once per outage, which ends with the queue.
                self._is_dropping &= self._queued.total() > 0
            try:
                record()
                self._wake()
            # A failure of one event must not stop the next.
            except Exception:
                log.exception("recording an event failed; please report this")
                with self._queue_lock:
                    self._dropped[kind] += 1
            self._check_store()

    def _check_store(self) -> None:
        """Periodically retry buffered writes and remove outdated data."""
        at = self._job_began_at = time.monotonic()
        try:
            if at - self._tried_at >= RETRY_SECONDS:
                self._tried_at = at
                self._store.write_buffered()
                self._store.follow_clock(now=datetime.now(timezone.utc))
            if self._is_sweep_due or self._clock_was_set:
                self._sweep()
        except Exception:
            log.exception("maintenance of the alert store failed; please report this")
        self._job_began_at = None

    @property
    def _is_sweep_due(self) -> bool:
        return self._last_sweep is None or seconds_since_boot() - self._last_sweep[0] >= SWEEP_SECONDS

    @property
    def _clock_was_set(self) -> bool:
        """Whether the clock was set since the last sweep, which shifts dates accordingly."""
        at, now = seconds_since_boot(), datetime.now(timezone.utc)
        return bool(step_of_clock(now, at=at, last=self._last_sweep, recorded=lambda: None))

    def _record_counts(self, cameras: tuple[str, ...], since: datetime | None, when: datetime) -> None:
        for period in self._store.unsent_counts(cameras=cameras, since=since, now=when):
            message = self._sender.counts(period, when=when)
            self._store.put(message, sent_until(period.period, int(period.end.timestamp())))

    def _record_alert(self, alert: Alert, timeline: Timeline, scene: bytes | None, *, since: float) -> None:
        # Crop first: after a power loss, a row in the outbox must never refer to a missing
        # file. And an alert with a row may be deleted, so its crop must exist by then.
        with self._at_crops():
            crop, crop_error = self._save_crop(alert)
            if scene is not None:
                with suppress(CropError), self._noted("storing scenes"):
                    self._pictures.keep_scene(alert.id, scene)
        message = self._sender.alert(alert, crop=crop, crop_error=crop_error)
        entry = history_entry(message, timeline, now=datetime.now(timezone.utc))
        self._store.put(message, entry, since=since)
        track = alert.verdict.track
        log.info(
            "alert: %s at %s, score %.2f, crop %s",
            message.label,
            message.camera,
            message.score,
            crop.file if crop else "missing",
            extra={"CAMERA": track.camera, "TRACK": track.id, "ALERT_ID": alert.id, "LABEL": message.label},
        )

    def _record_resolved(self, resolved: Resolved, later: tuple[TimelinePoint, ...], *, since: float) -> None:
        if resolved.is_published:
            message = self._sender.resolved(resolved)
            self._store.put(message, history_resolution(message, later), since=since)
        else:
            # With a number of its own it would be a gap in those that are published.
            message = replace(self._sender, next_sequence=lambda _kind: 1).resolved(resolved)
            self._store.change_history(history_resolution(message, later))
        log.info(
            "resolved: %s at %s, %s",
            message.label,
            message.camera,
            message.reason,
            extra={
                "CAMERA": resolved.track.camera,
                "TRACK": resolved.track.id,
                "ALERT_ID": resolved.alert_id,
                "REASON": message.reason,
            },
        )

    def _save_crop(self, alert: Alert) -> tuple[CropFile | None, str]:
        """Store the crop. A full or read-only disk costs the crop, never the alert."""
        try:
            with self._noted("storing crops"):
                try:
                    return self._pictures.keep_reading(alert.id, alert.verdict.best), ""
                except CropError:
                    # Retry if the disk was full: the sweep may have made room.
                    self._sweep()
                    return self._pictures.keep_reading(alert.id, alert.verdict.best), ""
        except CropError as error:
            return None, str(error)

    @contextmanager
    def _noted(self, task: _Task) -> Iterator[None]:
        """Log the first failure of a task, and its end; the error is raised again."""
        try:
            yield
        except CropError as error:
            if task not in self._failing:
                log.warning("%s fails: %s", task, error)
            self._failing.add(task)
            raise
        if task in self._failing:
            log.info("%s works again", task)
        self._failing.discard(task)

    def _sweep(self) -> None:
        """Remove outdated data; a crop is kept while its alert is pending."""
        # Not the monotonic clock: it stands still while the machine is suspended, which would look like a set clock.
        at, now = self._last_sweep = seconds_since_boot(), datetime.now(timezone.utc)
        # With an unsynchronised clock no hour counts as too old.
        counted_since = now - timedelta(days=self._keep_counts_days) if is_clock_synchronised() else None
        self._store.sweep(at=at, now=now, keep_days=self._keep_days, counts_before=counted_since)
        try:
            waiting = self._store.crops_of_waiting()
        except UnavailableError:
            # Logged by the store. Nothing is deleted while the pending alerts are unknown.
            return
        with suppress(CropError), self._noted("removing old crops"), self._at_crops():
            self._retention.sweep(at=at, now=now, waiting=waiting)
            self._snapshots.sweep(at=at, now=now, waiting=frozenset())

    @contextmanager
    def _at_crops(self) -> Iterator[None]:
        """Name the crops folder as the one whose disk hangs: it may be on another disk."""
        before, self._folder_in_use = self._folder_in_use, self._retention.folder
        try:
            yield
        finally:
            self._folder_in_use = before
