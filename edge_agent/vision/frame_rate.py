"""Frame rate: selects the frames that are due for analysis."""

from __future__ import annotations

EARLY_FRACTION = 0.25
"""Tolerance as a fraction of the interval: a camera with exactly the configured rate jitters, but loses no frame."""

EVERY_PICTURE_PER_SECOND = 30.0
"""Assumed rate if every picture is analysed; that of most cameras."""


class FrameRate:
    """Selects pictures so that their rate does not exceed the configured one. Owned by one thread."""

    def __init__(self, frames_per_second: float) -> None:
        """`frames_per_second` is the configured rate; 0: every picture."""
        self._asked_per_second = frames_per_second
        self._interval_seconds = 1 / frames_per_second if frames_per_second else 0.0
        self._next_at: float | None = None
        self.wanted = 0
        """Number of pictures selected so far."""

    @property
    def asked_per_second(self) -> float | None:
        """The configured rate; None: every picture."""
        return self._asked_per_second or None

    @property
    def allowed_per_second(self) -> float | None:
        """The current rate limit; None: every picture."""
        return 1 / self._interval_seconds if self._interval_seconds else None

    @property
    def due_at(self) -> float:
        """Monotonic time from which the next picture is due; earlier ones need not be decoded. For any thread."""
        return float("-inf") if self._next_at is None else self._next_at - EARLY_FRACTION * self._interval_seconds

    def slow_to(self, share: float, *, min_per_second: float) -> None:
        """Set the rate to this share, 0..1, of the configured one, but at least `min_per_second`; 1: restore it."""
        if share >= 1:
            self._interval_seconds = 1 / self._asked_per_second if self._asked_per_second else 0.0
            return
        asked_per_second = self._asked_per_second or EVERY_PICTURE_PER_SECOND
        self._interval_seconds = 1 / max(asked_per_second * share, min(min_per_second, asked_per_second))

    def wants(self, at: float) -> bool:
        """Whether to analyse the picture taken at this monotonic time."""
        if at < self.due_at:
            return False
        # From the due time, not from now: otherwise jitter would accumulate to a lower rate.
        due_at = at if self._next_at is None else max(self._next_at, at - self._interval_seconds)
        self._next_at = due_at + self._interval_seconds
        self.wanted += 1
        return True
