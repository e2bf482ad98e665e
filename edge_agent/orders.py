"""Orders: what is done when a command comes in?

A command never ends the agent: whatever goes wrong is answered, logged, and over.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_agent.camera.source import shown_source
from edge_agent.delivery.commands import (
    DiagnosticsRequest,
    PauseRequest,
    ReloadRequest,
    ResumeRequest,
    SnapshotRequest,
    answers,
    command_name,
    read_command,
    result_message,
)
from edge_agent.delivery.identity import uuid7
from edge_agent.delivery.mqtt import Message
from edge_agent.delivery.outgoing import BYTES, JPEG, Outgoing
from edge_agent.delivery.topics import command_topic, snapshot_topic
from edge_agent.domain import timestamp
from edge_agent.errors import AgentError, CommandError, CropError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edge_agent.config import Config
    from edge_agent.delivery.commands import Request, State
    from edge_agent.delivery.publisher import Publisher
    from edge_agent.domain import Frame
    from edge_agent.evidence.pictures import Pictures
    from edge_agent.remembered import Remembered
    from edge_agent.reports import Reports
    from edge_agent.vision.faces import FaceFinder

Answer: TypeAlias = "tuple[State, str, dict[str, Any]]"
"""What came of a command, why it was not done, and what it gives back."""

# A person presses a few buttons at once; a program that sends more is broken or means harm.
MOST_AT_ONCE = 10
ONE_MORE_SECONDS = 2.0
TOO_MANY: Answer = ("refused", f"too many commands; one every {ONE_MORE_SECONDS:.0f} s is obeyed, the rest unheard", {})
# Of a name that is no command's, as much as shows what was meant.
LONGEST_SHOWN_NAME = 40
# A picture of what was there when the camera still worked is no snapshot.
NEWEST_SECONDS = 10.0

log = logging.getLogger(__name__)


class Orders:
    """Obeys commands. Owned by the agent's thread."""

    def __init__(
        self,
        config: Config,
        *,
        publisher: Publisher,
        remembered: Remembered,
        reports: Reports,
        pictures: Pictures,
        finder: FaceFinder,
        reload: Callable[[], None],
    ) -> None:
        """Take what commands act on.

        `finder` finds the faces to hide in a snapshot; `reload` asks for the configuration to be read again, and raises
        a ConfigError where that would not work.
        """
        self._config, self._device = config, config.device.name
        self._publisher, self._remembered, self._reports = publisher, remembered, reports
        self._pictures, self._finder, self._reload = pictures, finder, reload
        self._topics = command_topic(config.mqtt, self._device, "")
        self._newest: dict[str, Frame] = {}
        self._allowance, self._allowance_at = float(MOST_AT_ONCE), 0.0
        self._is_flooded = False

    def saw(self, frame: Frame) -> None:
        """Remember what a camera sees, in case that somebody asks for it."""
        self._newest[frame.camera] = frame

    def hear(self, message: Message, *, at: float, when: datetime) -> None:
        """Obey a command that came over MQTT and answer it there; anything else is not for us."""
        if not message.topic.startswith(self._topics):
            return
        was_flooded = self._is_flooded
        state, reason, result = self._obey_at_a_rate(message, at=at, when=when)
        if self._is_flooded and was_flooded:
            # Answered once: the line is not to fill up.
            return
        for answer in answers(
            self._config.mqtt, self._device, message, state=state, reason=reason, result=result, when=when
        ):
            self._publisher.say(answer)

    def obey(self, name: str, payload: bytes, *, at: float, when: datetime) -> dict[str, Any]:
        """Obey a command that came another way, under the same checks and the same rate, and give its result."""
        message = Message(self._topics + name, payload)
        state, reason, result = self._obey_at_a_rate(message, at=at, when=when)
        return result_message(self._device, message, state=state, reason=reason, result=result, when=when)

    def _obey_at_a_rate(self, message: Message, *, at: float, when: datetime) -> Answer:
        """Obey a command, unless there were too many; what was not done is logged, of a flood the first alone."""
        was_flooded, self._is_flooded = self._is_flooded, not self._keeps_to_the_rate(at)
        answer = TOO_MANY if self._is_flooded else self._obey(message, at=at, when=when)
        state, reason, _ = answer
        if state != "done" and not (self._is_flooded and was_flooded):
            log.warning("command %r %s: %s", command_name(message.topic)[:LONGEST_SHOWN_NAME], state, reason)
        return answer

    def _obey(self, message: Message, *, at: float, when: datetime) -> Answer:
        try:
            command = read_command(message)
            log.info("command %s: %s", command.name, command.request.model_dump_json(exclude_defaults=True))
            return "done", "", self._do(command.request, at=at, when=when)
        except CommandError as error:
            return "refused", str(error), {}
        except AgentError as error:
            return "failed", str(error), {}
        except Exception:
            log.exception("a command failed; please report this")
            return "failed", "the agent could not do it; its log says why", {}

    def _keeps_to_the_rate(self, at: float) -> bool:
        regained = (at - self._allowance_at) / ONE_MORE_SECONDS
        self._allowance, self._allowance_at = min(MOST_AT_ONCE, self._allowance + regained), at
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _do(self, request: Request, *, at: float, when: datetime) -> dict[str, Any]:
        match request:
            case PauseRequest(on=True):
                cameras = self._meant(request.camera)
                self._remembered.pause(cameras, seconds=request.seconds, at=at, when=when)
                return {"cameras": cameras, "seconds": request.seconds}
            case PauseRequest() | ResumeRequest():
                cameras = self._meant(request.camera)
                self._remembered.resume(cameras, at=at, when=when)
                return {"cameras": cameras}
            case SnapshotRequest():
                return self._take_snapshot(request, at=at, when=when)
            case ReloadRequest():
                self._ask_for_reload()
                return {}
            case DiagnosticsRequest():
                return self._diagnose(at=at, when=when)

    def _meant(self, camera: str) -> list[str]:
        if not camera:
            return list(self._config.cameras)
        if camera not in self._config.cameras:
            raise CommandError(f"no camera '{camera}'; known are {', '.join(self._config.cameras)}")
        return [camera]

    def _take_snapshot(self, request: SnapshotRequest, *, at: float, when: datetime) -> dict[str, Any]:
        camera = self._meant(request.camera)[0]
        if self._remembered.is_paused(camera, at=at):
            raise CommandError(f"camera {camera} is paused; resume it first")
        frame = self._newest.get(camera)
        if frame is None or at - frame.taken_at > NEWEST_SECONDS:
            raise CommandError(f"camera {camera} has given no picture within {NEWEST_SECONDS:.0f} s")
        picture_id = uuid7(when)
        faces = [face.box for face in self._finder.find(frame.image)]
        kept = self._pictures.keep_frame(picture_id, frame, faces=faces)
        if kept is None:
            raise CommandError("no picture is kept on this device (evidence.picture: none)")
        return {
            "camera": camera,
            "id": picture_id,
            "file": kept.file,
            "sha256": kept.sha256,
            "bytes": kept.size_bytes,
            "taken": timestamp(frame.taken_when),
            "published": self._publish_snapshot(picture_id, Path(kept.file)),
        }

    def _publish_snapshot(self, picture_id: str, file: Path) -> bool:
        """Send the picture where pictures may leave the device at all."""
        if not self._config.mqtt.crops:
            return False
        try:
            picture = file.read_bytes()
        except OSError as error:
            raise CropError(f"{file}: cannot be read again: {error.strerror}") from error
        content_type = JPEG if file.suffix == ".jpg" else BYTES
        topic = snapshot_topic(self._config.mqtt, self._device, picture_id)
        self._publisher.say(Outgoing(topic, picture, content_type=content_type))
        return True

    def _ask_for_reload(self) -> None:
        try:
            self._reload()
        except AgentError as error:
            log.error("the configuration stays as it was: %s", error)  # noqa: TRY400  (the message says it all)
            # What is wrong may quote a password in it: that stays on the device.
            raise CommandError("the configuration stays as it was: it has mistakes, which the log names") from None

    def _diagnose(self, *, at: float, when: datetime) -> dict[str, Any]:
        """Tell everything that helps, and no secret: addresses of cameras lose user, password and query."""
        config = self._config.model_dump(mode="json")
        for camera in config["cameras"].values():
            camera["source"] = shown_source(camera["source"])
        config["mqtt"]["username"] = "(set)" if config["mqtt"]["username"] else ""
        link = self._publisher.state
        return {
            "config": config,
            "telemetry": self._reports.telemetry(at=at, when=when),
            "reasons": [{"code": reason.code, "text": reason.text} for reason in self._reports.reasons(at=at)],
            "delivery": {"connected": link.connected, "reason": link.reason, "waiting": link.waiting},
        }
