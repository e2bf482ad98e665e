"""Command messages: requests to this device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.errors import CommandError

# The longest sensible request is a few hundred bytes.
LARGEST_REQUEST_BYTES = 4096
LONGEST_ID = 64
# For longer there is the pause without an end.
LONGEST_PAUSE_SECONDS = 7 * 86_400.0


class _Request(BaseModel):
    """What every command may carry; an empty payload asks for the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field("", max_length=LONGEST_ID, description="Comes back in the result")


class PauseRequest(_Request):
    """Pause detection; `on: false` resumes, for switches that have one topic only."""

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
    """Give everything that helps to find out what is wrong."""


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


def read_command(name: str, payload: bytes, *, retained: bool = False) -> Command:
    """Check a command by its name and what it carries.

    Raises:
        CommandError: it is retained, too long, of an unknown name, or not what such a command may carry.
    """
    if name not in REQUESTS:
        raise CommandError(f"no such command; known are {', '.join(REQUESTS)}")
    if retained:
        # It would be executed again at every connection, long after it was sent.
        raise CommandError("a retained command is rejected; send it without the retain flag and clear the topic")
    if len(payload) > LARGEST_REQUEST_BYTES:
        raise CommandError(f"{len(payload)} bytes are more than the {LARGEST_REQUEST_BYTES} of a command")
    try:
        request = REQUESTS[name].model_validate_json(payload or b"{}")
    except ValidationError as error:
        raise CommandError(_explained(error)) from error
    return Command(name, request)  # type: ignore[arg-type]  # REQUESTS holds the members of Request


def request_id(payload: bytes) -> str:
    """Find the id even of a request that is refused; empty where it has none."""
    if len(payload) > LARGEST_REQUEST_BYTES:
        return ""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    found = content.get("id") if isinstance(content, dict) else None
    return found if isinstance(found, str) and len(found) <= LONGEST_ID else ""


def _explained(error: ValidationError) -> str:
    said = []
    for mistake in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, mistake["loc"]))
        said.append(f"{key}: {mistake['msg']}" if key else mistake["msg"])
    return "; ".join(said)
