"""Sender: builds messages from the device's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.messages.alert import AlertMessage, Model
from edge_agent.messages.counts import CountsMessage
from edge_agent.messages.ids import uuid7
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.telemetry import TelemetryMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from edge_agent.domain import Alert, Resolved
    from edge_agent.messages.alert import CropFile
    from edge_agent.messages.counts import CountedPeriod
    from edge_agent.messages.message import Kind
    from edge_agent.messages.telemetry import Figures

# More digits would be false precision.
SCORE_DIGITS = 4
NO_CROP = "no pictures are stored (crops.picture: none)"
# Milliseconds, like the times of the messages.
DURATION_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """The common fields of all messages of one run: device, boot, model and titles; numbers each message."""

    device: str
    boot_id: str
    model: Model
    next_sequence: Callable[[Kind], int]
    """Assigns the sequence number of a message."""
    is_clock_synchronised: Callable[[], bool]
    device_title: str = ""
    camera_titles: Mapping[str, str] = field(default_factory=dict)
    """Friendly names of the cameras; the name itself if a camera has none."""

    def alert(self, alert: Alert, *, crop: CropFile | None, crop_error: str = "") -> AlertMessage:
        """Build the message of an alert; `crop_error` is the reason if there is no crop."""
        verdict, best = alert.verdict, alert.verdict.best
        missing = {} if crop else {"crop_error": crop_error or NO_CROP}
        return AlertMessage(
            **self._common("alert", when=alert.when, id=alert.id),
            **self._of(verdict.track.camera),
            label=verdict.label,
            score=round(verdict.score, SCORE_DIGITS),
            readings=verdict.readings,
            suppressed=alert.suppressed,
            first_seen=verdict.track.first_seen_when,
            box=best.track.face.box.as_ints(),
            frame_size=best.frame_size,
            model=self.model,
            crop=crop,
            **missing,
        )

    def resolved(self, resolved: Resolved) -> ResolvedMessage:
        """Build the message of a resolution."""
        return ResolvedMessage(
            **self._common("resolved", when=resolved.when),
            alert=resolved.alert_id,
            **self._of(resolved.track.camera),
            label=resolved.label,
            reason=resolved.reason,
            began=resolved.began_when,
            duration_seconds=round(resolved.duration_seconds, DURATION_DIGITS),
        )

    def counts(self, period: CountedPeriod, *, when: datetime) -> CountsMessage:
        """Build the message of an hour's or a day's counts."""
        return CountsMessage(**self._of_all_cameras("counts", when=when), **dict(period))

    def telemetry(self, figures: Figures, *, when: datetime) -> TelemetryMessage:
        """Build the telemetry message."""
        return TelemetryMessage(**self._of_all_cameras("telemetry", when=when), **dict(figures))

    def _common(self, kind: Kind, *, when: datetime, id: str = "") -> dict[str, Any]:  # noqa: A002  (the contract's word)
        return {
            "id": id or uuid7(when),
            "device": self.device,
            "boot_id": self.boot_id,
            "sequence": self.next_sequence(kind),
            "when": when,
            "clock_synchronised": self.is_clock_synchronised(),
            "device_title": self.device_title or self.device,
        }

    def _of_all_cameras(self, kind: Kind, *, when: datetime) -> dict[str, Any]:
        return {**self._common(kind, when=when), "camera_titles": dict(self.camera_titles)}

    def _of(self, camera: str) -> dict[str, str]:
        return {"camera": camera, "camera_title": self.camera_titles.get(camera, camera)}
