"""Publication: one message to the broker, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edge_agent.messages.status import StatusMessage
    from edge_agent.messages.topics import Topics

JSON = "application/json"
JPEG = "image/jpeg"
# Of a packet: its type and length, packet identifier, length of the properties, expiry, correlation data's length.
FIXED_BYTES = 5 + 2 + 4 + 5 + 3


@dataclass(frozen=True, slots=True)
class Publication:
    """A message with its MQTT 5 properties; a 3.1.1 broker gets only topic, payload, qos and retain."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 1
    retain: bool = False
    content_type: str = JSON
    """Media type; empty: none."""
    expiry_seconds: int | None = None
    """Message expiry at the broker; None: never."""
    user_properties: tuple[tuple[str, str], ...] = ()
    """Names and values, such as device, camera and schema, for filtering without parsing the payload."""
    correlation_data: bytes | None = None
    """Correlation data of the request."""

    @property
    def packet_bytes(self) -> int:
        """The size of its MQTT 5 packet, or a few bytes more."""
        texts = (self.topic, self.content_type, *(text for pair in self.user_properties for text in pair))
        # Each text has a length of two bytes, and most an identifier of one.
        written = sum(3 + len(text.encode()) for text in texts)
        return FIXED_BYTES + written + len(self.correlation_data or b"") + len(self.payload)


def picture_publication(topic: str, picture: bytes, *, file: str) -> Publication:
    """The publication of a picture as stored in `file`: JPEG, or encrypted."""
    return Publication(topic, picture, content_type=JPEG if file.endswith(".jpg") else "application/octet-stream")


def status_publication(topics: Topics, status: StatusMessage) -> Publication:
    """The retained publication of the device's status."""
    return Publication(topics.status, status.payload(), retain=True)
