"""Sender: builds messages from the device's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.messages.alert import AlertMessage, CropFile, Model
from edge_agent.messages.counts import CountsMessage
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.telemetry import TelemetryMessage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from edge_agent.domain import Alert, Crop, Resolved
    from edge_agent.messages.counts import CountedPeriod
    from edge_agent.messages.telemetry import Figures

# More digits would be false precision.
SCORE_DIGITS = 4
NO_CROP = "no pictures are stored (crops.picture: none)"
# Milliseconds, like the times of the messages.
DURATION_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """The common fields of all messages of one run: device, boot, model and titles."""

    device: str
    boot_id: str
    model: Model
    device_title: str = ""
    camera_titles: Mapping[str, str] = field(default_factory=dict)
    """Friendly names of the cameras; the name itself if a camera has none."""

    def alert(
        self, alert: Alert, *, sequence: int, crop: Crop | None, crop_error: str = "", clock_synchronised: bool
    ) -> AlertMessage:
        """Build the message of an alert; `crop_error` is the reason if there is no crop."""
        verdict, best = alert.verdict, alert.verdict.best
        picture: dict[str, Any] = {"crop": None, "crop_error": crop_error or NO_CROP}
        if crop is not None:
            picture = {"crop": CropFile(file=crop.file, sha256=crop.sha256, bytes=crop.size_bytes)}
        return AlertMessage(
            id=alert.id,
            **self._common(sequence, clock_synchronised=clock_synchronised),
            camera=verdict.track.camera,
            **self._titles(verdict.track.camera),
            label=verdict.label,
            score=round(verdict.score, SCORE_DIGITS),
            readings=verdict.readings,
            suppressed=alert.suppressed,
            first_seen=verdict.track.first_seen_when,
            when=alert.when,
            box=best.track.face.box.as_ints(),
            frame_size=best.frame_size,
            model=self.model,
            **picture,
        )

    def resolved(
        self,
        resolved: Resolved,
        *,
        id: str,  # noqa: A002  (the word of the contract)
        sequence: int,
        clock_synchronised: bool,
    ) -> ResolvedMessage:
        """Build the message of a resolution."""
        return ResolvedMessage(
            id=id,
            alert=resolved.alert_id,
            **self._common(sequence, clock_synchronised=clock_synchronised),
            camera=resolved.track.camera,
            **self._titles(resolved.track.camera),
            label=resolved.label,
            reason=resolved.reason,
            began=resolved.began_when,
            when=resolved.when,
            duration_seconds=round(resolved.duration_seconds, DURATION_DIGITS),
        )

    def counts(
        self,
        period: CountedPeriod,
        *,
        id: str,  # noqa: A002  (the word of the contract)
        sequence: int,
        when: datetime,
        clock_synchronised: bool,
    ) -> CountsMessage:
        """Build the message of an hour's or a day's counts."""
        return CountsMessage(
            id=id,
            **self._common(sequence, clock_synchronised=clock_synchronised),
            when=when,
            **self._all_titles(),
            period=period.period,
            begin=period.begin,
            end=period.end,
            cameras=dict(period.cameras),
        )

    def _common(self, sequence: int, *, clock_synchronised: bool) -> dict[str, Any]:
        return {
            "device": self.device,
            "boot_id": self.boot_id,
            "sequence": sequence,
            "clock_synchronised": clock_synchronised,
        }

    def _titles(self, camera: str) -> dict[str, str]:
        return {
            "device_title": self.device_title or self.device,
            "camera_title": self.camera_titles.get(camera, camera),
        }

    def _all_titles(self) -> dict[str, Any]:
        return {"device_title": self.device_title or self.device, "camera_titles": dict(self.camera_titles)}

    def telemetry(
        self,
        figures: Figures,
        *,
        id: str,  # noqa: A002  (the word of the contract)
        sequence: int,
        when: datetime,
        clock_synchronised: bool,
    ) -> TelemetryMessage:
        """Build the telemetry message."""
        return TelemetryMessage(
            id=id,
            **self._common(sequence, clock_synchronised=clock_synchronised),
            when=when,
            **self._all_titles(),
            **dict(figures),
        )
