"""Command messages: requests to this device."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.errors import CommandError, mistakes_in

# The longest sensible request is a few hundred bytes.
MAX_REQUEST_BYTES = 4096
MAX_ID_LENGTH = 64
# A longer pause can be requested without an end.
MAX_PAUSE_SECONDS = 7 * 86_400.0


class _Identified(BaseModel):
    """What identifies a request, valid or not."""

    model_config = ConfigDict(frozen=True, strict=True)

    id: str = Field("", max_length=MAX_ID_LENGTH, description="Returned in the result")


class _Request(_Identified):
    """The keys of every command; an empty payload means the defaults."""

    model_config = ConfigDict(extra="forbid")


class PauseRequest(_Request):
    """Pause detection; `on: false` resumes, for switches with a single topic."""

    on: bool = Field(True, description="false: resume")
    camera: str = Field("", max_length=63, description="Name of the camera; empty: all")
    seconds: float | None = Field(None, gt=0.0, le=MAX_PAUSE_SECONDS, description="Duration; null: until resumed")


class ResumeRequest(_Request):
    """Resume detection."""

    camera: str = Field("", max_length=63, description="Name of the camera; empty: all")


class SnapshotRequest(_Request):
    """Store the current picture of a camera."""

    camera: str = Field("", max_length=63, description="Name of the camera; empty: the first")


class ReloadRequest(_Request):
    """Reload the configuration, as SIGHUP does."""


class DiagnosticsRequest(_Request):
    """Return configuration, metrics and state for diagnosis."""


REQUESTS: dict[str, type[_Request]] = {
    "pause": PauseRequest,
    "resume": ResumeRequest,
    "snapshot": SnapshotRequest,
    "reload": ReloadRequest,
    "diagnostics": DiagnosticsRequest,
}

Request: TypeAlias = PauseRequest | ResumeRequest | SnapshotRequest | ReloadRequest | DiagnosticsRequest


def read_command(name: str, payload: bytes, *, retained: bool = False) -> Request:
    """Validate a command.

    Raises:
        CommandError: the name is unknown, the payload is invalid or too long, or the message is retained.
    """
    if name not in REQUESTS:
        raise CommandError(f"no such command; known: {', '.join(REQUESTS)}")
    if retained:
        # It would be executed again at every connection, long after it was sent.
        raise CommandError("a retained command is rejected; send it without the retain flag and clear the topic")
    if len(payload) > MAX_REQUEST_BYTES:
        raise CommandError(f"{len(payload)} bytes are more than the {MAX_REQUEST_BYTES} of a command")
    try:
        return REQUESTS[name].model_validate_json(payload or b"{}")  # type: ignore[return-value]  # one of Request
    except ValidationError as error:
        raise CommandError("; ".join(mistakes_in(error))) from error


def request_id(payload: bytes) -> str:
    """Find the id of a request, even if that is invalid; empty if it has none."""
    if len(payload) > MAX_REQUEST_BYTES:
        return ""
    try:
        return _Identified.model_validate_json(payload).id
    except ValidationError:
        return ""
