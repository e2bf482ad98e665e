"""Frame rate: selects the frames that are due for analysis."""

from __future__ import annotations

EARLY_FRACTION = 0.25
"""Of the interval: a camera that gives exactly as many frames as are wanted jitters, and loses none for it."""

EVERY_PICTURE_PER_SECOND = 30.0
"""What a share is taken of where every picture is wanted: most cameras give so many."""


class FrameRate:
    """Says which pictures are wanted so that there are no more of them than asked for. Owned by one thread."""

    def __init__(self, frames_per_second: float) -> None:
        """Zero: every picture is wanted."""
        self._asked_per_second = frames_per_second
        self._interval_seconds = 1 / frames_per_second if frames_per_second else 0.0
        self._next_at: float | None = None
        self.wanted = 0
        """How many pictures were wanted so far."""

    @property
    def asked_per_second(self) -> float | None:
        """How many were asked for; None: every picture."""
        return self._asked_per_second or None

    @property
    def allowed_per_second(self) -> float | None:
        """How many are wanted now, at most; None: every picture."""
        return 1 / self._interval_seconds if self._interval_seconds else None

    @property
    def due_at(self) -> float:
        """From when on a picture is wanted: none that was taken before has to be converted. Any thread may ask."""
        return float("-inf") if self._next_at is None else self._next_at - EARLY_FRACTION * self._interval_seconds

    def slow_to(self, share: float, *, least_per_second: float) -> None:
        """Want this share (0..1) of the pictures asked for, but no fewer a second than `least_per_second`; 1: all."""
        if share >= 1:
            self._interval_seconds = 1 / self._asked_per_second if self._asked_per_second else 0.0
            return
        asked_per_second = self._asked_per_second or EVERY_PICTURE_PER_SECOND
        self._interval_seconds = 1 / max(asked_per_second * share, min(least_per_second, asked_per_second))

    def wants(self, at: float) -> bool:
        """Return whether the picture taken now is wanted."""
        if at < self.due_at:
            return False
        # From the time it was due, not from now: otherwise a camera's own jitter would add up to a lower rate.
        due_at = at if self._next_at is None else max(self._next_at, at - self._interval_seconds)
        self._next_at = due_at + self._interval_seconds
        self.wanted += 1
        return True
