"""Status reporter: publishes the status at every change and telemetry periodically.

Also publishes Home Assistant discovery on request.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections import deque
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from edge_agent.alerts.people import hour_of
from edge_agent.bridge.protocol import CameraStatus, DeviceStatus
from edge_agent.foreign_text import safe
from edge_agent.governor import COOLED_CELSIUS
from edge_agent.host.atomic_files import is_there
from edge_agent.host.clock import boot_id, run_id
from edge_agent.host.disk import LastKnown
from edge_agent.host.stats import has_free_inodes
from edge_agent.messages.counts import PeopleCounts
from edge_agent.messages.result import Delivery
from edge_agent.messages.status import Reason, running, state_for
from edge_agent.messages.telemetry import (
    RATE_DIGITS,
    CameraFigures,
    Figures,
    FrameRates,
    Models,
    OutboxFigures,
)
from edge_agent.messages.topics import Topics
from edge_agent.messages.violations import ViolationsMessage
from edge_agent.mqtt.homeassistant import discovery, is_birth
from edge_agent.mqtt.publication import Publication, status_publication
from edge_agent.rollout.installation import Rollout, read_rollout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from edge_agent.alerts.recorder import Recorder
    from edge_agent.alerts.store import AlertStore
    from edge_agent.camera.cameras import Cameras
    from edge_agent.config.model import Config
    from edge_agent.governor import Governor
    from edge_agent.host.stats import HostStats
    from edge_agent.messages.status import ReasonCode
    from edge_agent.metrics import Metrics
    from edge_agent.mqtt.client import Message
    from edge_agent.mqtt.publisher import Publisher
    from edge_agent.pauses import Pauses
    from edge_agent.webhooks.delivery import WebhookDelivery

log = logging.getLogger(__name__)

# Delay after which a status change is visible; a check costs a millisecond.
CHECK_SECONDS = 1.0
# Number of checks over which the frame rate is averaged.
RATE_CHECKS = 6
# Alerts dropped while no broker was connected stay in the status for this long.
LOST_SECONDS = 600.0
# A device of the same name publishes at least when it connects, and the two disconnect each other repeatedly.
NAMESAKE_SECONDS = 600.0
# People who left in the last second of an hour are counted before the hour is sent.
COUNTS_DELAY = timedelta(seconds=5)

CodeAndText: TypeAlias = "tuple[ReasonCode, str]"
"""Code and text of a reason."""


class StatusReporter:
    """Collects the state of all components and publishes it. Owned by the agent's thread."""

    def __init__(
        self,
        config: Config,
        *,
        cameras: Cameras,
        store: AlertStore,
        recorder: Recorder,
        publisher: Publisher,
        metrics: Metrics,
        machine: HostStats,
        governor: Governor,
        pauses: Pauses,
        models: Models,
        versions: Mapping[str, str],
        webhooks: Sequence[WebhookDelivery] = (),
        removed_cameras: Sequence[str] = (),
        at: float,
    ) -> None:
        """`versions` are the software versions to report.

        `removed_cameras` are from earlier configurations; they are removed from Home Assistant.
        """
        self._config, self._device, self._boot_id = config, config.device.name, boot_id()
        self._cameras, self._publisher = cameras, publisher
        self._store, self._recorder = store, recorder
        self._topics = Topics(config.mqtt.topic_prefix, self._device)
        self._metrics, self._machine, self._pauses = metrics, machine, pauses
        self._governor = governor
        self._models, self._versions = models, {**versions, "python": platform.python_version()}
        self._webhooks, self._removed_cameras = webhooks, removed_cameras
        self._began_at = at
        self._last_frame_at: dict[str, float] = {}
        """When the newest frame of each camera was processed."""
        self._counted_hour = 0
        self._checked_at = float("-inf")
        self._checks: deque[tuple[float, dict[str, int]]] = deque([(at, {})], maxlen=RATE_CHECKS)
        """The times of the last checks, with the frames analysed until then, by camera."""
        self._reported, self._reported_frames = self._checks[0], 0
        self._published: tuple[list[Reason], list[str]] | None = None
        self._is_hot = False
        self._lost = self._lost_messages()
        self._lost_at = float("-inf")
        self._namesake_at = float("-inf")
        self._violations: dict[str, int] = {}
        self._machine_state = machine.read()
        self._rollout_disk = LastKnown(partial(read_rollout, config.models_folder), before=Rollout())
        self._crops_disk = LastKnown(partial(_takes_files, config.crops_folder), before=(True, True))
        if config.mqtt.home_assistant.enabled:
            publisher.publish(self._discovery())

    def record_frame(self, camera: str, *, at: float) -> None:
        """Record a processed frame, also of a paused camera."""
        self._last_frame_at[camera] = at

    @property
    def has_begun(self) -> bool:
        """Whether any frame has been processed yet."""
        return bool(self._last_frame_at)

    def is_watching(self, *, at: float) -> bool:
        """Whether the agent is working: frames of every open camera are processed, and events recorded and sent.

        A publisher or recorder whose thread has ended needs a restart. A disk or broker that hangs does not: a restart
        would lose the messages buffered in memory.
        """
        return self._publisher.is_alive and self._recorder.is_alive and not any(self._stalled_cameras(at=at))

    def _stalled_cameras(self, *, at: float) -> Iterator[str]:
        """The cameras that have been open for a while without a frame being processed."""
        for state in self._cameras.states():
            since = max(self._last_frame_at.get(state.name, float("-inf")), state.open_since)
            if state.is_open and at - since > self._config.max_silence_seconds:
                yield state.name

    def receive(self, message: Message, *, at: float) -> None:
        """Republish discovery when Home Assistant starts; detect another device of the same name."""
        if message.topic == self._topics.status:
            self._detect_namesake(message, at=at)
        elif self._config.mqtt.home_assistant.enabled and is_birth(self._config, message):
            self._publisher.publish(self._discovery())
            self._published = None
            self._publisher.resend_held()

    def _discovery(self) -> Publication:
        has_temperature = self._machine_state.temperature_celsius is not None
        return discovery(
            self._config,
            version=self._versions["maskwatch"],
            has_temperature=has_temperature,
            removed_cameras=self._removed_cameras,
        )

    def _detect_namesake(self, message: Message, *, at: float) -> None:
        """Whether another machine published a status under this name. A retained one may be from before a restart."""
        if message.retain:
            return
        try:
            content = json.loads(message.payload)
            is_other = content["state"] != "offline" and content["boot_id"] != self._boot_id
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if not is_other:
            return
        if at - self._namesake_at > NAMESAKE_SECONDS:
            log.warning("another device publishes a status as '%s'; give every device its own device.id", self._device)
        self._namesake_at = at

    def report(self, violations: Mapping[str, int], *, at: float, when: datetime) -> None:
        """Publish status and violations if they have changed, and telemetry if it is due.

        `violations` is the number of people without a mask, by camera.
        """
        if at - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = at
        self._machine_state = self._machine.read()
        self._checks.append((at, {name: rate.wanted for name, rate in self._governor.rates.items()}))
        reasons, paused = self.reasons(at=at), self._paused(at=at)
        if (reasons, paused) != self._published:
            self._published = (reasons, paused)
            status = running(self._device, boot_id=self._boot_id, reasons=reasons, paused=paused, when=when)
            self._publisher.publish(status_publication(self._topics, status))
            self._recorder.record_status(status)
        self._publish_violations(violations, when=when)
        self._count_people(at=at, when=when)
        if 0 < self._config.mqtt.telemetry_seconds <= at - self._reported[0]:
            self._recorder.record_telemetry(self._figures(at=at, when=when), when=when)
            self._reported, self._reported_frames = self._checks[-1], self._metrics.totals().frames
            self._metrics.reset_latencies()

    @property
    def has_fault(self) -> bool:
        """Whether the last status has an unrequested reason; `starting` does not count."""
        reasons = self._published[0] if self._published is not None else ()
        return any(reason.code not in ("paused", "starting") for reason in reasons)

    def _publish_violations(self, violations: Mapping[str, int], *, when: datetime) -> None:
        for camera, people in violations.items():
            if self._violations.get(camera) != people:
                self._violations[camera] = people
                message = ViolationsMessage(device=self._device, camera=camera, violations=people, when=when)
                topic = self._topics.violations(camera)
                self._publisher.publish(Publication(topic, message.payload(), retain=True))

    def _count_people(self, *, at: float, when: datetime) -> None:
        """Send the counts of each completed hour, and of earlier hours at startup."""
        hour = hour_of(when - COUNTS_DELAY)
        if hour == self._counted_hour:
            return
        # By the monotonic clock: the hours that a step of the system's clock skips were not watched.
        began_when = when - timedelta(seconds=at - self._began_at)
        self._recorder.record_counts(self._config.cameras, since=began_when if self._counted_hour else None, when=when)
        self._counted_hour = hour

    def status(self, *, at: float, when: datetime) -> DeviceStatus:
        """The whole state, for the console; rates are those of the last seconds."""
        reasons, link = self.reasons(at=at), self._publisher.state
        rates = self._frames_per_second(self._checks[0], at=at)
        return DeviceStatus(
            device=self._device,
            status=state_for(reasons),
            reasons=tuple(reasons),
            paused=tuple(self._paused(at=at)),
            cameras=tuple(
                CameraStatus(
                    name=state.name,
                    is_open=state.is_open,
                    reason="" if state.is_open else safe(state.reason),
                    faults=state.faults,
                    frames=state.frames,
                    dropped=state.dropped,
                    reopened=state.reopened,
                    frames_per_second=rates[state.name],
                    asked_frames_per_second=self._governor.rates[state.name].asked_per_second,
                    frame_size=(state.width_px, state.height_px),
                    paused=self._pauses.is_paused(state.name, at=at),
                )
                for state in self._cameras.states()
            ),
            delivery=Delivery(connected=link.connected, reason=link.reason, waiting=link.waiting),
            telemetry=self._figures(at=at, when=when),
            is_watching=self.is_watching(at=at),
            is_ready=self.has_begun,
            run_id=run_id(),
        )

    def reasons(self, *, at: float) -> list[Reason]:
        """The reasons why the device is degraded."""
        paused: list[CodeAndText] = [("paused", f"camera {camera} is paused") for camera in self._paused(at=at)]
        cameras, delivery = self._about_cameras(at=at), self._about_delivery(at=at)
        found = chain(paused, cameras, delivery, self._about_the_machine(), self._about_the_rollout())
        # A name of a file may not be UTF-8, which a message has to be.
        return [Reason(code=code, text=safe(text)) for code, text in found]

    def _figures(self, *, at: float, when: datetime) -> Figures:
        """All metrics; rates and latencies are measured since the last telemetry."""
        counts, rates = self._metrics.totals(), self._governor.rates
        reached = self._frames_per_second(self._reported, at=at)
        elapsed_seconds = max(at - self._reported[0], CHECK_SECONDS)
        people, people_today = self._store.people(), self._store.people_today(when=when)
        all_today = sum(people_today.values(), PeopleCounts())
        return Figures(
            uptime_seconds=round(at - self._began_at),
            counts=counts,
            alerts_today=self._store.alerts_today(when=when),
            people_today=all_today.people,
            compliance_today=all_today.compliance,
            frames_per_second=(counts.frames - self._reported_frames) / elapsed_seconds,
            latencies_ms=self._metrics.latencies(),
            cameras={
                state.name: CameraFigures(
                    open=state.is_open,
                    paused=self._pauses.is_paused(state.name, at=at),
                    frames=state.frames,
                    dropped=state.dropped,
                    reopened=state.reopened,
                    frames_per_second=FrameRates(
                        asked=rates[state.name].asked_per_second,
                        allowed=rates[state.name].allowed_per_second,
                        reached=reached[state.name],
                    ),
                    people=people.get(state.name, PeopleCounts()),
                    people_today=people_today.get(state.name, PeopleCounts()),
                )
                for state in self._cameras.states()
            },
            outbox=OutboxFigures(
                rows=self._store.count(),
                bytes=self._store.size_bytes(),
                dropped=self._recorder.dropped(),
                sent=self._publisher.state.sent,
                sequences=self._store.last_sequences(),
            ),
            machine=self._machine_state,
            models=self._models,
            rollout=rollout.figures(group=self._config.rollout.group) if (rollout := self._rollout()) else None,
            versions=dict(self._versions),
        )

    def _frames_per_second(self, since: tuple[float, dict[str, int]], *, at: float) -> dict[str, float | None]:
        """Frames of each camera analysed per second since a check; None while it is paused."""
        checked_at, before = since
        elapsed_seconds = max(at - checked_at, CHECK_SECONDS)
        return {
            name: None
            if self._pauses.is_paused(name, at=at)
            else round((rate.wanted - before.get(name, 0)) / elapsed_seconds, RATE_DIGITS)
            for name, rate in self._governor.rates.items()
        }

    def _paused(self, *, at: float) -> list[str]:
        return [name for name in self._config.cameras if self._pauses.is_paused(name, at=at)]

    def _about_cameras(self, *, at: float) -> Iterator[CodeAndText]:
        for state in self._cameras.states():
            if state.finished:
                continue
            if state.is_starting:
                yield "starting", f"camera {state.name}: opens for the first time"
            elif not state.is_open:
                yield "camera_away", f"camera {state.name}: {state.reason}"
            else:
                yield from ((fault.code, f"camera {state.name}: {fault.text}") for fault in state.faults)
        if at - self._began_at > self._config.max_silence_seconds:
            for camera in self._stalled_cameras(at=at):
                yield "no_frames", f"camera {camera}: is open, but no frame has been processed for a while"

    def _about_delivery(self, *, at: float) -> Iterator[CodeAndText]:
        if self._recorder.write_error:
            yield "outbox_stuck", f"messages are buffered in memory only: {self._recorder.write_error}"
        if self._store.damage:
            yield "outbox_damaged", self._store.damage
        lost = self._lost_messages()
        if lost > self._lost:
            self._lost, self._lost_at = lost, at
        if at - self._lost_at < LOST_SECONDS:
            yield "outbox_dropping", "the outbox was full and alerts were dropped; see telemetry for the count"
        for webhook in self._webhooks:
            if webhook.reason:
                yield "webhook_away", f"webhook {webhook.name}: {webhook.reason}"
        yield from self._about_the_broker(at=at)

    def _about_the_broker(self, *, at: float) -> Iterator[CodeAndText]:
        link = self._publisher.state
        if link.has_namesake or at - self._namesake_at < NAMESAKE_SECONDS:
            yield (
                "duplicate_device",
                f"another device uses the name '{self._device}': give every device its own device.id",
            )
        if link.connected and link.reason:
            yield "refused", link.reason
        if link.left_out:
            yield "refused", f"not sent to the broker: {', '.join(link.left_out)}; see the log"

    def _lost_messages(self) -> int:
        """Count dropped messages that matter; dropped telemetry does not."""
        dropped = self._recorder.dropped()
        return sum(count for kind, count in dropped.items() if kind != "telemetry")

    def _about_crops(self, free_bytes: int | None) -> Iterator[CodeAndText]:
        folder, floor_bytes = self._config.crops_folder, self._config.crops.keep_free_bytes
        if free_bytes is not None and free_bytes < floor_bytes:
            yield "disk_full", f"less than crops.keep_free_bytes ({floor_bytes}) is free: crops are not stored"
            return
        has_inodes, is_open = self._crops_disk.get()
        if not has_inodes:
            yield "disk_full", f"the disk of {folder} has no free inodes: crops are not stored"
        elif self._recorder.is_without_crops or not is_open:
            yield "crops_not_kept", f"pictures of alerts cannot be stored in {folder}: see 'edge-agent doctor'"

    def _about_the_rollout(self) -> Iterator[CodeAndText]:
        rollout = self._rollout()
        if rollout is not None and rollout.state == "rejected":
            yield "model_rejected", f"model {rollout.model or 'of the configuration'} is rejected: {rollout.reason}"

    def _rollout(self) -> Rollout | None:
        """The state of the roll-out; the file is a few hundred bytes, usually in the page cache."""
        return self._rollout_disk.get() if self._config.rollout.url else None

    def _about_the_machine(self) -> Iterator[CodeAndText]:
        state = self._machine_state
        if self._config.crops.picture != "none":
            yield from self._about_crops(state.disk_free_bytes)
        hot_celsius = self._config.governor.hot_celsius
        if state.temperature_celsius is not None:
            self._is_hot = state.temperature_celsius >= hot_celsius - (COOLED_CELSIUS if self._is_hot else 0.0)
        if self._is_hot:
            yield "hot", f"the processor is or was recently at {hot_celsius:g} degrees Celsius or hotter"
        if state.throttling:
            yield "throttled", f"the processor is throttled: {', '.join(state.throttling)}"
        if self._governor.reason:
            yield "slowed", f"detection rate reduced: {self._governor.reason}"


def _takes_files(folder: Path) -> tuple[bool, bool]:
    """Whether the disk has free inodes, and whether an existing folder is writable."""
    try:
        is_open = not is_there(folder) or os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        is_open = False
    return has_free_inodes(folder), is_open
