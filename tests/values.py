"""Values for tests: small frames, faces, readings and verdicts with sensible defaults."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np

from edge_agent.domain import Alert, Box, Face, Frame, Label, Reading, Track, Verdict
from edge_agent.messages.ids import uuid7

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def a_frame(at: float = 0.0, *, brightness: int = 0, size: tuple[int, int] = (64, 48), camera: str = "door") -> Frame:
    """A uniformly grey frame, `size` as width, height."""
    image = np.full((size[1], size[0], 3), brightness, np.uint8)
    return Frame(camera, round(at * 1000), image, at, NOON + timedelta(seconds=at))


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
    return Reading(track or a_track(), label, score, scores, at, when, (640, 360), quality, cutout, ())


def a_verdict(decision: str = "violation", *, track: Track | None = None, label: Label = "without_mask") -> Verdict:
    """A verdict after five readings."""
    best = a_reading(label, track=track)
    return Verdict(best.track, decision, label, 0.9, 5, 5.0, best)  # type: ignore[arg-type]


def an_alert(*, track: Track | None = None) -> Alert:
    """An alert at noon."""
    return Alert(uuid7(NOON), a_verdict(track=track), NOON)
