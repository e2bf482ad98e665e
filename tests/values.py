"""Values for tests: small frames, faces, readings and verdicts with sensible defaults."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from edge_agent.bridge.protocol import CameraStatus, DeviceStatus
from edge_agent.domain import Alert, Box, Face, Frame, Image, Label, Reading, Track, Verdict
from edge_agent.messages.alert import Model
from edge_agent.messages.counts import PeopleCounts
from edge_agent.messages.ids import uuid7
from edge_agent.messages.result import Delivery
from edge_agent.messages.status import Reason
from edge_agent.messages.telemetry import (
    CameraFigures,
    Counts,
    Figures,
    FrameRates,
    Latency,
    MachineFigures,
    Models,
    OutboxFigures,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def a_frame(at: float = 0.0, *, brightness: int = 0, size: tuple[int, int] = (64, 48), camera: str = "door") -> Frame:
    """A uniformly grey frame, `size` as width, height."""
    image = np.full((size[1], size[0], 3), brightness, np.uint8)
    return Frame(camera, round(at * 1000), image, at, NOON + timedelta(seconds=at))


def noise(width_px: int, height_px: int) -> Image:
    """A picture of small, distinct grey squares, which survive JPEG compression."""
    squares = np.random.default_rng(1).integers(0, 256, (height_px // 4 + 1, width_px // 4 + 1), np.uint8)
    grey = np.kron(squares, np.ones((4, 4), np.uint8))[:height_px, :width_px]
    return np.repeat(grey[:, :, None], 3, axis=2).copy()


def a_face(x: float = 10.0, y: float = 10.0, *, width: float = 40.0, score: float = 0.9) -> Face:
    """A face a quarter taller than wide."""
    return Face(Box(x, y, x + width, y + 1.25 * width), score)


def a_track(number: int = 1, *, face: Face | None = None, camera: str = "door") -> Track:
    """A track that began at noon."""
    return Track(number, camera, face or a_face(), 0.0, NOON)


def a_reading(
    label: Label = "without_mask",
    score: float = 0.9,
    *,
    track: Track | None = None,
    at: float = 0.0,
    quality: float = 1.0,
) -> Reading:
    """A reading; the other labels share the remaining probability."""
    others: list[Label] = [one for one in ("with_mask", "without_mask") if one != label]
    scores: dict[Label, float] = {label: score, others[0]: 1 - score}
    cutout = np.zeros((8, 8, 3), np.uint8)
    when = NOON + timedelta(seconds=at)
    return Reading(track or a_track(), label, score, scores, at, when, (640, 360), quality, cutout, (0, 0), ())


def a_verdict(decision: str = "violation", *, track: Track | None = None, label: Label = "without_mask") -> Verdict:
    """A verdict after five readings."""
    best = a_reading(label, track=track)
    return Verdict(best.track, decision, label, 0.9, 5, 5.0, best)  # type: ignore[arg-type]


def an_alert(*, track: Track | None = None) -> Alert:
    """An alert at noon."""
    return Alert(uuid7(NOON), a_verdict(track=track), NOON)


VERSIONS = {"maskwatch": "0.1.0", "model": "masks", "runtime": "litert", "python": "3"}


def a_status(
    *, sha256: str = "0" * 64, frames_per_second: float = 9.5, memory_bytes: int = 10**8, **changes: Any
) -> DeviceStatus:
    """The status of a device with an open camera and one that is unplugged."""
    door = CameraStatus(
        name="door",
        is_open=True,
        reason="",
        faults=(),
        frames=12,
        dropped=3,
        reopened=0,
        frames_per_second=frames_per_second,
        asked_frames_per_second=10.0,
        frame_size=(640, 360),
        paused=False,
    )
    status = DeviceStatus(
        device="test",
        status="degraded",
        reasons=(Reason(code="camera_away", text="camera back: unplugged"),),
        paused=(),
        cameras=(door, door.model_copy(update={"name": "back", "is_open": False, "reason": "unplugged"})),
        delivery=Delivery(connected=False, reason="no broker", waiting=2),
        telemetry=a_figures(
            machine=a_machine(memory_bytes=memory_bytes),
            models=Models(faces=None, masks=Model(name="masks", sha256=sha256)),
        ),
        is_watching=True,
        is_ready=True,
        run_id="one",
    )
    return status.model_copy(update=changes)


def a_figures(**changes: Any) -> Figures:
    """Telemetry of a device with one camera."""
    figures = Figures(
        uptime_seconds=7,
        counts=Counts(frames=12, analysed=6, faces=3, readings=3, alerts=1),
        alerts_today=1,
        people_today=4,
        compliance_today=0.75,
        frames_per_second=9.98765,
        latencies_ms={"faces": Latency(p50=5.0, p95=6.0, p99=7.0)},
        cameras={
            "door": CameraFigures(
                open=True,
                paused=False,
                frames=12,
                dropped=3,
                reopened=0,
                frames_per_second=FrameRates(asked=10.0, allowed=10 / 3, reached=2.98765),
                people=PeopleCounts(with_mask=3, without_mask=1),
                people_today=PeopleCounts(with_mask=3, without_mask=1),
            )
        },
        outbox=OutboxFigures(rows=2, bytes=900, dropped={"alert": 0, "resolved": 0, "telemetry": 0}, sent=0),
        machine=a_machine(),
        models=Models(faces=None, masks=Model(name="masks", sha256="0" * 64)),
        versions=VERSIONS,
    )
    return figures.model_copy(update=changes)


def a_machine(**changes: Any) -> MachineFigures:
    """A machine that does not report its available memory."""
    values = {"temperature_celsius": 51.5, "memory_bytes": 10**8, "memory_available_bytes": None}
    return MachineFigures(
        **{**values, **changes}, throttling=(), throttled_since_boot=(), disk_free_bytes=10**9, uptime_seconds=None
    )


def on_machine(status: DeviceStatus, machine: MachineFigures) -> DeviceStatus:
    """The same status, of another machine."""
    return status.model_copy(update={"telemetry": status.telemetry.model_copy(update={"machine": machine})})
