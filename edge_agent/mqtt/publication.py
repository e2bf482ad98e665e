"""Publication: one message to the broker, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edge_agent.messages.status import StatusMessage
    from edge_agent.messages.topics import Topics

JSON = "application/json"
JPEG = "image/jpeg"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Publication:
    """A message with what MQTT 5 says beside it; to a broker of 3.1.1 only topic, payload, qos and retain go."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 1
    retain: bool = False
    content_type: str = JSON
    """Media type; empty: none is given."""
    expiry_seconds: int | None = None
    """The broker forgets a message that it could not hand on within this; None: never."""
    user_properties: tuple[tuple[str, str], ...] = ()
    """Names with values, such as device, camera and schema: to be filtered by without reading the payload."""
    correlation_data: bytes | None = None
    """What a request carried, so that its sender knows the answer; None: nothing."""


def status_publication(topics: Topics, status: StatusMessage) -> Publication:
    """Publish how the device does, retained."""
    return Publication(topics.status, status.payload(), retain=True)
