"""Bridge protocol: requests of the console process and their responses.

A request is one line of JSON; a reply is JSON, followed by the pixels of a frame where there is one. Both are checked
by these models and never unpickled: a compromise of one of the two processes must not reach the other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edge_agent.alerts.history import Review
from edge_agent.domain import Decision, Label, Sign
from edge_agent.metrics import CameraMetrics, StageMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_NAME = "console.sock"
"""In the state folder, which the agent writes and the console's user can enter."""
MAX_REQUEST_BYTES = 16_384
"""The longest command is a quarter of it."""
MAX_PAYLOAD_CHARACTERS = 4096


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StatusRequest(_Part):
    """How is the device doing? Answered with the mapping that `StatusReporter.overview` gives."""

    ask: Literal["status"] = "status"


class MetricsRequest(_Part):
    """What was counted since the agent's start? Answered with `MetricsReply`."""

    ask: Literal["metrics"] = "metrics"


class FrameRequest(_Part):
    """What does a camera see? Answered with `FrameReply`, and with its pixels if wanted and newer than `after`."""

    ask: Literal["frame"] = "frame"
    camera: str = Field(max_length=63)
    after: int = Field(0, ge=0)
    pixels: bool = True


class CommandRequest(_Part):
    """Have a command carried out, under the same checks as over MQTT. Answered with its result message."""

    ask: Literal["command"] = "command"
    name: str = Field(max_length=63)
    payload: str = Field(max_length=MAX_PAYLOAD_CHARACTERS)


class ReviewRequest(_Part):
    """Keep what a reviewer says that an alert really shows. Answered with `ChangeReply`."""

    ask: Literal["review"] = "review"
    alert: str = Field(max_length=64)
    review: Review


class DeleteRequest(_Part):
    """Delete an alert and its crop. Answered with `ChangeReply`."""

    ask: Literal["delete"] = "delete"
    alert: str = Field(max_length=64)


Request: TypeAlias = StatusRequest | MetricsRequest | FrameRequest | CommandRequest | ReviewRequest | DeleteRequest
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="ask")])


class AnnotatedFace(_Part):
    """A face in a frame with what is known of it by now; `label` is None while it was not classified yet."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the frame."""
    track: int
    label: Label | None
    score: float
    decision: Decision


class PersonSign(_Part):
    """The person closest to the camera, and what they are to be shown."""

    track: int
    sign: Sign


class FrameReply(_Part):
    """A frame that was analysed, and everybody in it; its pixels follow as BGR uint8, row after row.

    `number` tells it from all others of the agent's run; 0: the camera shows nothing now. Without pixels it is the
    frame that the console has already.
    """

    number: int
    index: int = 0
    when: str = ""
    width: int = 0
    height: int = 0
    faces: tuple[AnnotatedFace, ...] = ()
    nearest: PersonSign | None = None


class ChangeReply(_Part):
    """Whether something was changed: `missing`, there is no such alert; `refused` and `failed` say why."""

    state: Literal["done", "missing", "refused", "failed"]
    reason: str = ""


class MetricsReply(_Part):
    """Everything that was counted."""

    cameras: dict[str, CameraMetrics]
    stages: dict[str, StageMetrics]
    versions: dict[str, str]


class ErrorReply(_Part):
    """The request was not understood, or the agent could not answer."""

    error: str


def json_of(reply: BaseModel | Mapping[str, Any]) -> bytes:
    """Encode a reply."""
    return reply.model_dump_json().encode() if isinstance(reply, BaseModel) else json.dumps(reply).encode()
