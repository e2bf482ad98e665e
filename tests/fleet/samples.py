"""Messages as devices of a fleet send them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from edge_agent.messages.alert import AlertMessage, Model
from edge_agent.messages.counts import CountsMessage, PeopleCounts
from edge_agent.messages.ids import _as_uuid, _at_random
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.telemetry import OutboxFigures, TelemetryMessage
from tests.values import a_figures

BOOT = "0190b1a2-0000-4000-8000-000000000001"


def now() -> datetime:
    """Now, to the millisecond, as messages have it."""
    when = datetime.now(timezone.utc)
    return when.replace(microsecond=when.microsecond // 1000 * 1000)


def an_id(when: datetime) -> str:
    """An id of the current time, independent of earlier ids, as if made by another device."""
    return _as_uuid(_at_random(when))


def alert(device: str = "hall-1", sequence: int = 1, *, when: datetime | None = None, **keys: Any) -> AlertMessage:
    """An alert."""
    when = when or now()
    content = {
        "id": an_id(when),
        "device": device,
        "boot_id": BOOT,
        "sequence": sequence,
        "when": when,
        "clock_synchronised": True,
        "camera": "entrance",
        "label": "without_mask",
        "score": 0.98,
        "readings": 9,
        "suppressed": 0,
        "first_seen": when - timedelta(seconds=2),
        "box": (1, 2, 30, 40),
        "frame_size": (640, 480),
        "crop": None,
        "crop_error": "no picture is kept",
        "model": Model(name="masks", sha256="0" * 64),
    }
    return AlertMessage.model_validate({**content, **keys})


def resolved(of: AlertMessage, sequence: int = 1, **keys: Any) -> ResolvedMessage:
    """The resolution of an alert."""
    when = now()
    content = {
        "id": an_id(when),
        "alert": of.id,
        "device": of.device,
        "boot_id": of.boot_id,
        "sequence": sequence,
        "when": when,
        "clock_synchronised": True,
        "camera": of.camera,
        "label": of.label,
        "reason": "left",
        "began": of.when,
        "duration_seconds": 5.0,
    }
    return ResolvedMessage.model_validate({**content, **keys})


def counts(device: str = "hall-1", sequence: int = 1, **cameras: int) -> CountsMessage:
    """Counts of an hour; `cameras` maps each camera to its number of people with a mask."""
    when = now()
    hour = when.replace(minute=0, second=0, microsecond=0)
    return CountsMessage(
        id=an_id(when),
        device=device,
        boot_id=BOOT,
        sequence=sequence,
        when=when,
        clock_synchronised=True,
        period="hour",
        begin=hour - timedelta(hours=1),
        end=hour,
        cameras={name: PeopleCounts(with_mask=people) for name, people in cameras.items()},
    )


def telemetry(device: str = "hall-1", *, rows: int = 0, **sequences: int) -> TelemetryMessage:
    """Telemetry of a minute; `sequences` by kind."""
    when = now()
    outbox = OutboxFigures(rows=rows, bytes=0, dropped={}, sent=0, sequences=sequences)
    return TelemetryMessage(
        id=an_id(when),
        device=device,
        boot_id=BOOT,
        sequence=1,
        when=when,
        clock_synchronised=True,
        **dict(a_figures(cameras={}, outbox=outbox)),
    )
