"""Telemetry: what does a device tell of itself every minute?

Pure: no clock, no I/O. Described for others in docs/telemetry.schema.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.domain import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

SCHEMA = "maskwatch.telemetry/1"

RATE_DIGITS = 2


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """One camera since the agent's start; `dropped` pictures were replaced by newer ones before anybody looked.

    Frames a second: what is asked for, what the governor allows now (both None: every picture), and what was reached
    since the last telemetry.
    """

    name: str
    is_open: bool
    paused: bool
    frames: int
    dropped: int
    reopened: int
    asked_per_second: float | None
    allowed_per_second: float | None
    reached_per_second: float


@dataclass(frozen=True, slots=True)
class Telemetry:
    """All figures. Counts are those since the agent's start, latencies (milliseconds) those since the last telemetry.

    `latencies_ms` holds p50, p95 and p99 of each stage and of the whole `frame`.
    """

    counts: Mapping[str, int]
    alerts_today: int
    frames_per_second: float
    latencies_ms: Mapping[str, Mapping[str, float]]
    cameras: Sequence[CameraFigures]
    outbox: Mapping[str, Any]
    machine: Mapping[str, Any]
    uptime_seconds: float
    versions: Mapping[str, str]


def telemetry_message(
    telemetry: Telemetry, *, device: str, boot_id: str, clock_synchronised: bool, when: datetime
) -> dict[str, Any]:
    """Describe the figures as a JSON object; `sequence` (outbox) and `historical` (at sending) are still missing."""
    return {
        "schema": SCHEMA,
        "device": device,
        "boot_id": boot_id,
        "when": timestamp(when),
        "clock_synchronised": clock_synchronised,
        "uptime_seconds": round(telemetry.uptime_seconds),
        "counts": dict(telemetry.counts),
        "alerts_today": telemetry.alerts_today,
        "frames_per_second": round(telemetry.frames_per_second, RATE_DIGITS),
        "latencies_ms": {stage: dict(latency) for stage, latency in telemetry.latencies_ms.items()},
        "cameras": {
            camera.name: {
                "open": camera.is_open,
                "paused": camera.paused,
                "frames": camera.frames,
                "dropped": camera.dropped,
                "reopened": camera.reopened,
                "frames_per_second": {
                    "asked": _rounded(camera.asked_per_second),
                    "allowed": _rounded(camera.allowed_per_second),
                    "reached": _rounded(camera.reached_per_second),
                },
            }
            for camera in telemetry.cameras
        },
        "outbox": dict(telemetry.outbox),
        "machine": dict(telemetry.machine),
        "versions": dict(telemetry.versions),
    }


def _rounded(rate: float | None) -> float | None:
    return rate if rate is None else round(rate, RATE_DIGITS)
