"""Control: executes the commands that arrive over MQTT or from the console.

A command never stops the agent: failures are answered and logged.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_agent.config.redaction import without_secrets
from edge_agent.errors import AgentError, CommandError, CropError, in_one_line
from edge_agent.host.clock import seconds_since_boot
from edge_agent.host.disk import DiskThread
from edge_agent.host.token_bucket import TokenBucket
from edge_agent.messages.command import (
    REQUESTS,
    DiagnosticsRequest,
    PauseRequest,
    ReloadRequest,
    ResumeRequest,
    SnapshotRequest,
    read_command,
    request_id,
)
from edge_agent.messages.ids import uuid7
from edge_agent.messages.result import (
    DiagnosticsResult,
    Nothing,
    PauseResult,
    ResultMessage,
    ResumeResult,
    SnapshotResult,
)
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.publication import Publication, picture_publication

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edge_agent.alerts.crops import Crops
    from edge_agent.alerts.retention import Retention
    from edge_agent.config.model import Config
    from edge_agent.domain import Box, Face, Frame, Picture
    from edge_agent.messages.alert import CropFile
    from edge_agent.messages.command import Request
    from edge_agent.messages.result import CommandResult, State
    from edge_agent.mqtt.client import Message
    from edge_agent.mqtt.publisher import Publisher
    from edge_agent.pauses import Pauses
    from edge_agent.status import StatusReporter

Answer: TypeAlias = "tuple[State, str, CommandResult]"
"""State, reason if the command was not executed, and result."""

# A user sends a few commands at once; a program that sends more is faulty or malicious.
BURST = 10
ONE_MORE_SECONDS = 2.0
TOO_MANY: Answer = (
    "refused",
    f"too many commands; one every {ONE_MORE_SECONDS:.0f} s is executed, the rest is dropped",
    Nothing(),
)
# A topic of MQTT may be 64 KiB long; real ones are short.
MAX_TOPIC_BYTES = 256
MAX_CORRELATION_BYTES = 256
# Characters shown of an unknown command's name.
MAX_SHOWN_CHARACTERS = 40
# An older frame, from before the camera failed, is not a snapshot.
NEWEST_SECONDS = 10.0
# A slow card takes a second; the thread that waits feeds a watchdog of thirty.
DISK_SECONDS = 5.0

log = logging.getLogger(__name__)


class _Origin:
    """Where commands come from, with its rate limit."""

    def __init__(self) -> None:
        self.rate = TokenBucket(1 / ONE_MORE_SECONDS, burst=BURST)
        self.rejected = 0
        """Commands in a row beyond the rate limit."""


class Control:
    """Executes commands. Owned by the agent's thread."""

    def __init__(
        self,
        config: Config,
        *,
        publisher: Publisher,
        pauses: Pauses,
        reporter: StatusReporter,
        pictures: Crops,
        snapshots: Retention,
        find_faces: Callable[[Picture], list[Face]],
        reload: Callable[[], None],
    ) -> None:
        """`pictures` stores snapshots in a separate folder, within the limits of `snapshots`.

        `find_faces` detects the faces to hide in a snapshot. `reload` requests a configuration reload, and raises a
        ConfigError if the new configuration is invalid.
        """
        self._config, self._device = config, config.device.name
        self._publisher, self._pauses, self._reporter = publisher, pauses, reporter
        self._pictures, self._snapshots = pictures, snapshots
        self._find_faces, self._reload = find_faces, reload
        self._disk: DiskThread[tuple[CropFile, bytes] | None] = DiskThread(timeout_seconds=DISK_SECONDS)
        self._topics = Topics(config.mqtt.topic_prefix, self._device)
        self._commands = self._topics.command("")
        self._newest: dict[str, Frame] = {}
        # A flood over MQTT must not lock out the operator at the console.
        self._mqtt, self._console = _Origin(), _Origin()

    def observe(self, frame: Frame) -> None:
        """Keep a camera's newest frame for the next snapshot."""
        self._newest[frame.camera] = frame

    def receive(self, message: Message, *, at: float, when: datetime) -> None:
        """Execute a command received over MQTT and publish its result; ignore other messages."""
        is_cleared = message.retain and not message.payload
        if not message.topic.startswith(self._commands) or is_cleared:
            return
        name = message.topic.rpartition("/")[2]
        result = self._execute_limited(self._mqtt, name, message.payload, retained=message.retain, at=at, when=when)
        # Only the first rejected command of a flood is answered, so that the link does not fill up.
        if self._mqtt.rejected <= 1:
            self._answer(message, result)

    def execute(self, name: str, payload: bytes, *, at: float, when: datetime) -> dict[str, Any]:
        """Execute a command from the console, with the same checks and a rate limit of its own; returns its result."""
        return self._execute_limited(self._console, name, payload, retained=False, at=at, when=when).as_json()

    def _answer(self, message: Message, result: ResultMessage) -> None:
        """Publish the result of a command: on its result topic, and on the response topic that its sender names."""
        correlation = message.correlation_data[:MAX_CORRELATION_BYTES] if message.correlation_data else None
        # The name of an unknown command could inject any topic.
        if result.command in REQUESTS:
            topic = self._topics.result(result.command)
            self._publisher.publish(Publication(topic, result.payload(), correlation_data=correlation))
        if self._may_answer_on(message.response_topic):
            # At QoS 0: any sender may name a topic that the broker denies, and this must not fill the log.
            self._publisher.publish(
                Publication(message.response_topic, result.payload(), qos=0, correlation_data=correlation)
            )

    def _may_answer_on(self, topic: str) -> bool:
        """Whether a sender may choose this topic: below the configured prefix, and not a device's own topic."""
        mqtt, prefix = self._config.mqtt, self._config.mqtt.response_prefix
        if topic.startswith((f"{mqtt.topic_prefix}/", f"{mqtt.home_assistant.prefix}/")):
            return False
        if not prefix or not topic.startswith(f"{prefix}/") or len(topic.encode()) > MAX_TOPIC_BYTES:
            return False
        return not any(mark in topic for mark in "+#\0")

    def _execute_limited(
        self, origin: _Origin, name: str, payload: bytes, *, retained: bool, at: float, when: datetime
    ) -> ResultMessage:
        """Execute a command within the rate limit; rejections are logged, only the first of a flood."""
        origin.rejected = 0 if origin.rate.take(at=at) else origin.rejected + 1
        answer = TOO_MANY if origin.rejected else self._execute(name, payload, retained=retained, at=at, when=when)
        state, reason, result = answer
        if state != "done" and origin.rejected <= 1:
            log.warning("command %r %s: %s", name[:MAX_SHOWN_CHARACTERS], state, reason)
        return ResultMessage(
            device=self._device,
            command=name,
            id=request_id(payload),
            state=state,
            reason=reason,
            result=result,
            when=when,
        )

    def _execute(self, name: str, payload: bytes, *, retained: bool, at: float, when: datetime) -> Answer:
        try:
            request = read_command(name, payload, retained=retained)
            log.info("command %s: %s", name, request.model_dump_json(exclude_defaults=True))
            return "done", "", self._do(request, at=at, when=when)
        except CommandError as error:
            return "refused", str(error), Nothing()
        except AgentError as error:
            return "failed", str(error), Nothing()
        except Exception:
            log.exception("a command failed; please report this")
            return "failed", "the agent failed to execute it; see its log", Nothing()

    def _do(self, request: Request, *, at: float, when: datetime) -> CommandResult:
        match request:
            case PauseRequest(on=True):
                cameras = self._cameras_of(request.camera)
                self._pauses.pause(cameras, seconds=request.seconds, at=at, when=when)
                return PauseResult(cameras=tuple(cameras), seconds=request.seconds)
            case PauseRequest() | ResumeRequest():
                cameras = self._cameras_of(request.camera)
                self._pauses.resume(cameras, at=at, when=when)
                return ResumeResult(cameras=tuple(cameras))
            case SnapshotRequest():
                return self._take_snapshot(request, at=at, when=when)
            case ReloadRequest():
                self._ask_for_reload()
                return Nothing()
            case DiagnosticsRequest():
                status = self._reporter.status(at=at, when=when)
                return DiagnosticsResult(
                    config=without_secrets(self._config).model_dump(mode="json"),
                    telemetry=status.telemetry,
                    reasons=status.reasons,
                    delivery=status.delivery,
                )

    def _cameras_of(self, camera: str) -> list[str]:
        if not camera:
            return list(self._config.cameras)
        if camera not in self._config.cameras:
            raise CommandError(f"no camera '{camera}'; known: {', '.join(self._config.cameras)}")
        return [camera]

    def _take_snapshot(self, request: SnapshotRequest, *, at: float, when: datetime) -> SnapshotResult:
        camera = self._cameras_of(request.camera)[0]
        if self._pauses.is_paused(camera, at=at):
            raise CommandError(f"camera {camera} is paused; resume it first")
        frame = self._newest.get(camera)
        if frame is None or at - frame.taken_at > NEWEST_SECONDS:
            raise CommandError(f"camera {camera} has given no picture within {NEWEST_SECONDS:.0f} s")
        picture_id = uuid7(when)
        faces = [face.box for face in self._find_faces(frame.picture)]
        snapshot = self._disk.do(lambda: self._keep_snapshot(picture_id, frame, faces, when=when))
        if snapshot is None:
            raise CommandError("no picture is kept on this device (crops.picture: none)")
        kept, picture = snapshot
        if self._config.mqtt.publish_crops:
            self._publisher.publish(picture_publication(self._topics.snapshot(picture_id), picture, file=kept.file))
        return SnapshotResult(
            camera=camera,
            id=picture_id,
            file=kept.file if self._config.mqtt.publish_crop_paths else Path(kept.file).name,
            sha256=kept.sha256,
            bytes=kept.bytes,
            taken=frame.taken_when,
            published=self._config.mqtt.publish_crops,
        )

    def _keep_snapshot(
        self, picture_id: str, frame: Frame, faces: list[Box], *, when: datetime
    ) -> tuple[CropFile, bytes] | None:
        """Store a picture and read it back, because it may be encrypted."""
        kept = self._pictures.keep_frame(picture_id, frame, faces=faces)
        if kept is None:
            return None
        # Immediately, because the number of commands is not limited.
        self._snapshots.sweep(at=seconds_since_boot(), now=when, waiting=frozenset())
        try:
            return kept, Path(kept.file).read_bytes()
        except OSError as error:
            raise CropError(f"{kept.file}: cannot be read again: {error.strerror}") from error

    def _ask_for_reload(self) -> None:
        try:
            self._reload()
        except AgentError as error:
            log.error("configuration rejected, keeping the old one: %s", in_one_line(error))  # noqa: TRY400  (the message says it all)
            # The errors may quote a password, which stays on the device.
            raise CommandError("configuration rejected, keeping the old one: see the log for its errors") from None
