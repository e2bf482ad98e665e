"""Bridge protocol: requests of other processes to the agent, and their replies.

A request is JSON; a reply is JSON, followed by the pixels of a frame if there is one. Both are validated by these
models, never unpickled: a compromise of one process must not spread to the other. The reply to a request that is
invalid, or that the agent cannot answer, is `{"error": "..."}`; no other reply has this key.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edge_agent.alerts.history import Review
from edge_agent.domain import Decision, Label, Sign
from edge_agent.messages.result import Delivery
from edge_agent.messages.status import Reason
from edge_agent.messages.telemetry import Figures
from edge_agent.metrics import CameraMetrics, StageMetrics
from edge_agent.vision.detection import Score, Sides

SOCKET_NAME = "console.sock"
"""In the state folder, which the console's user can access."""
MAX_REQUEST_BYTES = 16_384
"""Four times the longest command."""
MAX_PAYLOAD_CHARACTERS = 4096


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StatusRequest(_Part):
    """The status of the device. Reply: `DeviceStatus`."""

    kind: Literal["status"] = "status"


class MetricsRequest(_Part):
    """The counters since the agent's start or reload. Reply: `MetricsReply`."""

    kind: Literal["metrics"] = "metrics"


class FrameRequest(_Part):
    """The newest frame of a camera. Reply: `FrameReply`, with pixels if requested and newer than `after`."""

    kind: Literal["frame"] = "frame"
    camera: str = Field(max_length=63)
    after: int = Field(0, ge=0)
    pixels: bool = True


class CommandRequest(_Part):
    """Run a command, validated as over MQTT. Reply: its result message."""

    kind: Literal["command"] = "command"
    name: str = Field(max_length=63)
    payload: str = Field(max_length=MAX_PAYLOAD_CHARACTERS)


class ReviewRequest(_Part):
    """Store the review of an alert. Reply: `ChangeReply`."""

    kind: Literal["review"] = "review"
    alert: str = Field(max_length=64)
    review: Review


class DeleteRequest(_Part):
    """Delete an alert and its crop. Reply: `ChangeReply`."""

    kind: Literal["delete"] = "delete"
    alert: str = Field(max_length=64)


Request: TypeAlias = StatusRequest | MetricsRequest | FrameRequest | CommandRequest | ReviewRequest | DeleteRequest
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])


class CameraStatus(_Part):
    """Status of a camera."""

    name: str
    is_open: bool
    reason: str = Field(description="Why it is not open")
    paused: bool
    frames: int
    dropped: int = Field(description="Frames replaced by newer ones before they were processed")
    reopened: int
    frames_per_second: float | None = Field(description="Recent rate of analysed frames; null while paused")
    asked_frames_per_second: float | None = Field(description="Configured rate; null: every frame")
    frame_size: tuple[int, int] | None = Field(description="Width and height of its newest frame")
    faults: tuple[Reason, ...]


class DeviceStatus(_Part):
    """Status of the device: cameras, delivery and metrics, without secrets."""

    device: str
    status: Literal["starting", "online", "degraded"]
    reasons: tuple[Reason, ...]
    paused: tuple[str, ...]
    cameras: tuple[CameraStatus, ...]
    delivery: Delivery
    telemetry: Figures
    is_watching: bool = Field(description="Whether frames arrive, or a camera is being reopened")
    is_ready: bool = Field(description="Whether a first frame was processed")
    run_id: str = Field(description="Id of the agent's process; unchanged by reloads")


class AnnotatedFace(_Part):
    """A face in a frame with its last reading and decision; `label` is None until it has been classified."""

    box: Sides
    track: int
    label: Label | None
    score: Score
    decision: Decision


class PersonSign(_Part):
    """The person closest to the camera, and the sign to show them."""

    track: int
    sign: Sign


class FrameReply(_Part):
    """A frame with its faces; its pixels follow as BGR uint8, row by row, unless it is not newer than requested.

    `number` is unique in this run of the agent; 0: there is no frame.
    """

    number: int
    index: int = 0
    when: str = ""
    width: int = 0
    height: int = 0
    faces: tuple[AnnotatedFace, ...] = ()
    nearest: PersonSign | None = None


class ChangeReply(_Part):
    """Result of a change; `missing`: there is no such alert; `refused` and `failed` have a reason."""

    state: Literal["done", "missing", "refused", "failed"]
    reason: str = ""


class MetricsReply(_Part):
    """The counters since the agent's start or reload."""

    cameras: dict[str, CameraMetrics]
    stages: dict[str, StageMetrics]
    versions: dict[str, str]
