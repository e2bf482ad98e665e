"""Topics: names of all MQTT topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.messages.message import Kind


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a device; `+` as device, id or name matches all of them."""

    prefix: str
    device: str

    @property
    def all(self) -> str:
        """Prefix of all topics of the device."""
        return f"{self.prefix}/{self.device}/"

    @property
    def status(self) -> str:
        """State of the device, retained: online, degraded with reasons, or offline."""
        return f"{self.all}status"

    @property
    def alerts(self) -> str:
        """Alerts."""
        return f"{self.all}alerts"

    def crop(self, alert_id: str) -> str:
        """The picture of one alert."""
        return f"{self.all}crops/{alert_id}"

    def last_crop(self, camera: str) -> str:
        """The picture of a camera's newest alert, for subscribers that support only fixed topics."""
        return f"{self.all}cameras/{camera}/crop"

    def violations(self, camera: str) -> str:
        """Current number of people without a mask at a camera, retained."""
        return f"{self.all}cameras/{camera}/violations"

    def snapshot(self, snapshot_id: str) -> str:
        """A picture requested by a command."""
        return f"{self.all}snapshots/{snapshot_id}"

    def command(self, name: str) -> str:
        """Requests of one command."""
        return f"{self.all}commands/{name}"

    def result(self, name: str) -> str:
        """Results of one command."""
        return f"{self.command(name)}/result"

    def of_kind(self, kind: Kind) -> str:
        """The topic of messages of a kind."""
        return self.alerts if kind == "alert" else f"{self.all}{kind}"
