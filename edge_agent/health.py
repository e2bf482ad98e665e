"""Health: whether frames of each camera are still being processed."""

from __future__ import annotations

import math


class Health:
    """The time of each camera's newest frame. Owned by the agent's thread."""

    def __init__(self, *, read_timeout_seconds: float) -> None:
        """Frames count as moving while the newest is no older than `read_timeout_seconds`."""
        self._silence_seconds = read_timeout_seconds
        self._last_frame_at: dict[str, float] = {}

    def record_frame(self, camera: str, *, at: float) -> None:
        """Record a frame, also of a paused camera."""
        self._last_frame_at[camera] = at

    def frames_move(self, camera: str, *, at: float) -> bool:
        """Whether a camera's frame was processed recently."""
        return at - self._last_frame_at.get(camera, -math.inf) <= self._silence_seconds

    @property
    def has_begun(self) -> bool:
        """Whether any frame has arrived yet."""
        return bool(self._last_frame_at)
