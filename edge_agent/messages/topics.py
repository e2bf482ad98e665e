"""Topics: names of all MQTT topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.messages.message import Kind


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a device; `+` as the device, an id or a name stands for all of them."""

    prefix: str
    device: str

    @property
    def all(self) -> str:
        """How every topic of the device begins."""
        return f"{self.prefix}/{self.device}/"

    @property
    def status(self) -> str:
        """How the device does, retained: online, degraded with reasons, or offline."""
        return f"{self.all}status"

    @property
    def alerts(self) -> str:
        """Alerts."""
        return f"{self.all}alerts"

    @property
    def resolved(self) -> str:
        """What became of alerts: the person has left or wears the mask."""
        return f"{self.all}resolved"

    @property
    def counts(self) -> str:
        """People of each hour and day."""
        return f"{self.all}counts"

    @property
    def telemetry(self) -> str:
        """Counts, times and temperatures, once a minute."""
        return f"{self.all}telemetry"

    def crop(self, alert_id: str) -> str:
        """The picture of one alert."""
        return f"{self.all}crops/{alert_id}"

    def last_crop(self, camera: str) -> str:
        """The picture of the newest alert of a camera, for who can follow one topic only."""
        return f"{self.all}cameras/{camera}/crop"

    def violations(self, camera: str) -> str:
        """How many people without a mask are at a camera now, retained."""
        return f"{self.all}cameras/{camera}/violations"

    def snapshot(self, snapshot_id: str) -> str:
        """A picture that was asked for by a command."""
        return f"{self.all}snapshots/{snapshot_id}"

    def command(self, name: str) -> str:
        """Where a command is given."""
        return f"{self.all}commands/{name}"

    def result(self, name: str) -> str:
        """What came of a command."""
        return f"{self.command(name)}/result"

    def of_kind(self, kind: Kind) -> str:
        """Where messages of a kind go."""
        match kind:
            case "alert":
                return self.alerts
            case "resolved":
                return self.resolved
            case "counts":
                return self.counts
            case "telemetry":
                return self.telemetry
