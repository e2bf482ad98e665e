"""Token bucket: limits the rate of messages.

Pure: time is an argument.
"""

from __future__ import annotations


class TokenBucket:
    """A bucket that holds one second's worth of messages and fills evenly (token bucket). Owned by one thread."""

    def __init__(self, per_second: float) -> None:
        """Begin full, so that a few messages go out at once."""
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._filled = self._most
        self._filled_at: float | None = None

    def available(self, *, at: float) -> int:
        """How many messages may go out now."""
        self._fill(at)
        return int(self._filled)

    def take(self, *, at: float) -> bool:
        """Take one message's share, if there is one."""
        self._fill(at)
        if self._filled < 1.0:
            return False
        self._filled -= 1.0
        return True

    def wait_seconds(self, *, at: float) -> float:
        """How long until the next share is there."""
        self._fill(at)
        return max(0.0, 1.0 - self._filled) / self._per_second

    def _fill(self, at: float) -> None:
        elapsed_seconds = at - self._filled_at if self._filled_at is not None else 0.0
        self._filled = min(self._most, self._filled + elapsed_seconds * self._per_second)
        self._filled_at = at
