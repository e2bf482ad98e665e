"""Messages: parses and validates the messages of devices.

The device is taken from the routing key, which the broker authorises by certificate, never from the payload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from edge_agent.errors import mistakes_in
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.counts import CountsMessage
from edge_agent.messages.message import Message, Uuid7
from edge_agent.messages.probe import ProbeMessage
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.result import ResultMessage
from edge_agent.messages.status import StatusMessage
from edge_agent.messages.telemetry import TelemetryMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1_048_576
"""A thousand times the size of an alert; a crop of a face has a few thousand bytes."""
MAX_SEQUENCE = 2**63 - 1
MAX_NAME_CHARACTERS = 63
"""Of a camera, as in the configuration of a device; pages and notifications have many of them."""
MISTAKES_SHOWN = 3
MODELS: Mapping[str, type[Message]] = {
    "alerts": AlertMessage,
    "resolved": ResolvedMessage,
    "counts": CountsMessage,
    "status": StatusMessage,
    "telemetry": TelemetryMessage,
}
RESULT_LEVELS = 3
ALERT_ID = TypeAdapter[str](Uuid7)
NULL_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Kept = TypeVar("Kept", bound=BaseModel)


class PoisonError(Exception):
    """A message that cannot be stored; it becomes a dead letter, with this reason in the log."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The crop of an alert, as received."""

    device: str
    alert: str
    content: bytes


Read = Message | Picture


def read(routing_key: str, body: bytes, *, prefix: str) -> Read | None:
    """Parse a message by its routing key, `<prefix>.<device>.<kind>`; None for a probe of `edge-agent doctor`.

    Raises:
        PoisonError: the message is invalid, or not one that this device may send.
    """
    device, kind = split(routing_key, prefix=prefix)
    if len(body) > MAX_BYTES:
        raise PoisonError(f"{len(body)} bytes are more than any message has")
    if _is_probe(body):
        return None
    if kind[0] == "crops" and len(kind) == 2:  # noqa: PLR2004  (crops, and the alert's id)
        return Picture(device, _uuid(kind[1]), body)
    model = MODELS.get(kind[0]) if len(kind) == 1 else None
    if kind[0] == "commands" and len(kind) == RESULT_LEVELS and kind[2] == "result":
        model = ResultMessage
    if model is None:
        raise PoisonError(f"nothing is stored of '{'/'.join(kind)}'")
    message = _validated(model, body)
    if message.device != device:
        raise PoisonError(f"it came from '{device}' and says that it is of '{message.device}'")
    return message


def split(routing_key: str, *, prefix: str) -> tuple[str, list[str]]:
    """Split a routing key into the device and the levels after it.

    Raises:
        PoisonError: it is not the topic of a device.
    """
    begins = prefix.replace("/", ".") + "."
    levels = routing_key.removeprefix(begins).split(".")
    if not routing_key.startswith(begins) or len(levels) < 2 or not all(levels):  # noqa: PLR2004  (device, kind)
        raise PoisonError(f"'{routing_key}' is no topic of a device below '{prefix}'")
    return levels[0], levels[1:]


def _is_probe(body: bytes) -> bool:
    try:
        ProbeMessage.model_validate_json(body)
    except ValidationError:
        return False
    return True


def _validated(model: type[Kept], body: bytes) -> Kept:
    try:
        message = model.model_validate_json(body)
    except ValidationError as error:
        mistakes = mistakes_in(error, whole="the message")
        more = f"; and {len(mistakes) - MISTAKES_SHOWN} more" if len(mistakes) > MISTAKES_SHOWN else ""
        raise PoisonError("; ".join(mistakes[:MISTAKES_SHOWN]) + more) from error
    if getattr(message, "sequence", 0) > MAX_SEQUENCE:
        raise PoisonError("sequence: larger than any counter")
    if len(getattr(message, "camera", "")) > MAX_NAME_CHARACTERS:
        raise PoisonError("camera: longer than any name")
    # PostgreSQL cannot store it in text.
    if NULL_CHARACTER.search(body):
        raise PoisonError("it holds the character U+0000")
    return message


def _uuid(text: str) -> str:
    try:
        return ALERT_ID.validate_python(text)
    except ValidationError as error:
        raise PoisonError(f"'{text}' is no id of an alert") from error
