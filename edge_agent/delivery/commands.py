"""Commands: what does somebody ask of this device, and how are they answered?

Pure: no clock, no I/O. Described for others in docs/command.schema.json and docs/result.schema.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.delivery.outgoing import Outgoing
from edge_agent.delivery.topics import command_topic, result_topic
from edge_agent.domain import timestamp
from edge_agent.errors import CommandError

if TYPE_CHECKING:
    from datetime import datetime

    from edge_agent.config import MqttConfig
    from edge_agent.delivery.mqtt import Message

SCHEMA = "maskwatch.result/1"

# The longest sensible request is a few hundred bytes.
LARGEST_REQUEST_BYTES = 4096
# Somebody who wants it for longer pauses without an end.
LONGEST_PAUSE_SECONDS = 7 * 86_400.0
# A topic of MQTT may be 64 KiB long; nobody's is.
LONGEST_TOPIC_BYTES = 256
LONGEST_CORRELATION_BYTES = 256

State: TypeAlias = Literal["done", "refused", "failed"]


class _Request(BaseModel):
    """What every command may carry; an empty payload asks for the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field("", max_length=64, description="Comes back in the result")


class PauseRequest(_Request):
    """Watch nobody; `on: false` resumes, for switches that have one topic only."""

    on: bool = Field(True, description="false: resume")
    camera: str = Field("", max_length=63, description="This camera; empty: all of them")
    seconds: float | None = Field(
        None, gt=0.0, le=LONGEST_PAUSE_SECONDS, description="For so long; null: until resumed"
    )


class ResumeRequest(_Request):
    """Watch again."""

    camera: str = Field("", max_length=63, description="This camera; empty: all of them")


class SnapshotRequest(_Request):
    """Keep a picture of what a camera sees now."""

    camera: str = Field("", max_length=63, description="This camera; empty: the first one")


class ReloadRequest(_Request):
    """Read the configuration again, as SIGHUP does."""


class DiagnosticsRequest(_Request):
    """Tell everything that helps to find out what is wrong."""


REQUESTS: dict[str, type[_Request]] = {
    "pause": PauseRequest,
    "resume": ResumeRequest,
    "snapshot": SnapshotRequest,
    "reload": ReloadRequest,
    "diagnostics": DiagnosticsRequest,
}

Request: TypeAlias = PauseRequest | ResumeRequest | SnapshotRequest | ReloadRequest | DiagnosticsRequest


@dataclass(frozen=True, slots=True)
class Command:
    """A request with its name; both are checked."""

    name: str
    request: Request


def read_command(message: Message) -> Command:
    """Check what came in on a topic of commands.

    Raises:
        CommandError: it is retained, too long, of an unknown name, or not what such a command may carry.
    """
    name = command_name(message.topic)
    if name not in REQUESTS:
        raise CommandError(f"no such command; known are {', '.join(REQUESTS)}")
    if message.retain:
        # It would be obeyed again at every connection, long after whoever sent it wanted it.
        raise CommandError("a retained command is not obeyed; send it without the retain flag and clear the topic")
    if len(message.payload) > LARGEST_REQUEST_BYTES:
        raise CommandError(f"{len(message.payload)} bytes are more than the {LARGEST_REQUEST_BYTES} of a command")
    try:
        request = REQUESTS[name].model_validate_json(message.payload or b"{}")
    except ValidationError as error:
        raise CommandError(_explained(error)) from error
    return Command(name, request)  # type: ignore[arg-type]  # REQUESTS holds the members of Request


def command_name(topic: str) -> str:
    """The last part of a topic of commands."""
    return topic.rpartition("/")[2]


def request_id(message: Message) -> str:
    """Find the id even of a request that is refused; empty where it has none."""
    if len(message.payload) > LARGEST_REQUEST_BYTES:
        return ""
    try:
        content = json.loads(message.payload)
    except (ValueError, RecursionError):
        return ""
    found = content.get("id") if isinstance(content, dict) else None
    return found if isinstance(found, str) and len(found) <= _Request.model_fields["id"].metadata[0].max_length else ""


def result_message(
    device: str,
    message: Message,
    *,
    state: State,
    reason: str = "",
    result: dict[str, Any] | None = None,
    when: datetime,
) -> dict[str, Any]:
    """Describe what came of a command as a JSON object.

    `reason` says why it was refused or failed, `result` what a command gives back that does.
    """
    return {
        "schema": SCHEMA,
        "device": device,
        "command": command_name(message.topic),
        "id": request_id(message),
        "state": state,
        "reason": reason,
        "result": result or {},
        "when": timestamp(when),
    }


def answers(
    mqtt: MqttConfig,
    device: str,
    message: Message,
    *,
    state: State,
    reason: str = "",
    result: dict[str, Any] | None = None,
    when: datetime,
) -> list[Outgoing]:
    """Say what came of a command: on its result topic for everybody, and where its sender wants to hear it."""
    name = command_name(message.topic)
    content = result_message(device, message, state=state, reason=reason, result=result, when=when)
    payload = json.dumps(content).encode()
    correlation = message.correlation_data[:LONGEST_CORRELATION_BYTES] if message.correlation_data else None
    told: list[Outgoing] = []
    # A name that is no command's could name any topic.
    if name in REQUESTS:
        told.append(Outgoing(result_topic(mqtt, device, name), payload, correlation_data=correlation))
    if _may_answer_on(message.response_topic, mqtt, device):
        # At QoS 0: a topic that the broker denies, which anybody may name, must not fill the log.
        told.append(Outgoing(message.response_topic, payload, qos=0, correlation_data=correlation))
    return told


def _may_answer_on(topic: str, mqtt: MqttConfig, device: str) -> bool:
    """Whether a sender may choose this topic; never one on which this device, or the broker, speaks for itself."""
    if not topic or len(topic.encode()) > LONGEST_TOPIC_BYTES or any(mark in topic for mark in "+#\0"):
        return False
    own = command_topic(mqtt, device, "").removesuffix("commands/")
    return not topic.startswith((own, "$", f"{mqtt.home_assistant.prefix}/"))


def _explained(error: ValidationError) -> str:
    said = []
    for mistake in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, mistake["loc"]))
        said.append(f"{key}: {mistake['msg']}" if key else mistake["msg"])
    return "; ".join(said)
